import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type Client, connect, type HeldLock } from "../../clients/typescript/src/index.ts";
import { within } from "../support/calm.ts";
import { ClientProcess } from "../support/client-process.ts";
import { eventually } from "../support/eventually.ts";
import { GuardedRegister } from "../support/guarded-register.ts";
import { monotonicMs } from "../support/monotonic.ts";
import { startRelay } from "../support/relay.ts";
import { startServer } from "../support/server.ts";
import { getLock, useService } from "../support/service.ts";
import { StubSession, stubOf } from "../support/stub-session.ts";

const service = useService({ servers: 2 });

/** A further server on the same etcd, to be killed or stopped. */
const another = (flags: readonly string[] = []) => startServer({ etcd: service().etcd.endpoint, flags });

/** Clients of the same servers, each with a session of its own. */
function clientsOf(
  count: number,
  addresses: readonly string[],
): AsyncDisposable & { readonly list: readonly Client[] } {
  const list = Array.from({ length: count }, () => connect(addresses, { ttlMs: 15_000 }));
  return {
    list,
    async [Symbol.asyncDispose]() {
      await Promise.all(list.map((client) => client.close()));
    },
  };
}

/** How much later than the victim's deadline the next holder may be let in (P4), from its last heartbeat. */
const freeWithinMs = (ttlMs: number) => ttlMs * 1.01 + 1000;

/** How much longer a machine that does other things may take for what has a promised time. */
const BUSY_MS = within(0, 10_000);

describe("ends of sessions", { timeout: 300_000 }, () => {
  for (const end of ["close", "halfClose", "cancel"] as const)
    it(`C1 ${end} frees all claims in one revision, at once`, async () => {
      await using sessions = await service().sessionsAt([0, 1], { ttlMs: 60_000 });
      const [leaver, next] = sessions.list;
      const names = Array.from({ length: 50 }, (_, i) => `c1/${end}/${i}`);
      await Promise.all(names.map((name) => leaver.take(name)));
      const claims = names.map((name) => next.acquire(name));
      await Promise.all(claims.map((claim) => claim.waits()));
      const startedMs = monotonicMs();
      void leaver[end]();
      const grants = await Promise.all(claims.map(({ granted }) => granted));
      expect(monotonicMs() - startedMs).toBeLessThan(within(2000, 20_000));
      // Events of one revision share a frame.
      expect(new Set(grants.map(({ atMs }) => atMs)).size).toBe(1);
    });

  it("C2 kill -9 of a client with RELEASE lets in the next within 100 ms", async () => {
    await using sessions = await service().sessionsAt([1]);
    const [next] = sessions.list;
    let quickestMs = Number.POSITIVE_INFINITY;
    // The machine may be busy with other tests: the quickest counts.
    for (let round = 0; round < 10 && quickestMs >= 100; round++) {
      const options = { onDisconnect: "release" } as const;
      await using holder = new ClientProcess({ addresses: [service().address()], lock: "c2/release", options });
      await holder.holds();
      const claim = next.acquire("c2/release");
      await claim.waits();
      const killedMs = monotonicMs();
      await holder.kill9();
      quickestMs = Math.min(quickestMs, (await claim.granted).atMs - killedMs);
      await next.release(claim.id);
    }
    expect(quickestMs).toBeLessThan(within(100, 500));
  });

  it("C8 the TTL is bounded, the one granted is returned, and heartbeats are wanted each third of it", async () => {
    const openedWith = async (ttlMs: number) => {
      await using session = await StubSession.open(service().address(), { ttlMs, keep: true });
      const { ttl, validFor, heartbeatInterval } = session.opened!;
      expect(validFor).toEqual(ttl);
      expect(Number(heartbeatInterval!.seconds) * 1000 + heartbeatInterval!.nanos / 1e6).toBeCloseTo(
        Math.floor((Number(ttl!.seconds) * 1000) / 3),
      );
      return Number(ttl!.seconds);
    };
    expect(await Promise.all([0, 500, 2000, 2100, 600_000].map(openedWith))).toEqual([15, 2, 2, 3, 600]);
    await expect(openedWith(600_001)).rejects.toMatchObject({ reason: "invalid" });
  });

  it("C9 10,000 sessions open and close, and leave no lease and no key", async () => {
    // What the tests before have left to be revoked is not to be counted.
    await service().becomesEmpty();
    const stubs = [0, 1].map((server) => stubOf(service().address(server)));
    let opened = 0;
    const openAndClose = async (worker: number) => {
      for (; opened < 10_000; ) {
        opened++;
        const session = await StubSession.open("", { ttlMs: 10_000, stub: stubs[worker % 2]! });
        await session.take(`c9/${worker}`);
        expect((await session.close()).code).toBe(0);
      }
    };
    await Promise.all(Array.from({ length: 200 }, (_, worker) => openAndClose(worker)));
    for (const stub of stubs) stub.close();
    // Leases are revoked at a bounded rate, or run out.
    await service().becomesEmpty(90_000);
  });
});

