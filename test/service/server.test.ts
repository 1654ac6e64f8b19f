import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { credentials, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { ListenError } from "../../server/adapters/grpc/listener.ts";
import { type GrpcServerOptions, startGrpcServer } from "../../server/adapters/grpc/server.ts";
import {
  type GetLockRequest,
  type GetLockResponse,
  LockServiceClient,
} from "../../server/gen/holdfast/v1/lock_service.ts";
import { newAuthority } from "../support/certificates.ts";
import { fakeAdmin } from "../support/fake-admin.ts";
import { FakeEngine } from "../support/fake-engine.ts";
import { ask, detailsOf, endingOf, lockView, open, TestServer } from "./harness.ts";

const loopback = { host: "127.0.0.1", port: 0 };

const startServer = (options: Partial<GrpcServerOptions>) =>
  startGrpcServer({
    engine: new FakeEngine(),
    admin: fakeAdmin(),
    address: loopback,
    log: { event: () => undefined },
    telemetry: { note: () => undefined },
    ...options,
  });

/** Why a server does not start. */
async function refusal(options: Partial<GrpcServerOptions>): Promise<ListenError> {
  const error = await startServer(options).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ListenError)) throw new Error(`it was not refused with a ListenError: ${error}`);
  expect(error.message).not.toContain("\n");
  return error;
}

const getLock = (client: LockServiceClient, name = "a") =>
  ask<GetLockRequest, GetLockResponse>((request, tell) => client.getLock(request, tell), { name, maxClaims: 0 });

describe("a server that starts", () => {
  it("takes a free port and says which", async () => {
    await using server = await TestServer.start();
    expect(server.server.port).toBeGreaterThan(0);
    expect(await getLock(server.client)).toMatchObject({ failed: { code: status.UNAVAILABLE } });
  });

  it("says in one line that the port is taken", async () => {
    const other = createServer();
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    const error = await refusal({ address: { host: "127.0.0.1", port } });
    expect(error.reason).toBe("port-taken");
    expect(error.message).toContain(`127.0.0.1:${port} is in use`);
    other.close();
  });

  it("says in one line that an address is not this machine's", async () => {
    const error = await refusal({ address: { host: "203.0.113.7", port: 0 }, insecure: true });
    expect(error.reason).toBe("address-refused");
    expect(error.message).toContain("203.0.113.7:0");
  });

  it.each(["0.0.0.0", "::", "192.0.2.1", "1270.0.0.1", "example.com"])(
    "does not expose itself on %s unasked",
    async (host) => {
      const error = await refusal({ address: { host, port: 0 } });
      expect(error.reason).toBe("exposed");
      expect(error.message).toContain(host);
    },
  );

  it("exposes itself when that is meant", async () => {
    const server = await startServer({ address: { host: "0.0.0.0", port: 0 }, insecure: true });
    await server.stop(0);
  });

  it("refuses a certificate that is none", async () => {
    const nonsense = Buffer.from("nonsense");
    const error = await refusal({ tls: { certificate: nonsense, key: nonsense } });
    expect(error.reason).toBe("tls-refused");
  });

  it("serves with TLS, and may then be reached from elsewhere", async () => {
    const authority = newAuthority();
    const engine = new FakeEngine();
    engine.lock = { kind: "ok", value: lockView() };
    const tls = authority.issue("localhost");
    const server = await startServer({ engine, tls, address: { host: "0.0.0.0", port: 0 } });
    const trusting = new LockServiceClient(`localhost:${server.port}`, credentials.createSsl(authority.certificate));
    expect(await getLock(trusting)).toMatchObject({ ok: { lock: { name: "a" } } });
    const plain = new LockServiceClient(`localhost:${server.port}`, credentials.createInsecure());
    expect(await getLock(plain)).toMatchObject({ failed: { code: status.UNAVAILABLE } });
    for (const client of [trusting, plain]) client.close();
    // One that never says who it is must not hold up the end.
    const silent = connect(server.port, "127.0.0.1").resume();
    await once(silent, "connect");
    const closed = once(silent, "close");
    await server.stop(0);
    await closed;
  });
});

