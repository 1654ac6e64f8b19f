import { beforeEach, describe, expect, it } from "vitest";
import { LockTable } from "../../server/core/lock-table.ts";
import { Barrier } from "../../server/engine/barrier.ts";
import { HandClock } from "./hand-clock.ts";
import { ScriptedStore } from "./scripted-store.ts";

let clock: HandClock;
let store: ScriptedStore;
let table: LockTable;
let barrier: Barrier;
let wentBack: [number, number][];
let answers: string[];

beforeEach(() => {
  clock = new HandClock();
  store = new ScriptedStore(clock);
  store.held.add("read");
  table = new LockTable();
  wentBack = [];
  answers = [];
  barrier = new Barrier(table, store, clock, (seen, answered) => wentBack.push([seen, answered]));
});

const wait = (name: string) => barrier.wait((current) => answers.push(`${name} ${current}`));

/** Lets the table be as new as a revision. */
function advance(revision: number): void {
  table.revision = revision;
  barrier.advanced();
}

const read = (revision: number) => store.reads.shift()?.answer({ kind: "revision", revision });

describe("a barrier", () => {
  it("passes when the table is as new as etcd was at the call", () => {
    table.revision = 5;
    wait("a");
    clock.settle();
    read(7);
    expect(answers).toEqual([]);
    advance(6);
    expect(answers).toEqual([]);
    advance(7);
    expect(answers).toEqual(["a true"]);
  });

  it("passes at once when etcd answers what the table has", () => {
    table.revision = 5;
    wait("a");
    clock.settle();
    read(5);
    expect(answers).toEqual(["a true"]);
  });

  it("takes one read for all who wait at the time", () => {
    for (const name of ["a", "b", "c"]) wait(name);
    clock.settle();
    expect(store.calls.read).toBe(1);
    read(0);
    clock.settle();
    expect(answers).toEqual(["a true", "b true", "c true"]);
    expect(store.calls.read).toBe(1);
  });

  it("takes another read for who comes while one is under way", () => {
    wait("a");
    clock.settle();
    wait("late");
    clock.settle();
    expect(store.calls.read).toBe(1);
    read(0);
    expect(answers).toEqual(["a true"]);
    clock.settle();
    expect(store.calls.read).toBe(2);
    read(0);
    expect(answers).toEqual(["a true", "late true"]);
  });

  it("does not make the next one wait for a watch that lags", () => {
    wait("a");
    clock.settle();
    read(100);
    wait("b");
    clock.settle();
    expect(store.calls.read).toBe(2);
    read(100);
    advance(100);
    expect(answers).toEqual(["a true", "b true"]);
  });

  it("asks the watch for its progress, again and again, while the table is behind: others' revisions never reach it", () => {
    store.watchIsSilent = true;
    wait("a");
    clock.settle();
    read(9);
    clock.settle();
    expect(store.calls.progress).toBe(1);
    clock.turn(350);
    expect(store.calls.progress).toBe(4);
    advance(9);
    clock.turn(1000);
    expect(store.calls.progress).toBe(4);
  });

  it("fails after 5 s of a watch that stays behind, and not a second time when it catches up", () => {
    wait("a");
    clock.settle();
    read(9);
    clock.turn(4999);
    expect(answers).toEqual([]);
    clock.turn(1);
    expect(answers).toEqual(["a false"]);
    advance(9);
    expect(answers).toEqual(["a false"]);
  });

  it("fails after 5 s without an answer, also for who came while that read was under way", () => {
    wait("a");
    clock.settle();
    clock.turn(2000);
    wait("b");
    clock.turn(3000);
    expect(answers).toEqual(["a false"]);
    clock.turn(2000);
    expect(answers).toEqual(["a false", "b false"]);
  });

  it("fails at once when etcd says that it cannot be read", () => {
    wait("a");
    clock.settle();
    store.reads.shift()?.answer({ kind: "unavailable" });
    expect(answers).toEqual(["a false"]);
  });

  it("says when it was proven current: when the read was sent, and not when it was answered", () => {
    expect(barrier.provenAtMs).toBe(Number.NEGATIVE_INFINITY);
    wait("a");
    clock.settle();
    const sentAtMs = clock.nowMs();
    clock.turn(300);
    read(3);
    expect(barrier.provenAtMs).toBe(Number.NEGATIVE_INFINITY);
    clock.turn(300);
    advance(3);
    expect(barrier.provenAtMs).toBe(sentAtMs);
    wait("b");
    clock.settle();
    store.reads.shift()?.answer({ kind: "unavailable" });
    expect(barrier.provenAtMs).toBe(sentAtMs);
  });

  it("tells of an etcd that is older than what the table had when it was asked", () => {
    table.revision = 10;
    wait("a");
    clock.settle();
    table.revision = 12;
    read(9);
    expect(wentBack).toEqual([[10, 9]]);
    expect(answers).toEqual(["a false"]);
  });

  it("takes an answer older than the table is now, but not than it was when asked, for nothing bad", () => {
    table.revision = 10;
    wait("a");
    clock.settle();
    advance(12);
    read(11);
    expect(wentBack).toEqual([]);
    expect(answers).toEqual(["a true"]);
  });
});

describe("waiting for a revision", () => {
  it("ends at once if the table has it, else when it does, in the order of asking", () => {
    table.revision = 5;
    const done: number[] = [];
    for (const revision of [5, 8, 6, 7]) barrier.whenTable(revision, () => done.push(revision));
    expect(done).toEqual([5]);
    advance(6);
    expect(done).toEqual([5, 6]);
    advance(9);
    expect(done).toEqual([5, 6, 8, 7]);
  });

  it("may be asked for from within", () => {
    const done: string[] = [];
    barrier.whenTable(1, () => {
      barrier.whenTable(1, () => done.push("inner, passed"));
      barrier.whenTable(2, () => done.push("inner, later"));
    });
    advance(1);
    expect(done).toEqual(["inner, passed"]);
    advance(2);
    expect(done).toEqual(["inner, passed", "inner, later"]);
  });
});
