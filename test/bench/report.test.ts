import { describe, expect, it } from "vitest";
import { Book } from "../../bench/report/book.ts";
import { type Circumstances, report } from "../../bench/report/report.ts";
import { median, percentile } from "../../bench/report/statistics.ts";
import { shown, table } from "../../bench/report/table.ts";
import { full, quick } from "../../bench/scale.ts";

const circumstances: Circumstances = {
  machine: [["CPU", "one, 2 cores"]],
  scale: full,
  takenAt: new Date(0),
  tookSeconds: 599.2,
  failures: [],
};

describe("the median", () => {
  it("is the middle value, or the mean of the two in the middle", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([7])).toBe(7);
    expect(median([])).toBeNaN();
  });
});

describe("a percentile", () => {
  it("is the smallest value that so many percent do not exceed", () => {
    const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
    expect(percentile(hundred, 50)).toBe(50);
    expect(percentile(hundred, 99)).toBe(99);
    expect(percentile([1, 2, 3], 50)).toBe(2);
    expect(percentile([1, 2, 3], 99)).toBe(3);
    expect(percentile([1], 0)).toBe(1);
    expect(percentile([], 50)).toBeNaN();
  });
});

describe("a number", () => {
  it("is shown with three significant digits, at most two decimals, and separators", () => {
    expect([0, 0.123, 1.234, 12.34, 123.4, 1234.5, 98_765.4, 1000].map(shown)).toEqual([
      ...["0", "0.12", "1.23", "12.3", "123"],
      ...["1,235", "98,765", "1,000"],
    ]);
  });
});

describe("a table", () => {
  it("is padded, with numbers to the right and empty cells where there is nothing", () => {
    expect(
      table(
        ["system", "rate"],
        [
          ["a", "1,234"],
          ["longer name", ""],
        ],
      ),
    ).toBe(
      ["| system      |  rate |", "| ----------- | ----: |", "| a           | 1,234 |", "| longer name |       |"].join(
        "\n",
      ),
    );
  });
});

describe("the book", () => {
  it("gives the median over the rounds of a row, and every round's value", () => {
    const book = new Book();
    for (const perSecond of [10, 30, 20]) book.add("a", { perSecond });
    expect(book.median("a", "perSecond")).toBe(20);
    expect(book.values("a", "perSecond")).toEqual([10, 30, 20]);
    expect(book.median("a", "fifo")).toBeUndefined();
    expect(book.median("b", "perSecond")).toBeUndefined();
  });

  it("refuses a row without numbers: then something did not run", () => {
    expect(() => new Book().add("a", { perSecond: Number.NaN })).toThrow("a: no perSecond");
    expect(() => new Book().add("a", {})).toThrow("a: no figures");
  });
});

describe("the report", () => {
  it("sets the ratios beside the targets, and says which are met", () => {
    const book = new Book();
    book.add("uncontended/64/mutex", { perSecond: 1000 });
    book.add("uncontended/64/client", { perSecond: 2999 });
    book.add("uncontended/64/stub", { perSecond: 3000 });
    book.add("uncontended/1/v3lock", { perSecond: 1, lockP50Ms: 1 });
    book.add("uncontended/1/client", { perSecond: 1, lockP50Ms: 1.5 });
    book.add("uncontended/1/stub", { perSecond: 1, lockP50Ms: 1.6 });
    expect(targetsIn(report(book, circumstances))).toEqual({
      "uncontended pairs, 64 in flight, against Go Mutex": ["at least 3 x", "3.00 x, **not met**", "3 x, met"],
      "uncontended lock, one at a time, p50, against v3lock": ["at most 1.5 x", "1.50 x, met", "1.60 x, **not met**"],
    });
  });

  it("measures memory, CPU and the death of a holder against limits", () => {
    const book = new Book();
    book.add("uncontended/1/puts", { perSecond: 1, putP50Ms: 2 });
    book.add("idle/10000", { sessionBytes: 25 * 1024, cpuPercent: 26 });
    book.add("handover/release", { medianMs: 51, maxMs: 80 });
    book.add("handover/keep", { medianMs: 2100, maxMs: 3001 });
    book.add("claims", { claims: 2, claimBytes: 1025, besidePerSecond: 79, alonePerSecond: 100 });
    expect(Object.values(targetsIn(report(book, circumstances))).map((cells) => cells[2])).toEqual([
      "25 KiB, met",
      "26 %, **not met**",
      "51 ms, met",
      "3.00 s, **not met**",
      "1.00 KiB, **not met**",
      "0.79 x, **not met**",
    ]);
  });

  it("calls an order FIFO only if every round was", () => {
    const book = new Book();
    for (const fifo of [1, 0, 1]) book.add("hot/drain/mutex", { perSecond: 100, fifo });
    for (const fifo of [1, 1, 1]) book.add("hot/drain/stub", { perSecond: 100, fifo });
    const lines = report(book, circumstances).split("\n");
    expect(lines.find((line) => line.startsWith("| Go"))).toContain("| not FIFO ");
    expect(lines.find((line) => line.startsWith("| Holdfast, bare"))).toContain("| FIFO ");
  });

  it("holds every kind of claims against the exclusive one", () => {
    const book = new Book();
    for (const [kind, perSecond] of [
      ["exclusive", 1000],
      ["shared", 900],
    ] as const)
      book.add(`kinds/${kind}/stub`, { perSecond });
    const lines = report(book, circumstances).split("\n");
    expect(lines.find((line) => line.startsWith("| shared"))).toMatch(/\| +900 \| 0.90 x \|$/);
  });

  it("leaves out what was not measured, and names what failed", () => {
    const book = new Book();
    book.add("handover/release", { medianMs: 5, maxMs: 6 });
    const text = report(book, { ...circumstances, scale: quick, failures: ["hot/loop/stub: it broke"] });
    expect(text.match(/^## .*/gm)).toHaveLength(2);
    expect(text).toContain("**Did not run:** hot/loop/stub: it broke");
    expect(text).toContain("A quick run");
    expect(text).not.toMatch(/NaN|undefined/);
  });
});

/** The rows of the table of targets: what, and the cells behind it. */
function targetsIn(text: string): Record<string, readonly string[]> {
  const lines = text.slice(text.indexOf("## Against the targets")).split("\n").slice(4);
  const rows = lines.slice(0, lines.indexOf("")).map((line) => line.split("|").map((cell) => cell.trim()));
  return Object.fromEntries(rows.map((cells) => [cells[1]!, cells.slice(2, -1)]));
}
