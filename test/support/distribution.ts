import { bucketOf, type Distribution, sumOf } from "../../server/engine/distribution.ts";

/** The distribution of these times, in milliseconds. */
export const distributionOf = (times: readonly number[]): Distribution =>
  sumOf(times.map((ms) => ({ count: 1, totalMs: ms, maxMs: ms, indexes: [bucketOf(ms)], counts: [1] })));