describe("a server that stops", () => {
  it("tells sessions and holds, waits for them to leave, and leaves with the last", async () => {
    await using server = await TestServer.start();
    server.engine.otherServers = ["b:1"];
    const session = server.session();
    session.send(open());
    const hold = server.hold({ locks: [{ name: "a" }] });
    await session.received(1);
    await server.engine.called("command", 3);
    const stopped = server.server.stop(30_000);
    const draining = { $case: "draining", value: { leaveWithin: { seconds: 30n, nanos: 0 }, servers: ["b:1"] } };
    expect((await session.received(2))[1]).toEqual(draining);
    expect(await hold.received(1)).toEqual([draining]);
    session.send({ $case: "close", value: {} });
    expect((await session.ending).code).toBe(status.OK);
    hold.call.cancel();
    await stopped;
    expect(server.engine.of("refuse")).toEqual([]);
  });

  it("closes those that stay when the time is up, with draining", async () => {
    await using server = await TestServer.start();
    const session = server.session();
    session.send(open({ onDisconnect: 2 }));
    await session.received(1);
    const stopped = server.server.stop(50);
    const ending = await session.ending;
    expect(ending.code).toBe(status.UNAVAILABLE);
    expect(detailsOf(ending).info?.reason).toBe("REASON_DRAINING");
    expect(session.events.map((event) => event?.$case)).toEqual(["opened", "draining", "closed"]);
    expect(server.engine.of("refuse")).toMatchObject([{ reason: "draining" }]);
    await stopped;
  });

  it("sends away at once who is not in yet", async () => {
    await using server = await TestServer.start();
    server.engine.onCommand = () => undefined;
    const opening = server.session();
    opening.send(open());
    const holding = server.hold({ locks: [{ name: "a" }] });
    await server.engine.called("command", 3);
    const silent = server.session();
    const stopped = server.server.stop(30_000);
    for (const ending of await Promise.all([opening.ending, holding.ending, silent.ending]))
      expect(ending.code).toBe(status.UNAVAILABLE);
    expect(opening.events).toMatchObject([{ $case: "closed", value: { reason: 18 } }]);
    expect(detailsOf(await holding.ending).denied).toMatchObject({ claimId: 1n, reason: 18 });
    await stopped;
  });

  it("gives less time if it is told to hurry, and says so", async () => {
    await using server = await TestServer.start();
    const session = server.session();
    session.send(open());
    await session.received(1);
    const stopped = [server.server.stop(600_000), server.server.stop(700_000), server.server.stop(1_000)];
    const within = (seconds: bigint) => ({
      $case: "draining",
      value: { leaveWithin: { seconds, nanos: 0 }, servers: [] },
    });
    expect((await session.received(3)).slice(1)).toEqual([within(600n), within(1n)]);
    expect((await session.ending).code).toBe(status.UNAVAILABLE);
    await Promise.all(stopped);
  });

  it("goes on proving transport sessions until they leave", async () => {
    await using server = await TestServer.start();
    server.engine.opened.ttlMs = 60;
    const session = server.session();
    session.send(open({ liveness: 2 }));
    await session.received(1);
    const stopped = server.server.stop(30_000);
    await session.received(2);
    await server.engine.called("proven", server.engine.of("proven").length + 5);
    session.call.end();
    await stopped;
  });

  it("tells those who come anew that it goes away, and answers those who look, until the last session has left", async () => {
    await using server = await TestServer.start();
    const session = server.session();
    session.send(open());
    await session.received(1);
    const stopped = server.server.stop(30_000);
    await session.received(2);
    const ending = await server.session(server.connect()).ending;
    expect(detailsOf(ending).info?.reason).toBe("REASON_DRAINING");
    const late = server.connect();
    expect(await getLock(late)).toMatchObject({ failed: { details: "no lock was scripted" } });
    session.send({ $case: "close", value: {} });
    await stopped;
    expect(await getLock(server.connect())).toMatchObject({ failed: { code: status.UNAVAILABLE } });
  });

  it("lets no further session, hold or watch in, on connections that are there, and ends watches", async () => {
    await using server = await TestServer.start();
    const session = server.session();
    session.send(open());
    await session.received(1);
    const watch = server.client.watchLocks({ prefix: "", name: "", maxWaiters: 0 });
    const watched = endingOf(watch);
    await once(watch, "data");
    // Connections on which nothing goes on, so that they are not told.
    const idle = [server.connect(), server.connect(), server.connect()] as const;
    for (const client of idle) await getLock(client);
    const stopped = server.server.stop(30_000);
    expect((await watched).code).toBe(status.UNAVAILABLE);
    const late = idle[0].watchLocks({ prefix: "", name: "", maxWaiters: 0 });
    late.resume();
    const others = [server.session(idle[1]), server.hold({ locks: [{ name: "a" }] }, idle[2])];
    const endings = others.map((call) => call.ending);
    for (const ending of await Promise.all([...endings, endingOf(late)])) {
      expect(ending.code).toBe(status.UNAVAILABLE);
      expect(detailsOf(ending).info?.reason).toBe("REASON_DRAINING");
    }
    session.send({ $case: "close", value: {} });
    await stopped;
    expect(server.engine.of("command")).toHaveLength(2);
  });

  it("does not wait for connections that say nothing, or clients that do not answer", async () => {
    const server = await TestServer.start();
    const silent = connect(server.server.port, "127.0.0.1");
    silent.resume();
    await once(silent, "connect");
    const session = server.session();
    session.call.pause();
    session.send(open());
    await server.engine.called("command");
    const closed = once(silent, "close");
    await server.server.stop(10);
    await closed;
    await server[Symbol.asyncDispose]();
  });

  it("leaves no socket and no timer open", async () => {
    const count = (type: string) => process.getActiveResourcesInfo().filter((name) => name.startsWith(type)).length;
    const timers = count("Timeout");
    const server = await TestServer.start();
    server.engine.opened.ttlMs = 60_000;
    const session = server.session();
    session.send(open({ liveness: 2 }));
    await session.received(1);
    const quiet = server.session();
    server.hold({ locks: [{ name: "a" }] });
    server.client.watchLocks({ prefix: "", name: "", maxWaiters: 0 }).on("error", () => undefined);
    await server.engine.called("watchLocks");
    await server[Symbol.asyncDispose]();
    await Promise.all([session.ending, quiet.ending]);
    // The client's own sockets close when it hears of it; nothing else is to come.
    while (count("TCP") > 0 || count("Timeout") > timers) await new Promise((resolve) => setImmediate(resolve));
    expect(count("TCP")).toBe(0);
  });
});

