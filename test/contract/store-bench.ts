import { afterEach, beforeEach, expect } from "vitest";
import type { Store } from "../../server/ports/store.ts";
import { FeedRecorder } from "../support/feed-recorder.ts";
import { applied, grantLease, operation, readAll, remove, revokeLease } from "../support/store-calls.ts";

/** A kind of store under test, with nothing stored. */
export interface StoreBench extends AsyncDisposable {
  /** Another server's store, on the same etcd and prefix; closed with the bench. */
  connect(): Promise<Store>;
  /** Lets so much time pass, if it does not pass by itself. */
  passTime(ms: number): void;
  countKeys(): Promise<number>;
  countLeases(): Promise<number>;
}

export type OpenBench = () => Promise<StoreBench>;

/** What a test of the contract works with; new for each. */
export interface Given {
  readonly store: Store;
  readonly bench: StoreBench;
  /** Grants a lease that is revoked after the test. */
  lease(ttlSeconds?: number): Promise<bigint>;
  /** Follows the given store, or the test's, and resolves when the snapshot is there. */
  follow(store?: Store): Promise<FeedRecorder>;
}

/** Opens a bench for each test of the suite around it; after each, what is left is removed and nothing may remain. */
export function useStore(open: OpenBench): Given {
  let bench: StoreBench;
  let store: Store;
  let leases: bigint[];

  beforeEach(async () => {
    bench = await open();
    store = await bench.connect();
    leases = [];
  });

  afterEach(async () => {
    const entries = (await readAll(store))?.entries ?? [];
    for (const { key, lease } of entries) if (lease === 0n) await applied(store, operation([], remove(key)));
    for (const lease of leases) expect(await revokeLease(store, lease)).toBe(true);
    const left = { keys: await bench.countKeys(), leases: await bench.countLeases() };
    await bench[Symbol.asyncDispose]();
    expect(left).toEqual({ keys: 0, leases: 0 });
  });

  return {
    get store() {
      return store;
    },
    get bench() {
      return bench;
    },
    async lease(ttlSeconds = 60) {
      const outcome = await grantLease(store, ttlSeconds);
      if (outcome.kind !== "granted") throw new Error(`the lease is ${outcome.kind}`);
      leases.push(outcome.lease);
      return outcome.lease;
    },
    async follow(by = store) {
      const feed = new FeedRecorder();
      by.follow(feed);
      await feed.until(() => feed.snapshots.length > 0);
      return feed;
    },
  };
}
