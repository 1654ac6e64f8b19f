import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { together } from "../../../server/adapters/telemetry/together.ts";

describe("lines that are written together", () => {
  it("go out at the end of the turn in which they came, in order and in one go", async () => {
    const written: string[] = [];
    const { write } = together((text) => written.push(text));
    write("a\n");
    write("b\n");
    expect(written).toEqual([]);
    await nextTurn();
    expect(written).toEqual(["a\nb\n"]);
    write("c\n");
    await nextTurn();
    expect(written).toEqual(["a\nb\n", "c\n"]);
  });

  it("go out at once when that is asked for, and not once more", async () => {
    const written: string[] = [];
    const { write, flush } = together((text) => written.push(text));
    write("a\n");
    flush();
    expect(written).toEqual(["a\n"]);
    await nextTurn();
    flush();
    expect(written).toEqual(["a\n"]);
  });
});
