import { describe, expect, it } from "vitest";
import { exclusive } from "../support/key-history.ts";
import { acquire, release, SessionBench, update } from "./session-bench.ts";

/** A session that is resumed here with a held claim 1 on "mine" and a waiting claim 2 on "a". */
function resumed() {
  const bench = new SessionBench();
  const holder = bench.keys.claim("stranger", [exclusive("a")]);
  bench.keys.claim("s1", [exclusive("mine")], { reentryId: "t" });
  bench.keys.claim("s1", [exclusive("a")], { reentryId: "t" });
  const session = bench.open("s1", "keep");
  const free = () => {
    bench.keys.end("stranger", holder.id);
    bench.deliver();
  };
  return { bench, session, free };
}

const again = (waitMs?: number) => acquire(2n, exclusive("a"), { reentryId: "t", waitMs });

describe("a session that was taken over", () => {
  it("lists exactly its live claims, in order of claim id, with tokens for those that are held", () => {
    const { bench, session } = resumed();
    const held = bench.table.claim("s1", 1n);
    expect(session.listClaims()).toEqual([
      { claimId: 1n, held: true, locks: [{ name: "mine", token: held?.token }] },
      { claimId: 2n, held: false, locks: [{ name: "a", token: 0n }] },
    ]);
    expect(bench.told(session)).toEqual([]);
  });

  it("is granted what waits, though its client has not asked again yet", () => {
    const { bench, session, free } = resumed();
    free();
    expect(bench.told(session)).toEqual(["granted 2"]);
  });

  it("denies nothing before it is asked again: no deadlock", () => {
    const { bench, session } = resumed();
    const waiting = bench.table.claim("s1", 2n)!;
    session.breakDeadlock(waiting, "circle");
    bench.run();
    expect(bench.told(session)).toEqual([]);
    expect(waiting.stage).toBe("live");
  });

  it("looks for a deadlock when it is asked again, since only then it may deny", () => {
    const { bench, session } = resumed();
    expect(bench.looks).toEqual([]);
    session.command(again());
    expect(bench.looks).toEqual([bench.table.claim("s1", 2n)]);
    session.breakDeadlock(bench.table.claim("s1", 2n)!, "circle");
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 2 1", "denied 2 deadlock"]);
  });

  it("bounds the waiting by what is left of it when it is asked again", () => {
    const { bench, session } = resumed();
    session.command(again(100));
    bench.clock.turn(100);
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 2 1", "denied 2 timeout"]);
  });

  it("denies as busy what has no time left, unless it is held", () => {
    const { bench, session } = resumed();
    session.command(again(0));
    bench.settle();
    expect(bench.told(session)).toEqual(["denied 2 busy"]);
    const other = resumed();
    other.free();
    other.session.command(again(0));
    other.bench.settle();
    expect(other.bench.told(other.session)).toEqual(["granted 2", "granted 2"]);
  });

  it("does not deny a claim that was granted, by whatever reason", () => {
    const { bench, session, free } = resumed();
    session.command(again(100));
    free();
    session.breakDeadlock(bench.table.claim("s1", 2n)!, "circle");
    session.command(again(0));
    bench.clock.turn(1000);
    bench.run();
    expect(bench.told(session)).toEqual(["waiting 2 1", "granted 2", "granted 2"]);
  });

  it("closes on an acquire that is not the claim's, but cannot know the value it was made with", () => {
    const { session } = resumed();
    expect(session.command(acquire(2n, exclusive("b"), { reentryId: "t" }))).toContain("is not the same");
    expect(session.command({ ...again(), value: Uint8Array.of(1) })).toBeUndefined();
  });

  it("releases and updates what it took over", () => {
    const { bench, session } = resumed();
    session.command(update(1n, "v"));
    session.command(release(2n));
    bench.settle();
    expect(bench.told(session).sort()).toEqual(["released 2", "updated 1"]);
    expect(bench.keys.keysOf("s1", 2n)).toEqual([]);
  });

  it("takes new claims with smaller ids than those it took over, if they never arrived", () => {
    const bench = new SessionBench();
    for (let i = 0; i < 3; i++) bench.keys.claim("s1", [exclusive(`l${i}`)]);
    bench.keys.end("s1", 2n);
    const session = bench.open("s1", "keep");
    session.command(acquire(2n, exclusive("l1")));
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 2"]);
  });

  it("answers the release of a claim that an earlier stream of this server gave up when it is gone", () => {
    const bench = new SessionBench();
    bench.keys.claim("s1", [exclusive("a")]);
    const first = bench.open("s1", "keep");
    first.command(release(1n));
    const flight = bench.takeOff();
    first.isGone();
    const second = bench.open("s1", "keep");
    second.command(release(1n));
    expect(bench.told(second)).toEqual([]);
    flight?.answer({ kind: "unknown" });
    bench.run();
    expect(bench.told(second)).toEqual(["released 1"]);
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("is not granted what was given up", () => {
    const { bench, session, free } = resumed();
    session.command(release(2n));
    free();
    bench.settle();
    expect(bench.told(session)).toEqual(["released 2"]);
  });
});

describe("a session without a stream, or past its deadline", () => {
  it("is granted nothing past its deadline: its client does not believe it any more", () => {
    const { bench, session, free } = resumed();
    bench.clock.turn(session.deadlineMs + 1);
    free();
    expect(bench.told(session)).toEqual([]);
  });

  it("tells of what was granted meanwhile as held when it has a stream again", () => {
    const { bench, session, free } = resumed();
    session.stream = undefined;
    free();
    expect(session.listClaims()[1]).toMatchObject({ claimId: 2n, held: true });
    session.attach("s1");
    session.command(again(0));
    expect(bench.told(session)).toEqual(["granted 2"]);
  });
});

describe("a waiting claim that moves up", () => {
  function waitingAt(position: number) {
    const bench = new SessionBench();
    bench.keys.step(() => {
      for (let i = 0; i <= position - 1; i++) bench.keys.claim(`w${i}`, [exclusive("a")], { ordinal: i });
    });
    bench.deliver();
    bench.limits.maxWaitersPerLock = 1000;
    const session = bench.open("s1");
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    expect(bench.told(session)).toEqual([`waiting 1 ${position}`]);
    const claim = bench.table.claim("s1", 1n)!;
    const moveTo = (now: number) => {
      claim.seats[0]!.position = now;
      return session.movedUp(claim);
    };
    return { bench, session, moveTo };
  }

  it("is told when its position has halved, and not before", () => {
    const { bench, session, moveTo } = waitingAt(100);
    bench.clock.turn(1000);
    expect(moveTo(51)).toBe(true);
    expect(bench.told(session)).toEqual([]);
    expect(moveTo(50)).toBe(true);
    expect(bench.told(session)).toEqual(["waiting 1 50"]);
  });

  it("is told at each of the last ten places", () => {
    const { bench, session, moveTo } = waitingAt(20);
    const told: string[] = [];
    for (let position = 19; position >= 1; position--) {
      bench.clock.turn(1000);
      moveTo(position);
      told.push(...bench.told(session));
    }
    expect(told).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1].map((position) => `waiting 1 ${position}`));
  });

  it("is told at most once a second, and says when that is due", () => {
    const { bench, session, moveTo } = waitingAt(100);
    bench.clock.turn(999);
    expect(moveTo(40)).toBe(false);
    expect(bench.told(session)).toEqual([]);
    bench.clock.turn(1);
    expect(moveTo(40)).toBe(true);
    expect(moveTo(10)).toBe(false);
    expect(bench.told(session)).toEqual(["waiting 1 40"]);
  });

  it("is told nothing while it is leaving, or nobody listens", () => {
    const { bench, session, moveTo } = waitingAt(100);
    bench.clock.turn(1000);
    session.stream = undefined;
    expect(moveTo(10)).toBe(true);
    session.attach("s1");
    session.command(release(1n));
    expect(moveTo(10)).toBe(true);
    expect(bench.told(session)).toEqual([]);
  });
});
