import type { StatisticsSample, TimeDistribution } from "../typescript/src/admin.ts";
import { msOf } from "./admin-texts.ts";

/** How often something happened, and how long it took, as several servers counted it together. */
export interface Summary {
  /** Seconds that it is about. */
  readonly seconds: number;
  readonly grants: number;
  readonly denials: number;
  readonly releases: number;
  readonly losses: number;
  readonly forced: number;
  readonly deadlocks: number;
  readonly acquireTime: Times;
  readonly holdTime: Times;
}

export interface Times {
  readonly count: number;
  /** All in milliseconds; `undefined` if there was none. */
  readonly average: number | undefined;
  readonly p50: number | undefined;
  readonly p90: number | undefined;
  readonly p99: number | undefined;
  readonly max: number | undefined;
}

/** What samples of any servers say together of `seconds` seconds. */
export function summarize(samples: readonly StatisticsSample[], seconds: number): Summary {
  const sum = (read: (sample: StatisticsSample) => number) =>
    samples.reduce((total, sample) => total + read(sample), 0);
  return {
    seconds,
    grants: sum(({ grants }) => grants),
    denials: sum(({ denials }) => denials),
    releases: sum(({ releases }) => releases),
    losses: sum(({ losses }) => losses),
    forced: sum(({ forced }) => forced),
    deadlocks: sum(({ deadlocks }) => deadlocks),
    acquireTime: timesOf(samples.map(({ acquireTime }) => acquireTime)),
    holdTime: timesOf(samples.map(({ holdTime }) => holdTime)),
  };
}

function timesOf(distributions: readonly (TimeDistribution | undefined)[]): Times {
  const buckets = new Map<number, number>();
  let count = 0;
  let totalMs = 0;
  let maxMs = 0;
  for (const distribution of distributions) {
    if (distribution === undefined) continue;
    count += distribution.count;
    totalMs += msOf(distribution.total) ?? 0;
    maxMs = Math.max(maxMs, msOf(distribution.max) ?? 0);
    distribution.bucketIndexes.forEach((index, i) => {
      buckets.set(index, (buckets.get(index) ?? 0) + distribution.bucketCounts[i]!);
    });
  }
  if (count === 0) return { count, average: undefined, p50: undefined, p90: undefined, p99: undefined, max: undefined };
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  const at = (share: number) => Math.min(maxMs, percentile(sorted, share * count));
  return { count, average: totalMs / count, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: maxMs };
}

/** From the middle of the bucket in which it is, and so right within 2.5 %. */
function percentile(sorted: readonly (readonly [index: number, count: number])[], rank: number): number {
  let left = rank;
  for (const [index, count] of sorted) {
    left -= count;
    if (left <= 0) return 1.05 ** (index - 0.5) / 1_000;
  }
  return Number.POSITIVE_INFINITY;
}
