import { describe, expect, it } from "vitest";
import type { Deadlock } from "../../server/core/deadlock.ts";
import { Deadlocks } from "../../server/engine/deadlocks.ts";
import { acquire, release } from "../core/session-bench.ts";
import { exclusive, KeyHistory } from "../support/key-history.ts";
import { EngineBench, resumeFrame, TestStream } from "./engine-bench.ts";

const of = (claimId: bigint, lock: string, reentryId = "t", waitMs?: number) =>
  acquire(claimId, exclusive(lock), { reentryId, waitMs });

/** Two sessions that hold a lock each; the first waits for the other's. */
function almost(onDisconnect: "release" | "keep" = "release") {
  const bench = new EngineBench();
  const [one, two] = [bench.open({ onDisconnect }), bench.open({ onDisconnect })];
  bench.do(one.stream, of(1n, "a"));
  bench.do(two.stream, of(1n, "b"));
  bench.do(one.stream, of(2n, "b"));
  for (const { stream } of [one, two]) stream.events();
  return { bench, one, two };
}

describe("a deadlock", () => {
  it("is denied at its youngest claim as that enters, with the circle spelled out", () => {
    const { bench, one, two } = almost();
    bench.do(two.stream, of(2n, "a"));
    const denied = two.stream.events().at(-1);
    expect(denied).toMatchObject({ kind: "denied", claimId: 2n, reason: "deadlock", lock: "a", holderCount: 1 });
    expect(denied?.kind === "denied" && denied.message).toContain(
      'session session2 reentry_id "t" waits for "a", held by session session1 reentry_id "t"',
    );
    expect(one.stream.told()).toEqual([]);
    bench.do(two.stream, release(1n));
    expect(one.stream.told()).toEqual(["granted 2"]);
  });

  it("is denied only from behind a barrier: what is over by then is none", () => {
    const { bench, one, two } = almost();
    bench.store.held.add("read");
    bench.do(two.stream, of(2n, "a"));
    expect(two.stream.told()).toEqual(["waiting 2 1"]);
    bench.do(one.stream, release(2n));
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "revision", revision: bench.store.revision });
    bench.settle();
    expect(two.stream.told()).toEqual([]);
  });

  it("is looked for again when the store did not answer", () => {
    const { bench, two } = almost();
    bench.store.held.add("read");
    bench.do(two.stream, of(2n, "a"));
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "unavailable" });
    bench.settle();
    bench.store.held.clear();
    expect(two.stream.told()).toEqual(["waiting 2 1"]);
    bench.clock.turn(1500);
    expect(two.stream.told()).toEqual(["denied 2 deadlock"]);
  });

  it("with its youngest claim on another server is left to that", () => {
    const bench = new EngineBench();
    const { stream } = bench.open();
    bench.do(stream, of(1n, "a"));
    bench.store.write((keys) => keys.claim("far", [exclusive("b")], { reentryId: "t" }));
    bench.do(stream, of(2n, "b"));
    stream.events();
    bench.store.write((keys) => keys.claim("far", [exclusive("a")], { reentryId: "t" }));
    bench.clock.turn(5000);
    expect(stream.told()).toEqual([]);
    expect(bench.engine.table.waitingCount).toBe(2);
  });

  it("of one's own is found when the younger one of another server is gone", () => {
    const bench = new EngineBench();
    const { stream } = bench.open();
    bench.store.write((keys) => {
      keys.claim("far", [exclusive("b")], { reentryId: "t" });
      keys.claim("far", [exclusive("x")], { reentryId: "u" });
    });
    bench.do(stream, of(1n, "a"));
    bench.store.write((keys) => keys.claim("far", [exclusive("a")], { reentryId: "t" }));
    bench.store.held.add("read");
    // This closes a circle; another one, behind it, is closed by a younger claim before the first is judged.
    bench.do(stream, of(2n, "b"));
    bench.store.write((keys) => {
      keys.claim("far2", [exclusive("y")], { reentryId: "t" });
      keys.claim("far2", [exclusive("b")], { reentryId: "t" });
      keys.claim("far", [exclusive("y")], { reentryId: "t" });
    });
    bench.store.held.clear();
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "revision", revision: bench.store.revision });
    bench.settle();
    expect(stream.told()).toEqual(["granted 1", "waiting 2 1"]);
    // The other server has denied its own.
    bench.store.write((keys) => keys.end("far", 4n));
    bench.settle();
    expect(stream.told()).toEqual(["denied 2 deadlock"]);
  });

  it("of which the victim is leaving for another reason leaves no other circle unseen", () => {
    const { bench, one, two } = almost();
    const three = bench.open();
    bench.do(three.stream, of(1n, "c"));
    bench.store.held.add("read");
    bench.do(two.stream, of(2n, "a"));
    bench.do(one.stream, of(3n, "c"));
    bench.do(three.stream, of(2n, "a", "t", 10));
    three.stream.events();
    two.stream.events();
    // The youngest, of the third, times out before anything is judged, and its delete hangs.
    bench.store.held.add("commit");
    bench.clock.turn(10);
    bench.store.held.delete("read");
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "revision", revision: bench.store.revision });
    bench.settle();
    expect(two.stream.told()).toEqual([]);
    bench.store.held.clear();
    const commit = bench.store.commits.shift();
    commit?.land();
    commit?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    expect(three.stream.told()).toEqual(["denied 2 timeout"]);
    expect(two.stream.told()).toEqual(["denied 2 deadlock"]);
  });

  it("is found after a resume elsewhere, when the victim's client asks again", () => {
    const bench = new EngineBench();
    bench.store.write((keys) => {
      keys.claim("other", [exclusive("b")], { reentryId: "t" });
      keys.claim("other", [exclusive("x")], { reentryId: "u" });
    });
    const { stream, sessionId, secret } = bench.open({ onDisconnect: "keep" });
    bench.do(stream, of(1n, "a"));
    bench.store.write((keys) => keys.claim("other", [exclusive("a")], { reentryId: "t" }));
    bench.store.held.add("read");
    bench.do(stream, of(2n, "b"));
    bench.store.held.clear();
    const again = new TestStream();
    bench.engine.disconnected(stream, "broken");
    bench.do(again, resumeFrame(sessionId, secret, 1n));
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "revision", revision: bench.store.revision });
    bench.settle();
    expect(again.told()).toEqual(["opened"]);
    bench.do(again, of(2n, "b"));
    expect(again.told()).toEqual(["waiting 2 1", "denied 2 deadlock"]);
  });

  it("is found after a re-sync, of which no claim is seen to enter", () => {
    const bench = new EngineBench();
    const { stream } = bench.open();
    bench.do(stream, of(1n, "a"));
    bench.store.write((keys) => keys.claim("far", [exclusive("b")], { reentryId: "t" }));
    bench.store.watchIsSilent = true;
    bench.store.keys.claim("far", [exclusive("a")], { reentryId: "t" });
    bench.store.held.add("read");
    bench.do(stream, of(2n, "b"));
    bench.store.watchIsSilent = false;
    bench.store.held.clear();
    bench.store.resync();
    bench.settle();
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "revision", revision: bench.store.revision });
    bench.settle();
    expect(stream.told()).toContain("denied 2 deadlock");
  });
});

