import { percentile } from "../report/statistics.ts";

/** What a load generator prints as its last line, as JSON; the generators in Go print the same. */
export interface LoadResult {
  readonly seconds: number;
  /** How often the whole was done: lock and unlock, or hand-off. */
  readonly count: number;
  readonly perSecond: number;
  /** Of each step of the whole, by its name. */
  readonly latencies?: Readonly<Record<string, { readonly p50Ms: number; readonly p99Ms: number }>>;
  /** Whether a queue was granted in the order in which etcd had committed it. */
  readonly fifo?: boolean;
}

export function loadResult(count: number, seconds: number): LoadResult {
  return { seconds, count, perSecond: count / seconds };
}

export function latency(times: readonly number[]): { p50Ms: number; p99Ms: number } {
  const ascending = Float64Array.from(times).sort();
  return { p50Ms: percentile(ascending, 50), p99Ms: percentile(ascending, 99) };
}
