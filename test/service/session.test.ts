import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encodeSessionEvent } from "../../server/adapters/grpc/encode.ts";
import type { SessionEvent } from "../../server/core/frames.ts";
import { type SessionCommand, SessionRequest } from "../../server/gen/holdfast/v1/lock_service.ts";
import type { SessionStream } from "../../server/ports/session-stream.ts";
import { startRelay } from "../support/relay.ts";
import { acquire, claimView, detailsOf, heartbeat, open, release, TestServer, type TestSession } from "./harness.ts";
import { callFrame, DATA, messageFrame, RawClient, resetFrame } from "./raw-client.ts";

let server: TestServer;

beforeEach(async () => {
  server = await TestServer.start();
});

afterEach(() => server[Symbol.asyncDispose]());

/** A session that is open, and the engine's end of it. */
async function opened(fields: Parameters<typeof open>[0] = {}): Promise<[TestSession, SessionStream]> {
  const session = server.session();
  session.send(open(fields));
  await session.received(1);
  return [session, server.engine.of("command").at(-1)!.stream];
}

/** Commands as the bytes of a message. */
const frameOf = (...commands: readonly SessionCommand["command"][]): Uint8Array =>
  SessionRequest.encode({ commands: commands.map((command) => ({ command })) }).finish();

describe("events", () => {
  it("arrive with everything that they say", async () => {
    const [session, stream] = await opened();
    const client = { name: "shop", host: "web-1", pid: 42, language: "go", version: "1.2.0" };
    const holder = claimView({
      client,
      purpose: "why",
      reentryId: "t",
      value: Buffer.from("v"),
      token: 2n ** 63n - 1n,
    });
    const waiter = claimView({ held: false, token: 0n, grantedAtMs: undefined, mode: "semaphore", permits: 2 });
    const holders = [holder, waiter];
    const sent: readonly SessionEvent[] = [
      { kind: "heartbeat-ack", seq: 2n ** 64n - 1n, validForMs: 14_999.9 },
      { kind: "waiting", claimId: 1n, lock: "a", position: 3, holders, holderCount: 12 },
      {
        kind: "granted",
        claimId: 1n,
        locks: [{ name: "a", token: 2n ** 53n + 1n, previous: { token: 8n, end: "expired", endedAtMs: 1 } }],
      },
      { kind: "denied", claimId: 2n, reason: "busy", message: "taken", lock: "b", holders, holderCount: 2 },
      { kind: "released", claimId: 3n },
      { kind: "updated", claimId: 4n, reason: undefined, message: "" },
      { kind: "updated", claimId: 5n, reason: "not-found", message: "gone" },
      { kind: "lost", claimId: 6n, reason: "released-by-force", message: "because" },
      { kind: "draining", leaveWithinMs: 1_500, servers: ["b:1", "[::1]:2"] },
      { kind: "servers", servers: ["c:1"] },
    ];
    for (const event of sent) stream.send(event);
    const shown = [
      {
        sessionId: "session-2",
        claimId: 7n,
        state: 2,
        mode: 1,
        permits: 0,
        fencingToken: 2n ** 63n - 1n,
        lockCount: 1,
        reentryId: "t",
        purpose: "why",
        value: Buffer.from("v"),
        client,
        claimedAt: new Date(1_700_000_000_000),
        grantedAt: new Date(1_700_000_000_500),
      },
      {
        ...{ sessionId: "session-2", claimId: 7n, state: 1, mode: 3, permits: 2, fencingToken: 0n, lockCount: 1 },
        ...{ reentryId: "", purpose: "", value: Buffer.alloc(0), client: undefined, grantedAt: undefined },
        claimedAt: new Date(1_700_000_000_000),
      },
    ];
    expect((await session.received(1 + sent.length)).slice(1)).toEqual([
      {
        $case: "heartbeatAck",
        value: { seq: 2n ** 64n - 1n, validFor: { seconds: 14n, nanos: 999_000_000 } },
      },
      { $case: "waiting", value: { claimId: 1n, lock: "a", position: 3, holders: shown, holderCount: 12 } },
      {
        $case: "granted",
        value: {
          claimId: 1n,
          locks: [{ name: "a", fencingToken: 2n ** 53n + 1n, previous: { fencingToken: 8n, end: 2 } }],
        },
      },
      {
        $case: "denied",
        value: { claimId: 2n, reason: 1, message: "taken", lock: "b", holders: shown, holderCount: 2 },
      },
      { $case: "released", value: { claimId: 3n } },
      { $case: "updated", value: { claimId: 4n, reason: 0, message: "" } },
      { $case: "updated", value: { claimId: 5n, reason: 8, message: "gone" } },
      { $case: "lost", value: { claimId: 6n, reason: 13, message: "because" } },
      { $case: "draining", value: { leaveWithin: { seconds: 1n, nanos: 500_000_000 }, servers: ["b:1", "[::1]:2"] } },
      { $case: "servers", value: { servers: ["c:1"] } },
    ]);
  });

  it("say what a resumed session has", async () => {
    server.engine.onCommand = (stream) =>
      stream.send({
        kind: "opened",
        sessionId: "session-9",
        secret: "secret",
        ttlMs: 20_000,
        validForMs: 19_000,
        heartbeatIntervalMs: 6_666.7,
        claims: [
          { claimId: 1n, held: true, locks: [{ name: "a", token: 9n }] },
          { claimId: 2n, held: false, locks: [{ name: "b", token: 0n }] },
        ],
        servers: ["b:1"],
      });
    const [session] = await opened({ resume: { sessionId: "session-9", secret: "secret", attempt: 1n } });
    expect(session.events).toEqual([
      {
        $case: "opened",
        value: {
          sessionId: "session-9",
          resumeSecret: "secret",
          ttl: { seconds: 20n, nanos: 0 },
          validFor: { seconds: 19n, nanos: 0 },
          heartbeatInterval: { seconds: 6n, nanos: 666_000_000 },
          claims: [
            { claimId: 1n, state: 2, locks: [{ name: "a", fencingToken: 9n }] },
            { claimId: 2n, state: 1, locks: [{ name: "b", fencingToken: 0n }] },
          ],
          servers: ["b:1"],
        },
      },
    ]);
  });

  it("of one turn travel in one frame", async () => {
    const [session, stream] = await opened();
    for (let claimId = 1n; claimId <= 500n; claimId++) stream.send({ kind: "released", claimId });
    const events = await session.received(501);
    expect(session.frames).toHaveLength(2);
    expect(events.slice(1).map((event) => event?.$case === "released" && event.value.claimId)).toEqual(
      Array.from({ length: 500 }, (_, i) => BigInt(i + 1)),
    );
  });

  it("of one turn travel in several frames if they are large, so that each can be read", async () => {
    const [session, stream] = await opened();
    const message = "x".repeat(10_000);
    for (let claimId = 1n; claimId <= 20n; claimId++)
      stream.send({ kind: "lost", claimId, reason: "internal", message });
    await session.received(21);
    expect(session.frames.slice(1).map(({ events }) => events.length)).toEqual([6, 6, 6, 2]);
  });

  it("are not sent after an ack that says more", async () => {
    const [session, stream] = await opened();
    stream.send({ kind: "heartbeat-ack", seq: 2n, validForMs: 1 });
    await session.received(2);
    stream.send({ kind: "heartbeat-ack", seq: 1n, validForMs: 1 });
    stream.send({ kind: "released", claimId: 1n });
    expect((await session.received(3))[2]).toMatchObject({ $case: "released" });
  });
});

