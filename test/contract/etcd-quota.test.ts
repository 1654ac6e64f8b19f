import { describe, expect, it } from "vitest";
import { openEtcdStore } from "../../server/adapters/etcd/index.ts";
import { claimKey, sessionKey } from "../../server/core/keys.ts";
import type { CommitOutcome } from "../../server/core/operation.ts";
import { startEtcd } from "../support/etcd.ts";
import {
  absent,
  applied,
  claim,
  commit,
  created,
  grantLease,
  modified,
  operation,
  put,
  readAll,
  remove,
  renewLease,
  revokeLease,
  session,
} from "../support/store-calls.ts";

const SESSION = "s".repeat(22);

describe("the etcd store over quota", () => {
  it("says no-space only of what was not written, and lets deletes, renewals and revokes pass", async () => {
    await using etcd = await startEtcd({ quotaBytes: 8 * 1024 * 1024 });
    await using store = await openEtcdStore({
      endpoints: [etcd.endpoint],
      prefix: "/quota/",
      onFault: (fault) => {
        throw fault;
      },
    });
    const lease = await grantLease(store, 60);
    if (lease.kind !== "granted") throw new Error(lease.kind);
    const epoch = await applied(store, operation([], put(sessionKey(SESSION), session(), lease.lease)));

    // Several in flight: the one that finds the database full when it is applied is written, and yet refused.
    const outcomes = new Map<string, CommitOutcome>();
    const value = Buffer.alloc(60_000, "x");
    let written = 0;
    const fill = async () => {
      while (![...outcomes.values()].some(({ kind }) => kind === "no-space")) {
        const lock = `lock-${written++}`;
        const key = claimKey(lock, SESSION, 1n);
        outcomes.set(key, await commit(store, operation([absent(key)], put(key, claim(lock, { value }), lease.lease))));
      }
    };
    await Promise.all(Array.from({ length: 128 }, fill));

    const { entries } = (await readAll(store))!;
    const there = new Set(entries.map(({ key }) => key));
    for (const [key, outcome] of outcomes) {
      if (outcome.kind === "decided") expect(there).toContain(key);
      if (outcome.kind === "no-space") expect(there).not.toContain(key);
    }

    const bump = operation([modified(sessionKey(SESSION), epoch)], put(sessionKey(SESSION), session(), lease.lease));
    expect(await commit(store, bump)).toEqual({ kind: "no-space" });
    const other = operation([absent("session/other")], remove("session/other"));
    expect(await commit(store, other, bump)).toEqual({ kind: "no-space" });
    expect(await grantLease(store, 60)).toEqual({ kind: "no-space" });
    expect(await renewLease(store, lease.lease)).toMatchObject({ kind: "renewed" });
    const victim = entries.find(({ kind }) => kind === "claim")!;
    await applied(store, operation([created(victim.key, victim.createRevision)], remove(victim.key)));
    expect((await store.status()).members.map(({ alarms }) => alarms)).toEqual([["NOSPACE"]]);
    expect(await revokeLease(store, lease.lease)).toBe(true);
    expect(await etcd.countKeys()).toBe(0);
    expect(await etcd.countLeases()).toBe(0);
  });
});
