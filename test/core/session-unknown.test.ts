import { describe, expect, it } from "vitest";
import { sessionKey } from "../../server/core/keys.ts";
import type { Operation } from "../../server/core/operation.ts";
import { exclusive } from "../support/key-history.ts";
import { acquire, release, SessionBench, update } from "./session-bench.ts";

function opened(onDisconnect: "release" | "keep" = "release") {
  const bench = new SessionBench();
  return { bench, session: bench.open("s1", onDisconnect) };
}

const isBump = ({ writes }: Operation) => writes[0]?.kind === "put" && writes[0].key === sessionKey("s1");

describe("an acquire of unknown outcome", () => {
  it("that landed is granted when it is seen, and not repeated", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    bench.loseAnswer(true);
    bench.run();
    expect(bench.told(session)).toEqual(["granted 1"]);
    expect(bench.keys.keysOf("s1", 1n)).toHaveLength(1);
  });

  it("is repeated only when its epoch is dead, and then can land only once", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    const late = bench.takeOff();
    late?.answer({ kind: "unknown" });
    const bump = bench.takeOff();
    expect(bump?.operations.map(isBump)).toEqual([true]);
    expect(bench.takeOff()).toBeUndefined();
    bump?.land();
    expect(late?.land()).toBe(false);
    bump?.answer({ kind: "decided", revision: bench.keys.revision, applied: [true] });
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 1"]);
    expect(late?.land()).toBe(false);
  });

  it("that lands before the bump is found by it, and not made twice", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    const late = bench.takeOff();
    late?.answer({ kind: "unknown" });
    const bump = bench.takeOff();
    late?.land();
    bump?.land();
    bump?.answer({ kind: "decided", revision: bench.keys.revision, applied: [true] });
    bench.run();
    expect(bench.told(session)).toEqual(["granted 1"]);
    expect(bench.keys.keysOf("s1", 1n)).toHaveLength(1);
  });

  it("that was released is answered only when it cannot land any more", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    const late = bench.takeOff();
    session.command(release(1n));
    late?.answer({ kind: "unknown" });
    expect(bench.told(session)).toEqual([]);
    bench.settle();
    expect(bench.told(session)).toEqual(["released 1"]);
    expect(late?.land()).toBe(false);
  });

  it("that was released is taken back if it landed after all", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    const late = bench.takeOff();
    session.command(release(1n));
    late?.answer({ kind: "unknown" });
    late?.land();
    bench.settle();
    expect(bench.told(session)).toEqual(["released 1"]);
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("that timed out is denied only when it cannot land any more", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a"), { waitMs: 50 }));
    const late = bench.takeOff();
    late?.answer({ kind: "unknown" });
    const bump = bench.takeOff();
    bench.clock.turn(50);
    expect(bench.told(session)).toEqual([]);
    bump?.land();
    bump?.answer({ kind: "decided", revision: bench.keys.revision, applied: [true] });
    expect(bench.told(session)).toEqual(["denied 1 timeout"]);
    expect(late?.land()).toBe(false);
  });

  it("waits for a bump that is seen: one of unknown outcome is repeated, under the epoch that the table shows", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    const late = bench.takeOff();
    late?.answer({ kind: "unknown" });
    bench.loseAnswer(false);
    expect(bench.takeOff()).toBeUndefined();
    bench.clock.turn(100);
    const second = bench.takeOff();
    expect(second?.operations.map(isBump)).toEqual([true]);
    second?.answer({ kind: "no-space" });
    bench.clock.turn(100);
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 1"]);
    expect(late?.land()).toBe(false);
  });

  it("is settled by a bump whose answer was lost, once the table shows it", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    bench.loseAnswer(false);
    const bump = bench.takeOff();
    bump?.land();
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });

  it("under way with another of the same epoch needs one bump for both", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    const first = bench.takeOff();
    session.command(acquire(2n, exclusive("b")));
    const second = bench.takeOff();
    first?.answer({ kind: "unknown" });
    second?.answer({ kind: "unknown" });
    const bump = bench.takeOff();
    bump?.land();
    bump?.answer({ kind: "decided", revision: bench.keys.revision, applied: [true] });
    expect(bench.takeOff()?.operations.map(isBump)).toEqual([false, false]);
  });

  it("means nothing any more when the session has ended", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    const late = bench.takeOff();
    late?.answer({ kind: "unknown" });
    bench.keys.endSession("s1");
    bench.deliver();
    bench.run();
    expect(bench.told(session)).toEqual([]);
    expect(late?.land()).toBe(false);
  });
});

