import { describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { useService } from "../support/service.ts";
import type { StubClaim, StubSession } from "../support/stub-session.ts";

const service = useService();

/** Puts claims of each session into the queue of a lock, and resolves when all of them wait. */
async function fillQueue(lock: string, sessions: readonly StubSession[], each: number): Promise<QueuedClaim[]> {
  const queued = sessions.flatMap((session) =>
    Array.from({ length: each }, () => ({ session, claim: session.acquire(lock) })),
  );
  await Promise.all(queued.map(({ claim }) => claim.waits()));
  return queued;
}

interface QueuedClaim {
  readonly session: StubSession;
  readonly claim: StubClaim;
}

const byToken = async (claims: readonly QueuedClaim[]): Promise<bigint[]> => {
  const grants = await Promise.all(claims.map(({ claim }) => claim.granted));
  return grants.sort((a, b) => a.atMs - b.atMs).map(({ token }) => token);
};

describe("fairness", { timeout: 180_000 }, () => {
  it("B2 a release with 1,000 waiters makes exactly one grant and one write", async () => {
    await using sessions = await service().sessionsAt(Array.from({ length: 11 }, () => 0));
    const [holder, ...waiting] = sessions.list as [StubSession, ...StubSession[]];
    let held: QueuedClaim = { session: holder, claim: holder.acquire("b2") };
    await held.claim.granted;
    let queue = await fillQueue("b2", waiting, 100);
    for (let release = 1; release <= 20; release++) {
      const before = await service().etcd.revision();
      await held.session.release(held.claim.id);
      const next = await Promise.race(queue.map((each) => each.claim.granted.then(() => each)));
      expect(await service().getLock("b2")).toMatchObject({ holderCount: 1, waiterCount: 1000 - release });
      // Every stream has brought what was sent over it before this.
      await Promise.all(waiting.map((session) => session.release(1_000_000n)));
      expect(queue.filter(({ claim }) => claim.isGranted)).toEqual([next]);
      expect(await service().etcd.writesSince(before)).toBe(1);
      queue = queue.filter((each) => each !== next);
      held = next;
    }
  });

  it("B3 when a waiter in the middle dies those behind it move up, and none is granted early", async () => {
    await using sessions = await service().sessionsAt([0, 0, 0, 0, 0, 0]);
    const [holder, ...waiting] = sessions.list;
    const held = await holder.take("b3");
    const claims: StubClaim[] = [];
    for (const [i, session] of waiting.entries()) {
      const claim = session.acquire("b3");
      expect((await claim.waits()).position).toBe(i + 1);
      claims.push(claim);
    }
    waiting[2].cancel();
    // They are told at most once a second.
    const positions = () => claims.map(({ places }) => places.at(-1)!.position);
    await eventually(positions, [1, 2, 3, 3, 4]);
    expect(claims.map(({ isGranted }) => isGranted)).toEqual([false, false, false, false, false]);

    let last = held.token;
    let session: StubSession = holder;
    let claimId = held.claimId;
    for (const i of [0, 1, 3, 4]) {
      await session.release(claimId);
      const { token } = await claims[i]!.granted;
      expect(token).toBeGreaterThan(last);
      const granted = claims.map((claim) => claim.isGranted);
      expect(granted).toEqual([0, 1, 2, 3, 4].map((each) => each !== 2 && each <= i));
      [last, session, claimId] = [token, waiting[i]!, claims[i]!.id];
    }
  });

  it("B4 10,000 waiters hear of their position as it halves and no more, and are granted in order", async () => {
    const WAITERS = 10_000;
    await using sessions = await service().sessionsAt(Array.from({ length: 21 }, () => 0));
    const [holder, ...waiting] = sessions.list as [StubSession, ...StubSession[]];
    const held = await holder.take("b4");
    const queue = await fillQueue("b4", waiting, WAITERS / waiting.length);
    const last = queue.find(({ claim }) => claim.places[0]!.position === WAITERS)!;

    // Lets claims in and out until so many are left.
    let left = WAITERS;
    let goal = WAITERS;
    let release = () => holder.release(held.claimId);
    let reached = Promise.withResolvers<void>();
    for (const { session, claim } of queue)
      void claim.granted.then(async () => {
        release = () => session.release(claim.id);
        if (--left > goal) return release();
        reached.resolve();
      });
    const drainTo = async (count: number) => {
      goal = count;
      reached = Promise.withResolvers();
      await release();
      await reached.promise;
    };

    for (let position = WAITERS / 2; position >= 10; position = Math.floor(position / 2)) {
      await drainTo(position);
      // At most once a second: real time has to pass.
      await eventually(() => last.claim.places.at(-1)!.position, position);
    }
    await drainTo(0);
    await release();

    const tokens = await byToken(queue);
    expect(tokens).toEqual([...tokens].sort((a, b) => Number(a - b)));
    for (const { claim } of queue) {
      const positions = claim.places.map(({ position }) => position);
      const tooSoon = positions.some((position, i) => position > 10 && position * 2 > (positions[i - 1] ?? Infinity));
      expect(tooSoon).toBe(false);
      expect(positions.length).toBeLessThanOrEqual(Math.ceil(Math.log2(WAITERS)) + 10);
    }
  });
});
