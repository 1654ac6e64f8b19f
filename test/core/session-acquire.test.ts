import { describe, expect, it } from "vitest";
import { exclusive, semaphore, shared } from "../support/key-history.ts";
import { acquire, release, SessionBench } from "./session-bench.ts";

/** A bench on which a stranger holds the lock "a", and a session of this server. */
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

describe("an acquire", () => {
  it("of a free lock is granted with the token of its revision and ordinal", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    bench.keys.step(() => undefined);
    session.command(acquire(1n, exclusive("a")));
    expect(bench.told(session)).toEqual([]);
    bench.settle();
    const token = BigInt(bench.keys.revision) * 128n;
    expect(bench.events(session)).toEqual([{ kind: "granted", claimId: 1n, locks: [{ name: "a", token }] }]);
  });

  it("takes all its locks with one token, in the order in which they were named", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(acquire(1n, [exclusive("z"), shared("a"), semaphore("m", 2, 3)]));
    bench.settle();
    const { locks } = bench.lastEvent(session, "granted");
    expect(locks.map(({ name }) => name)).toEqual(["z", "a", "m"]);
    expect(new Set(locks.map(({ token }) => token)).size).toBe(1);
  });

  it("of a held lock is told its place and who holds it, and granted when that is gone", () => {
    const { bench, session, free } = taken();
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    const waiting = bench.lastEvent(session, "waiting");
    expect(waiting).toMatchObject({ claimId: 1n, lock: "a", position: 1, holderCount: 1 });
    expect(waiting.holders.map(({ sessionId }) => sessionId)).toEqual(["stranger"]);
    free();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });

  it("of several locks is told of the one with the most before it", () => {
    const { bench, session } = taken();
    bench.keys.claim("other", [exclusive("b")]);
    bench.keys.claim("other", [exclusive("b")]);
    bench.deliver();
    session.command(acquire(1n, [exclusive("a"), exclusive("b")]));
    bench.settle();
    expect(bench.lastEvent(session, "waiting")).toMatchObject({ lock: "b", position: 2, holderCount: 1 });
  });

  it("that is sent again is answered with the state of the claim, and makes no second one", () => {
    const { bench, session, free } = taken();
    session.command(acquire(1n, exclusive("a")));
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 1 1"]);
    session.command(acquire(1n, exclusive("a")));
    expect(bench.told(session)).toEqual(["waiting 1 1"]);
    free();
    bench.events(session);
    session.command(acquire(1n, exclusive("a")));
    expect(bench.told(session)).toEqual(["granted 1"]);
    bench.run();
    expect(bench.keys.keysOf("s1", 1n)).toHaveLength(1);
  });

  it("that is sent again with anything but its wait changed is an error of the protocol", () => {
    const { bench, session } = taken();
    const first = acquire(1n, exclusive("a"), { purpose: "p" });
    session.command(first);
    const changes = [
      { locks: [exclusive("b")] },
      { locks: [shared("a")] },
      { locks: [exclusive("a"), exclusive("b")] },
      { purpose: "q" },
      { reentryId: "t" },
      { value: Uint8Array.of(1) },
    ];
    for (const change of changes)
      expect(session.command({ ...first, ...change })).toBe(
        "acquire.claim_id 1 is a live claim, and this acquire is not the same",
      );
    expect(session.command({ ...first, waitMs: 5000 })).toBeUndefined();
    bench.run();
    expect(bench.keys.keysOf("s1", 1n)).toHaveLength(1);
  });

  it("may not use a claim id that was used, or a smaller one", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(acquire(5n, exclusive("a")));
    session.command(release(5n));
    bench.run();
    for (const claimId of [5n, 4n])
      expect(session.command(acquire(claimId, exclusive("a")))).toBe(
        `acquire.claim_id ${claimId} is not larger than 5, which was used before: count upwards`,
      );
    expect(session.command(acquire(6n, exclusive("a")))).toBeUndefined();
  });

  it("beyond the session's limit is denied, counting a claim on n locks n times, until some are gone", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(acquire(1n, [exclusive("a"), exclusive("b"), exclusive("c")]));
    session.command(acquire(2n, exclusive("d")));
    session.command(acquire(3n, [exclusive("e"), exclusive("f")]));
    expect(bench.told(session)).toEqual(["denied 3 too-many-claims"]);
    bench.run();
    bench.events(session);
    session.command(release(1n));
    bench.run();
    session.command(acquire(4n, [exclusive("e"), exclusive("f")]));
    bench.run();
    expect(bench.told(session)).toEqual(["released 1", "granted 4"]);
  });

  it("of a lock with too many waiters is denied, from behind a barrier", () => {
    const { bench, session } = taken();
    for (const id of ["w1", "w2", "w3"]) bench.keys.claim(id, [exclusive("a")]);
    bench.deliver();
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    expect(bench.told(session)).toEqual([]);
    bench.pass();
    expect(bench.lastEvent(session, "denied")).toMatchObject({ reason: "queue-full", lock: "a", holderCount: 1 });
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("is not denied for a queue that was shorter when the barrier had passed", () => {
    const { bench, session } = taken();
    for (const id of ["w1", "w2", "w3"]) bench.keys.claim(id, [exclusive("a")]);
    bench.deliver();
    session.command(acquire(1n, exclusive("a")));
    bench.keys.end("w3", 1n);
    bench.deliver();
    bench.pass();
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 1 3"]);
  });

  it.each([
    ["a semaphore among exclusive claims", exclusive("m"), semaphore("m", 1, 2)],
    ["an exclusive claim among those of a semaphore", semaphore("m", 1, 2), exclusive("m")],
    ["a semaphore of another limit", semaphore("m", 1, 2), semaphore("m", 1, 3)],
  ])("for %s is denied as contradicting, from behind a barrier", (_, there, wanted) => {
    const bench = new SessionBench();
    bench.keys.claim("stranger", [there]);
    bench.deliver();
    const session = bench.open("s1");
    session.command(acquire(1n, wanted));
    bench.settle();
    expect(bench.told(session)).toEqual([]);
    bench.pass();
    expect(bench.told(session)).toEqual(["denied 1 conflicting-mode"]);
  });

  it("that contradicts a queue which is gone behind the barrier is granted", () => {
    const bench = new SessionBench();
    const there = bench.keys.claim("stranger", [semaphore("m", 1, 2)]);
    bench.deliver();
    const session = bench.open("s1");
    session.command(acquire(1n, exclusive("m")));
    bench.keys.end("stranger", there.id);
    bench.deliver();
    bench.run();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });

  it("that would be denied is answered with the store when the barrier does not pass", () => {
    const bench = new SessionBench();
    bench.keys.claim("stranger", [semaphore("m", 1, 2)]);
    bench.deliver();
    const session = bench.open("s1");
    session.command(acquire(1n, exclusive("m")));
    bench.pass(false);
    expect(bench.told(session)).toEqual(["denied 1 store-unavailable"]);
  });

  it("that the edge refused is denied with its reason, and its id is used", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    const refused = { kind: "refused", reason: "invalid", message: "no", lock: "" } as const;
    expect(session.command({ ...refused, claimId: 3n })).toBeUndefined();
    expect(bench.told(session)).toEqual(["denied 3 invalid"]);
    expect(session.command(acquire(3n, exclusive("a")))).toContain("is not larger than 3");
    session.command(acquire(4n, exclusive("a")));
    expect(session.command({ ...refused, claimId: 4n })).toContain("is a live claim");
  });

  it("looks for a deadlock only when it waits and its thread has another claim", () => {
    const { bench, session } = taken();
    session.command(acquire(1n, exclusive("a"), { reentryId: "t" }));
    session.command(acquire(2n, exclusive("b"), { reentryId: "u" }));
    bench.settle();
    expect(bench.looks).toEqual([]);
    session.command(acquire(3n, exclusive("a"), { reentryId: "u" }));
    bench.settle();
    expect(bench.looks.map(({ id }) => id)).toEqual([3n]);
  });
});

