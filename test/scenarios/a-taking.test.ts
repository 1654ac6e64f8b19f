import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { connect, type HoldfastError } from "../../clients/typescript/src/index.ts";
import { within } from "../support/calm.ts";
import { ClientProcess } from "../support/client-process.ts";
import { eventually } from "../support/eventually.ts";
import { monotonicMs } from "../support/monotonic.ts";
import { Service, useService } from "../support/service.ts";
import { StubSession } from "../support/stub-session.ts";

const service = useService({ servers: 2 });

const lockNow = (name: string) => service().getLock(name);

const countTimers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;

describe("taking and giving back", { timeout: 180_000 }, () => {
  it("A1 an acquire gives a token, and a release lets the next waiter in within one commit", async () => {
    await using sessions = await service().sessionsAt([0, 0]);
    const [holder, waiter] = sessions.list;
    const first = await holder.take("a1");
    const second = waiter.acquire("a1");
    expect((await second.waits()).position).toBe(1);
    const before = await service().etcd.revision();
    await holder.release(first.claimId);
    const { token } = await second.granted;
    expect(token).toBeGreaterThan(first.token);
    expect(await service().etcd.writesSince(before)).toBe(1);
  });

  it("A2 of two who race for a free lock exactly one is granted, 10,000 times, at one server and at two", async () => {
    const races = async (servers: [number, number], prefix: string) => {
      await using sessions = await service().sessionsAt(servers);
      await Promise.all(Array.from({ length: 100 }, (_, lock) => race(sessions.list, `a2/${prefix}/${lock}`, 50)));
    };
    const race = async (rivals: readonly StubSession[], lock: string, rounds: number) => {
      let largest = 0n;
      for (let round = 0; round < rounds; round++) {
        const claims = rivals.map((rival) => ({ rival, claim: rival.acquire(lock, { waitMs: 0 }) }));
        const outcomes = await Promise.allSettled(claims.map(({ claim }) => claim.granted));
        const winners = claims.filter((_, i) => outcomes[i]!.status === "fulfilled");
        expect(winners).toHaveLength(1);
        const { rival, claim } = winners[0]!;
        const loser = claims.find((each) => each.rival !== rival)!;
        expect((await loser.claim.refused()).reason).toBe("busy");
        const { token } = await claim.granted;
        expect(token).toBeGreaterThan(largest);
        largest = token;
        await rival.release(claim.id);
      }
    };
    await Promise.all([races([0, 0], "one"), races([0, 1], "two")]);
  });

  it("A3 a try on a held lock is denied at once with its holder, and 1,000 of them leave nothing behind", async () => {
    await service().becomesEmpty();
    await using holder = await StubSession.open(service().address(), { name: "the holder" });
    await using client = connect(service().address(1));
    await client.ready();
    const before = Date.now();
    const { token } = await holder.take("a3", { purpose: "inventory" });
    const left = async () => [await service().etcd.countKeys(), await service().etcd.countLeases()];
    const atFirst = await left();
    const timersAtFirst = countTimers();

    const startedMs = performance.now();
    const error = await client.acquire("a3", { waitMs: 0 }).catch((thrown: HoldfastError) => thrown);
    expect(performance.now() - startedMs).toBeLessThan(within(1000, 10_000));
    expect(error).toMatchObject({ reason: "busy", lock: "a3", holderCount: 1 });
    const [shown] = (error as HoldfastError).holders;
    expect(shown).toMatchObject({ token, purpose: "inventory", client: { name: "the holder" } });
    expect(shown!.claimedAtMs).toBeGreaterThanOrEqual(before - 1);
    expect(shown!.grantedAtMs).toBeLessThanOrEqual(Date.now());

    const tries = await Promise.all(Array.from({ length: 1000 }, () => client.tryAcquire("a3")));
    expect(tries.every((lock) => lock === undefined)).toBe(true);
    expect(await left()).toEqual(atFirst);
    expect(countTimers()).toBeLessThanOrEqual(timersAtFirst + 1);
  });

  it("A4 a timed wait is denied at its limit, and its place is gone", async () => {
    await using sessions = await service().sessionsAt([0, 0, 0]);
    const [holder, impatient, patient] = sessions.list;
    const held = await holder.take("a4");
    const timed = async (waitMs: number) => {
      const sentAtMs = monotonicMs();
      const { reason } = await impatient.acquire("a4", { waitMs }).refused();
      return { reason, lateMs: monotonicMs() - sentAtMs - waitMs };
    };
    const denied = Promise.all(Array.from({ length: 11 }, (_, i) => timed(6_000 + 400 * i)));
    await eventually(async () => (await lockNow("a4")).waiterCount, 11);
    const last = patient.acquire("a4");
    expect((await last.waits()).position).toBe(12);
    const denials = await denied;
    expect(new Set(denials.map(({ reason }) => reason))).toEqual(new Set(["timeout"]));
    const lates = denials.map(({ lateMs }) => lateMs).sort((a, b) => a - b);
    expect(lates[0]).toBeGreaterThanOrEqual(0);
    // The machine may be busy with other tests: the quickest counts.
    expect(lates[0]).toBeLessThan(within(50, 500));
    expect(await lockNow("a4")).toMatchObject({ holderCount: 1, waiterCount: 1 });
    await holder.release(held.claimId);
    await last.granted;
  });

  it("A6 an aborted acquire leaves the queue, and a grant that crosses it is given back", async () => {
    await using sessions = await service().sessionsAt([0, 1]);
    const [holder, next] = sessions.list;
    await using client = connect(service().address());

    const held = await holder.take("a6");
    const abort = new AbortController();
    const cancelled = client.acquire("a6", { signal: abort.signal });
    cancelled.catch(() => undefined);
    await eventually(async () => (await lockNow("a6")).waiterCount, 1);
    const waiter = next.acquire("a6");
    expect((await waiter.waits()).position).toBe(2);
    abort.abort(new Error("not wanted any more"));
    await expect(cancelled).rejects.toMatchObject({ reason: "aborted", cause: { message: "not wanted any more" } });
    await holder.release(held.claimId);
    await waiter.granted;
    await next.release(waiter.id);

    // The grant is on its way when the wait is given up: whichever comes first, the next one gets the lock.
    for (let round = 0; round < 200; round++) {
      const before = await holder.take("a6");
      const crossing = new AbortController();
      const given = client.acquire("a6", {
        signal: crossing.signal,
        onWaiting: () => {
          void holder.release(before.claimId);
          setTimeout(() => crossing.abort(), round % 4);
        },
      });
      await given.then(
        (lock) => lock.release(),
        ({ reason }: HoldfastError) => expect(reason).toBe("aborted"),
      );
      const after = await next.take("a6");
      expect(after.token).toBeGreaterThan(before.token);
      await next.release(after.claimId);
    }
  });

  it("A7 a release of what is not one's own changes nothing, and a second one is harmless", async () => {
    await using sessions = await service().sessionsAt([0, 0, 1]);
    const [holder, ...others] = sessions.list;
    const { claimId, token } = await holder.take("a7");
    for (const other of others) {
      await other.release(claimId);
      await other.release(claimId + 1n);
    }
    expect((await lockNow("a7")).holders).toMatchObject([{ sessionId: holder.id, claimId, fencingToken: token }]);
    await holder.release(claimId);
    await holder.release(claimId);

    const client = connect(service().address(), { closeTimeoutMs: 20_000 });
    const lock = await client.acquire("a7");
    expect(await Promise.all([lock.release(), lock.release()])).toEqual(["released", "released"]);
    const kept = await client.acquire("a7");
    await client.close();
    expect([await lock.release(), await kept.release(), kept.loss?.reason]).toEqual([
      "released",
      "lost",
      "closed-by-client",
    ]);
    expect((await lockNow("a7")).holderCount).toBe(0);
  });

  it("A8 names that only resemble each other are different locks", async () => {
    const names = ["a", "a/b", "a/b/c", "ab", "A", " a", "a ", "a b", 'a"b', "a'b", "a\\b", "%61", "a%2Fb", "a%2fb"];
    names.push(
      ".a",
      "..",
      "a/..",
      "a/.",
      "*",
      "a*",
      "é",
      "e\u0301",
      "ß",
      "ss",
      "鎖",
      "🔒",
      "🔒/🔑",
      "\u202ea",
      "\ufeffa",
    );
    await using sessions = await service().sessionsAt([0, 1]);
    const [holder, rival] = sessions.list;
    const held = await Promise.all(names.map((name) => holder.take(name, { waitMs: 0 })));
    const refusals = await Promise.all(names.map((name) => rival.acquire(name, { waitMs: 0 }).refused()));
    expect(refusals.map(({ denied }) => denied!.lock)).toEqual(names);
    expect(refusals.map(({ denied }) => denied!.holders[0]!.fencingToken)).toEqual(held.map(({ token }) => token));
    // Each is given back alone.
    for (const [i, name] of names.entries()) {
      await holder.release(held[i]!.claimId);
      const taken = await rival.take(name, { waitMs: 0 });
      for (const other of names.slice(i + 1)) expect((await lockNow(other)).holderCount).toBe(1);
      await rival.release(taken.claimId);
    }
  });

  it("A9 locks taken and given back 10,000 times leave no key, lease or timer behind", async () => {
    await service().becomesEmpty();
    await using client = connect(service().address());
    await client.ready();
    const keys = await service().etcd.countKeys();
    const leases = await service().etcd.countLeases();
    const timersAtFirst = countTimers();
    const cycle = async (name: string) => {
      for (let round = 0, largest = 0n; round < 1000; round++) {
        const lock = await client.acquire(name);
        if (lock.token <= largest) throw new Error(`token ${lock.token} after ${largest}`);
        largest = lock.token;
        // The next acquire follows at once, in the same frame.
        void lock.release();
      }
      await (await client.acquire(name)).release();
    };
    await Promise.all(Array.from({ length: 10 }, (_, i) => cycle(`a9/${i}`)));
    expect(await service().etcd.countKeys()).toBe(keys);
    expect(await service().etcd.countLeases()).toBe(leases);
    expect(countTimers()).toBeLessThanOrEqual(timersAtFirst + 1);
  });
});

