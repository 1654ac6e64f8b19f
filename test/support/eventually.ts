import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

const LOOK_EVERY_MS = 10;

/**
 * Resolves when what is read equals `expected`; rejects with what it was last when it has not after `withinMs`. For
 * what can only be looked at: what tells of itself is to be awaited.
 */
export async function eventually<Value>(
  read: () => Value | Promise<Value>,
  expected: Value,
  withinMs = 20_000,
): Promise<void> {
  const startedMs = performance.now();
  for (;;) {
    const value = await read();
    if (isDeepStrictEqual(value, expected)) return;
    if (performance.now() - startedMs > withinMs)
      throw new Error(`after ${withinMs} ms it is still ${show(value)}, not ${show(expected)}`);
    await delay(LOOK_EVERY_MS);
  }
}

const show = (value: unknown) => JSON.stringify(value, (_, each) => (typeof each === "bigint" ? `${each}n` : each));
