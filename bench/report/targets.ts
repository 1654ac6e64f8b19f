import { KEEP_TTL_SECONDS } from "../suites/handover.ts";
import type { Book } from "./book.ts";
import { shown } from "./table.ts";

/** What Holdfast means to reach. */
export interface Target {
  readonly what: string;
  readonly target: string;
  /** What was reached, by the client or by bare stubs; `undefined`: it is not about them, or was not measured. */
  reached(book: Book, way: "client" | "stub"): Reached | undefined;
}

export interface Reached {
  readonly value: string;
  readonly isMet: boolean;
}

/** All targets, in the order of the report. */
export const targets: readonly Target[] = [
  atLeast("uncontended pairs, 64 in flight, against Go Mutex", 3, "uncontended/64", "mutex"),
  atLeast("uncontended pairs, 64 in flight, against v3lock", 2.5, "uncontended/64", "v3lock"),
  atLeast("uncontended pairs, 512 in flight, against Go Mutex", 4, "uncontended/512", "mutex"),
  atLeast("uncontended pairs, 512 in flight, against v3lock", 4, "uncontended/512", "v3lock"),
  {
    what: "uncontended lock, one at a time, p50, against v3lock",
    target: "at most 1.5 x",
    reached: (book, way) =>
      ratio(book, { of: `uncontended/1/${way}`, to: "uncontended/1/v3lock", figure: "lockP50Ms" }, (x) => x <= 1.5),
  },
  atLeast("one hot lock, drained, against Go Mutex", 8, "hot/drain", "mutex"),
  atLeast("one hot lock, in a loop, against Go Mutex", 4, "hot/loop", "mutex"),
  byStubs("pairs of a server with metrics and console watched, against the same without", "at least 0.95 x", (book) => {
    const [watched, bare] = ["console", "nobody"].map((one) => book.median(`watched/${one}`, "perSecond"));
    if (watched === undefined || bare === undefined) return undefined;
    return { value: `${shown(watched / bare)} x`, isMet: watched / bare >= 0.95 };
  }),
  byStubs("an idle session of 10,000: server memory", "at most 25 KiB", (book) =>
    compared(book.median("idle/10000", "sessionBytes"), (bytes) => bytes / 1024, "KiB", 25),
  ),
  byStubs("10,000 idle sessions, heartbeats each 3.3 s: server CPU", "at most 25 % of a core", (book) =>
    compared(book.median("idle/10000", "cpuPercent"), (percent) => percent, "%", 25),
  ),
  byStubs("holder killed, `RELEASE`: next holder (median)", "50 ms + one commit", (book) =>
    compared(
      book.median("handover/release", "medianMs"),
      (ms) => ms,
      "ms",
      50 + (book.median("uncontended/1/puts", "putP50Ms") ?? 0),
    ),
  ),
  byStubs("holder killed, `KEEP`: next holder (longest)", "TTL + 1 s", (book) =>
    compared(book.median("handover/keep", "maxMs"), (ms) => ms / 1000, "s", KEEP_TTL_SECONDS + 1),
  ),
  byStubs("a claim in the lock table: server memory", "at most 1 KiB", (book) =>
    compared(book.median("claims", "claimBytes"), (bytes) => bytes / 1024, "KiB", 1),
  ),
  byStubs("pairs beside the claims of others, against the same without", "at least 0.8 x", (book) => {
    const beside = book.median("claims", "besidePerSecond");
    const alone = book.median("claims", "alonePerSecond");
    if (beside === undefined || alone === undefined) return undefined;
    return { value: `${shown(beside / alone)} x`, isMet: beside / alone >= 0.8 };
  }),
];

function atLeast(what: string, factor: number, load: string, peer: string): Target {
  return {
    what,
    target: `at least ${factor} x`,
    reached: (book, way) =>
      ratio(book, { of: `${load}/${way}`, to: `${load}/${peer}`, figure: "perSecond" }, (x) => x >= factor),
  };
}

function ratio(
  book: Book,
  { of, to, figure }: { of: string; to: string; figure: string },
  isMet: (ratio: number) => boolean,
): Reached | undefined {
  const [ours, theirs] = [book.median(of, figure), book.median(to, figure)];
  if (ours === undefined || theirs === undefined) return undefined;
  return { value: `${shown(ours / theirs)} x`, isMet: isMet(ours / theirs) };
}

/** What a client has no part in: measured with bare stubs. */
function byStubs(what: string, target: string, reached: (book: Book) => Reached | undefined): Target {
  return { what, target, reached: (book, way) => (way === "stub" ? reached(book) : undefined) };
}

function compared(
  value: number | undefined,
  convert: (value: number) => number,
  unit: string,
  most: number,
): Reached | undefined {
  if (value === undefined) return undefined;
  return { value: `${shown(convert(value))} ${unit}`, isMet: convert(value) <= most };
}
