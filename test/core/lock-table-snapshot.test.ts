import { describe, expect, it } from "vitest";
import { claimKey, sessionKey } from "../../server/core/keys.ts";
import { LockTable } from "../../server/core/lock-table.ts";
import type { Claim } from "../../server/core/queue.ts";
import { exclusive, KeyHistory } from "../support/key-history.ts";
import { claim as claimValue } from "../support/store-calls.ts";

const names = (claims: readonly Claim[]) => claims.map(({ sessionId, id }) => `${sessionId}/${id}`);

describe("a snapshot", () => {
  const replaceAll = (keys: KeyHistory) => keys.table.replace(keys.revision, [...keys.entries.values()]);

  /** Writes what the table does not follow. */
  function unseen(keys: KeyHistory, write: () => void): void {
    const { apply } = keys.table;
    keys.table.apply = () => ({ sessions: [], ended: [], entered: [], granted: [], updated: [], locks: new Set() });
    write();
    keys.table.apply = apply;
  }

  it("takes effect by difference: what has not changed is not touched", () => {
    const keys = new KeyHistory();
    const stays = keys.claim("s1", [exclusive("a")]);
    keys.claim("s2", [exclusive("b")]);
    const waiter = keys.claim("s3", [exclusive("b")]);
    unseen(keys, () => {
      keys.end("s2", 1n);
      keys.update("s1", 1n, Uint8Array.of(1));
      keys.put(claimKey("c", "s1", 9n), claimValue("c"));
    });
    const delta = replaceAll(keys);
    expect(names(delta.ended)).toEqual(["s2/1"]);
    expect(names(delta.entered)).toEqual(["s1/9"]);
    expect(delta.granted).toContain(waiter);
    expect(delta.updated).toEqual([stays]);
    expect(keys.table.claim("s1", 1n)).toBe(stays);
    expect(keys.table.revision).toBe(keys.revision);
  });

  it("with another create revision is an end and a beginning", () => {
    const keys = new KeyHistory();
    const first = keys.claim("s1", [exclusive("a")]);
    const waiter = keys.claim("s2", [exclusive("a")]);
    unseen(keys, () => {
      keys.end("s1", 1n);
      keys.put(claimKey("a", "s1", 1n), claimValue("a"));
    });
    const delta = replaceAll(keys);
    expect(delta.ended).toEqual([first]);
    expect(delta.granted).toEqual([waiter]);
    expect(keys.table.claim("s1", 1n)).toMatchObject({ held: false, createRevision: keys.revision });
  });

  it("ends the claims of a session that is gone, whether their keys are or not", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")]);
    keys.claim("s2", [exclusive("b"), exclusive("c")]);
    unseen(keys, () => {
      keys.endSession("s1");
      keys.endSession("s2");
      keys.delete(claimKey("b", "s2", 1n));
    });
    const delta = replaceAll(keys);
    expect(names(delta.ended).sort()).toEqual(["s1/1", "s2/1"]);
    expect(delta.sessions.map(({ id, now }) => [id, now])).toEqual([
      ["s1", undefined],
      ["s2", undefined],
    ]);
    expect(keys.table.garbageOfSession("s2")).toEqual([claimKey("c", "s2", 1n)]);
    expect(keys.table.queues.size).toBe(0);
  });

  it("tells of a session that was written anew, and of nothing else", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")]);
    unseen(keys, () => keys.session("s1", "server-2"));
    const delta = replaceAll(keys);
    expect(delta.sessions.map(({ id, now }) => [id, now?.record.serverId])).toEqual([["s1", "server-2"]]);
    expect(delta.ended.concat(delta.entered, delta.granted, delta.updated)).toEqual([]);
  });

  it("knows still what was given up here", () => {
    const keys = new KeyHistory();
    const first = keys.claim("s1", [exclusive("a")]);
    const next = keys.claim("s2", [exclusive("a")]);
    keys.table.giveUp(first);
    expect(replaceAll(keys).granted).toEqual([]);
    expect([first.stage, next.held]).toEqual(["given-up", true]);
    keys.end("s1", 1n);
    expect(keys.table.queues.get("a")?.givenUpCount).toBe(0);
  });
});

describe("the comparison with the store", () => {
  it("names the first key on which they differ, unless it has changed since", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")]);
    keys.claim("s2", [exclusive("a"), exclusive("b")]);
    const snapshot = (entries = [...keys.entries.values()]) => ({ revision: keys.revision, entries });
    expect(keys.table.disagreement(snapshot(), new Set())).toBeUndefined();
    const without = [...keys.entries.values()].filter(({ key }) => key !== claimKey("b", "s2", 1n));
    expect(keys.table.disagreement(snapshot(without), new Set())).toBe(claimKey("b", "s2", 1n));
    expect(keys.table.disagreement(snapshot(without), new Set([claimKey("b", "s2", 1n)]))).toBeUndefined();
    const older = [...keys.entries.values()].map((entry) =>
      entry.key === sessionKey("s1") ? { ...entry, modRevision: 1 } : entry,
    );
    expect(keys.table.disagreement(snapshot(older), new Set())).toBe(sessionKey("s1"));
    expect(new LockTable().disagreement(snapshot(), new Set())).toBe([...keys.entries.keys()][0]);
  });
});