describe("a server at the limit of open files", () => {
  it("refuses connections, says so, and serves on", async () => {
    const child = spawn("bash", ["-c", `ulimit -n 128 && exec "${process.execPath}" "$0"`, childProgram], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<{ port?: number; event?: string }> => JSON.parse((await lines.next()).value ?? "{}");
    try {
      const { port } = await next();
      const sockets = await flood(port!, 300);
      expect(await next()).toMatchObject({ level: "warn", event: "connection.refused" });
      await Promise.all(sockets.map(leave));
      const client = new LockServiceClient(`127.0.0.1:${port}`, credentials.createInsecure());
      expect(await getLock(client)).toMatchObject({ failed: { code: status.UNAVAILABLE } });
      client.close();
      expect(child.exitCode).toBeNull();
    } finally {
      await end(child);
    }
  });

  const childProgram: string = new URL("serve-fake.ts", import.meta.url).pathname;

  const flood = (port: number, count: number): Promise<Socket[]> =>
    Promise.all(
      Array.from({ length: count }, async () => {
        const socket = connect(port, "127.0.0.1");
        socket.on("error", () => undefined);
        await once(socket, "connect");
        return socket;
      }),
    );

  async function leave(socket: Socket): Promise<void> {
    if (socket.closed) return;
    socket.destroy();
    await once(socket, "close");
  }

  async function end(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "close");
  }
});