describe("a session", () => {
  it("has the client's address, and nobody's identity", async () => {
    const [, stream] = await opened();
    expect(stream.peer).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(stream.identity).toBe("");
  });

  it("that closes ends with OK, and nothing that comes later is applied", async () => {
    const [session] = await opened();
    session.send({ $case: "close", value: {} }, release(1n));
    expect(await session.ending).toMatchObject({ code: status.OK });
    expect(session.events.at(-1)).toMatchObject({ $case: "closed", value: { reason: 15 } });
    expect(server.engine.commands.map(({ kind }) => kind)).toEqual(["open", "close"]);
    expect(server.engine.of("disconnected")).toEqual([]);
  });

  it("that half-closes with RELEASE ends with OK, and without a Closed", async () => {
    const [session] = await opened();
    session.call.end();
    expect(await session.ending).toMatchObject({ code: status.OK });
    expect(session.events.map((event) => event?.$case)).toEqual(["opened"]);
    expect(server.engine.of("disconnected").map(({ how }) => how)).toEqual(["half-closed"]);
  });

  it.each([{ onDisconnect: 2 as const }, { resume: { sessionId: "s", secret: "s", attempt: 1n } }])(
    "that half-closes with %o does not end with OK, which would say that it is over",
    async (fields) => {
      const [session] = await opened(fields);
      session.call.end();
      const ending = await session.ending;
      expect(ending.code).toBe(status.CANCELLED);
      expect(ending.details).toContain("lives on until its deadline");
      expect(server.engine.of("disconnected").map(({ how }) => how)).toEqual(["half-closed"]);
    },
  );

  it("is sent what was answered before it half-closed", async () => {
    const session = server.session();
    session.send(open(), { $case: "close", value: {} });
    session.call.end();
    await session.ending;
    expect(session.events.map((event) => event?.$case)).toEqual(["opened", "closed"]);
  });

  it("that is reset is cancelled", async () => {
    await using client = await RawClient.connect(server.server.port);
    client.send(callFrame(1, "/holdfast.v1.LockService/Session"), messageFrame(1, frameOf(open())));
    await client.frame(({ type, streamId }) => type === DATA && streamId === 1);
    client.send(resetFrame(1, 8));
    const [disconnected] = await server.engine.called("disconnected");
    expect(disconnected?.how).toBe("cancelled");
  });

  it("that a client of grpc-js cancels is over, if not by a reset alone: its library half-closes first", async () => {
    const [session] = await opened();
    session.call.cancel();
    await server.engine.called("disconnected");
    const [next] = await opened();
    next.call.end();
    await next.ending;
    expect(server.engine.of("disconnected")).toHaveLength(2);
  });

  it("whose deadline passes is cancelled", async () => {
    await using client = await RawClient.connect(server.server.port);
    const call = callFrame(1, "/holdfast.v1.LockService/Session", [["grpc-timeout", "1S"]]);
    client.send(call, messageFrame(1, frameOf(open())));
    const [disconnected] = await server.engine.called("disconnected");
    expect(disconnected?.how).toBe("cancelled");
  });

  it("whose connection dies is broken", async () => {
    await using relay = await startRelay(server.address);
    const session = server.session(server.connect({}, relay.endpoint));
    session.send(open());
    await session.received(1);
    relay.cut();
    const [disconnected] = await server.engine.called("disconnected");
    expect(disconnected?.how).toBe("broken");
  });

  it("that ends is told to the engine once, however it goes on", async () => {
    const [session, stream] = await opened();
    session.call.end();
    await session.ending;
    session.call.cancel();
    stream.send({ kind: "released", claimId: 1n });
    const [again] = await opened();
    again.call.end();
    await again.ending;
    expect(server.engine.of("disconnected").map((call) => call.stream === stream)).toEqual([true, false]);
  });

  it("that was closed by the engine is not told to it", async () => {
    const [session, stream] = await opened();
    stream.send({ kind: "closed", reason: "superseded", message: "resumed elsewhere" });
    expect(await session.ending).toMatchObject({ code: status.ABORTED, details: "resumed elsewhere" });
    const [other] = await opened();
    other.call.cancel();
    await server.engine.called("disconnected");
    expect(server.engine.of("disconnected")).toHaveLength(1);
  });

  it("is nobody's business until its first command", async () => {
    const silent = server.session();
    silent.call.cancel();
    await silent.ending;
    const halfClosed = server.session();
    halfClosed.call.end();
    const ending = await halfClosed.ending;
    expect(ending.code).toBe(status.INVALID_ARGUMENT);
    expect(detailsOf(ending).info?.reason).toBe("REASON_INVALID");
    expect(server.engine.calls).toEqual([]);
  });
});