describe("an acquire that was refused", () => {
  it("by a new epoch is written under it", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    const flight = bench.takeOff();
    bench.keys.session("s1", "server-1");
    bench.deliver();
    flight?.answer({ kind: "decided", revision: bench.keys.revision, applied: [Boolean(flight.land())] });
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 1"]);
    expect(session.epoch).toBe(bench.keys.entries.get(sessionKey("s1"))?.modRevision);
  });

  it("waits until the table has the revision of the refusal", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    const flight = bench.takeOff();
    bench.watchIsSilent = true;
    bench.keys.session("s1", "server-1");
    flight?.answer({ kind: "decided", revision: bench.keys.revision, applied: [false] });
    expect(bench.takeOff()).toBeUndefined();
    bench.watchIsSilent = false;
    bench.deliver();
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });

  it("goes on being tried, though more slowly, however often that happens", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    for (let i = 0; i < 12; i++) {
      bench.takeOff()?.answer({ kind: "decided", revision: bench.keys.revision, applied: [false] });
      bench.clock.turn(10);
    }
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });
});

describe("a claim that was written", () => {
  it("is pending until it is seen, though the answer came first", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    bench.watchIsSilent = true;
    bench.settle();
    expect(bench.told(session)).toEqual([]);
    bench.watchIsSilent = false;
    bench.deliver();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });

  it("and was gone before it was seen is lost", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    const flight = bench.takeOff();
    bench.watchIsSilent = true;
    flight?.land();
    const { revision } = bench.keys;
    bench.keys.end("s1", 1n);
    // A snapshot passes over both revisions.
    bench.table.replace(bench.keys.revision, [...bench.keys.entries.values()]);
    flight?.answer({ kind: "decided", revision, applied: [true] });
    expect(bench.told(session)).toEqual(["lost 1 released-by-force"]);
  });

  it("ends by force as lost, and those who re-entered it too", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a"), { reentryId: "t" }));
    bench.settle();
    session.command(acquire(2n, exclusive("a"), { reentryId: "t" }));
    bench.keys.end("s1", 1n);
    bench.deliver();
    expect(bench.told(session)).toEqual([
      "granted 1",
      "granted 2",
      "lost 1 released-by-force",
      "lost 2 released-by-force",
    ]);
  });
});

describe("a release", () => {
  it("is repeated until the claim is seen gone, whatever becomes of the epoch", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    session.command(release(1n));
    for (const kind of ["unknown", "no-space", "unknown"] as const) {
      const flight = bench.takeOff();
      expect(flight?.operations[0]?.guards.map((guard) => guard.kind)).toEqual(["created"]);
      flight?.answer({ kind });
      expect(bench.takeOff()).toBeUndefined();
      bench.clock.turn(20);
    }
    bench.keys.session("s1", "another-server");
    bench.deliver();
    bench.settle();
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("of which the answer was lost is answered when the claim is seen gone", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    session.command(release(1n));
    bench.loseAnswer(true);
    expect(bench.told(session)).toEqual(["granted 1", "released 1"]);
    bench.run();
    expect(bench.takeOff()).toBeUndefined();
  });

  it("goes on when its session has ended here", () => {
    const { bench, session } = opened("keep");
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    session.command(release(1n));
    bench.takeOff()?.answer({ kind: "unknown" });
    session.isGone();
    bench.run();
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });
});

