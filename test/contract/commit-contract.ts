import { describe, expect, it } from "vitest";
import type { Entry } from "../../server/core/entry.ts";
import { claimKey, claimsOf, sessionKey } from "../../server/core/keys.ts";
import {
  absent,
  applied,
  claim,
  commit,
  created,
  decided,
  modified,
  operation,
  put,
  quiet,
  readAll,
  readRevision,
  remove,
  session,
} from "../support/store-calls.ts";
import { type Given, type OpenBench, useStore } from "./store-bench.ts";

const SESSION = "s".repeat(22);
const LOCK = "orders/42";
const KEY = claimKey(LOCK, SESSION, 1n);
const OTHER_KEY = claimKey(LOCK, SESSION, 2n);
const VALUE = claim(LOCK);

/** What a store promises about transactions. */
export function commitContract(open: OpenBench): void {
  const given = useStore(open);
  describe("guards", () => guardContract(given));
  describe("transactions", () => transactionContract(given));
}

function guardContract(given: Given): void {
  /** Whether an operation under this guard, by itself, is applied. */
  async function holds(guard: ReturnType<typeof absent>): Promise<boolean> {
    const key = claimKey("elsewhere", SESSION, 1n);
    const outcome = await decided(given.store, operation([guard], put(key, claim("elsewhere"))));
    if (outcome.applied[0]) await applied(given.store, operation([], remove(key)));
    return outcome.applied[0]!;
  }

  it("holds `absent` for a key that is not there, was never or is no more", async () => {
    expect(await holds(absent(KEY))).toBe(true);
    await applied(given.store, operation([], put(KEY, VALUE)));
    expect(await holds(absent(KEY))).toBe(false);
    await applied(given.store, operation([], remove(KEY)));
    expect(await holds(absent(KEY))).toBe(true);
  });

  it("holds `created` for the revision that created the key, whatever was written later", async () => {
    const first = await applied(given.store, operation([], put(KEY, VALUE)));
    const second = await applied(given.store, operation([], put(KEY, VALUE)));
    expect(await holds(created(KEY, first))).toBe(true);
    expect(await holds(created(KEY, second))).toBe(false);
    await applied(given.store, operation([], remove(KEY)));
    expect(await holds(created(KEY, first))).toBe(false);
    await applied(given.store, operation([], put(KEY, VALUE)));
    expect(await holds(created(KEY, first))).toBe(false);
  });

  it("holds `modified` for the revision that wrote the key last", async () => {
    const first = await applied(given.store, operation([], put(KEY, VALUE)));
    expect(await holds(modified(KEY, first))).toBe(true);
    const second = await applied(given.store, operation([], put(KEY, VALUE)));
    expect(await holds(modified(KEY, first))).toBe(false);
    expect(await holds(modified(KEY, second))).toBe(true);
    await applied(given.store, operation([], remove(KEY)));
    expect(await holds(modified(KEY, second))).toBe(false);
  });

  it("holds `quiet` while nothing with the prefix is newer, and over nothing", async () => {
    expect(await holds(quiet(claimsOf(LOCK), 0))).toBe(true);
    const first = await applied(given.store, operation([], put(KEY, VALUE)));
    expect(await holds(quiet(claimsOf(LOCK), first))).toBe(true);
    expect(await holds(quiet(claimsOf(LOCK), first - 1))).toBe(false);
    const second = await applied(given.store, operation([], put(OTHER_KEY, VALUE)));
    expect(await holds(quiet(claimsOf(LOCK), first))).toBe(false);
    expect(await holds(quiet(claimsOf(LOCK), second))).toBe(true);
    await applied(given.store, operation([], remove(OTHER_KEY)));
    expect(await holds(quiet(claimsOf(LOCK), first))).toBe(true);
  });

  it("keeps locks apart whose names begin alike", async () => {
    const before = await applied(given.store, operation([], put(claimKey("a/b", SESSION, 1n), claim("a/b"))));
    for (const name of ["a", "a/b/c", "a/bb", "aa", "a/b ", "a/b0", "a/b-"]) {
      await applied(given.store, operation([], put(claimKey(name, SESSION, 1n), claim(name))));
    }
    expect(await holds(quiet(claimsOf("a/b"), before))).toBe(true);
    expect(await holds(quiet(claimsOf("a"), before))).toBe(false);
    expect(await holds(quiet("claim/a/b", before))).toBe(false);
    expect(await holds(quiet("claim/b", before))).toBe(true);
  });
}

