import { credentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { type Client, connect, type HoldfastError } from "../../clients/typescript/src/index.ts";
import {
  AlarmRequest,
  AlarmRequest_AlarmAction,
  type AlarmResponse,
  AlarmType,
  MaintenanceClient,
} from "../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { startRelay } from "../support/relay.ts";
import { type ServerProcess, startServer } from "../support/server.ts";
import { leaveNoProcess, Service } from "../support/service.ts";
import { Refused, StubSession } from "../support/stub-session.ts";

/** Who holds a lock as a server sees it; nobody, too, if it cannot know. */
async function tokenAt({ grpcAddress }: ServerProcess, name: string): Promise<bigint | undefined> {
  await using client = connect(grpcAddress);
  const lock = await client.getLock(name).catch(() => undefined);
  return lock?.holders[0]?.token;
}

const reasonOf = (error: HoldfastError): string => error.reason;

leaveNoProcess();

// Each has an etcd of its own to torment, and real time has to pass until it is missed.
describe.concurrent("etcd in trouble", { timeout: 120_000 }, () => {
  it("D2 while etcd stands still nothing is granted and errors are typed; then everything goes on by itself", async () => {
    await using service = await Service.start();
    await using client = connect(service.address(), { ttlMs: 60_000, connectTimeoutMs: 4000, callTimeoutMs: 24_000 });
    await using session = await StubSession.open(service.address(), { ttlMs: 60_000, keep: true });
    const held = await client.acquire("d2/held");
    const waiting = session.acquire("d2/held");
    await waiting.waits();
    const last = session.beat();
    await session.acked(last);

    process.kill(service.etcd.pid, "SIGSTOP");
    const stopped = session.inbox.items.length;
    const unanswered = session.beat();
    const acquired = session.acquire("d2/free");
    const refusals = await Promise.all([
      client.acquire("d2/held", { waitMs: 0 }).catch(reasonOf),
      client.getLock("d2/held").catch(reasonOf),
      client.listLocks().next().catch(reasonOf),
      client.checkToken("d2/held", held.token).catch(reasonOf),
      StubSession.open(service.address()).catch((error: Refused) => error.reason),
    ]);
    expect(new Set(refusals)).toEqual(new Set(["store-unavailable"]));
    expect(await service.servers[0]!.untilReadiness(/not answered/)).toMatch(/the store has not answered for \d+ s/);
    expect([acquired.isGranted, waiting.isGranted]).toEqual([false, false]);
    expect(session.inbox.items.slice(stopped).map(({ $case }) => $case)).not.toContain("heartbeatAck");

    process.kill(service.etcd.pid, "SIGCONT");
    await service.servers[0]!.untilReadiness(/^serving$/);
    await session.acked(unanswered);
    await acquired.granted;
    expect((await client.getLock("d2/held")).holders.map(({ token }) => token)).toEqual([held.token]);
    expect(await held.release()).toBe("released");
    await waiting.granted;
    await Promise.all([client.close(), session.close()]);
    await service.becomesEmpty();
  });

  it("D4 claims of live sessions survive the crash and restart of etcd", async () => {
    await using service = await Service.start();
    await using client = connect(service.address(), { ttlMs: 30_000 });
    await using session = await StubSession.open(service.address(), { ttlMs: 30_000 });
    const held = await client.acquire("d4/crash");
    const waiting = session.acquire("d4/crash");
    await waiting.waits();
    await service.etcd.kill9();
    // It must have noticed before it can notice that all is well again.
    await service.servers[0]!.untilReadiness(/^the store has not/);
    await service.etcd.start();
    await service.servers[0]!.untilReadiness(/^serving$/);
    const { holders, waiters } = await service.getLock("d4/crash");
    expect(holders).toMatchObject([{ sessionId: client.sessionId, fencingToken: held.token }]);
    expect(waiters).toMatchObject([{ sessionId: session.id }]);
    expect(await held.release()).toBe("released");
    expect((await waiting.granted).token).toBeGreaterThan(held.token);
    await Promise.all([client.close(), session.close()]);
    await service.becomesEmpty();
  });

  for (const [what, replace] of [
    ["restored from a backup", restoreOlder],
    ["replaced by an empty one", replaceByEmpty],
  ] as const)
    it(`D4 when etcd is ${what} the server serves no more, and says why`, async () => {
      await using parts = new AsyncDisposableStack();
      const etcd = parts.use(await startEtcd());
      const server = parts.use(await startServer({ etcd: etcd.endpoint }));
      const session = await StubSession.open(server.grpcAddress, { ttlMs: 60_000 });
      await session.take("d4/old");
      const grown = async () => {
        for (let i = 0; i < 20; i++) await session.release((await session.take("d4/newer")).claimId);
      };
      await replace(etcd, grown, parts);

      expect(await server.untilReadiness(/restored/)).toMatch(
        /^etcd (is at|has) (revision|raft index|raft term) \d+, but (this server|Holdfast) has seen/,
      );
      expect((await session.ended).reason).toBe("store-unavailable");
      expect((await session.ended).details).toContain("restored");
      const refused = await StubSession.open(server.grpcAddress).catch((error: Refused) => error);
      expect(refused).toBeInstanceOf(Refused);
      await server.untilLogged(/restored/);
    });

  it("D5 with history compacted every 50 ms no client notices, and no ghost remains", async () => {
    await using etcd = await startEtcd();
    await using relay = await startRelay(etcd.endpoint);
    const [server, other] = await Promise.all([relay, etcd].map(({ endpoint }) => startServer({ etcd: endpoint })));
    await using _ = server!;
    await using __ = other!;
    // A revision that is compacted already is refused.
    const compact = async () => etcd.compact(await etcd.revision()).catch(() => undefined);
    const compactor = setInterval(compact, 50);
    using _compacting = { [Symbol.dispose]: () => clearInterval(compactor) };
    await using session = await StubSession.open(other!.grpcAddress, { ttlMs: 30_000 });
    const clients = Array.from({ length: 4 }, () => connect(server!.grpcAddress, { ttlMs: 30_000 }));
    let rounds = 0;
    let inside = 0;
    let stop = false;
    const work = async (client: Client, i: number) => {
      const held = await client.acquire(`d5/held/${i}`);
      while (!stop) {
        await client.withLock("d5/hot", async (lock) => {
          expect(++inside).toBe(1);
          await client.withLock(`d5/own/${i}`, () => rounds++);
          expect(lock.held).toBe(true);
          inside--;
        });
      }
      expect([held.held, await held.release()]).toEqual([true, "released"]);
    };
    const works = Promise.all(clients.map(work));
    // Behind the back of a server whose watch is broken claims come and go, and their history with them.
    for (let cut = 0; cut < 3; cut++) {
      const before = rounds;
      await Promise.race([works, eventually(() => rounds > before + 30, true, 60_000)]);
      relay.cut();
      if (cut > 0) await session.release(BigInt(cut));
      const { token } = await session.take(`d5/other/${cut}`);
      await compact();
      relay.mend();
      const tokens = () => [cut - 1, cut].map((each) => tokenAt(server!, `d5/other/${each}`));
      await eventually(() => Promise.all(tokens()), [undefined, token]);
    }
    await server!.untilLogged(/watch.compacted/);
    stop = true;
    await works;
    clearInterval(compactor);
    await Promise.all([...clients.map((client) => client.close()), session.close()]);
    await eventually(async () => [await etcd.countKeys(), await etcd.countLeases()], [0, 0], 60_000);
    for (const { grpcAddress } of [server!, other!]) {
      await using reader = connect(grpcAddress);
      expect((await reader.listLocks().next()).value).toBeUndefined();
    }
  });

  it("D6 with the database full errors say so, releases and heartbeats go on, and it recovers when freed", async () => {
    await using service = await Service.start({ etcd: { quotaBytes: 8 * 1024 * 1024 } });
    await using holder = await StubSession.open(service.address(), { ttlMs: 20_000, keep: true });
    await using waiter = await StubSession.open(service.address(), { ttlMs: 20_000, keep: true });
    const held = await holder.take("d6");
    const waiting = waiter.acquire("d6");
    await waiting.waits();
    const fillers = await fill(service.etcd);

    const denied = await holder.acquire("d6/new").refused();
    expect([denied.reason, denied.message]).toEqual(["store-unavailable", expect.stringContaining("full")]);
    const notOpened = await StubSession.open(service.address()).catch((error: Refused) => error);
    expect(notOpened).toMatchObject({ reason: "store-unavailable", message: expect.stringContaining("full") });
    await holder.acked(holder.beat());
    await holder.release(held.claimId);
    await waiting.granted;
    expect(await service.getLock("d6")).toMatchObject({ holderCount: 1, waiterCount: 0 });

    await free(service.etcd, fillers);
    await holder.take("d6/new");
    await Promise.all([holder.close(), waiter.close()]);
    await eventually(() => service.etcd.countKeys("holdfast/"), 0);
    await eventually(() => service.etcd.countLeases(), 0);
  });
});

async function restoreOlder(etcd: TestEtcd, grow: () => Promise<void>): Promise<void> {
  await etcd.kill9();
  await etcd.backUp();
  await etcd.start();
  await grow();
  await etcd.kill9();
  await etcd.restore();
  await etcd.start();
}

async function replaceByEmpty(etcd: TestEtcd, grow: () => Promise<void>, parts: AsyncDisposableStack): Promise<void> {
  await grow();
  await etcd.kill9();
  parts.use(await startEtcd({ clientPort: Number(etcd.endpoint.split(":")[1]) }));
}

/** Writes what others may have in the same etcd, until it takes no more. */
async function fill(etcd: TestEtcd): Promise<readonly string[]> {
  const keys: string[] = [];
  for (;;) {
    const key = `others/${keys.length}`;
    try {
      await etcd.put(key, Buffer.alloc(512 * 1024, "x"));
      keys.push(key);
    } catch (error) {
      expect((error as Error).message).toContain("database space exceeded");
      return keys;
    }
  }
}

/** What an operator does about it. */
async function free(etcd: TestEtcd, keys: readonly string[]): Promise<void> {
  for (const key of keys) await etcd.remove(key);
  await etcd.compact(await etcd.revision());
  const maintenance = new MaintenanceClient(etcd.endpoint, credentials.createInsecure());
  await new Promise<void>((resolve, reject) => {
    maintenance.defragment({}, (error) => (error ? reject(error) : resolve()));
  });
  const call = (request: Partial<AlarmRequest>) =>
    new Promise<AlarmResponse>((resolve, reject) => {
      const alarm = AlarmRequest.fromPartial({ ...request, alarm: AlarmType.NOSPACE });
      maintenance.alarm(alarm, (error, response) => (error ? reject(error) : resolve(response)));
    });
  const { alarms } = await call({ action: AlarmRequest_AlarmAction.GET });
  expect(alarms).toHaveLength(1);
  for (const { memberID } of alarms) await call({ action: AlarmRequest_AlarmAction.DEACTIVATE, memberID });
  maintenance.close();
}