describe("a denial", () => {
  function denied() {
    const made = opened();
    made.bench.keys.claim("stranger", [exclusive("a")]);
    made.bench.deliver();
    made.session.command(acquire(1n, exclusive("a"), { waitMs: 50 }));
    made.bench.settle();
    made.bench.events(made.session);
    made.bench.clock.turn(50);
    return made;
  }

  it("of unknown outcome is repeated when its epoch is dead", () => {
    const { bench, session } = denied();
    const late = bench.takeOff();
    late?.answer({ kind: "unknown" });
    expect(bench.takeOff()?.operations.map(isBump)).toEqual([true]);
    expect(bench.told(session)).toEqual([]);
    late?.land();
    expect(bench.told(session)).toEqual(["denied 1 timeout"]);
  });

  it("that was refused by a new epoch is sent under it", () => {
    const { bench, session } = denied();
    const flight = bench.takeOff();
    bench.keys.session("s1", "server-1");
    bench.deliver();
    expect(flight?.land()).toBe(false);
    flight?.answer({ kind: "decided", revision: bench.keys.revision, applied: [false] });
    bench.settle();
    expect(bench.told(session)).toEqual(["denied 1 timeout"]);
  });

  it("passes while the store is full: nothing was written, so it needs no new epoch", () => {
    const { bench, session } = denied();
    bench.takeOff()?.answer({ kind: "no-space" });
    const again = bench.takeOff();
    expect(again?.operations[0]?.writes.map((write) => write.kind)).toEqual(["delete"]);
    again?.land();
    expect(bench.told(session)).toEqual(["denied 1 timeout"]);
  });
});

describe("a store that is full", () => {
  it("denies an acquire as such, at once", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    bench.takeOff()?.answer({ kind: "no-space" });
    const denied = bench.lastEvent(session, "denied");
    expect(denied.reason).toBe("store-unavailable");
    expect(denied.message).toContain("the store is full");
    expect(bench.takeOff()).toBeUndefined();
  });

  it("answers an acquire that was released as released", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    const flight = bench.takeOff();
    session.command(release(1n));
    flight?.answer({ kind: "no-space" });
    expect(bench.told(session)).toEqual(["released 1"]);
  });

  it("leaves a claim of unknown outcome unanswered until a bump passes", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    bench.takeOff()?.answer({ kind: "unknown" });
    for (let i = 0; i < 5; i++) {
      bench.takeOff()?.answer({ kind: "no-space" });
      expect(bench.told(session)).toEqual([]);
      bench.clock.turn(100);
    }
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });
});

describe("an acquire whose lease is gone", () => {
  it("is answered by the end of the session, and not repeated without a barrier", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    bench.takeOff()?.answer({ kind: "lease-not-found" });
    expect(bench.takeOff()).toBeUndefined();
    expect(bench.barriers).toHaveLength(1);
    bench.keys.endSession("s1");
    bench.deliver();
    bench.run();
    expect(bench.told(session)).toEqual([]);
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });
});

describe("the end of a session", () => {
  it("deletes its key under its epoch, and answers nothing any more", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    bench.events(session);
    session.command({ kind: "close" });
    const flight = bench.takeOff();
    expect(flight?.operations[0]?.guards).toEqual([session.epochGuard()]);
    expect(flight?.operations[0]?.writes).toEqual([{ kind: "delete", key: sessionKey("s1") }]);
    session.command(release(1n));
    session.command(acquire(2n, exclusive("b")));
    session.command(update(1n, "x"));
    flight?.land();
    bench.run();
    expect(session.isOver).toBe(true);
    expect(bench.told(session)).toEqual([]);
    expect(bench.table.queues.size).toBe(0);
  });

  it("is repeated until it is known, and under the epoch of a bump that landed late", () => {
    const { bench, session } = opened();
    session.command(acquire(1n, exclusive("a")));
    bench.takeOff()?.answer({ kind: "unknown" });
    const bump = bench.takeOff();
    session.end("closed-by-client", "bye");
    bump?.answer({ kind: "unknown" });
    bench.takeOff()?.answer({ kind: "unknown" });
    bump?.land();
    bench.run();
    expect(session.isOver).toBe(true);
    expect(bench.keys.entries.has(sessionKey("s1"))).toBe(false);
  });

  it("lets nobody in early", () => {
    const { bench, session } = opened();
    const other = bench.open("s2");
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    other.command(acquire(1n, exclusive("a")));
    bench.settle();
    bench.events(other);
    session.end("closed-by-client", "bye");
    expect(bench.told(other)).toEqual([]);
    bench.settle();
    expect(bench.told(other)).toEqual(["granted 1"]);
  });
});
