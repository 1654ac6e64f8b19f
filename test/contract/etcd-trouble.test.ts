import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type EtcdStore, type EtcdStoreOptions, openEtcdStore } from "../../server/adapters/etcd/index.ts";
import { claimKey, sessionKey } from "../../server/core/keys.ts";
import { within } from "../support/calm.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { FeedRecorder } from "../support/feed-recorder.ts";
import { type Relay, startRelay } from "../support/relay.ts";
import {
  absent,
  applied,
  claim,
  commit,
  grantLease,
  operation,
  patient,
  put,
  readAll,
  readRevision,
  remove,
  renewLease,
  revokeLease,
  session,
} from "../support/store-calls.ts";

const WATCH_REPLACED_MS = within(4_500, 10_000);
const PREFIX = "/trouble/";
const SESSION = "s".repeat(22);

describe("the etcd store in trouble", () => {
  let etcd: TestEtcd;
  /** A store with a connection that nothing befalls. */
  let sound: EtcdStore;
  let relay: Relay;
  /** A store behind the relay. */
  let store: EtcdStore;
  let troubles: string[];

  const open = (endpoint: string, more: Partial<EtcdStoreOptions> = {}) =>
    openEtcdStore({
      endpoints: [endpoint],
      prefix: PREFIX,
      // A busy machine takes its time, and nothing that arrives is to count as lost.
      commitTimeoutMs: 3_000,
      readTimeoutMs: 500,
      renewTimeoutMs: 2_000,
      onFault: (fault) => {
        throw fault;
      },
      onTrouble: (event) => troubles.push(event),
      ...more,
    });

  beforeAll(async () => {
    etcd = await startEtcd();
  });
  afterAll(() => etcd[Symbol.asyncDispose]());

  beforeEach(async () => {
    troubles = [];
    relay = await startRelay(etcd.endpoint);
    store = await open(relay.endpoint);
    sound = await open(etcd.endpoint, patient);
  });

  afterEach(async () => {
    for (const { key } of (await readAll(sound))!.entries) await applied(sound, operation([], remove(key)));
    const left = { keys: await etcd.countKeys(), leases: await etcd.countLeases() };
    await store.close();
    await sound.close();
    await relay[Symbol.asyncDispose]();
    expect(left).toEqual({ keys: 0, leases: 0 });
  });

  async function follow(by: EtcdStore): Promise<FeedRecorder> {
    const feed = new FeedRecorder();
    by.follow(feed);
    await feed.until(() => feed.snapshots.length > 0);
    return feed;
  }

  const write = (i: number, by = sound) =>
    applied(by, operation([], put(claimKey(`lock-${i}`, SESSION, 1n), claim(`lock-${i}`))));

  /** Commits until etcd has decided one; by then it may have been written more than once. */
  async function writeAtLast(i: number, by: EtcdStore): Promise<number> {
    for (;;) {
      const outcome = await commit(by, operation([], put(claimKey(`lock-${i}`, SESSION, 1n), claim(`lock-${i}`))));
      if (outcome.kind === "decided") return outcome.revision;
    }
  }

  it("goes on following where it was, when etcd is killed and comes back", async () => {
    const feed = await follow(store);
    const first = await write(1, store);
    await feed.until(() => feed.revision >= first);
    await etcd.kill9();
    await etcd.start();
    const second = await writeAtLast(2, store);
    const third = await write(3, store);
    await feed.until(() => feed.revision >= third);
    expect(feed.snapshots).toHaveLength(1);
    expect(feed.changesOf(second)).toHaveLength(1);
    expect(feed.revisions[0]!.revision).toBe(first);
    expect(feed.table.size).toBe(3);
  });

  it("catches up with all that happened while it was cut off", async () => {
    const feed = await follow(store);
    await feed.until(() => relay.connectionCount > 0);
    relay.cut();
    const revisions: number[] = [];
    for (let i = 0; i < 20; i++) revisions.push(await write(i));
    relay.mend();
    await feed.until(() => feed.revision >= revisions.at(-1)!);
    expect(feed.snapshots).toHaveLength(1);
    expect(feed.revisions.map(({ revision }) => revision)).toEqual(revisions);
    expect(troubles).toContain("watch.broken");
  });

  it("reads everything anew when the history that it missed was compacted", async () => {
    const feed = await follow(store);
    const first = await write(1);
    await feed.until(() => feed.revision >= first);
    relay.cut();
    const removed = await applied(sound, operation([], remove(claimKey("lock-1", SESSION, 1n))));
    const last = await write(2);
    await etcd.compact(last);
    relay.mend();
    await feed.until(() => feed.revision >= last);
    expect(feed.changesOf(removed)).toEqual([]);
    expect(feed.snapshots).toHaveLength(2);
    expect([...feed.table.keys()]).toEqual([claimKey("lock-2", SESSION, 1n)]);
    expect(troubles).toContain("watch.compacted");
    const next = await write(3);
    await feed.until(() => feed.revision >= next);
    expect(feed.changesOf(next)).toHaveLength(1);
  });

  it("misses nothing while history is compacted all the time", async () => {
    const feed = await follow(store);
    for (let i = 0; i < 100; i++) {
      const revision = await write(i % 10);
      if (i % 3 === 0) await etcd.compact(revision);
      if (i % 20 === 0) relay.cut();
      if (i % 20 === 5) relay.mend();
    }
    const { revision, entries } = (await readAll(sound))!;
    await feed.until(() => feed.revision >= revision);
    const inOrder = [...feed.table.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    expect(inOrder).toEqual(entries);
  });

  it("does not know what became of a commit whose reply is lost", async () => {
    const key = sessionKey(SESSION);
    relay.dropReplies();
    expect(await commit(store, operation([absent(key)], put(key, session())))).toEqual({ kind: "unknown" });
    expect((await readAll(sound))!.entries).toMatchObject([{ key }]);
    relay.mend();
  });

  it("does not know what became of a commit while nothing gets through, nor when the connection breaks", async () => {
    relay.blackHole();
    expect(await commit(store, operation([], remove("session/none")))).toEqual({ kind: "unknown" });
    expect(await readRevision(store)).toEqual({ kind: "unavailable" });
    expect(await grantLease(store, 5)).toEqual({ kind: "unavailable" });
    relay.cut();
    expect(await commit(store, operation([], remove("session/none")))).toEqual({ kind: "unknown" });
    expect(await readAll(store)).toBeUndefined();
    relay.mend();
    while ((await readRevision(store)).kind !== "revision") await readRevision(sound);
  });

  it("revokes by itself a lease of which it never heard that it was granted", async () => {
    relay.dropReplies();
    expect(await grantLease(store, 60)).toEqual({ kind: "unavailable" });
    // Its revoke goes the same way: it arrives, though its reply does not.
    while ((await etcd.countLeases()) > 0) await readRevision(sound);
    relay.mend();
  });

  it("gives up renewals that are not answered, and renews on another stream", async () => {
    const lease = await grantLease(sound, 60);
    if (lease.kind !== "granted") throw new Error(lease.kind);
    expect(await renewLease(store, lease.lease)).toMatchObject({ kind: "renewed" });
    relay.dropReplies();
    const renewals = Array.from({ length: 20 }, () => renewLease(store, lease.lease));
    for (const outcome of await Promise.all(renewals)) expect(outcome).toEqual({ kind: "unavailable" });
    expect(troubles).toContain("renewals.broken");
    relay.mend();
    while ((await renewLease(store, lease.lease)).kind !== "renewed") await readRevision(sound);
    await revokeLease(sound, lease.lease);
  });

  it("looks for another way when the watch is asked and stays silent", async () => {
    const feed = await follow(store);
    while (feed.progressed === 0) {
      store.requestProgress();
      await readRevision(sound);
    }
    relay.blackHole();
    const startedMs = performance.now();
    store.requestProgress();
    while (!troubles.includes("watch.broken")) await readRevision(store);
    expect(performance.now() - startedMs).toBeLessThan(WATCH_REPLACED_MS);
    relay.mend();
    const revision = await write(1);
    await feed.until(() => feed.revision >= revision);
    expect(feed.snapshots).toHaveLength(1);
  });

  it("makes a connection anew that has gone silent, and follows over that", async () => {
    const feed = await follow(store);
    const first = await write(1);
    await feed.until(() => feed.revision >= first);
    relay.stall();
    const startedMs = performance.now();
    const missed = await write(2);
    await feed.until(() => feed.revision >= missed);
    const tookMs = performance.now() - startedMs;
    expect(tookMs).toBeLessThan(WATCH_REPLACED_MS);
    expect(await writeAtLast(3, store)).toBeGreaterThan(missed);
  });

  it("stops at a record that it cannot read, and delivers nothing after it", async () => {
    const fault = Promise.withResolvers<Error>();
    await using strict = await open(etcd.endpoint, { onFault: fault.resolve });
    const feed = await follow(strict);
    await etcd.put(`${PREFIX}session/odd`, Uint8Array.of(8, 2));
    expect((await fault.promise).message).toMatch(/"session\/odd" in etcd has format 2/);
    await etcd.put(`${PREFIX}session/odd`, Buffer.from("garbage"));
    await applied(sound, operation([], remove("session/odd")));
    const next = await write(1);
    await using later = await open(etcd.endpoint);
    const other = await follow(later);
    await other.until(() => other.revision >= next);
    expect(feed.revisions).toEqual([]);
  });
});
