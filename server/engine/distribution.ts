/** Each bucket's upper bound is larger than the one before by this factor, so that its middle is right within 2.5 %. */
const GROWTH = 1.05;
const PER_BUCKET = 1 / Math.log(GROWTH);
/** The last bucket takes what is longer than about a day. */
export const BUCKETS = 520;

/** How long things took, as counts in buckets: sparse, in growing order of bucket. */
export interface Distribution {
  readonly count: number;
  readonly totalMs: number;
  readonly maxMs: number;
  /** Bucket i holds times above 1.05^(i-1) and up to 1.05^i microseconds; bucket 0 those up to 1 microsecond. */
  readonly indexes: readonly number[];
  readonly counts: readonly number[];
}

/** The bucket of a time. */
export function bucketOf(ms: number): number {
  const us = ms * 1_000;
  // A hair above a bound is that bound, written in binary.
  return us <= 1 ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(us) * PER_BUCKET - 1e-9));
}

/** What several distributions say together. */
export function sumOf(parts: readonly Distribution[]): Distribution {
  const counts = new Map<number, number>();
  const sum = { count: 0, totalMs: 0, maxMs: 0 };
  for (const part of parts) {
    sum.count += part.count;
    sum.totalMs += part.totalMs;
    sum.maxMs = Math.max(sum.maxMs, part.maxMs);
    part.indexes.forEach((index, i) => {
      counts.set(index, (counts.get(index) ?? 0) + (part.counts[i] as number));
    });
  }
  const buckets = [...counts].sort(([a], [b]) => a - b);
  return { ...sum, indexes: buckets.map(([index]) => index), counts: buckets.map(([, count]) => count) };
}

/**
 * The time that the share `quantile` (above 0, at most 1) does not exceed, in milliseconds, from the middle of its
 * bucket: right within 2.5 %. NaN of an empty one.
 */
export function quantileMs({ count, maxMs, indexes, counts }: Distribution, quantile: number): number {
  let left = Math.ceil(count * quantile);
  for (const [i, index] of indexes.entries()) {
    left -= counts[i] as number;
    if (left <= 0) return Math.min(maxMs, GROWTH ** (index - 0.5) / 1_000);
  }
  return Number.NaN;
}
