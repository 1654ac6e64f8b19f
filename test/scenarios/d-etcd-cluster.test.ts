import { describe, expect, it } from "vitest";
import { type Client, connect, type HoldfastError } from "../../clients/typescript/src/index.ts";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { eventually } from "../support/eventually.ts";
import { GuardedRegister } from "../support/guarded-register.ts";
import { type ServerProcess, startServer } from "../support/server.ts";
import { leaveNoProcess } from "../support/service.ts";
import { slowDisk } from "../support/slow-disk.ts";
import { type Refused, StubSession } from "../support/stub-session.ts";

/** How often D1 kills the leader. */
const LEADER_KILLS = Number(process.env.LEADER_KILLS ?? 20);

/** Elections in a fifth of the usual time, where nothing is learned from waiting for them. */
const QUICK_ELECTIONS = ["--heartbeat-interval=20", "--election-timeout=200"];

/** What nobody has to wait for longer, however busy the machine is. */
const PATIENCE_MS = 60_000;

const reasonOf = (error: HoldfastError | Refused): string => error.reason;

interface Worker {
  /** How often it has held the lock that all want. */
  rounds: number;
}

/**
 * Clients that each hold a lock of their own all the time, and take turns at one that all want; whoever has that writes to
 * what it guards. Fails when two are inside, when a token is refused, and when any call of theirs fails.
 */
class Load {
  readonly register = new GuardedRegister();
  readonly workers: Worker[];
  /** Called by whoever has just been granted the lock that all want. */
  onGrant: () => void = () => undefined;
  private readonly name: string;
  private readonly clients: readonly Client[];
  private readonly done: Promise<unknown>;
  private inside = 0;
  private over = false;
  private failure: unknown;

  constructor(name: string, addresses: readonly string[], count = 4) {
    this.name = name;
    this.clients = Array.from({ length: count }, () => connect(addresses, { ttlMs: 60_000, connectTimeoutMs: 30_000 }));
    this.workers = this.clients.map(() => ({ rounds: 0 }));
    this.done = Promise.all(this.clients.map((client, i) => this.work(client, i)));
    this.done.catch((error) => {
      this.failure = error;
    });
  }

  /** Resolves when every client has had its turn twice more, the first of which may have been under way. */
  async everyoneGoesOn(): Promise<void> {
    const before = this.workers.map(({ rounds }) => rounds);
    const goOn = () => {
      if (this.failure !== undefined) throw this.failure;
      return this.workers.every(({ rounds }, i) => rounds >= before[i]! + 2);
    };
    await eventually(goOn, true, PATIENCE_MS);
  }

  /** Ends the work; rejects if anything went wrong with it. */
  async stop(): Promise<void> {
    this.over = true;
    await this.done;
    await Promise.all(this.clients.map((client) => client.close()));
  }

  private async work(client: Client, i: number): Promise<void> {
    const own = await client.acquire(`${this.name}/own/${i}`);
    while (!this.over) {
      const lock = await client.acquire(`${this.name}/hot`);
      this.onGrant();
      expect(++this.inside).toBe(1);
      expect(this.register.write(lock.token, `${i}`)).toBe(true);
      await new Promise(setImmediate);
      expect(lock.held).toBe(true);
      this.inside--;
      expect(await lock.release()).toBe("released");
      this.workers[i]!.rounds++;
    }
    expect([own.held, await own.release()]).toEqual([true, "released"]);
  }
}

const start = (etcd: string) => startServer({ etcd });

const serves = (server: ServerProcess) => eventually(() => server.readiness(), "serving", PATIENCE_MS);

leaveNoProcess();