describe("a cancel", () => {
  it("of a claim that is not sent yet is answered at once, and nothing is written", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    const before = bench.keys.revision;
    session.command(acquire(1n, exclusive("a")));
    session.command(release(1n));
    expect(bench.told(session)).toEqual(["released 1"]);
    bench.run();
    expect(bench.keys.revision).toBe(before);
    expect(bench.told(session)).toEqual([]);
  });

  it("of a claim that is being checked is answered at once, and the check denies nothing", () => {
    const bench = new SessionBench();
    bench.keys.claim("stranger", [semaphore("m", 1, 2)]);
    bench.deliver();
    const session = bench.open("s1");
    session.command(acquire(1n, exclusive("m")));
    session.command(release(1n));
    bench.run();
    expect(bench.told(session)).toEqual(["released 1"]);
  });

  it("of a claim under way takes it back when it is seen, and it is never granted", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(acquire(1n, exclusive("a")));
    const flight = bench.takeOff();
    session.command(release(1n));
    expect(bench.told(session)).toEqual([]);
    flight?.land();
    expect(bench.told(session)).toEqual([]);
    flight?.answer({ kind: "decided", revision: bench.keys.revision, applied: [true] });
    bench.settle();
    expect(bench.told(session)).toEqual(["released 1"]);
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("of a claim under way that was refused is answered when that is known", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(acquire(1n, exclusive("a")));
    const flight = bench.takeOff();
    session.command(release(1n));
    flight?.answer({ kind: "decided", revision: bench.keys.revision, applied: [false] });
    expect(bench.told(session)).toEqual(["released 1"]);
    bench.run();
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("of a waiting claim gives up its place, and those behind it are let in by their own turn", () => {
    const { bench, session, free } = taken();
    session.command(acquire(1n, exclusive("a")));
    session.command(acquire(2n, exclusive("a")));
    bench.settle();
    session.command(release(1n));
    bench.settle();
    free();
    expect(bench.told(session)).toEqual(["waiting 1 1", "waiting 2 2", "released 1", "granted 2"]);
  });

  it("of a held claim lets in the next one in the same turn, and is answered when the delete is seen", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    const next = bench.open("s2");
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    next.command(acquire(1n, exclusive("a")));
    bench.settle();
    bench.events(session);
    bench.events(next);
    session.command(release(1n));
    expect(bench.told(next)).toEqual(["granted 1"]);
    expect(bench.told(session)).toEqual([]);
    bench.settle();
    expect(bench.told(session)).toEqual(["released 1"]);
    expect(bench.told(next)).toEqual([]);
  });

  it("that crosses the write of a claim lets in another one of the same revision", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    const other = bench.open("s2");
    session.command(acquire(1n, exclusive("a")));
    other.command(acquire(1n, exclusive("a")));
    const flight = bench.takeOff();
    expect(flight?.operations).toHaveLength(2);
    session.command(release(1n));
    flight?.land();
    expect(bench.told(other)).toEqual(["waiting 1 1", "granted 1"]);
    flight?.answer({ kind: "decided", revision: bench.keys.revision, applied: [true, true] });
    bench.settle();
    expect(bench.told(session)).toEqual(["released 1"]);
  });

  it("of a claim that is unknown or gone is harmless, and answered", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(release(7n));
    expect(bench.told(session)).toEqual(["released 7"]);
    session.command(acquire(8n, exclusive("a")));
    bench.settle();
    session.command(release(8n));
    session.command(release(8n));
    bench.settle();
    session.command(release(8n));
    expect(bench.told(session)).toEqual(["granted 8", "released 8", "released 8"]);
  });
});

