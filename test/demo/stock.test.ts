import { describe, expect, it } from "vitest";
import { Stock } from "../../demo/stock.ts";

const enter = (token: number) => ({ step: "enter", token: String(token), buyer: token }) as const;
const leave = (token: number) => ({ step: "leave", token: String(token), buyer: token }) as const;
const write = (token: number, left: number) => ({ step: "write", token: String(token), buyer: token, left }) as const;

describe("the stock of the demo", () => {
  it("sells what is written, and keeps the books", () => {
    const stock = new Stock(2);
    expect(stock.take(enter(1))).toEqual({ kind: "done", left: 2, hasBought: false });
    expect(stock.take(write(1, 1))).toEqual({ kind: "done", left: 1, hasBought: true });
    stock.take(leave(1));
    stock.take(enter(2));
    stock.take(write(2, 0));
    stock.take(leave(2));
    expect(stock.closeBooks()).toEqual({
      left: 0,
      sold: 2,
      buyers: 2,
      staleRefused: 0,
      twoInside: 0,
      timesNegative: 0,
    });
  });

  it("refuses whoever comes with a smaller token than one it has seen", () => {
    const stock = new Stock(5);
    stock.take(enter(7));
    stock.abandon(7n);
    stock.take(enter(9));
    expect(stock.take(write(7, 4))).toEqual({ kind: "stale" });
    expect(stock.closeBooks()).toMatchObject({ left: 5, sold: 0, staleRefused: 1, twoInside: 0 });
  });

  it("notices two inside", () => {
    const stock = new Stock(5);
    stock.take(enter(1));
    stock.take(enter(2));
    expect(stock.closeBooks().twoInside).toBe(1);
  });

  it("notices two grants with one token", () => {
    const stock = new Stock(5);
    stock.take(enter(1));
    stock.take(enter(1));
    expect(stock.closeBooks().twoInside).toBe(1);
  });

  it("notices a sale of what was not there, and a buyer who bought twice", () => {
    const stock = new Stock(0);
    stock.take(enter(1));
    stock.take(write(1, -1));
    stock.take(write(1, -2));
    expect(stock.closeBooks()).toMatchObject({ timesNegative: 2, sold: 2, buyers: 1 });
  });
});