describe("the search", () => {
  function searching(keys: KeyHistory) {
    const ends: (() => void)[] = [];
    const barriers: ((current: boolean) => void)[] = [];
    const denied: Deadlock[] = [];
    const deadlocks = new Deadlocks({
      table: keys.table,
      after: () => undefined,
      endOfTurn: (then) => ends.push(then),
      barrier: (then) => barriers.push(then),
      deny: (found) => denied.push(found),
    });
    const endTurn = () => {
      for (const then of ends.splice(0)) then();
    };
    return { deadlocks, ends, barriers, denied, endTurn };
  }

  it("is made once at the end of a turn, however often it is asked for", () => {
    const keys = new KeyHistory();
    const { deadlocks, ends, barriers, endTurn } = searching(keys);
    keys.claim("s", [exclusive("a")], { reentryId: "t" });
    const self = keys.claim("s", [exclusive("a")], { reentryId: "t" });
    for (let i = 0; i < 5; i++) deadlocks.look(self);
    expect(ends.length).toBe(1);
    endTurn();
    expect(barriers.length).toBe(1);
  });

  it("asks for no barrier where there is no circle", () => {
    const keys = new KeyHistory();
    const { deadlocks, barriers, endTurn } = searching(keys);
    deadlocks.look();
    endTurn();
    expect(barriers).toEqual([]);
  });

  it("is made again, around all, when a victim was let in or is gone, and not before", () => {
    const keys = new KeyHistory();
    const { deadlocks, ends, barriers, denied, endTurn } = searching(keys);
    keys.claim("s", [exclusive("a")], { reentryId: "t" });
    const self = keys.claim("s", [exclusive("a")], { reentryId: "t" });
    deadlocks.look(self);
    endTurn();
    barriers.shift()?.(true);
    expect(denied.map(({ victim }) => victim)).toEqual([self]);
    deadlocks.changed();
    expect(ends).toEqual([]);
    keys.end("s", 1n);
    deadlocks.changed();
    deadlocks.changed();
    expect(ends.length).toBe(1);
  });
});
