import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openEtcdStore } from "../../server/adapters/etcd/index.ts";
import { MemoryEtcd } from "../../server/adapters/memory/memory-etcd.ts";
import { claimKey, claimsOf, sessionKey } from "../../server/core/keys.ts";
import type { Guard, Operation, Write } from "../../server/core/operation.ts";
import type { Store } from "../../server/ports/store.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { FeedRecorder } from "../support/feed-recorder.ts";
import { Random } from "../support/random.ts";
import {
  claim,
  commit,
  grantLease,
  patient,
  put,
  readAll,
  readRevision,
  remove,
  revokeLease,
  session,
} from "../support/store-calls.ts";
import { TurnedClock } from "../support/turned-clock.ts";

const LOCKS = ["a", "a/b", "b"];
const KEYS = [
  sessionKey("one"),
  sessionKey("two"),
  ...LOCKS.flatMap((lock) => [claimKey(lock, "one", 1n), claimKey(lock, "two", 2n)]),
];

describe("the two stores", () => {
  let etcd: TestEtcd;
  beforeAll(async () => {
    etcd = await startEtcd();
  });
  afterAll(() => etcd[Symbol.asyncDispose]());

  it.each([1, 2, 3, 4, 5].map((i) => Date.now() * 10 + i))(
    "do the same with the same commits, seed %i",
    async (seed) => {
      await using real = await openEtcdStore({
        endpoints: [etcd.endpoint],
        prefix: `/differential-${seed}/`,
        ...patient,
        onFault: (fault) => {
          throw fault;
        },
      });
      const memory = new MemoryEtcd(new TurnedClock()).connect();
      expect(await run(real, new Random(seed))).toEqual(await run(memory, new Random(seed)));
    },
  );
});

/** Does what a random source says, and tells all that the store said, with revisions counted from the start. */
async function run(store: Store, random: Random): Promise<unknown[]> {
  const feed = new FeedRecorder();
  store.follow(feed);
  // Guards name revisions a little in the past, and none is below 1.
  for (let i = 0; i < 6; i++) await commit(store, { guards: [], writes: [put(sessionKey("one"), session())] });
  const start = await revisionOf(store);
  const leases: bigint[] = [];
  const said: unknown[] = [];
  for (let step = 0; step < 150; step++) {
    if (leases.length < 3) leases.push(await newLease(store));
    if (random.happens(0.05)) await revokeLease(store, leases.shift()!);
    const operations = randomOperations(random, start, (await revisionOf(store)) - start, leases);
    const outcome = await commit(store, ...operations);
    said.push(outcome.kind === "decided" ? { ...outcome, revision: outcome.revision - start } : outcome);
  }
  for (const lease of leases) await revokeLease(store, lease);
  const last = (await readAll(store))!;
  await feed.until(() => feed.revision >= last.revision);
  for (const { revision, changes } of feed.revisions) {
    said.push(revision - start, ...changes.map((change) => plain(change, start)));
  }
  said.push(last.entries.length, feed.table.size);
  return said;
}

async function revisionOf(store: Store): Promise<number> {
  const outcome = await readRevision(store);
  if (outcome.kind !== "revision") throw new Error(outcome.kind);
  return outcome.revision;
}

async function newLease(store: Store): Promise<bigint> {
  const outcome = await grantLease(store, 60);
  if (outcome.kind !== "granted") throw new Error(outcome.kind);
  return outcome.lease;
}

/** What can be compared of a change: lease ids differ, and revisions begin elsewhere. */
function plain(change: FeedRecorder["revisions"][number]["changes"][number], start: number): unknown {
  if (change.kind === "delete") return change;
  const { key, record, createRevision, modRevision } = change.entry;
  return { key, record, created: createRevision - start, modified: modRevision - start };
}

function randomOperations(random: Random, start: number, now: number, leases: readonly bigint[]): Operation[] {
  // Each key at most once, whichever operation it falls to.
  const free = KEYS.toSorted(() => random.next() - 0.5);
  return Array.from({ length: 1 + random.below(4) }, () => ({
    guards: Array.from({ length: random.below(3) }, () => randomGuard(random, start + now - random.below(6))),
    writes: free.splice(0, random.below(3)).map((key) => randomWrite(random, key, leases)),
  }));
}

function randomGuard(random: Random, revision: number): Guard {
  const key = random.pick(KEYS);
  return random.pick<Guard>([
    { kind: "absent", key },
    { kind: "created", key, revision },
    { kind: "modified", key, revision },
    { kind: "quiet", prefix: claimsOf(random.pick(LOCKS)), revision },
    { kind: "quiet", prefix: "claim/a", revision },
  ]);
}

function randomWrite(random: Random, key: string, leases: readonly bigint[]): Write {
  if (random.happens(0.4)) return remove(key);
  const lease = random.happens(0.03) ? 0x7fff_ffffn : random.pick([0n, ...leases]);
  const lock = LOCKS.find((name) => key.startsWith(claimsOf(name)));
  return put(key, lock === undefined ? session() : claim(lock, { ordinal: random.below(128) }), lease);
}
