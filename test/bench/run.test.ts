import { describe, expect, it, vi } from "vitest";
import { Generator, measured } from "../../bench/process/generator.ts";
import { cpuSeconds, residentBytes } from "../../bench/process/usage.ts";
import { Book, type Figures } from "../../bench/report/book.ts";
import { runSuites } from "../../bench/run.ts";
import { quick } from "../../bench/scale.ts";
import type { Bench, Suite } from "../../bench/suites/suite.ts";

const bench = { scale: quick } as Bench;

/** One group of cells that do what they are told. */
function suiteOf(rounds: number, cells: Record<string, () => Figures>): Suite {
  const all = Object.entries(cells).map(([row, measure]) => ({ row, measure: async () => measure() }));
  return { name: "planted", groups: () => [{ rounds, cells: all }] };
}

describe("a run", () => {
  it("takes all measurements of a group in turn, round by round", async () => {
    quietly();
    const order: string[] = [];
    const note = (name: string) => () => {
      order.push(name);
      return { perSecond: order.length };
    };
    const book = new Book();
    const suite = suiteOf(3, { a: note("a"), b: note("b") });
    expect(await runSuites([suite], bench, book, new AbortController().signal)).toEqual([]);
    expect(order.join("")).toBe("ababab");
    expect(book.values("b", "perSecond")).toEqual([2, 4, 6]);
  });

  it("goes on after a failure, and names it", async () => {
    quietly();
    const broken = () => {
      throw new Error("it broke");
    };
    const suite = suiteOf(1, { a: broken, b: () => ({ perSecond: 1 }), c: () => ({}) });
    const book = new Book();
    const failures = await runSuites([suite], bench, book, new AbortController().signal);
    expect(failures).toEqual(["a: it broke", "c: c: no figures"]);
    expect(book.rows()).toEqual(["b"]);
  });

  it("counts what is left as failed when it is interrupted", async () => {
    quietly();
    const stopping = new AbortController();
    const stop = () => {
      stopping.abort();
      return { perSecond: 1 };
    };
    const failures = await runSuites([suiteOf(2, { a: stop, b: stop })], bench, new Book(), stopping.signal);
    expect(failures).toEqual(["the last 3 measurements: interrupted"]);
  });
});

describe("a load generator", () => {
  const printing = (text: string) =>
    Generator.program(process.execPath, "--eval", `console.log(${JSON.stringify(text)})`);

  it("gives its result as figures", async () => {
    const line = { seconds: 1, count: 2, perSecond: 2, latencies: { lock: { p50Ms: 3, p99Ms: 4 } }, fifo: false };
    expect(await measured(printing(JSON.stringify(line)))).toEqual({
      ...{ perSecond: 2, fifo: 0 },
      ...{ lockP50Ms: 3, lockP99Ms: 4 },
    });
  });

  it("that did nothing has failed", async () => {
    await expect(measured(printing('{"seconds":1,"count":0,"perSecond":0}'))).rejects.toThrow("nothing was done");
  });

  it("that ends without a result fails with its last words", async () => {
    const broken = Generator.program(process.execPath, "--eval", "throw new Error('no server there')");
    await expect(measured(broken)).rejects.toThrow(/exit code 1.*no server there/s);
  });
});

describe("what a process uses", () => {
  it("is what the process itself sees", () => {
    const cpu = process.cpuUsage();
    expect(cpuSeconds(process.pid)).toBeCloseTo((cpu.user + cpu.system) / 1e6, 0);
    expect(residentBytes(process.pid) / process.memoryUsage().rss).toBeCloseTo(1, 0);
  });
});

/** Progress is for the terminal of whoever runs the bench. */
function quietly(): void {
  vi.spyOn(process.stdout, "write").mockReturnValue(true);
  vi.spyOn(console, "log").mockReturnValue();
}
