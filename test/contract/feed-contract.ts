import { describe, expect, it } from "vitest";
import { claimKey, serverKey, sessionKey } from "../../server/core/keys.ts";
import type { Store } from "../../server/ports/store.ts";
import {
  absent,
  applied,
  claim,
  operation,
  put,
  readAll,
  readRevision,
  remove,
  server,
  session,
} from "../support/store-calls.ts";
import { type OpenBench, useStore } from "./store-bench.ts";

const SESSION = "s".repeat(22);

/** What a store promises about what it delivers and reads. */
export function feedContract(open: OpenBench): void {
  const given = useStore(open);

  const sorted = (entries: Iterable<{ key: string }>) =>
    [...entries].sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));

  /** Commits one claim of each of `locks`, again and again with the next claim id. */
  async function writeClaims(store: Store, locks: readonly string[], rounds: number) {
    const written = new Map<number, readonly string[]>();
    for (let round = 1; round <= rounds; round++) {
      const keys = locks.map((lock) => claimKey(lock, SESSION, BigInt(round)));
      const operations = keys.map((key, i) => operation([absent(key)], put(key, claim(locks[i]!))));
      written.set(await applied(store, ...operations), keys);
    }
    return written;
  }

  it("begins with what is there, and goes on with what changes", async () => {
    const key = claimKey("a", SESSION, 1n);
    const revision = await applied(given.store, operation([], put(key, claim("a"))));
    const feed = await given.follow(await given.bench.connect());
    expect(feed.snapshots).toHaveLength(1);
    expect(feed.snapshots[0]!.revision).toBeGreaterThanOrEqual(revision);
    expect([...feed.table.keys()]).toEqual([key]);
    const next = await applied(given.store, operation([], remove(key), put(sessionKey(SESSION), session())));
    await feed.until(() => feed.revision >= next);
    expect(feed.revisions.map((one) => one.revision)).toEqual([next]);
    expect(feed.changesOf(next)).toMatchObject([{ kind: "delete", key }, { kind: "put" }]);
  });

  it("delivers each revision whole, in order and once, under load from several servers", async () => {
    const follower = await given.bench.connect();
    const writers = [given.store, await given.bench.connect(), await given.bench.connect()];
    const feed = await given.follow(follower);
    const written = await Promise.all(
      writers.map((writer, w) =>
        writeClaims(
          writer,
          Array.from({ length: 20 }, (_, i) => `writer-${w}/${i}`),
          50,
        ),
      ),
    );
    const expected = written.flatMap((map) => [...map]).sort(([a], [b]) => a - b);
    await feed.until(() => feed.revision >= expected.at(-1)![0]);
    const delivered = feed.revisions.map(({ revision, changes }) => [
      revision,
      changes.map((change) => (change.kind === "put" ? change.entry.key : change.key)),
    ]);
    expect(delivered).toEqual(expected);
  });

  it("leaves no gap between the snapshot and what follows, whenever it begins", async () => {
    const busy = writeClaims(given.store, ["a", "b", "c"], 60);
    const feeds = [];
    for (let i = 0; i < 5; i++) feeds.push(await given.follow(await given.bench.connect()));
    const last = Math.max(...(await busy).keys());
    for (const feed of feeds) {
      await feed.until(() => feed.revision >= last);
      expect(feed.table.size).toBe(180);
    }
  });

  it("reads the same as it delivered", async () => {
    const feed = await given.follow();
    await writeClaims(given.store, ["a", "b"], 20);
    const removed = Array.from({ length: 10 }, (_, i) => remove(claimKey("a", SESSION, BigInt(i + 1))));
    await applied(given.store, operation([], ...removed));
    const snapshot = (await readAll(given.store))!;
    await feed.until(() => feed.revision >= snapshot.revision);
    expect(sorted(snapshot.entries)).toEqual(sorted(feed.table.values()));
    expect(snapshot.entries).toHaveLength(30);
  });

  it("reads and delivers more keys than fit a page", async () => {
    const locks = Array.from({ length: 120 }, (_, i) => `lock-${i}`);
    await writeClaims(given.store, locks, 100);
    const lease = await given.lease();
    expect((await readAll(given.store))!.entries).toHaveLength(12_000);
    const feed = await given.follow(await given.bench.connect());
    expect(feed.table.size).toBe(12_000);
    // With a lease they go all at once when the test is over.
    for (let round = 1; round <= 100; round++) {
      const writes = locks.map((lock) => put(claimKey(lock, SESSION, BigInt(round)), claim(lock), lease));
      await applied(given.store, ...writes.map((write) => operation([], write)));
    }
  });

  it("tells its progress, once everything up to there has been delivered", async () => {
    const feed = await given.follow();
    const revision = await applied(given.store, operation([], put(sessionKey(SESSION), session())));
    while (feed.progressed < revision) {
      given.store.requestProgress();
      await feed.until(() => feed.progressed >= revision || feed.revision >= revision);
      await readRevision(given.store);
    }
    expect(feed.revisions.map((one) => one.revision)).toEqual([revision]);
  });

  it("tells its progress when nothing has happened since the snapshot", async () => {
    const feed = await given.follow();
    while (feed.progressed === 0) {
      given.store.requestProgress();
      await readRevision(given.store);
    }
    expect(feed.progressed).toBeGreaterThanOrEqual(feed.snapshots[0]!.revision);
  });

  it("knows etcd's revision", async () => {
    const revision = await applied(given.store, operation([], put(sessionKey(SESSION), session())));
    expect(await readRevision(given.store)).toEqual({ kind: "revision", revision });
  });

  it.each([
    "with spaces  inside",
    "quo\"tes and 'more'",
    "per%cent%2Fsign",
    ".leading/..dots",
    "ünïcödé/锁/🔒",
    "back\\slash",
    "x".repeat(512),
  ])("keeps the lock name %j", async (lock) => {
    const feed = await given.follow();
    const key = claimKey(lock, SESSION, 0xffff_ffff_ffff_ffffn);
    const revision = await applied(given.store, operation([absent(key)], put(key, claim(lock))));
    await feed.until(() => feed.revision >= revision);
    expect((await readAll(given.store))!.entries).toMatchObject([{ key, record: { lockNames: [lock] } }]);
    expect(feed.table.get(key)).toMatchObject({ key, record: { lockNames: [lock] } });
    await applied(given.store, operation([], remove(key)));
    await feed.until(() => feed.table.size === 0);
  });

  describe("records", () => {
    const client = { name: "worker", host: "host-1", pid: 4711, language: "go", version: "1.2" };
    const full = {
      [sessionKey(SESSION)]: session({
        ttlMs: 600_000,
        onDisconnect: "release",
        liveness: "transport",
        secretHash: "0123456789abcdef".repeat(4),
        attempt: 0xffff_ffff_ffff_ffffn,
        identity: "CN=worker",
        peer: "[::1]:4711",
        client,
        labels: { team: "orders", empty: "" },
        openedAtMs: 1_764_000_000_123,
      }),
      [claimKey("a", SESSION, 1n)]: claim("a", {
        ordinal: 127,
        mode: "semaphore",
        permits: 3,
        limit: 0xffff_ffff,
        reentryId: "thread-1",
        lockNames: ["b", "a"],
        purpose: "to see",
        value: Uint8Array.of(0, 255, 128),
        claimedAtMs: 1_764_000_000_999,
      }),
      [claimKey("c", SESSION, 2n)]: claim("c", { mode: "shared" }),
      [serverKey("server-1")]: server({ draining: true }),
    };

    it.each(Object.entries(full))("of every kind come back as they were written: %s", async (key, value) => {
      const feed = await given.follow();
      const lease = await given.lease();
      const revision = await applied(given.store, operation([], put(key, value, lease)));
      await feed.until(() => feed.revision >= revision);
      const expected = { ...value, key, lease, createRevision: revision, modRevision: revision };
      expect(feed.table.get(key)).toEqual(expected);
      expect((await readAll(given.store))!.entries).toEqual([expected]);
    });
  });
}
