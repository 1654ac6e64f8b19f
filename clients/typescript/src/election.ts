import { setTimeout as delay } from "node:timers/promises";
import type { AcquireOptions, Client, LookOptions } from "./client.ts";
import type { ClaimView, ClientInfo } from "./frames.ts";
import type { HeldLock } from "./held-lock.ts";
import { HoldfastError, type LockLostError } from "./holdfast-error.ts";
import type { LockView } from "./lock-reads.ts";
import type { Reason } from "./reason.ts";

/** Who leads, as somebody looking sees it. */
export interface Leader {
  /** The fencing token of its leadership: larger than that of every earlier leader of this election. */
  readonly token: bigint;
  /** What it announces; empty: nothing. */
  readonly value: Uint8Array;
  readonly sessionId: string;
  readonly client: ClientInfo | undefined;
}

/** A leadership that was won. It ends by `resign`, by the end of its `await using` scope, or by its loss. */
export interface Leadership extends AsyncDisposable {
  /** Hand it to what the leader writes to, and let that refuse smaller ones. */
  readonly token: bigint;
  /** Whether it leads now, by the clock as it is now. */
  readonly leads: boolean;
  /** Aborts on any loss, with a `LockLostError`; see `HeldLock.signal`. */
  readonly signal: AbortSignal;
  /** Replaces what it announces to those who look. Fails as `HeldLock.update` does. */
  proclaim(value: string | Uint8Array): Promise<void>;
  /** Calls `listener` once on any loss, at once if it is lost already. Not on `resign`. */
  onLost(listener: (loss: LockLostError) => void): void;
  /** Gives it up: the next candidate leads. Resolves as `HeldLock.release` does. */
  resign(): Promise<"released" | "lost">;
}

export type CampaignOptions = Pick<AcquireOptions, "signal" | "waitMs" | "purpose" | "onWaiting">;

const WATCH_AGAIN_AFTER_MS = 500;
const passing: ReadonlySet<Reason> = new Set(["unreachable", "connection-lost", "draining", "store-unavailable"]);

/**
 * An election: at most one candidate leads at a time, the others wait in the order in which they came. It is the
 * lock of the same name, so whoever holds that lock leads.
 *
 * A candidate whose session was lost is never told that it leads: it queues again, at the end. A leader knows of
 * its loss before anybody else leads, provided that it looks; what it does to others must carry its token.
 */
export class Election {
  readonly #client: Client;
  readonly #name: string;

  /** The election called `name`, by the rules for lock names. */
  constructor(client: Client, name: string) {
    this.#client = client;
    this.#name = name;
  }

  /** Waits until this candidate leads, announcing `value` from then on. Rejects as `Client.acquire` does. */
  async campaign(value: string | Uint8Array = "", options: CampaignOptions = {}): Promise<Leadership> {
    return new Won(await this.#client.acquire(this.#name, { ...options, value }));
  }

  /** Who leads now; `undefined`: nobody. */
  async leader(options: LookOptions = {}): Promise<Leader | undefined> {
    return leaderOf(await this.#client.getLock(this.#name, { ...options, maxClaims: 1 }));
  }

  /**
   * The leader as it is now, and then each time that it, or what it announces, changes; `undefined` while nobody
   * leads. A slow reader misses steps between, never the latest. Goes on by itself when a server fails; ends by
   * leaving the loop, or rejects with `aborted` or what a server refuses with.
   */
  async *observe(options: LookOptions = {}): AsyncGenerator<Leader | undefined, never, undefined> {
    let shown: Leader | undefined | null = null;
    for (;;) {
      let seen = false;
      try {
        for await (const { locks, caughtUp } of this.#client.watchLocks({ name: this.#name }, options)) {
          const lock = locks.at(-1);
          seen ||= lock !== undefined;
          // A lock that was not among those that exist is gone, and its leader with it.
          if (lock === undefined && !(caughtUp && !seen)) continue;
          const leader: Leader | undefined = lock === undefined ? undefined : leaderOf(lock);
          if (shown !== null && isSame(shown, leader)) continue;
          shown = leader;
          yield leader;
        }
      } catch (error) {
        if (!(error instanceof HoldfastError) || !passing.has(error.reason)) throw error;
      }
      // A watch begins with what there is, so nothing is missed but steps between.
      await pause(options.signal);
    }
  }
}

/** Rejects with `aborted` if the signal aborts meanwhile. */
async function pause(signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(WATCH_AGAIN_AFTER_MS, undefined, signal === undefined ? {} : { signal });
  } catch {
    throw new HoldfastError("aborted", "the observation was aborted", { cause: signal?.reason });
  }
}

class Won implements Leadership {
  readonly #lock: HeldLock;

  constructor(lock: HeldLock) {
    this.#lock = lock;
  }

  get token(): bigint {
    return this.#lock.token;
  }

  get leads(): boolean {
    return this.#lock.held;
  }

  get signal(): AbortSignal {
    return this.#lock.signal;
  }

  proclaim(value: string | Uint8Array): Promise<void> {
    return this.#lock.update(value);
  }

  onLost(listener: (loss: LockLostError) => void): void {
    this.#lock.onLost(listener);
  }

  resign(): Promise<"released" | "lost"> {
    return this.#lock.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.resign();
  }
}

function leaderOf(lock: LockView): Leader | undefined {
  const holder: ClaimView | undefined = lock.holders[0];
  if (holder === undefined) return undefined;
  const { token, value, sessionId, client } = holder;
  return { token, value, sessionId, client };
}

function isSame(a: Leader | undefined, b: Leader | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.token === b.token && Buffer.compare(a.value, b.value) === 0;
}