describe("the first command", () => {
  it("must come in time; an empty frame is none", async () => {
    await using impatient = await TestServer.start({ firstCommandWithinMs: 100 });
    const session = impatient.session();
    session.send();
    const ending = await session.ending;
    expect(ending).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(ending.details).toContain("no command came within 0.1 s");
    expect(detailsOf(ending).info?.reason).toBe("REASON_INVALID");
    expect(impatient.engine.of("refuse")).toHaveLength(1);
  });

  it("takes the time limit away", async () => {
    await using impatient = await TestServer.start({ firstCommandWithinMs: 2_000 });
    const session = impatient.session();
    session.send(open());
    await session.received(1);
    const late = impatient.session();
    await late.ending;
    session.send(release(1n));
    await impatient.engine.called("command", 2);
    expect(impatient.engine.of("refuse")).toHaveLength(1);
  });
});

describe("a fault", () => {
  it("of the engine ends that call alone, with INTERNAL, and is logged", async () => {
    const { engine } = server;
    engine.onCommand = (stream, command) => {
      if (command.kind === "release") throw new Error("planted");
      engine.react(stream, command);
    };
    const [bystander] = await opened();
    const [session] = await opened();
    session.send(release(1n), heartbeat(1n));
    const ending = await session.ending;
    expect(ending.code).toBe(status.INTERNAL);
    expect(ending.details).not.toContain("planted");
    expect(detailsOf(ending).info?.reason).toBe("REASON_INTERNAL");
    expect(server.logged).toMatchObject([{ level: "error", name: "command.failed" }]);
    expect(server.logged[0]?.fields.problem).toContain("planted");
    expect(await engine.called("disconnected")).toMatchObject([{ how: "broken" }]);
    bystander.send(acquire({}));
    await engine.called("command", 4);
  });

  it("of an event that cannot be encoded ends that call, and does not reach the engine", async () => {
    const [session, stream] = await opened();
    stream.send({ kind: "released", claimId: 2n ** 64n });
    stream.send({ kind: "released", claimId: 1n });
    const ending = await session.ending;
    expect(ending.code).toBe(status.INTERNAL);
    expect(detailsOf(ending).info?.reason).toBe("REASON_INTERNAL");
    expect(session.events).toHaveLength(1);
    expect(server.logged).toMatchObject([{ level: "error", name: "event.unencodable" }]);
    expect(await server.engine.called("disconnected")).toMatchObject([{ how: "broken" }]);
  });

  it("of an event that cannot be encoded leaves nothing of it in the next", () => {
    const released = (claimId: bigint) => encodeSessionEvent({ kind: "released", claimId });
    const before = released(1n);
    expect(() => released(2n ** 64n)).toThrow();
    expect(released(1n)).toEqual(before);
  });
});
