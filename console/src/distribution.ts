import { toMs } from "./format.ts";
import type { TimeDistribution } from "./gen/holdfast/v1/admin_service.ts";

/** Each bucket of a `TimeDistribution` is so much wider than the one below. */
const GROWTH = 1.05;

/** How long things took, of several distributions together. */
export class Times {
  count = 0;
  #totalMs = 0;
  #maxMs = 0;
  readonly #buckets = new Map<number, number>();

  add(distribution: TimeDistribution | undefined): this {
    if (distribution === undefined) return this;
    this.count += distribution.count;
    this.#totalMs += toMs(distribution.total) ?? 0;
    this.#maxMs = Math.max(this.#maxMs, toMs(distribution.max) ?? 0);
    for (const [at, index] of distribution.bucketIndexes.entries())
      this.#buckets.set(index, (this.#buckets.get(index) ?? 0) + (distribution.bucketCounts[at] ?? 0));
    return this;
  }

  /** In milliseconds. `undefined`: nothing was counted. */
  get averageMs(): number | undefined {
    return this.count === 0 ? undefined : this.#totalMs / this.count;
  }

  get maxMs(): number | undefined {
    return this.count === 0 ? undefined : this.#maxMs;
  }

  /** The time that a share of all took at most, in milliseconds, right within 2.5 %. */
  percentileMs(share: number): number | undefined {
    let left = Math.ceil(share * [...this.#buckets.values()].reduce((sum, count) => sum + count, 0));
    if (left === 0) return undefined;
    for (const index of [...this.#buckets.keys()].sort((a, b) => a - b)) {
      left -= this.#buckets.get(index)!;
      if (left <= 0) return Math.min(this.#maxMs, middleMs(index));
    }
    return this.#maxMs;
  }
}

/** The middle of a bucket: bucket i holds what took above 1.05^(i-1) and up to 1.05^i microseconds. */
const middleMs = (index: number): number => GROWTH ** Math.max(0, index - 0.5) / 1_000;
