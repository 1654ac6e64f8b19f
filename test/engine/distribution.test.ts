import { describe, expect, it } from "vitest";
import { quantileMs, sumOf } from "../../server/engine/distribution.ts";
import { distributionOf } from "../support/distribution.ts";
import { Random } from "../support/random.ts";

describe("a distribution", () => {
  it("gives every quantile within 2.5 %, and the longest exactly", () => {
    const random = new Random(7);
    const times = Array.from({ length: 5_000 }, () => 0.05 * 1e5 ** random.next());
    const sorted = [...times].sort((a, b) => a - b);
    const distribution = distributionOf(times);
    for (const quantile of [0.01, 0.5, 0.9, 0.99, 0.999]) {
      const exact = sorted[Math.ceil(quantile * times.length) - 1] as number;
      expect(Math.abs(quantileMs(distribution, quantile) / exact - 1)).toBeLessThan(0.026);
    }
    expect(quantileMs(distribution, 1)).toBeLessThanOrEqual(distribution.maxMs);
    expect(distribution.maxMs).toBe(sorted.at(-1));
  });

  it("is the sum of its parts", () => {
    const [a, b] = [
      [1, 2, 3],
      [2, 50],
    ];
    expect(sumOf([distributionOf(a), distributionOf(b)])).toEqual(distributionOf([...a, ...b]));
    expect(sumOf([])).toEqual({ count: 0, totalMs: 0, maxMs: 0, indexes: [], counts: [] });
  });

  it("has no quantiles when it is empty", () => {
    expect(quantileMs(distributionOf([]), 0.5)).toBeNaN();
  });
});