describe("resuming", () => {
  it("C7 a resume with a wrong or missing secret is refused, and changes nothing", async () => {
    await using session = await StubSession.open(service().address(), { keep: true });
    const { claimId } = await session.take("c7/secret");
    const { sessionId, secret } = session.resumption(1n);
    for (const wrong of ["", "no", `${secret}x`, secret.slice(1)])
      for (const server of [0, 1]) {
        const resume = { sessionId, secret: wrong, attempt: 9n };
        await expect(StubSession.open(service().address(server), { resume })).rejects.toMatchObject({
          reason: wrong === "" ? "invalid" : "not-permitted",
        });
      }
    const resume = { sessionId: "x".repeat(22), secret, attempt: 1n };
    await expect(StubSession.open(service().address(1), { resume })).rejects.toMatchObject({
      reason: "session-expired",
    });
    await session.acked(session.beat());
    await session.release(claimId);
  });

  it("C7 a session without KEEP cannot be resumed", async () => {
    await using session = await StubSession.open(service().address());
    expect(session.opened!.resumeSecret).toBe("");
    const resume = { ...session.resumption(1n), secret: "guessed" };
    await expect(StubSession.open(service().address(1), { resume })).rejects.toMatchObject({ reason: "not-permitted" });
    await session.take("c7/release");
  });

  it("C7 the largest attempt wins, and a delayed older one steals nothing", async () => {
    const first = await StubSession.open(service().address(), { keep: true });
    const { token } = await first.take("c7/attempt");
    const resumed = await StubSession.open(service().address(1), { keep: true, resume: first.resumption(5n) });
    await using _ = resumed;
    expect((await first.ended).reason).toBe("superseded");
    expect(resumed.opened!.claims).toMatchObject([{ claimId: 1n, locks: [{ fencingToken: token }] }]);
    for (const attempt of [1n, 4n, 5n])
      for (const server of [0, 1]) {
        const resume = first.resumption(attempt);
        await expect(StubSession.open(service().address(server), { keep: true, resume })).rejects.toMatchObject({
          reason: "superseded",
        });
      }
    await resumed.acked(resumed.beat());
    expect((await service().getLock("c7/attempt")).holders).toMatchObject([{ sessionId: first.id }]);
    await resumed.release(1n);
  });

  it("C7 of many resumes at once exactly one has the session in the end", async () => {
    const first = await StubSession.open(service().address(), { keep: true });
    await first.take("c7/many");
    const attempts = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) =>
        StubSession.open(service().address(i % 2), { keep: true, resume: first.resumption(BigInt(i + 1)) }),
      ),
    );
    for (const attempt of attempts)
      if (attempt.status === "rejected") expect(["superseded", "store-unavailable"]).toContain(attempt.reason.reason);
    const last = await StubSession.open(service().address(), { keep: true, resume: first.resumption(20n) });
    await using _ = last;
    for (const attempt of attempts)
      if (attempt.status === "fulfilled") expect((await attempt.value.ended).reason).toBe("superseded");
    await last.acked(last.beat());
    expect((await service().getLock("c7/many", 1)).holders).toMatchObject([{ sessionId: first.id }]);
  });
});