function transactionContract(given: Given): void {
  const entryOf = async (key: string): Promise<Entry | undefined> =>
    (await readAll(given.store))?.entries.find((entry) => entry.key === key);

  it("answers later, and only once", async () => {
    const answers: string[] = [];
    const { store } = given;
    const lease = await given.lease();
    await new Promise<void>((resolve) => {
      const note = (what: string) => () => {
        if (answers.push(what) === 6) resolve();
      };
      store.commit([operation([], put(KEY, VALUE))], note("commit"));
      store.grantLease(2, (outcome) => {
        if (outcome.kind === "granted") store.revokeLease(outcome.lease, note("revokeLease"));
        note("grantLease")();
      });
      store.renewLease(lease, note("renewLease"));
      store.readRevision(note("readRevision"));
      store.readAll(note("readAll"));
      expect(answers).toEqual([]);
    });
    await readRevision(store);
    const names = ["commit", "grantLease", "readAll", "readRevision", "renewLease", "revokeLease"];
    expect(answers.toSorted()).toEqual(names);
  });

  it("evaluates all guards, of all operations, before any write", async () => {
    const { revision } = (await readAll(given.store))!;
    const tries = [KEY, OTHER_KEY].map((key) => operation([quiet(claimsOf(LOCK), revision)], put(key, VALUE)));
    const end = operation([absent(KEY)], put(sessionKey(SESSION), session()));
    expect((await decided(given.store, ...tries, end)).applied).toEqual([true, true, true]);
  });

  it("fails only the operations whose own guards fail", async () => {
    const epoch = await applied(given.store, operation([], put(sessionKey(SESSION), session())));
    const operations = Array.from({ length: 100 }, (_, i) => {
      const lock = `lock-${i}`;
      const guard = modified(sessionKey(SESSION), i % 50 === 7 ? epoch - 1 : epoch);
      const key = claimKey(lock, SESSION, 1n);
      return operation([guard, absent(key)], put(key, claim(lock)));
    });
    const outcome = await decided(given.store, ...operations);
    expect(outcome.applied).toEqual(operations.map((_, i) => i % 50 !== 7));
    const { entries } = (await readAll(given.store))!;
    expect(entries.filter(({ modRevision }) => modRevision === outcome.revision)).toHaveLength(98);
    expect(entries).toHaveLength(99);
  });

  it("writes nothing of an operation of which one guard fails", async () => {
    const outcome = await decided(
      given.store,
      operation([absent(KEY), modified(OTHER_KEY, 1)], put(KEY, VALUE), put(OTHER_KEY, VALUE)),
    );
    expect(outcome.applied).toEqual([false]);
    expect((await readAll(given.store))?.entries).toEqual([]);
  });

  it("creates all keys of a transaction in its revision, which is what it answers", async () => {
    const revision = await applied(given.store, operation([], put(KEY, VALUE)), operation([], put(OTHER_KEY, VALUE)));
    for (const key of [KEY, OTHER_KEY]) {
      expect(await entryOf(key)).toMatchObject({ createRevision: revision, modRevision: revision });
    }
    const next = await applied(given.store, operation([], put(KEY, VALUE)));
    expect(next).toBeGreaterThan(revision);
    expect(await entryOf(KEY)).toMatchObject({ createRevision: revision, modRevision: next });
  });

  it("gives a key that was deleted and made again another create revision", async () => {
    const first = await applied(given.store, operation([], put(KEY, VALUE)));
    await applied(given.store, operation([created(KEY, first)], remove(KEY)));
    expect(await entryOf(KEY)).toBeUndefined();
    const second = await applied(given.store, operation([absent(KEY)], put(KEY, VALUE)));
    expect(second).toBeGreaterThan(first);
    expect(await entryOf(KEY)).toMatchObject({ createRevision: second });
  });

  it("applies a delete of what is not there, and changes nothing", async () => {
    const feed = await given.follow();
    const before = await readRevision(given.store);
    expect(await applied(given.store, operation([absent(KEY)], remove(KEY)))).toBeGreaterThan(0);
    expect(await readRevision(given.store)).toEqual(before);
    expect(feed.revisions).toEqual([]);
  });

  it("takes 120 operations with three guards each, of which one fails", async () => {
    const epoch = await applied(given.store, operation([], put(sessionKey(SESSION), session())));
    const operations = Array.from({ length: 120 }, (_, i) => {
      const lock = `lock-${i}`;
      const key = claimKey(lock, SESSION, 1n);
      const guards = [modified(sessionKey(SESSION), epoch), absent(key), quiet(claimsOf(lock), epoch)];
      return operation(
        i === 60 ? [...guards.slice(1), created(sessionKey(SESSION), 1)] : guards,
        put(key, claim(lock)),
      );
    });
    expect((await decided(given.store, ...operations)).applied).toEqual(operations.map((_, i) => i !== 60));
  });

  it("takes a megabyte at once", async () => {
    const value = Buffer.alloc(10_000, "x");
    const operations = Array.from({ length: 100 }, (_, i) => {
      const key = claimKey(`lock-${i}`, SESSION, 1n);
      return operation([absent(key)], put(key, claim(`lock-${i}`, { value })));
    });
    operations.push(operation([absent(sessionKey("none")), modified(sessionKey("none"), 1)], remove(KEY)));
    const { applied: flags } = await decided(given.store, ...operations);
    expect(flags.filter(Boolean)).toHaveLength(100);
    const { entries } = (await readAll(given.store))!;
    expect(entries.map(({ record }) => "value" in record && record.value.length)).toEqual(Array(100).fill(10_000));
  });

  it("writes nothing at all when one put names a lease that is gone", async () => {
    const lease = await given.lease();
    const live = operation([], put(KEY, VALUE, lease));
    const dead = operation([], put(OTHER_KEY, VALUE, 0x7fff_ffffn));
    expect(await commit(given.store, live, dead)).toEqual({ kind: "lease-not-found" });
    expect((await readAll(given.store))?.entries).toEqual([]);
  });

  it("does not miss a lease that only an operation names whose guard fails", async () => {
    const dead = operation([modified(KEY, 1)], put(OTHER_KEY, VALUE, 0x7fff_ffffn));
    const outcome = await decided(given.store, operation([], put(KEY, VALUE)), dead);
    expect(outcome.applied).toEqual([true, false]);
  });
}