describe("a limit of waiting", () => {
  const timeout = (waitMs: number) => acquire(1n, exclusive("a"), { waitMs });

  it("denies a waiting claim when its delete is seen, with who holds the lock", () => {
    const { bench, session } = taken();
    session.command(timeout(100));
    bench.settle();
    bench.events(session);
    bench.clock.turn(99);
    bench.settle();
    expect(bench.told(session)).toEqual([]);
    bench.clock.turn(1);
    expect(bench.told(session)).toEqual([]);
    bench.settle();
    expect(bench.lastEvent(session, "denied")).toMatchObject({ reason: "timeout", lock: "a", holderCount: 1 });
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("denies a claim that was not sent yet at once", () => {
    const { bench, session } = taken();
    session.command(timeout(100));
    bench.clock.turn(100);
    expect(bench.told(session)).toEqual(["denied 1 timeout"]);
    bench.run();
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("denies a claim under way when it is known what became of it", () => {
    const { bench, session } = taken();
    session.command(timeout(100));
    const flight = bench.takeOff();
    bench.clock.turn(100);
    expect(bench.told(session)).toEqual([]);
    flight?.land();
    flight?.answer({ kind: "decided", revision: bench.keys.revision, applied: [true] });
    expect(bench.told(session)).toEqual([]);
    bench.settle();
    expect(bench.told(session)).toEqual(["denied 1 timeout"]);
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("means nothing once the claim is granted", () => {
    const { bench, session, free } = taken();
    session.command(timeout(100));
    bench.settle();
    free();
    bench.clock.turn(1000);
    bench.run();
    expect(bench.told(session)).toEqual(["waiting 1 1", "granted 1"]);
  });

  it("is never followed by a grant, though the lock is free before the delete is committed", () => {
    const { bench, session, free } = taken();
    session.command(timeout(100));
    bench.settle();
    bench.clock.turn(100);
    free();
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 1 1", "denied 1 timeout"]);
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("counts anew when the acquire is sent again", () => {
    const { bench, session } = taken();
    session.command(timeout(100));
    bench.settle();
    bench.clock.turn(60);
    session.command(timeout(100));
    bench.clock.turn(99);
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 1 1", "waiting 1 1"]);
    bench.clock.turn(1);
    bench.settle();
    expect(bench.told(session)).toEqual(["denied 1 timeout"]);
  });

  it("is lifted when the acquire is sent again without one", () => {
    const { bench, session } = taken();
    session.command(timeout(100));
    bench.settle();
    session.command(acquire(1n, exclusive("a")));
    bench.clock.turn(10_000);
    bench.run();
    expect(bench.told(session)).toEqual(["waiting 1 1", "waiting 1 1"]);
  });

  it("of zero, sent again, denies a claim that waits", () => {
    const { bench, session } = taken();
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    session.command(timeout(0));
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 1 1", "denied 1 busy"]);
  });

  it("gives way to a release: the claim is answered as released", () => {
    const { bench, session } = taken();
    session.command(timeout(100));
    bench.settle();
    bench.clock.turn(100);
    session.command(release(1n));
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 1 1", "released 1"]);
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });
});
