import { expect, it } from "vitest";
import { claimKey, sessionKey } from "../../server/core/keys.ts";
import { applied, claim, operation, put, renewLease, revokeLease, session } from "../support/store-calls.ts";
import { type OpenBench, useStore } from "./store-bench.ts";

const SESSION = "s".repeat(22);

/** What a store promises about leases. */
export function leaseContract(open: OpenBench): void {
  const given = useStore(open);

  it("grants a lease for at least what was asked, and renews it for as long", async () => {
    const lease = await given.lease(30);
    const renewed = await renewLease(given.store, lease);
    expect(renewed.kind === "renewed" && renewed.ttlSeconds).toBeGreaterThanOrEqual(30);
  });

  it("says of a lease that never was, or is no more, that it is gone", async () => {
    expect(await renewLease(given.store, 0x7fff_ffffn)).toEqual({ kind: "gone" });
    const lease = await given.lease();
    expect(await revokeLease(given.store, lease)).toBe(true);
    expect(await renewLease(given.store, lease)).toEqual({ kind: "gone" });
  });

  it("knows that a lease is revoked, also the second time", async () => {
    const lease = await given.lease();
    expect(await revokeLease(given.store, lease)).toBe(true);
    expect(await revokeLease(given.store, lease)).toBe(true);
  });

  it("deletes all keys of a lease that expires, in one revision", async () => {
    const feed = await given.follow();
    const lease = await given.lease(5);
    const keys = [claimKey("a", SESSION, 1n), claimKey("b", SESSION, 2n), sessionKey(SESSION)];
    const revision = await applied(
      given.store,
      operation([], put(keys[2]!, session(), lease)),
      operation([], put(keys[1]!, claim("b"), lease)),
      operation([], put(keys[0]!, claim("a"), lease)),
    );
    await feed.until(() => feed.revision >= revision);
    given.bench.passTime(5_000);
    await feed.until(() => feed.revisions.length > 1);
    expect(feed.revisions[1]!.changes).toEqual(keys.map((key) => ({ kind: "delete", key })));
  });

  it("keeps a lease that is renewed, and its keys", async () => {
    const feed = await given.follow();
    const kept = await given.lease(10);
    const left = await given.lease(10);
    const key = sessionKey("kept");
    await applied(
      given.store,
      operation([], put(key, session(), kept)),
      operation([], put(sessionKey("left"), session(), left)),
    );
    await feed.until(() => feed.table.size === 2);
    const renewal = setInterval(async () => {
      given.bench.passTime(500);
      await renewLease(given.store, kept);
    }, 200);
    await feed.until(() => feed.table.size === 1);
    clearInterval(renewal);
    expect([...feed.table.keys()]).toEqual([key]);
    expect(await renewLease(given.store, kept)).toMatchObject({ kind: "renewed" });
  });

  it("binds a key to the lease of its latest put, and to none if that names none", async () => {
    const feed = await given.follow();
    const [first, second] = [await given.lease(), await given.lease()];
    const [moved, freed] = [sessionKey("moved"), sessionKey("freed")];
    await applied(
      given.store,
      operation([], put(moved, session(), first)),
      operation([], put(freed, session(), first)),
    );
    await applied(given.store, operation([], put(moved, session(), second)), operation([], put(freed, session())));
    const other = sessionKey("other");
    await applied(given.store, operation([], put(other, session(), first)));
    await revokeLease(given.store, first);
    await feed.until(() => feed.revisions.length === 4);
    expect(feed.revisions[3]!.changes).toEqual([{ kind: "delete", key: other }]);
    expect(feed.table.get(moved)?.lease).toBe(second);
    expect(feed.table.get(freed)?.lease).toBe(0n);
  });

  it("delivers a revision with 5,000 deletes whole", async () => {
    const feed = await given.follow();
    const lease = await given.lease();
    const name = (i: number) => `${i}/${"x".repeat(500)}`;
    for (let batch = 0; batch < 50; batch++) {
      const locks = Array.from({ length: 100 }, (_, i) => name(batch * 100 + i));
      const writes = locks.map((lock) => put(claimKey(lock, SESSION, 1n), claim(lock), lease));
      await applied(given.store, ...writes.map((write) => operation([], write)));
    }
    await feed.until(() => feed.table.size === 5_000);
    await revokeLease(given.store, lease);
    await feed.until(() => feed.table.size < 5_000);
    expect(feed.table.size).toBe(0);
    expect(feed.revisions.at(-1)!.changes).toHaveLength(5_000);
  });

  it("renews many leases at once", async () => {
    const leases = await Promise.all(Array.from({ length: 50 }, () => given.lease()));
    const renewals = Array.from({ length: 20 }, () => leases.map((lease) => renewLease(given.store, lease))).flat();
    for (const outcome of await Promise.all(renewals)) expect(outcome.kind).toBe("renewed");
  });
}