describe("a cluster of etcd in trouble", { timeout: 480_000 }, () => {
  it(`D1 the leader is killed ${LEADER_KILLS} times right after a grant: never two holders, no waiter lost`, async () => {
    await using cluster = await EtcdCluster.start({ flags: QUICK_ELECTIONS });
    await using first = await start(cluster.endpoints);
    await using second = await start(cluster.endpoints);
    const load = new Load("d1", [first.grpcAddress, second.grpcAddress]);
    for (let kill = 0; kill < LEADER_KILLS; kill++) {
      await load.everyoneGoesOn();
      const leader = await cluster.leader();
      const killed = Promise.withResolvers<void>();
      load.onGrant = () => {
        load.onGrant = () => undefined;
        process.kill(leader.pid, "SIGKILL");
        killed.resolve();
      };
      await killed.promise;
      await leader.kill9();
      await leader.start();
    }
    await load.everyoneGoesOn();
    await load.stop();
    expect(load.register.written.length).toBeGreaterThan(LEADER_KILLS * load.workers.length);
  });

  it("D2 with two of three members dead nothing is granted and errors are typed; with one back all goes on by itself", async () => {
    await using cluster = await EtcdCluster.start();
    await using server = await start(cluster.endpoints);
    await using client = connect(server.grpcAddress, { ttlMs: 60_000, connectTimeoutMs: 4_000, callTimeoutMs: 24_000 });
    await using session = await StubSession.open(server.grpcAddress, { ttlMs: 60_000, keep: true });
    const held = await client.acquire("d2/held");
    const waiting = session.acquire("d2/held");
    await waiting.waits();

    const [one, other] = await cluster.followers();
    await Promise.all([one!.kill9(), other!.kill9()]);
    const unanswered = session.beat();
    const acquired = session.acquire("d2/free");
    const refusals = await Promise.all([
      client.acquire("d2/held", { waitMs: 0 }).catch(reasonOf),
      client.getLock("d2/held").catch(reasonOf),
      client.checkToken("d2/held", held.token).catch(reasonOf),
      StubSession.open(server.grpcAddress).catch(reasonOf),
    ]);
    expect(new Set(refusals)).toEqual(new Set(["store-unavailable"]));
    expect(await server.untilReadiness(/the store has not/)).toMatch(/^the store has not (answered|committed)/);
    expect([acquired.isGranted, waiting.isGranted]).toEqual([false, false]);

    await one!.start();
    await serves(server);
    await session.acked(unanswered);
    await acquired.granted;
    expect((await client.getLock("d2/held")).holders.map(({ token }) => token)).toEqual([held.token]);
    expect(await held.release()).toBe("released");
    await waiting.granted;
  });

  it("D3 a server that is left with a member that is cut off says so, and its clients go elsewhere with what they hold", async () => {
    await using cluster = await EtcdCluster.start();
    const [cut, ...others] = await cluster.followers();
    await using lonely = await start(cut!.endpoint);
    const well = [await cluster.leader(), ...others].map(({ endpoint }) => endpoint);
    await using other = await start(well.join(","));
    await using client = connect(lonely.grpcAddress, { ttlMs: 40_000 });
    const held = await client.acquire("d3/held");
    await using waiter = await StubSession.open(other.grpcAddress, { ttlMs: 40_000, keep: true });
    const waiting = waiter.acquire("d3/held");
    await waiting.waits();

    cut!.isolate();
    expect(await lonely.untilReadiness(/the store has not/)).toMatch(/^the store has not (answered|committed)/);
    await serves(other);
    // The first address is the only one that it was given: of the other it was told.
    await eventually(() => other.metric('holdfast_sessions{of="server"}'), 2, PATIENCE_MS);
    expect([held.held, await held.release()]).toEqual([true, "released"]);
    await waiting.granted;
    cut!.rejoin();
    await serves(lonely);
  });

  it("D4 claims of live sessions survive the crash and restart of all members", async () => {
    await using cluster = await EtcdCluster.start();
    await using server = await start(cluster.endpoints);
    const load = new Load("d4", [server.grpcAddress]);
    await load.everyoneGoesOn();
    await Promise.all(cluster.members.map((member) => member.kill9()));
    await Promise.all(cluster.members.map((member) => member.start()));
    await load.everyoneGoesOn();
    await load.stop();
  });

  it("D7 the cluster grows from one member to three, and each is replaced, under load: no claim is lost", async () => {
    await using cluster = await EtcdCluster.start({ members: 1 });
    // Servers know where members will be before these are there.
    const later = [await cluster.prepare(), await cluster.prepare(), await cluster.prepare()] as const;
    const endpoints = [...cluster.members, ...later].map(({ endpoint }) => endpoint).join(",");
    await using server = await start(endpoints);
    const load = new Load("d7", [server.grpcAddress]);
    await load.everyoneGoesOn();
    for (const member of later.slice(0, 2)) {
      await cluster.grow(member);
      await load.everyoneGoesOn();
    }
    expect(cluster.members).toHaveLength(3);
    const [first] = cluster.members;
    await cluster.remove(first!);
    await load.everyoneGoesOn();
    await cluster.grow(later[2]);
    await load.everyoneGoesOn();
    await load.stop();
    expect(server.log).not.toContain("engine.failed");
    await serves(server);
  });

  it("goes on with another leader when the leader's disk hangs, and says so when all disks do", async () => {
    await using cluster = await EtcdCluster.start();
    await using server = await start(cluster.endpoints);
    const load = new Load("disk", [server.grpcAddress]);
    await load.everyoneGoesOn();
    const leader = await cluster.leader();
    await using hung = await slowDisk([leader.pid], 8_000);
    await load.everyoneGoesOn();
    await hung[Symbol.asyncDispose]();
    await using allHung = await slowDisk(
      cluster.members.map(({ pid }) => pid),
      8_000,
    );
    expect(await server.untilReadiness(/the store has not/)).toMatch(/^the store has not (answered|committed)/);
    await allHung[Symbol.asyncDispose]();
    await load.everyoneGoesOn();
    await serves(server);
    await load.stop();
  });
});
