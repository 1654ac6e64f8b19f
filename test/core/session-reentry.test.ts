import { describe, expect, it } from "vitest";
import type { LockSpec } from "../../server/core/frames.ts";
import type { OnDisconnect } from "../../server/core/records.ts";
import { exclusive, semaphore, shared } from "../support/key-history.ts";
import { acquire, release, SessionBench, update } from "./session-bench.ts";

const inThread = (claimId: bigint, locks: LockSpec | readonly LockSpec[], reentryId = "t") =>
  acquire(claimId, locks, { reentryId });

function holding(locks: LockSpec | readonly LockSpec[] = exclusive("a"), onDisconnect: OnDisconnect = "release") {
  const bench = new SessionBench();
  const session = bench.open("s1", onDisconnect);
  session.command(inThread(1n, locks));
  bench.settle();
  const token = bench.lastEvent(session, "granted").locks[0]?.token;
  return { bench, session, token };
}

describe("re-entry of a session with RELEASE", () => {
  it("is granted at once with the same token, and writes no key", () => {
    const { bench, session, token } = holding();
    const { revision } = bench.keys;
    session.command(inThread(2n, exclusive("a")));
    expect(bench.events(session)).toEqual([{ kind: "granted", claimId: 2n, locks: [{ name: "a", token }] }]);
    bench.run();
    expect(bench.keys.revision).toBe(revision);
  });

  it("is counted: the lock is free after as many releases, in any order", () => {
    for (const order of [
      [1n, 2n, 3n],
      [3n, 2n, 1n],
      [2n, 1n, 3n],
      [2n, 3n, 1n],
    ]) {
      const { bench, session } = holding();
      session.command(inThread(2n, exclusive("a")));
      session.command(inThread(3n, exclusive("a")));
      bench.events(session);
      for (const claimId of order.slice(0, 2)) {
        session.command(release(claimId));
        bench.settle();
        expect(bench.told(session)).toEqual([`released ${claimId}`]);
        expect(bench.table.queues.get("a")?.heldCount, `${order}`).toBe(1);
      }
      const [last] = order.slice(2);
      session.command(release(last as bigint));
      expect(bench.told(session)).toEqual([]);
      bench.settle();
      expect(bench.told(session)).toEqual([`released ${last}`]);
      expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
      expect(bench.table.queues.size).toBe(0);
    }
  });

  it("is not taken by another thread of the session, nor by a claim without reentry id", () => {
    const { bench, session } = holding();
    session.command(inThread(2n, exclusive("a"), "other"));
    session.command(acquire(3n, exclusive("a")));
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 2 1", "waiting 3 2"]);
  });

  it("is denied beyond the depth, which counts those that are in now", () => {
    const { bench, session } = holding();
    session.command(inThread(2n, exclusive("a")));
    session.command(inThread(3n, exclusive("a")));
    session.command(inThread(4n, exclusive("a")));
    expect(bench.told(session)).toEqual(["granted 2", "granted 3", "denied 4 too-deep"]);
    session.command(release(1n));
    session.command(inThread(5n, exclusive("a")));
    expect(bench.told(session)).toEqual(["released 1", "granted 5"]);
  });

  it("of a shared claim by a shared one, and of an exclusive one by either, is granted", () => {
    for (const [has, wants] of [
      [shared("a"), shared("a")],
      [exclusive("a"), shared("a")],
      [exclusive("a"), exclusive("a")],
      [semaphore("a", 2, 3), semaphore("a", 1, 3)],
    ] as const) {
      const { bench, session } = holding(has);
      session.command(inThread(2n, wants));
      expect(bench.told(session)).toEqual(["granted 2"]);
    }
  });

  it("of a weaker claim is denied, and never a deadlock with oneself", () => {
    for (const [has, wants] of [
      [shared("a"), exclusive("a")],
      [semaphore("a", 1, 3), semaphore("a", 2, 3)],
      [semaphore("a", 1, 3), semaphore("a", 1, 4)],
    ] as const) {
      const { bench, session } = holding(has);
      session.command(inThread(2n, wants));
      expect(bench.told(session)).toEqual(["denied 2 conflicting-mode"]);
      bench.run();
      expect(bench.keys.keysOf("s1", 2n)).toEqual([]);
    }
  });

  it("of several locks needs one claim that is on all of them", () => {
    const { bench, session } = holding([exclusive("a"), exclusive("b")]);
    bench.limits.maxClaimsPerSession = 10;
    session.command(inThread(2n, [exclusive("b"), shared("a")]));
    session.command(inThread(3n, [exclusive("a"), exclusive("c")]));
    expect(bench.told(session)).toEqual(["granted 2", "denied 3 conflicting-mode"]);
  });

  /** A session of which two claims of one thread are asked for at once, and the queue that a stranger holds. */
  function pipelined(
    locks: LockSpec | readonly LockSpec[] = exclusive("a"),
    further: LockSpec | readonly LockSpec[] = locks,
    options: { readonly waitMs?: number; readonly held?: boolean } = {},
  ) {
    const bench = new SessionBench();
    const stranger = options.held ? bench.keys.claim("stranger", [exclusive("a")]) : undefined;
    bench.deliver();
    const session = bench.open("s1");
    session.command(inThread(1n, locks));
    session.command({ ...inThread(2n, further), waitMs: options.waitMs });
    const free = (): void => {
      bench.keys.end("stranger", stranger!.id);
      bench.deliver();
      bench.run();
    };
    return { bench, session, free };
  }

  it("of a claim that is on its way waits for it, and is granted with it", () => {
    const { bench, session } = pipelined();
    bench.settle();
    const token = bench.table.claim("s1", 1n)?.token;
    expect(bench.events(session)).toMatchObject([
      { kind: "granted", claimId: 1n, locks: [{ name: "a", token }] },
      { kind: "granted", claimId: 2n, locks: [{ name: "a", token }] },
    ]);
    expect(bench.keys.keysOf("s1", 2n)).toEqual([]);
    session.command(release(1n));
    bench.run();
    expect(bench.keys.keysOf("s1", 1n)).not.toEqual([]);
    session.command(release(2n));
    bench.run();
    expect(bench.keys.keysOf("s1", 1n)).toEqual([]);
  });

  it("of a claim that waits takes no place behind it, is told of its place, and is granted with it", () => {
    const { bench, session, free } = pipelined(exclusive("a"), shared("a"), { held: true });
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 1 1", "waiting 2 1"]);
    session.command(inThread(3n, exclusive("a")));
    bench.run();
    expect(bench.told(session)).toEqual(["waiting 3 1"]);
    expect(bench.table.queues.get("a")?.waitingCount).toBe(1);
    free();
    expect(bench.told(session)).toEqual(["granted 1", "granted 2", "granted 3"]);
  });

  it("by a try is granted with a claim that is let in at once, and denied behind one that waits", () => {
    const { bench, session } = pipelined(exclusive("a"), exclusive("a"), { waitMs: 0 });
    bench.run();
    expect(bench.told(session)).toEqual(["granted 1", "granted 2"]);
    const behind = pipelined(exclusive("a"), exclusive("a"), { waitMs: 0, held: true });
    behind.bench.run();
    expect(behind.bench.told(behind.session)).toEqual(["waiting 1 1", "denied 2 busy"]);
    behind.session.command({ ...inThread(3n, exclusive("a")), waitMs: 0 });
    behind.bench.run();
    expect(behind.bench.told(behind.session)).toEqual(["denied 3 busy"]);
  });

  it("of a weaker claim that is on its way or waits is denied at once", () => {
    for (const held of [false, true])
      for (const [has, wants] of [
        [shared("a"), exclusive("a")],
        [exclusive("a"), [exclusive("a"), exclusive("b")]],
      ] as const) {
        const { bench, session, free } = pipelined(has, wants, { held });
        expect(bench.told(session)).toEqual(["denied 2 conflicting-mode"]);
        if (held) free();
        bench.run();
        expect(bench.told(session)).toContain("granted 1");
      }
  });

  it("of a claim that is denied or given up becomes a claim of its own", () => {
    const { bench, session, free } = pipelined(exclusive("a"), exclusive("a"), { held: true });
    session.command(inThread(3n, exclusive("a")));
    bench.settle();
    bench.events(session);
    session.command(release(1n));
    bench.run();
    expect(bench.told(session)).toEqual(["released 1", "waiting 2 1", "waiting 3 1"]);
    free();
    expect(bench.told(session)).toEqual(["granted 2", "granted 3"]);
    expect(bench.keys.keysOf("s1", 3n)).toEqual([]);
  });

  it("that waits for a claim is over at its own limit, or when it is released, and takes nothing with it", () => {
    const { bench, session, free } = pipelined(exclusive("a"), exclusive("a"), { waitMs: 50, held: true });
    session.command(inThread(3n, exclusive("a")));
    bench.settle();
    bench.events(session);
    session.command(release(3n));
    expect(bench.told(session)).toEqual(["released 3"]);
    bench.clock.turn(60);
    expect(bench.told(session)).toEqual(["denied 2 timeout"]);
    free();
    expect(bench.told(session)).toEqual(["granted 1"]);
  });

  it("that waits for a claim has its updates written when it is granted", () => {
    const { bench, session, free } = pipelined(exclusive("a"), exclusive("a"), { held: true });
    bench.settle();
    session.command(update(2n, "of the second"));
    free();
    expect(bench.told(session).slice(-3)).toEqual(["granted 1", "granted 2", "updated 2"]);
    expect(Buffer.from(bench.table.claim("s1", 1n)!.seats[0]!.record.value).toString()).toBe("of the second");
  });

  it("is not of a claim that was given up: the further one is a new claim with a larger token", () => {
    const { bench, session, token } = holding();
    session.command(release(1n));
    session.command(inThread(2n, exclusive("a")));
    bench.settle();
    const granted = bench.lastEvent(session, "granted");
    expect(granted.claimId).toBe(2n);
    expect(granted.locks[0]?.token).toBeGreaterThan(token as bigint);
  });

  it("that is released twice is answered twice, and counts once", () => {
    const { bench, session } = holding();
    session.command(inThread(2n, exclusive("a")));
    session.command(release(2n));
    session.command(release(2n));
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 2", "released 2", "released 2"]);
    expect(bench.table.queues.get("a")?.heldCount).toBe(1);
  });

  it("keeps a claim that was released by its own id out of what is told", () => {
    const { bench, session } = holding();
    session.command(inThread(2n, exclusive("a")));
    session.command(release(1n));
    bench.events(session);
    bench.keys.end("s1", 1n);
    bench.deliver();
    expect(bench.told(session)).toEqual(["lost 2 released-by-force"]);
  });

  it("counts towards the claims of the session", () => {
    const { bench, session } = holding([exclusive("a"), exclusive("b")]);
    session.command(inThread(2n, [exclusive("a"), exclusive("b")]));
    session.command(acquire(3n, [exclusive("c"), exclusive("d")]));
    expect(bench.told(session)).toEqual(["granted 2", "denied 3 too-many-claims"]);
  });
});

describe("re-entry of a session with KEEP", () => {
  it("is denied while its thread has a live claim on the lock, held or waiting", () => {
    const { bench, session } = holding(exclusive("a"), "keep");
    bench.keys.claim("stranger", [exclusive("b")]);
    bench.deliver();
    session.command(inThread(2n, exclusive("b")));
    bench.settle();
    session.command(inThread(3n, exclusive("a")));
    session.command(inThread(4n, [exclusive("c"), exclusive("b")]));
    expect(bench.told(session)).toEqual(["waiting 2 1", "denied 3 invalid", "denied 4 invalid"]);
  });

  it("is a new claim when the earlier one was released", () => {
    const { bench, session } = holding(exclusive("a"), "keep");
    session.command(release(1n));
    session.command(inThread(2n, exclusive("a")));
    bench.settle();
    expect(bench.told(session)).toEqual(["released 1", "granted 2"]);
  });

  it("is no matter between different threads, and on different locks", () => {
    const { bench, session } = holding(exclusive("a"), "keep");
    session.command(inThread(2n, exclusive("b")));
    session.command(inThread(3n, exclusive("a"), "u"));
    bench.settle();
    expect(bench.told(session).sort()).toEqual(["granted 2", "waiting 3 1"]);
  });
});
