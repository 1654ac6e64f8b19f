import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SystemClock } from "../../server/clock.ts";

/** What was called by the time everything asked for had been. */
function callsOf(clock: SystemClock, delaysMs: readonly number[]): Promise<{ dueMs: number; calledMs: number }[]> {
  const calls: { dueMs: number; calledMs: number }[] = [];
  const startMs = clock.nowMs();
  return new Promise((resolve) => {
    for (const delayMs of delaysMs) {
      const dueMs = startMs + delayMs;
      clock.at(dueMs, () => {
        calls.push({ dueMs, calledMs: clock.nowMs() });
        if (calls.length === delaysMs.length) resolve(calls);
      });
    }
  });
}

describe("the clock of the machine", () => {
  it("calls each once, in order of time and never early", async () => {
    const delays = fc.array(fc.double({ min: -5, max: 25, noNaN: true }), { minLength: 1, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(delays, async (delaysMs) => {
        const calls = await callsOf(new SystemClock(), delaysMs);
        expect(calls.map(({ dueMs }) => dueMs)).toEqual(calls.map(({ dueMs }) => dueMs).toSorted((a, b) => a - b));
        for (const { dueMs, calledMs } of calls) expect(calledMs).toBeGreaterThanOrEqual(dueMs);
      }),
      { numRuns: 20 },
    );
  });

  it("does not call what was cancelled, and keeps nothing of it", async () => {
    const delays = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.boolean()), { minLength: 1, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(delays, async (asked) => {
        const clock = new SystemClock();
        const startMs = clock.nowMs();
        const called: number[] = [];
        const wakes = asked.map(([delayMs], i) => clock.at(startMs + delayMs, () => called.push(i)));
        for (const [i, [, isCancelled]] of asked.entries()) if (isCancelled) wakes[i]!.cancel();
        const wanted = asked.flatMap(([, isCancelled], i) => (isCancelled ? [] : [i]));
        expect(clock.pendingCount).toBe(wanted.length);
        await new Promise<void>((resolve) => clock.at(startMs + 21, resolve));
        expect(called.toSorted((a, b) => a - b)).toEqual(wanted);
        const times = called.map((i) => asked[i]![0]);
        expect(times).toEqual(times.toSorted((a, b) => a - b));
        for (const wake of wakes) wake.cancel();
        expect(clock.pendingCount).toBe(0);
      }),
      { numRuns: 20 },
    );
  });

  it("does not call what another that is due with it has cancelled", async () => {
    const clock = new SystemClock();
    const late: string[] = [];
    const atMs = clock.nowMs() - 1;
    const [first] = [clock.at(atMs, () => second.cancel())];
    const second = clock.at(atMs + 0.5, () => late.push("called"));
    await new Promise<void>((resolve) => clock.at(atMs + 1, resolve));
    expect(late).toEqual([]);
    first.cancel();
  });

  it("calls what a call asked for, even at a time that has passed", async () => {
    const clock = new SystemClock();
    const { promise, resolve } = Promise.withResolvers<void>();
    clock.at(0, () => clock.at(0, resolve));
    await promise;
  });

  it("waits longer than a timer of Node can", async () => {
    const clock = new SystemClock();
    const late: string[] = [];
    clock.at(clock.nowMs() + 2 ** 40, () => late.push("in 34 years"));
    await new Promise<void>((resolve) => clock.at(clock.nowMs() + 5, resolve));
    expect(late).toEqual([]);
  });

  it("ends a turn once for all that asked, after what was ready in it", async () => {
    const clock = new SystemClock();
    const order: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    clock.endOfTurn(() => {
      order.push("first");
      clock.endOfTurn(() => {
        order.push("next turn");
        resolve();
      });
      setImmediate(() => order.push("between"));
    });
    clock.endOfTurn(() => order.push("second"));
    queueMicrotask(() => order.push("ready"));
    await promise;
    expect(order).toEqual(["ready", "first", "second", "next turn"]);
  });
});
