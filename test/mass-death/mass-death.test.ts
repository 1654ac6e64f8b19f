import { describe, expect, it } from "vitest";
import { leaveNoProcess } from "../support/service.ts";
import { describeResult, runMassDeath } from "./mass-death.ts";

leaveNoProcess();

// A short version of `make mass-death`, which asserts how fast it all is, on a machine that does nothing else.
describe("mass death", { timeout: 240_000 }, () => {
  for (const [what, options] of [
    ["whose streams break", { end: "release", diskDelayMs: 0 }],
    ["that are not heard of any more, on a slow disk", { end: "keep", diskDelayMs: 10 }],
  ] as const)
    it(`of 1,000 sessions ${what} takes nothing from the others, and hands over every lock`, async () => {
      const result = await runMassDeath({ ...options, sessions: 1_000, watchMs: 4_000 });
      console.log(describeResult(result));
      expect(result.lost).toBe(0);
      // Bounds for a machine that is busy with other tests.
      expect(result.handOver.lastMs).toBeLessThan(20_000);
      expect(result.acks.p99Ms).toBeLessThan(8_000);
    });
});
