import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { semaphore } from "../../clients/typescript/src/index.ts";
import { ClientProcess } from "../support/client-process.ts";
import { Random } from "../support/random.ts";
import { useService } from "../support/service.ts";
import { permitsOf, type StubSession, sharedLock } from "../support/stub-session.ts";

const service = useService({ servers: 2 });

/** Notices more inside than may be. */
class Detector {
  inside = 0;
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  enter(permits = 1): void {
    this.inside += permits;
    if (this.inside > this.#most) throw new Error(`${this.inside} are inside, and ${this.#most} may be`);
  }

  leave(permits = 1): void {
    this.inside -= permits;
  }
}

/** Stays inside while the event loop turns so often, and brings whatever was sent to others. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await setImmediate();
}

describe("readers and writers", () => {
  it("E1 readers share, a writer excludes, and readers that come later wait behind it", async () => {
    await using sessions = await service().sessionsAt([0, 1, 1, 0, 1]);
    const [reader, otherReader, writer, lateReader, lastReader] = sessions.list;
    const lock = sharedLock("e1");
    const first = await reader.take(lock);
    const second = await otherReader.take(lock);
    expect((await service().getLock("e1")).holderCount).toBe(2);

    const writing = writer.acquire("e1");
    expect((await writing.waits()).holderCount).toBe(2);
    const late = lateReader.acquire(lock);
    await late.waits();
    const last = lastReader.acquire(lock);
    await last.waits();
    expect((await reader.acquire(lock, { waitMs: 0 }).refused()).reason).toBe("busy");

    await reader.release(first.claimId);
    expect((await service().getLock("e1", 1)).waiterCount).toBe(3);
    await otherReader.release(second.claimId);
    await writing.granted;
    expect([late.isGranted, last.isGranted]).toEqual([false, false]);
    await writer.release(writing.id);
    await Promise.all([late.granted, last.granted]);
  });
});

describe("semaphores", { timeout: 180_000 }, () => {
  it("E2 never more permits are out than there are, in strict order, over two servers", async () => {
    const LIMIT = 7;
    await using sessions = await service().sessionsAt([0, 1, 0, 1]);
    const random = new Random(2);
    const detector = new Detector(LIMIT);
    const tokens: bigint[] = [];
    const use = async (session: StubSession) => {
      for (let round = 0; round < 100; round++) {
        const permits = 1 + random.below(LIMIT);
        const { claimId, token } = await session.take(permitsOf("e2/load", LIMIT, permits));
        detector.enter(permits);
        tokens.push(token);
        await turns(random.below(4));
        detector.leave(permits);
        await session.release(claimId);
      }
    };
    await Promise.all(sessions.list.flatMap((session) => [use(session), use(session), use(session)]));
    expect(detector.inside).toBe(0);
    expect(new Set(tokens).size).toBe(1200);
  });

  it("E2 a large claim is not overtaken by small ones, and another limit is refused", async () => {
    await using sessions = await service().sessionsAt([0, 1, 0, 1]);
    const [holder, large, small, stranger] = sessions.list;
    const three = await holder.take(permitsOf("e2/order", 5, 3));
    const big = large.acquire(permitsOf("e2/order", 5, 4));
    await big.waits();
    const one = small.acquire(permitsOf("e2/order", 5, 1));
    await one.waits();
    expect(await service().getLock("e2/order")).toMatchObject({ permitsHeld: 3, holderCount: 1, waiterCount: 2 });
    expect((await stranger.acquire(permitsOf("e2/order", 6)).refused()).reason).toBe("conflicting-mode");
    expect((await stranger.acquire("e2/order").refused()).reason).toBe("conflicting-mode");
    await holder.release(three.claimId);
    await Promise.all([big.granted, one.granted]);
    expect((await service().getLock("e2/order", 1)).permitsHeld).toBe(5);
  });

  it("E2 the permits of a holder that is killed come back", async () => {
    const holder = new ClientProcess({
      addresses: [service().address()],
      lock: semaphore("e2/killed", { limit: 3, permits: 2 }),
      options: { onDisconnect: "release" },
    });
    await using _ = holder;
    await holder.holds();
    await using sessions = await service().sessionsAt([1, 1]);
    const [first, second] = sessions.list;
    await first.take(permitsOf("e2/killed", 3));
    const waiting = second.acquire(permitsOf("e2/killed", 3, 2));
    await waiting.waits();
    await holder.kill9();
    await waiting.granted;
    expect((await service().getLock("e2/killed")).permitsHeld).toBe(3);
  });
});

describe("claims on several locks", { timeout: 180_000 }, () => {
  it("E3 1,000 claims on random pairs in opposite orders are granted, alone on both, with growing tokens", async () => {
    const names = Array.from({ length: 8 }, (_, i) => `e3/${i}`);
    const state = new Map(names.map((name) => [name, { detector: new Detector(1), token: 0n }]));
    const random = new Random(3);
    await using sessions = await service().sessionsAt([0, 1, 0, 1]);
    const work = async (session: StubSession) => {
      for (let round = 0; round < 50; round++) {
        const one = random.pick(names);
        const other = random.pick(names.filter((name) => name !== one));
        const claim = session.acquire([one, other]);
        const { locks } = await claim.granted;
        expect(locks.map(({ name }) => name)).toEqual([one, other]);
        for (const { name, fencingToken } of locks) {
          const lock = state.get(name)!;
          lock.detector.enter();
          expect(fencingToken).toBeGreaterThan(lock.token);
          lock.token = fencingToken;
        }
        await turns(random.below(4));
        for (const name of [one, other]) state.get(name)!.detector.leave();
        await session.release(claim.id);
      }
    };
    await Promise.all(sessions.list.flatMap((session) => Array.from({ length: 5 }, () => work(session))));
  });

  it("E3 a claim on several locks holds none of them before it holds all", async () => {
    await using sessions = await service().sessionsAt([0, 1, 1]);
    const [holder, both, other] = sessions.list;
    const held = await holder.take("e3/b");
    const pair = both.acquire(["e3/a", "e3/b"]);
    expect((await pair.waits()).lock).toBe("e3/b");
    expect(await service().getLock("e3/a")).toMatchObject({ holderCount: 0, waiterCount: 1 });
    // It has its place on the free lock all the same.
    const behind = other.acquire("e3/a");
    expect((await behind.waits()).position).toBe(2);
    expect((await other.acquire(["e3/a", "e3/c"], { waitMs: 0 }).refused()).denied!.lock).toBe("e3/a");
    expect((await service().getLock("e3/c")).holderCount).toBe(0);
    await holder.release(held.claimId);
    await pair.granted;
    expect(behind.isGranted).toBe(false);
    await both.release(pair.id);
    await behind.granted;
  });
});

describe("re-entry", () => {
  it("E4 three acquires of a thread need three releases, another thread of the session waits", async () => {
    await using sessions = await service().sessionsAt([0, 1]);
    const [session, stranger] = sessions.list;
    const claims = [];
    for (let depth = 0; depth < 3; depth++) claims.push(await session.take("e4", { reentryId: "thread 1" }));
    expect(new Set(claims.map(({ token }) => token)).size).toBe(1);
    expect((await service().getLock("e4", 1)).holderCount).toBe(1);
    const otherThread = session.acquire("e4", { reentryId: "thread 2" });
    await otherThread.waits();
    const nobodys = session.acquire("e4");
    await nobodys.waits();
    const waiting = stranger.acquire("e4");
    await waiting.waits();
    for (const { claimId } of [claims[1]!, claims[0]!]) await session.release(claimId);
    expect((await service().getLock("e4")).waiterCount).toBe(3);
    expect(otherThread.isGranted).toBe(false);
    await session.release(claims[2]!.claimId);
    await otherThread.granted;
    await session.release(otherThread.id);
    await nobodys.granted;
    await session.release(nobodys.id);
    await waiting.granted;
  });

  it("E4 acquires of a thread that are sent together are granted together, at once or when their turn comes", async () => {
    await using sessions = await service().sessionsAt([0, 1]);
    const [session, stranger] = sessions.list;
    const fields = { reentryId: "thread 1" };
    for (const isHeld of [false, true]) {
      const held = isHeld ? await stranger.take("e4/together") : undefined;
      const claims = [1, 2, 3].map(() => session.acquire("e4/together", fields));
      if (held !== undefined) {
        for (const claim of claims) expect((await claim.waits()).position).toBe(1);
        await stranger.release(held.claimId);
      }
      const tokens = await Promise.all(claims.map(async ({ granted }) => (await granted).token));
      expect(new Set(tokens).size).toBe(1);
      for (const { id } of claims) await session.release(id);
      expect((await service().getLock("e4/together", 1)).holderCount).toBe(0);
    }
  });

  it("E4 entering too deep, and re-entry of a session that can resume, are refused", async () => {
    await using sessions = await service().sessionsAt([0]);
    const [session] = sessions.list;
    const reentryId = "thread 1";
    await session.take("e4/deep", { reentryId });
    await Promise.all(Array.from({ length: 99 }, () => session.take("e4/deep", { reentryId })));
    expect((await session.acquire("e4/deep", { reentryId }).refused()).reason).toBe("too-deep");
    await using keeping = await service().sessionsAt([1], { keep: true });
    const [keep] = keeping.list;
    await keep.take("e4/keep", { reentryId });
    expect((await keep.acquire("e4/keep", { reentryId }).refused()).reason).toBe("invalid");
  });
});

describe("deadlocks", () => {
  it("E5 a circle across two servers is broken at its youngest claim, which is told the circle", async () => {
    await using sessions = await service().sessionsAt([0, 1, 0]);
    const threads = sessions.list.map((session, i) => ({ session, reentryId: `thread ${i}`, lock: `e5/${i}` }));
    for (const { session, reentryId, lock } of threads) await session.take(lock, { reentryId });
    const waiting = [];
    for (const [i, { session, reentryId }] of threads.entries()) {
      const claim = session.acquire(`e5/${(i + 1) % 3}`, { reentryId });
      waiting.push(claim);
      if (i < 2) await claim.waits();
    }
    const refused = await waiting[2]!.refused();
    expect(refused.reason).toBe("deadlock");
    for (const name of ["e5/0", "e5/1", "e5/2"]) expect(refused.message).toContain(name);
    expect(waiting.map(({ isGranted }) => isGranted)).toEqual([false, false, false]);
    // When the victim gives up what it holds, all the others go on.
    await threads[2]!.session.release(1n);
    await waiting[1]!.granted;
    await threads[1]!.session.release(1n);
    await waiting[0]!.granted;
  });

  it("E5 nobody is refused who waits in a chain, or for a thread that does not wait", async () => {
    await using sessions = await service().sessionsAt([0, 1, 0, 1]);
    const threads = sessions.list.map((session, i) => ({ session, reentryId: `thread ${i}`, lock: `e5/chain/${i}` }));
    for (const { session, reentryId, lock } of threads) await session.take(lock, { reentryId });
    // Each waits for the next; the last waits for nothing. Claims without an id close circles that nobody can know of.
    const chain = threads
      .slice(0, 3)
      .map(({ session, reentryId }, i) => session.acquire(`e5/chain/${i + 1}`, { reentryId }));
    const unknown = threads[3]!.session.acquire("e5/chain/0");
    await Promise.all([...chain, unknown].map((claim) => claim.waits()));
    for (const i of [3, 2, 1]) {
      await threads[i]!.session.release(1n);
      await chain[i - 1]!.granted;
    }
    await threads[0]!.session.release(1n);
    await unknown.granted;
  });
});

describe("fencing tokens", () => {
  it("E7 both servers say of a token whether it is live, ended or was never issued", async () => {
    const check = async (name: string, token: bigint) => {
      const [one, two] = await Promise.all([0, 1].map((server) => service().checkToken(name, token, server)));
      expect(one).toBe(two);
      return one;
    };
    await using sessions = await service().sessionsAt([0, 1]);
    const [first, second] = sessions.list;
    const before = await first.take("e7");
    expect(await check("e7", before.token)).toBe("live");
    expect(await check("e7/other", before.token)).toBe("ended");
    expect(await check("e7", before.token + 1n)).toBe("ended");
    expect(await check("e7", 1n << 62n)).toBe("not-issued");

    const next = second.acquire("e7");
    await next.waits();
    await first.release(before.claimId);
    const { token } = await next.granted;
    expect(await check("e7", before.token)).toBe("ended");
    expect(await check("e7", token)).toBe("live");
    await second.close();
    expect(await check("e7", token)).toBe("ended");
  });
});