// Real time has to pass here, so they wait together.
describe.concurrent("taking and giving back, over time", { timeout: 180_000 }, () => {
  it("A5 a waiter waits for 10 x TTL and keeps its place", async () => {
    const options = { ttlMs: 6000, keep: true };
    await using sessions = await service().sessionsAt([0, 0, 1], options);
    const [holder, waiter, later] = sessions.list;
    const held = await holder.take("a5");
    const first = waiter.acquire("a5");
    await first.waits();
    const second = later.acquire("a5");
    await second.waits();
    await delay(60_000);
    expect((await lockNow("a5")).waiters.map(({ sessionId }) => sessionId)).toEqual([waiter.id, later.id]);
    expect([first.isGranted, second.isGranted]).toEqual([false, false]);
    await holder.release(held.claimId);
    await first.granted;
    expect(second.isGranted).toBe(false);
    await waiter.release(first.id);
    await second.granted;
  });

  it("A10 a holder whose event loop is blocked for 5/3 of the TTL knows of the loss before the next is granted", async () => {
    const task = { addresses: [service().address()], lock: "a10", options: { ttlMs: 6000 } };
    await using holder = new ClientProcess(task);
    await holder.holds();
    await using next = await StubSession.open(service().address(1), { ttlMs: 60_000 });
    const claim = next.acquire("a10");
    await claim.waits();
    holder.order({ kind: "block", forMs: 10_000 });
    const { atMs } = await claim.granted;
    const { lastHeldMs } = await holder.told("unblocked");
    expect(lastHeldMs).toBeLessThan(atMs);
    expect((await holder.told("lost")).reason).toBe("session-expired");
  });

  it("A11 with the store down an acquire fails with a typed error, and the critical section is not entered", async () => {
    await using lonely = await Service.start();
    await using client = connect(lonely.address(), { ttlMs: 9000, connectTimeoutMs: 10_000 });
    await client.ready();
    await lonely.etcd.kill9();
    let entered = false;
    const enter = () => {
      entered = true;
    };
    const refusals = await Promise.all(
      [{}, { waitMs: 0 }, { waitMs: 20_000 }].map((options) =>
        client.withLock("a11", options, enter).catch((error: HoldfastError) => error.reason),
      ),
    );
    expect(refusals).toEqual(["store-unavailable", "store-unavailable", "store-unavailable"]);
    expect(entered).toBe(false);
    await lonely.etcd.start();
    await lonely.servers[0]!.untilReadiness(/^serving$/);
    await client.withLock("a11", enter);
    expect(entered).toBe(true);
  });
});
