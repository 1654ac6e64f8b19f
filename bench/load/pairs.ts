import type { Asking } from "./kinds.ts";
import type { Locker } from "./locker.ts";
import { type LoadResult, latency, loadResult } from "./result.ts";

export interface PairsLoad {
  /** Lock and unlock at the same time by so many. */
  readonly inFlight: number;
  /** What they ask for, on names that begin with `run`. */
  readonly asking: (run: string, inFlight: number) => Asking;
  /** Before the clock starts. */
  readonly warmupSeconds: number;
  readonly seconds: number;
}

/**
 * Locks and unlocks, and counts the pairs that ended within the time; on a very slow machine it takes
 * longer, until there are as many as are in flight.
 */
export async function pairs(lockers: readonly Locker[], load: PairsLoad): Promise<LoadResult> {
  const fromMs = performance.now() + load.warmupSeconds * 1000;
  const untilMs = fromMs + load.seconds * 1000;
  // Names are new in each run, so that none profits or suffers from what an earlier one left behind.
  const run = `bench/own/${process.pid}-${Date.now()}`;
  const asked = load.asking(run, load.inFlight);
  const locks: number[] = [];
  const unlocks: number[] = [];
  let endedMs = untilMs;
  const work = async (worker: number) => {
    const locker = lockers[worker % lockers.length]!;
    for (let turn = 0; ; turn++) {
      const beginMs = performance.now();
      const held = await locker.acquire(asked(worker, turn));
      const lockedMs = performance.now();
      await held.release();
      const endMs = performance.now();
      if (endMs < fromMs) continue;
      if (endMs > untilMs && locks.length >= load.inFlight) return;
      endedMs = Math.max(endedMs, endMs);
      locks.push(lockedMs - beginMs);
      unlocks.push(endMs - lockedMs);
    }
  };
  await Promise.all(Array.from({ length: load.inFlight }, (_, worker) => work(worker)));
  return {
    ...loadResult(locks.length, (endedMs - fromMs) / 1000),
    latencies: { lock: latency(locks), unlock: latency(unlocks) },
  };
}
