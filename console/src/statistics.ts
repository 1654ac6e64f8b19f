import { Times } from "./distribution.ts";
import type { Sample } from "./topics.ts";

/** How far back is looked, in seconds, and how many of them are a point of a line. */
export interface Span {
  readonly seconds: number;
  readonly binSeconds: number;
  readonly title: string;
  readonly words: string;
}

export const spans = [
  { seconds: 60, binSeconds: 1, title: "1 min", words: "the last minute" },
  { seconds: 300, binSeconds: 3, title: "5 min", words: "the last 5 minutes" },
  { seconds: 900, binSeconds: 10, title: "15 min", words: "the last 15 minutes" },
] as const satisfies readonly Span[];

/** The counts of several seconds together. */
export interface Totals {
  readonly acquire: Times;
  readonly hold: Times;
  readonly seconds: number;
  readonly grants: number;
  readonly releases: number;
  readonly denials: number;
  readonly losses: number;
  readonly forced: number;
  readonly deadlocks: number;
}

/** Adds up samples. */
export function totalsOf(samples: readonly Sample[]): Totals {
  const sum = (of: (sample: Sample) => number) => samples.reduce((total, sample) => total + of(sample), 0);
  const acquire = new Times();
  const hold = new Times();
  for (const { acquireTime, holdTime } of samples) {
    acquire.add(acquireTime);
    hold.add(holdTime);
  }
  return {
    acquire,
    hold,
    seconds: samples.length,
    grants: sum(({ grants }) => grants),
    releases: sum(({ releases }) => releases),
    denials: sum(({ denials }) => denials),
    losses: sum(({ losses }) => losses),
    forced: sum(({ forced }) => forced),
    deadlocks: sum(({ deadlocks }) => deadlocks),
  };
}

/** The samples of the last `seconds` before the newest. */
export function lately(samples: readonly Sample[], seconds: number): readonly Sample[] {
  const fromMs = (samples.at(-1)?.atMs ?? 0) - seconds * 1_000;
  return samples.filter(({ atMs }) => atMs > fromMs);
}

/** A point of the lines: what was counted in some seconds, and the gauges at their end. */
export interface Bin {
  /** Seconds since 1970. */
  readonly at: number;
  readonly totals: Totals;
  readonly last: Sample;
}

/** Puts samples into bins that stay where they are as time goes on. */
export function binsOf(samples: readonly Sample[], binSeconds: number): readonly Bin[] {
  const groups = Map.groupBy(samples, ({ atMs }) => Math.floor(atMs / (binSeconds * 1_000)));
  return [...groups].map(([index, group]) => ({
    at: (index + 1) * binSeconds,
    totals: totalsOf(group),
    last: group.at(-1)!,
  }));
}
