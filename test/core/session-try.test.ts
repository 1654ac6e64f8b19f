import { describe, expect, it } from "vitest";
import { claimsOf } from "../../server/core/keys.ts";
import { exclusive, shared } from "../support/key-history.ts";
import { acquire, release, SessionBench, tryOf } from "./session-bench.ts";

function taken() {
  const bench = new SessionBench();
  const holder = bench.keys.claim("stranger", [exclusive("a")]);
  bench.deliver();
  const free = () => {
    bench.keys.end("stranger", holder.id);
    bench.deliver();
  };
  return { bench, session: bench.open("s1"), free };
}

/** Writes and deletes a claim on a lock, so that a try of it which was sent before is refused. */
function disturb(bench: SessionBench, lock: string): void {
  const claim = bench.keys.claim("noise", [exclusive(lock)]);
  bench.deliver();
  bench.keys.end("noise", claim.id);
  bench.deliver();
}

describe("a try", () => {
  it("of a free lock is written under the guard that its locks are quiet since the table's revision", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    const { revision } = bench.table;
    session.command(tryOf(1n, [exclusive("a"), exclusive("b")]));
    const flight = bench.takeOff();
    expect(flight?.operations[0]?.guards.filter(({ kind }) => kind === "quiet")).toEqual([
      { kind: "quiet", prefix: claimsOf("a"), revision },
      { kind: "quiet", prefix: claimsOf("b"), revision },
    ]);
    flight?.land();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });

  it("of a held lock is denied from behind a barrier, told who holds it since when, and writes nothing", () => {
    const { bench, session } = taken();
    const { revision } = bench.keys;
    session.command(tryOf(1n, exclusive("a")));
    bench.settle();
    expect(bench.told(session)).toEqual([]);
    bench.pass();
    const { reason, lock, holders, holderCount } = bench.lastEvent(session, "denied");
    expect({ reason, lock, holderCount }).toEqual({ reason: "busy", lock: "a", holderCount: 1 });
    expect(holders[0]).toMatchObject({ sessionId: "stranger", claimedAtMs: 1_700_000_000_000 });
    expect(bench.keys.revision).toBe(revision);
  });

  it("is written when the table says behind the barrier that the lock is free", () => {
    const { bench, session, free } = taken();
    session.command(tryOf(1n, exclusive("a")));
    free();
    bench.pass();
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });

  it("of which the barrier does not pass is answered with the store, and not as busy", () => {
    const { bench, session } = taken();
    session.command(tryOf(1n, exclusive("a")));
    bench.pass(false);
    expect(bench.told(session)).toEqual(["denied 1 store-unavailable"]);
  });

  it("that finds its lock taken when it is about to be sent is denied from behind a barrier", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(tryOf(1n, exclusive("a")));
    bench.keys.claim("stranger", [exclusive("a")]);
    bench.deliver();
    bench.settle();
    expect(bench.told(session)).toEqual([]);
    bench.pass();
    expect(bench.told(session)).toEqual(["denied 1 busy"]);
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("is tried again when its guard failed and the table lets it in", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(tryOf(1n, exclusive("a")));
    bench.keys.claim("n", [shared("a")]);
    bench.keys.end("n", 1n);
    bench.settle();
    bench.deliver();
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });

  it("whose guard failed five times enters the queue, and is granted if it is held there", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(tryOf(1n, exclusive("a")));
    for (let i = 0; i < 5; i++) {
      const flight = bench.takeOff();
      expect(flight?.operations[0]?.guards.some(({ kind }) => kind === "quiet")).toBe(true);
      disturb(bench, "a");
      // Something newer is on the lock when it lands.
      bench.keys.claim("noise", [exclusive("a")]);
      expect(flight?.land()).toBe(false);
      bench.keys.endSession("noise");
      bench.deliver();
      flight?.answer({ kind: "decided", revision: bench.keys.revision, applied: [false] });
    }
    const last = bench.takeOff();
    expect(last?.operations[0]?.guards.some(({ kind }) => kind === "quiet")).toBe(false);
    last?.land();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });

  it("that entered the queue and is not held in its first revision is denied by a guarded delete", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(tryOf(1n, exclusive("a")));
    for (let i = 0; i < 5; i++)
      bench.takeOff()?.answer({ kind: "decided", revision: bench.keys.revision, applied: [false] });
    const last = bench.takeOff();
    bench.keys.claim("stranger", [exclusive("a")]);
    bench.deliver();
    last?.land();
    last?.answer({ kind: "decided", revision: bench.keys.revision, applied: [true] });
    expect(bench.told(session)).toEqual([]);
    const denial = bench.takeOff();
    expect(denial?.operations[0]?.guards).toContainEqual(session.epochGuard());
    denial?.land();
    expect(bench.told(session)).toEqual(["denied 1 busy"]);
  });

  it("counts claims that were given up as present until they are seen gone", () => {
    const bench = new SessionBench();
    const releasing = bench.open("s1");
    const trying = bench.open("s2");
    releasing.command(acquire(1n, exclusive("a")));
    bench.settle();
    releasing.command(release(1n));
    trying.command(tryOf(1n, exclusive("a")));
    bench.pass();
    expect(bench.told(trying)).toEqual(["denied 1 busy"]);
    bench.settle();
    trying.command(tryOf(2n, exclusive("a")));
    bench.settle();
    expect(bench.told(trying)).toEqual(["granted 2"]);
  });

  it("behind a release of its own session on its lock waits until that is seen, and is granted", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(acquire(1n, [exclusive("a"), exclusive("b")]));
    bench.settle();
    session.command(release(1n));
    session.command(tryOf(2n, exclusive("b")));
    bench.pass();
    expect(bench.told(session)).toEqual(["granted 1"]);
    bench.settle();
    expect(bench.told(session)).toEqual(["released 1", "granted 2"]);
  });

  it("behind a release of its own that is given up meanwhile is answered at once", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    session.command(release(1n));
    session.command(tryOf(2n, exclusive("a")));
    session.command(release(2n));
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 1", "released 2", "released 1"]);
    expect(bench.keys.keysOf("s1", 2n)).toEqual([]);
  });

  it("behind a release of its own looks again when that is seen: another may have come first", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    bench.keys.claim("waiter", [exclusive("a")]);
    bench.deliver();
    session.command(release(1n));
    session.command(tryOf(2n, exclusive("a")));
    bench.settle();
    bench.pass();
    expect(bench.told(session)).toEqual(["granted 1", "released 1", "denied 2 busy"]);
  });

  it("waits for ever when the acquire is sent again without a limit", () => {
    const { bench, session, free } = taken();
    session.command(tryOf(1n, exclusive("a")));
    session.command(acquire(1n, exclusive("a")));
    bench.run();
    expect(bench.keys.keysOf("s1", 1n)).toHaveLength(1);
    free();
    expect(bench.told(session).at(-1)).toBe("granted 1");
  });

  it("that fell into the queue waits, too, when the acquire is sent again with a limit before it is seen", () => {
    const { bench, session } = taken();
    session.command(acquire(1n, exclusive("a")));
    const flight = bench.takeOff();
    session.command(tryOf(1n, exclusive("a")));
    session.command(acquire(1n, exclusive("a"), { waitMs: 5000 }));
    flight?.land();
    flight?.answer({ kind: "decided", revision: bench.keys.revision, applied: [true] });
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 1 1"]);
  });
});
