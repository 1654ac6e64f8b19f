import { setTimeout as delay } from "node:timers/promises";
import type { LockServiceClient } from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";
import type { Held, Locker } from "./locker.ts";
import { type LoadResult, loadResult } from "./result.ts";

export interface HotLoad {
  /** Clients of the one lock besides its first holder; spread over all lockers but the first. */
  readonly waiters: number;
  /** Seconds of waiting (drain) or of load (loop) before the clock starts. */
  readonly warmupSeconds: number;
  /** Of the loop; a drain takes as long as it takes. */
  readonly seconds: number;
}

/** That a rate is taken from. */
const LEAST_HAND_OFFS = 10;

/** From the holder's release until the last of the waiters behind it has been granted and has released. */
export async function drain(lockers: readonly Locker[], looker: LockServiceClient, load: HotLoad): Promise<LoadResult> {
  const tokens: bigint[] = [];
  const queue = await form(lockers, looker, load.waiters, async (locker, name) => {
    const held = await locker.acquire(name);
    tokens.push(held.token);
    await held.release();
  });
  await delay(load.warmupSeconds * 1000);
  const fromMs = performance.now();
  await queue.first.release();
  await Promise.all(queue.waiters);
  const seconds = (performance.now() - fromMs) / 1000;
  // A token is the place in etcd's order, so granted in that order means growing tokens.
  const fifo = tokens.every((token, i) => i === 0 || token > tokens[i - 1]!);
  return { ...loadResult(tokens.length, seconds), fifo };
}

/** Clients that lock and unlock one lock as fast as they can, from when all of them are queued. */
export async function loop(lockers: readonly Locker[], looker: LockServiceClient, load: HotLoad): Promise<LoadResult> {
  let grants = 0;
  let isOver = false;
  const queue = await form(lockers, looker, load.waiters, async (locker, name) => {
    while (!isOver) {
      const held = await locker.acquire(name);
      grants++;
      await held.release();
    }
  });
  await queue.first.release();
  await delay(load.warmupSeconds * 1000);
  const before = grants;
  const fromMs = performance.now();
  // On a very slow machine it takes longer than asked for: a rate of nothing is none.
  do await delay(load.seconds * 1000);
  while (grants - before < LEAST_HAND_OFFS);
  const result = loadResult(grants - before, (performance.now() - fromMs) / 1000);
  // Everybody waits for a last turn, as with the peers.
  isOver = true;
  await Promise.all(queue.waiters);
  return result;
}

interface Queue {
  readonly first: Held;
  readonly waiters: readonly Promise<void>[];
}

/** Takes a lock, lets others run `wait`, and resolves when all of those are in the queue. */
async function form(
  lockers: readonly Locker[],
  looker: LockServiceClient,
  size: number,
  wait: (locker: Locker, name: string) => Promise<void>,
): Promise<Queue> {
  const name = `bench/hot/${process.pid}-${Date.now()}`;
  const [holder, ...others] = lockers;
  const first = await holder!.acquire(name);
  const waiters = Array.from({ length: size }, (_, i) => wait(others[i % others.length]!, name));
  const failed = Promise.race(waiters);
  while ((await waitersOf(looker, name)) < size) await Promise.race([delay(10), failed]);
  return { first, waiters };
}

function waitersOf(looker: LockServiceClient, name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    looker.getLock({ name, maxClaims: 1 }, (error, answer) =>
      error ? reject(error) : resolve(answer.lock?.waiterCount ?? 0),
    );
  });
}