// Real time has to pass here, so they wait together.
describe.concurrent("clients and servers that cannot go on", { timeout: 180_000 }, () => {
  it("C2 kill -9 of a client with KEEP lets in the next after the victim's deadline, and soon", async () => {
    const ttlMs = 6000;
    await using sessions = await service().sessionsAt([1]);
    const [next] = sessions.list;
    await using holder = new ClientProcess({ addresses: [service().address()], lock: "c2/keep", options: { ttlMs } });
    await holder.holds();
    const claim = next.acquire("c2/keep");
    await claim.waits();
    await holder.told("looked");
    const killedMs = monotonicMs();
    await holder.kill9();
    const { atMs } = await claim.granted;
    expect(atMs).toBeGreaterThan(holder.deadlineMs);
    expect(holder.deadlineMs).toBeGreaterThan(killedMs);
    expect(atMs).toBeLessThan(killedMs + freeWithinMs(ttlMs) + BUSY_MS);
  });

  it("C8 a client's lease is renewed each third of the TTL", async () => {
    await using server = await another();
    const ttlMs = 6000;
    await using client = connect(server.grpcAddress, { ttlMs });
    await client.ready();
    const renewals = async () => {
      const metrics = await (await fetch(`http://${server.httpAddress}/metrics`)).text();
      return Number(/^holdfast_lease_renewals_total\{outcome="renewed"\} (\d+)/m.exec(metrics)?.[1] ?? 0);
    };
    // Real time, since it is the client's own. A busy machine is late with some: what lies between most of them counts.
    const gapsMs: number[] = [];
    for (let seen = await renewals(), seenAtMs = monotonicMs(); gapsMs.length < 8; await delay(20)) {
      const now = await renewals();
      if (now === seen) continue;
      gapsMs.push((monotonicMs() - seenAtMs) / (now - seen));
      [seen, seenAtMs] = [now, monotonicMs()];
    }
    // The first gap began anywhere.
    const medianMs = gapsMs.slice(1).toSorted((a, b) => a - b)[3]!;
    expect(medianMs).toBeGreaterThan((ttlMs / 3) * 0.85);
    expect(medianMs).toBeLessThan((ttlMs / 3) * 1.2);
  });

  it("C3 a client that was stopped for 2 x TTL first sees its loss, and its late write is refused", async () => {
    const ttlMs = 5000;
    const register = new GuardedRegister();
    await using sessions = await service().sessionsAt([1]);
    const [next] = sessions.list;
    await using holder = new ClientProcess({ addresses: [service().address()], lock: "c3", options: { ttlMs } });
    const oldToken = await holder.holds();
    expect(register.write(oldToken, "in time")).toBe(true);
    const claim = next.acquire("c3");
    await claim.waits();

    holder.pause();
    holder.order({ kind: "write" });
    const stoppedMs = monotonicMs();
    const { token } = await claim.granted;
    expect(register.write(token, "of the next holder")).toBe(true);
    await delay(stoppedMs + 2 * ttlMs - monotonicMs());
    const resumedMs = monotonicMs();
    holder.resume();

    expect(BigInt((await holder.told("writes")).token)).toBe(oldToken);
    expect(register.write(oldToken, "too late")).toBe(false);
    expect((await holder.told("lost")).reason).toBe("session-expired");
    const looked = await holder.news.first((news) =>
      news.kind === "looked" && news.atMs > resumedMs ? news : undefined,
    );
    expect(looked.held).toBe(false);
    expect(register.written.map(({ value }) => value)).toEqual(["in time", "of the next holder"]);
  });

  it("C4 a holder that is cut off stops at its deadline, the next is granted after it and keeps the lock", async () => {
    const ttlMs = 6000;
    // It tells of no other server, or the client would go on there.
    await using server = await another(["--advertise-address", "none"]);
    await using relay = await startRelay(server.grpcAddress);
    const client = connect(relay.endpoint, { ttlMs, closeTimeoutMs: 100 });
    await using _ = client;
    const lock = await client.acquire("c4");
    await using sessions = await service().sessionsAt([1]);
    const [next] = sessions.list;
    const claim = next.acquire("c4");
    await claim.waits();
    const lost = new Promise<number>((resolve) => {
      lock.signal.addEventListener("abort", () => resolve(monotonicMs()));
    });
    relay.blackHole();
    const cutMs = monotonicMs();
    const leftMs = lock.remainingMs;
    // A busy machine may tell of the loss after the grant; whether it is held is right at any time.
    const heldThen = claim.granted.then(() => lock.held);
    const [lostMs, { atMs }] = await Promise.all([lost, claim.granted]);
    expect(await heldThen).toBe(false);
    expect(atMs).toBeGreaterThan(cutMs + leftMs);
    expect(lostMs).toBeGreaterThanOrEqual(cutMs + leftMs - 1);
    expect(atMs - cutMs).toBeLessThan(freeWithinMs(ttlMs) + BUSY_MS);
    expect(lock.loss?.reason).toBe("session-expired");

    // What was sent meanwhile arrives now: it brings back nothing.
    relay.mend();
    const again = client.acquire("c4");
    await eventually(async () => (await service().getLock("c4")).waiterCount, 1);
    expect((await service().getLock("c4")).holders[0]!.sessionId).toBe(next.id);
    await next.release(claim.id);
    expect((await again).token).toBeGreaterThan(lock.token);
    expect(lock.held).toBe(false);
  });

  // One at a time: of what a server sends together all is refused if one thing is.
  for (const [what, act] of [
    ["acquires", (old: StubSession, lock: string) => void old.acquire(`${lock}/ghost`)],
    ["updates", (old: StubSession) => old.send({ $case: "update", value: { claimId: 1n, value: Buffer.from("old") } })],
    ["time-outs", (old: StubSession, lock: string) => void old.acquire(`${lock}/other`, { again: 2n, waitMs: 1 })],
  ] as const)
    it(`C7 a paused server that wakes with old ${what} in its buffers changes nothing`, async () => {
      const ttlMs = 6000;
      const lock = `c7/${what}`;
      await using relay = await startRelay(service().etcd.endpoint);
      await using paused = await startServer({ etcd: relay.endpoint });
      const old = await StubSession.open(paused.grpcAddress, { ttlMs, keep: true });
      const { token } = await old.take(lock);
      await using rival = await StubSession.open(service().address(), { ttlMs: 60_000 });
      const other = await rival.take(`${lock}/other`);
      await old.acquire(`${lock}/other`).waits();

      // From here on it hears nothing of etcd, and etcd hears it.
      relay.dropReplies();
      paused.pause();
      act(old, lock);
      old.beat();
      old.stopBeating();
      const resume = old.resumption(1n);
      await using resumed = await StubSession.open(service().address(), { ttlMs, keep: true, resume });
      expect(resumed.opened!.claims.map(({ claimId }) => claimId)).toEqual([1n, 2n]);
      const waiting = resumed.acquire(`${lock}/other`, { again: 2n });
      await waiting.waits();
      // The deadline that it would have judged passes; real time, since it is its own.
      await delay(freeWithinMs(ttlMs));
      paused.resume();
      // It acts on the old frames and on the deadline; no answer tells when etcd has refused it.
      await delay(1000);

      const look = async (address: string) => {
        const stub = stubOf(address);
        const names = [`${lock}/ghost`, lock, `${lock}/other`];
        const [ghost, held, contended] = await Promise.all(names.map((name) => getLock(stub, name)));
        stub.close();
        expect([ghost!.holderCount, ghost!.waiterCount]).toEqual([0, 0]);
        expect(held!.holders.map(({ fencingToken, value }) => [fencingToken, value.toString()])).toEqual([[token, ""]]);
        expect(contended!.waiters.map(({ sessionId }) => sessionId)).toEqual([old.id]);
      };
      await look(service().address());
      relay.mend();
      expect((await old.ended).reason).toBe("superseded");
      await paused.untilReadiness(/^serving$/);
      await look(paused.grpcAddress);
      await rival.release(other.claimId);
      await waiting.granted;
      await resumed.acked(resumed.beat());
    });

  it("C5 clients of a server that is killed go on at another, with their claims, places and tokens", async () => {
    await using dying = await another();
    await using clients = clientsOf(6, [dying.grpcAddress, service().address()]);
    const [holder, ...waiting] = clients.list;
    const held = await holder!.acquire("c5");
    const grants: number[] = [];
    const sessionsThen: (string | undefined)[] = [];
    const queue = [];
    for (const [i, client] of waiting.entries()) {
      const inQueue = Promise.withResolvers<unknown>();
      const use = async (lock: HeldLock) => {
        grants.push(i);
        // Now: once it holds nothing, a session is not carried on from a server that goes, and those of other tests do.
        sessionsThen.push(client.sessionId);
        expect(await lock.release()).toBe("released");
        return lock.token;
      };
      queue.push(client.acquire("c5", { onWaiting: inQueue.resolve }).then(use));
      await inQueue.promise;
    }
    const sessions = clients.list.map(({ sessionId }) => sessionId);
    await dying.kill9();

    const { holders, waiters } = await service().getLock("c5");
    expect([...holders, ...waiters].map(({ sessionId }) => sessionId)).toEqual(sessions);
    expect(holders[0]!.fencingToken).toBe(held.token);
    // Those that were at the other server can go on only by their resumes.
    sessionsThen.push(holder!.sessionId);
    expect(await held.release()).toBe("released");
    const tokens = await Promise.all(queue);
    expect(grants).toEqual([0, 1, 2, 3, 4]);
    expect(tokens).toEqual([...tokens].sort((a, b) => Number(a - b)));
    expect(sessionsThen).toEqual(sessions);
  });

  it("C6 clients of a server that is drained under load see no error and lose no claim", async () => {
    await using drained = await another();
    await using clients = clientsOf(4, [drained.grpcAddress, service().address()]);
    const held = await Promise.all(clients.list.map((client, i) => client.acquire(`c6/held/${i}`)));
    const sessions = clients.list.map(({ sessionId }) => sessionId);
    let rounds = 0;
    let stop = false;
    const work = async (client: Client) => {
      while (!stop) {
        await client.withLock("c6/load", () => {
          rounds++;
        });
      }
    };
    const works = Promise.all(clients.list.map(work));
    await Promise.race([works, eventually(() => rounds > 100, true, 60_000)]);
    expect(await drained.stop()).toBe(0);
    const atExit = rounds;
    await Promise.race([works, eventually(() => rounds > atExit + 100, true, 60_000)]);
    stop = true;
    await works;
    expect(held.map((lock) => lock.held)).toEqual([true, true, true, true]);
    expect(clients.list.map(({ sessionId }) => sessionId)).toEqual(sessions);
  });
});
