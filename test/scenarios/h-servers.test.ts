import { credentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { LockServiceClient } from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";
import { type Client, connect, type HeldLock } from "../../clients/typescript/src/index.ts";
import { Admin } from "../support/admin.ts";
import { Balancer } from "../support/balancer.ts";
import { within } from "../support/calm.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { GrpcProxy } from "../support/grpc-proxy.ts";
import { GuardedRegister } from "../support/guarded-register.ts";
import { monotonicMs } from "../support/monotonic.ts";
import { Random } from "../support/random.ts";
import { startRelay } from "../support/relay.ts";
import { type ServerProcess, startServer } from "../support/server.ts";
import { getLock, leaveNoProcess } from "../support/service.ts";
import { Refused, StubSession, stubOf } from "../support/stub-session.ts";

leaveNoProcess();

/** For clients that are to lose nothing, however busy the machine is. */
const PATIENT = { ttlMs: 30_000, callTimeoutMs: 20_000 };

/** A service of its own for a test: servers come and go. */
class Fleet implements AsyncDisposable {
  readonly etcd: TestEtcd;
  readonly servers: ServerProcess[] = [];
  readonly #parts = new AsyncDisposableStack();
  readonly #flags: readonly string[];

  private constructor(etcd: TestEtcd, flags: readonly string[]) {
    this.etcd = etcd;
    this.#flags = flags;
  }

  static async start(servers: number, flags: readonly string[] = []): Promise<Fleet> {
    const etcd = await startEtcd();
    const fleet = new Fleet(etcd, flags);
    fleet.#parts.use(etcd);
    try {
      await Promise.all(Array.from({ length: servers }, () => fleet.add()));
      await eventually(async () => (await etcd.serverKeys()).length, servers);
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts one more, on a port that nobody knows of unless one is named. */
  async add({ etcd = this.etcd.endpoint, grpcAddress = "127.0.0.1:0" } = {}): Promise<ServerProcess> {
    const flags = ["--grpc-address", grpcAddress, ...this.#flags];
    const server = this.#parts.use(await startServer({ etcd, flags }));
    this.servers.push(server);
    return server;
  }

  /** It will not be there any more. */
  forget(server: ServerProcess): void {
    this.servers.splice(this.servers.indexOf(server), 1);
  }

  get addresses(): readonly string[] {
    return this.servers.map(({ grpcAddress }) => grpcAddress);
  }

  async lock(name: string, address = this.addresses[0]!) {
    const stub = stubOf(address);
    try {
      return await getLock(stub, name);
    } finally {
      stub.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#parts.disposeAsync();
  }
}

async function closing<Result>(clients: readonly Client[], work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}

/** Clients that work under locks without end, and remember everything that goes wrong. */
class Load {
  readonly problems: string[] = [];
  rounds = 0;
  readonly #registers = new Map<string, GuardedRegister>();
  readonly #inside = new Set<string>();
  readonly #work: Promise<unknown>;
  #isOver = false;

  constructor(clients: readonly Client[], locks: readonly string[]) {
    for (const lock of locks) this.#registers.set(lock, new GuardedRegister());
    this.#work = Promise.all(clients.flatMap((client) => locks.map((lock) => this.#loop(client, lock))));
  }

  async #loop(client: Client, name: string): Promise<void> {
    while (!this.#isOver) {
      try {
        await client.withLock(name, (lock) => this.#use(name, lock));
        if (this.rounds % 50 === 0) await client.getLock(name);
      } catch (error) {
        this.problems.push(`${name}: ${error}`);
      }
    }
  }

  async #use(name: string, lock: HeldLock): Promise<void> {
    if (this.#inside.has(name)) this.problems.push(`two are inside ${name}`);
    this.#inside.add(name);
    await new Promise(setImmediate);
    if (!this.#registers.get(name)!.write(lock.token, "")) this.problems.push(`${name} refused ${lock.token}`);
    this.#inside.delete(name);
    this.rounds++;
  }

  /** Resolves when so many rounds more have been done. */
  async goesOn(rounds = 100): Promise<void> {
    const enough = this.rounds + rounds;
    await eventually(() => this.rounds >= enough, true, 60_000);
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#work;
  }
}

describe.concurrent("several servers", { timeout: 240_000 }, () => {
  it("H2 C6 all servers are replaced one by one under load: nothing is lost, and no client sees an error", async () => {
    await using fleet = await Fleet.start(3);
    const originals = [...fleet.servers];
    // Each knows two servers, of which in the end none is left.
    const clients = Array.from({ length: 6 }, (_, i) =>
      connect([fleet.addresses[i % 3]!, fleet.addresses[(i + 1) % 3]!], PATIENT),
    );
    await closing(clients, async () => {
      const held = await Promise.all(clients.map((client, i) => client.acquire([`held/${i}`, `held/too/${i}`])));
      const tokens = held.map(({ locks }) => locks.map(({ token }) => token));
      const sessions = clients.map(({ sessionId }) => sessionId);
      const waiting = clients.map((client, i) => client.acquire(`held/${(i + 1) % clients.length}`));
      const load = new Load(clients, ["load/1", "load/2", "load/3"]);
      await load.goesOn();
      for (const server of originals) {
        await fleet.add();
        expect(await server.stop()).toBe(0);
        fleet.forget(server);
        await load.goesOn();
      }
      await load.end();
      expect(load.problems).toEqual([]);
      expect(held.map((lock) => lock.held)).toEqual(held.map(() => true));
      expect(held.map(({ locks }) => locks.map(({ token }) => token))).toEqual(tokens);
      expect(clients.map(({ sessionId }) => sessionId)).toEqual(sessions);
      for (const [i, lock] of held.entries()) {
        const { holders, waiters } = await fleet.lock(`held/${i}`);
        expect(holders).toMatchObject([{ sessionId: sessions[i], fencingToken: tokens[i]![0] }]);
        expect(waiters).toHaveLength(1);
        expect(await lock.release()).toBe("released");
      }
      for (const lock of await Promise.all(waiting)) await lock.release();
    });
    await eventually(async () => [await fleet.etcd.countKeys(), (await fleet.etcd.serverKeys()).length], [0, 3]);
  });

  it("C5 servers are killed under load, time and again: claims, places and tokens are unchanged, and work goes on", async () => {
    await using fleet = await Fleet.start(3);
    // Each knows one server, and is told of the others.
    const clients = fleet.addresses.map((address) => connect(address, PATIENT));
    await closing(clients, async () => {
      const held = await Promise.all(clients.map((client, i) => client.acquire(`held/${i}`)));
      const sessions = clients.map(({ sessionId }) => sessionId);
      const waiting = clients.map((client, i) => client.acquire(`held/${(i + 1) % clients.length}`));
      for (const i of clients.keys()) await eventually(async () => (await fleet.lock(`held/${i}`)).waiterCount, 1);
      const load = new Load(clients, ["load/1", "load/2"]);
      await load.goesOn();
      const stallsMs: number[] = [];
      for (let kill = 0; kill < 6; kill++) {
        const server = fleet.servers[0]!;
        const killedMs = monotonicMs();
        await server.kill9();
        fleet.forget(server);
        await load.goesOn(2 * clients.length);
        stallsMs.push(monotonicMs() - killedMs);
        await fleet.add({ grpcAddress: server.grpcAddress });
      }
      await load.end();
      expect(load.problems).toEqual([]);
      for (const [i, lock] of held.entries()) {
        const { holders, waiters } = await fleet.lock(`held/${i}`);
        expect(holders).toMatchObject([{ sessionId: sessions[i], fencingToken: lock.token }]);
        expect(waiters).toMatchObject([{ sessionId: sessions[(i + sessions.length - 1) % sessions.length] }]);
        expect(await lock.release()).toBe("released");
      }
      for (const lock of await Promise.all(waiting)) await lock.release();
      // Resumed within 2 s where the machine is not busy with other things.
      expect(Math.max(...stallsMs)).toBeLessThan(within(10_000, 60_000));
    });
  });

  it("B1 100 waiters through 3 servers are granted in the order of their commits, with cancels and kills", async () => {
    const seed = Date.now() % 1_000_000;
    const random = new Random(seed);
    await using fleet = await Fleet.start(3);
    const clients = Array.from({ length: 12 }, (_, i) => connect(fleet.addresses[i % 3]!, PATIENT));
    await using holder = await StubSession.open(fleet.addresses[1]!, { ttlMs: 60_000 });
    const { claimId } = await holder.take("b1");
    await closing(clients, async () => {
      const granted: string[] = [];
      const cancels = new Map<string, AbortController>();
      const queue = Array.from({ length: 100 }, async (_, i) => {
        const purpose = `waiter ${i}`;
        const cancel = new AbortController();
        cancels.set(purpose, cancel);
        try {
          const lock = await clients[i % clients.length]!.acquire("b1", { purpose, signal: cancel.signal });
          granted.push(purpose);
          expect(await lock.release()).toBe("released");
        } catch (error) {
          expect(error).toMatchObject({ reason: "aborted" });
        }
      });
      const committed = async () => (await fleet.lock("b1", fleet.addresses[1])).waiters.map(({ purpose }) => purpose);
      await eventually(async () => (await committed()).length, 100);
      const order = await committed();
      const cancelled = new Set(order.filter(() => random.happens(0.2)));
      for (const purpose of cancelled) cancels.get(purpose)!.abort();
      await fleet.servers[0]!.kill9();
      await eventually(async () => (await committed()).length, 100 - cancelled.size);
      await holder.release(claimId);
      await Promise.all(queue);
      expect(granted, `seed ${seed}`).toEqual(order.filter((purpose) => !cancelled.has(purpose)));
    });
  });

  it("C5 one channel of bare stubs over all servers is enough to resume, and to go on looking", async () => {
    await using fleet = await Fleet.start(3);
    const dying = fleet.servers[0]!;
    const all = new LockServiceClient(`ipv4:${fleet.addresses.join(",")}`, credentials.createInsecure(), {
      "grpc.service_config": '{"loadBalancingConfig": [{"round_robin": {}}]}',
    });
    await using first = await StubSession.open(dying.grpcAddress, { ttlMs: 60_000, keep: true });
    const { claimId, token } = await first.take("by stubs");
    await dying.kill9();
    fleet.forget(dying);
    await first.ended;
    // A call may meet the one that is gone until the channel has noticed.
    let attempt = 0n;
    const resume = () => StubSession.open("", { keep: true, resume: first.resumption(++attempt), stub: all });
    await using resumed = await resume().catch(() => resume());
    expect(resumed.opened!.claims).toMatchObject([{ claimId, locks: [{ fencingToken: token }] }]);
    for (let i = 0; i < 6; i++) expect((await getLock(all, "by stubs")).holders).toHaveLength(1);
    await resumed.release(claimId);
    all.close();
  });

  it("D3 a server that is cut off from etcd says so, and its clients go to another in time, which they were told of", async () => {
    await using fleet = await Fleet.start(1);
    await using relay = await startRelay(fleet.etcd.endpoint);
    const cutOff = await fleet.add({ etcd: relay.endpoint });
    await eventually(async () => (await fleet.etcd.serverKeys()).length, 2);
    const clients = [1, 2, 3].map(() => connect(cutOff.grpcAddress, { ttlMs: 40_000 }));
    await closing(clients, async () => {
      const held = await Promise.all(clients.map((client, i) => client.acquire(`d3/${i}`)));
      const sessions = clients.map(({ sessionId }) => sessionId);
      relay.blackHole();
      expect(await cutOff.untilReadiness(/^the store/)).toMatch(/has not (answered|committed)/);
      // Who comes anew is served too, from the other server, as soon as this one has said no.
      await using late = connect([cutOff.grpcAddress, fleet.addresses[0]!]);
      const lock = await late.acquire("d3/late");
      await lock.release();
      using there = new Admin(fleet.addresses[0]!);
      const { serverId } = await there.getStatus();
      const served = async () => {
        const list = (await there.listSessions()).sessions.filter((each) => sessions.includes(each.sessionId));
        return list.map((each) => each.serverId);
      };
      await eventually(served, [serverId, serverId, serverId], 60_000);
      expect(held.map((each) => each.held)).toEqual([true, true, true]);
      relay.mend();
      await cutOff.untilReadiness(/^serving$/);
      for (const each of held) expect(await each.release()).toBe("released");
      expect(clients.map(({ sessionId }) => sessionId)).toEqual(sessions);
    });
  });

  it("D3 clients are left alone when no server has a store, and go on where they are when it is back", async () => {
    await using fleet = await Fleet.start(0);
    await using relay = await startRelay(fleet.etcd.endpoint);
    for (let i = 0; i < 2; i++) await fleet.add({ etcd: relay.endpoint });
    await eventually(async () => (await fleet.etcd.serverKeys()).length, 2);
    await using session = await StubSession.open(fleet.addresses[0]!, { ttlMs: 60_000, keep: true });
    await session.take("d3/all");
    relay.blackHole();
    for (const server of fleet.servers) await server.untilReadiness(/^the store has not .* ([89]|\d\d) s/);
    const heard = () => session.inbox.items.map(({ $case }) => $case).filter((kind) => kind !== "heartbeatAck");
    expect(heard()).toEqual(["opened", "granted"]);
    relay.mend();
    await session.acked(session.beat());
    // The one that has the store again first may be told of by the other, which has not.
    expect(heard().filter((kind) => kind !== "draining")).toEqual(["opened", "granted"]);
  });

  it("H2 a server that meets a record of a later version stops, and leaves all that is held to those that can read it", async () => {
    await using etcd = await startEtcd();
    await using old = await startServer({ etcd: etcd.endpoint });
    await using session = await StubSession.open(old.grpcAddress, { ttlMs: 60_000, keep: true });
    const { claimId, token } = await session.take("h2/held");
    const later = "holdfast/session/later";
    // Format 2.
    await etcd.put(later, Uint8Array.of(8, 2));
    expect(await old.untilReadiness(/format/)).toMatch(/"session\/later" in etcd has format 2/);
    expect((await session.ended).reason).toBe("store-unavailable");
    await expect(StubSession.open(old.grpcAddress)).rejects.toBeInstanceOf(Refused);
    await expect(startServer({ etcd: etcd.endpoint })).rejects.toThrow(/format 2/);
    // Nobody has freed anything: where all records can be read, the session goes on.
    await etcd.remove(later);
    await using able = await startServer({ etcd: etcd.endpoint });
    await using resumed = await StubSession.open(able.grpcAddress, {
      ttlMs: 60_000,
      keep: true,
      resume: session.resumption(1n),
    });
    expect(resumed.opened!.claims).toMatchObject([{ claimId, locks: [{ fencingToken: token }] }]);
    await resumed.close();
  });
});

describe.concurrent("servers behind a load balancer for TCP", { timeout: 240_000 }, () => {
  const behind = ["--advertise-address", "none"];

  it("C5 C6 lose no claim when they are killed, drained and replaced, and are told of to nobody", async () => {
    await using fleet = await Fleet.start(3, behind);
    await using balancer = await Balancer.start(fleet.addresses);
    const clients = Array.from({ length: 6 }, () => connect(balancer.endpoint, PATIENT));
    await closing(clients, async () => {
      const held = await Promise.all(clients.map((client, i) => client.acquire(`held/${i}`)));
      const sessions = clients.map(({ sessionId }) => sessionId);
      expect([...balancer.given.keys()].sort()).toEqual([...fleet.addresses].sort());
      const load = new Load(clients, ["load/1", "load/2"]);
      await load.goesOn();
      for (const end of ["kill9", "stop", "stop"] as const) {
        const server = fleet.servers[0]!;
        await fleet.add();
        // It may be given connections until it ends, as by a balancer that has not noticed yet.
        balancer.targets = fleet.addresses;
        await server[end]();
        fleet.forget(server);
        balancer.targets = fleet.addresses;
        await load.goesOn();
      }
      await load.end();
      expect(load.problems).toEqual([]);
      expect(held.map((lock) => lock.held)).toEqual(held.map(() => true));
      expect(clients.map(({ sessionId }) => sessionId)).toEqual(sessions);
    });
    await using stub = await StubSession.open(balancer.endpoint);
    expect(stub.opened!.servers).toEqual([]);
  });

  it("C4 lose no claim of a session with KEEP when the balancer half-closes its connections", async () => {
    await using fleet = await Fleet.start(2, behind);
    await using balancer = await Balancer.start(fleet.addresses);
    await using client = connect(balancer.endpoint, PATIENT);
    const lock = await client.acquire("half-closed");
    const { sessionId } = client;
    for (let i = 0; i < 3; i++) {
      balancer.halfClose();
      await (await client.acquire(`again/${i}`)).release();
    }
    expect([lock.held, client.sessionId]).toEqual([true, sessionId]);
    expect((await fleet.lock("half-closed")).holders).toMatchObject([{ sessionId, fencingToken: lock.token }]);
  });
});

describe.concurrent("servers behind a proxy that passes on each call", { timeout: 240_000 }, () => {
  it("C5 C6 lose no claim when they are killed and replaced, or calls are reset", async () => {
    await using fleet = await Fleet.start(3, ["--advertise-address", "none"]);
    await using proxy = await GrpcProxy.start(fleet.addresses);
    const clients = Array.from({ length: 6 }, () => connect(proxy.endpoint, PATIENT));
    await closing(clients, async () => {
      const held = await Promise.all(clients.map((client, i) => client.acquire(`held/${i}`)));
      const sessions = clients.map(({ sessionId }) => sessionId);
      expect([...proxy.given.keys()].sort()).toEqual([...fleet.addresses].sort());
      const load = new Load(clients, ["load/1", "load/2"]);
      await load.goesOn();
      proxy.resetCalls();
      await load.goesOn();
      for (const end of ["kill9", "stop"] as const) {
        const server = fleet.servers[0]!;
        await fleet.add();
        fleet.forget(server);
        proxy.targets = fleet.addresses;
        await server[end]();
        await load.goesOn();
      }
      await load.end();
      expect(load.problems).toEqual([]);
      expect(held.map((lock) => lock.held)).toEqual(held.map(() => true));
      expect(clients.map(({ sessionId }) => sessionId)).toEqual(sessions);
    });
  });
});
