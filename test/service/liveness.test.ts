import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HoldRequest, SessionRequest } from "../../server/gen/holdfast/v1/lock_service.ts";
import { startRelay } from "../support/relay.ts";
import { open, TestServer } from "./harness.ts";
import { callFrame, DATA, END_STREAM, GOAWAY, messageFrame, PING, RawClient } from "./raw-client.ts";

let server: TestServer;

beforeEach(async () => {
  server = await TestServer.start();
});

afterEach(() => server[Symbol.asyncDispose]());

const holdRequest = HoldRequest.encode(HoldRequest.fromPartial({ locks: [{ name: "a" }] })).finish();
const openRequest = SessionRequest.encode({ commands: [{ command: open({ liveness: 2 }) }] }).finish();
const isPing = ({ type, flags }: { type: number; flags: number }) => type === PING && flags === 0;

describe("a transport session", () => {
  it("is proven each third of its TTL by a ping that the connection answers", async () => {
    server.engine.opened.ttlMs = 300;
    const sentAtMs = performance.now();
    server.session().send(open({ liveness: 2 }));
    const proofs = await server.engine.called("proven", 3);
    expect(performance.now() - sentAtMs).toBeGreaterThan(295);
    expect(new Set(proofs.map(({ stream }) => stream))).toEqual(new Set([server.engine.of("command")[0]!.stream]));
  });

  it("is not proven by pings that are not answered, and is again when they are", async () => {
    server.engine.opened.ttlMs = 60;
    await using client = await RawClient.connect(server.server.port);
    client.answersPings = false;
    client.send(callFrame(1, "/holdfast.v1.LockService/Session"), messageFrame(1, openRequest));
    const ping = await client.frame(isPing);
    // Another session on another connection, for ten proofs of which this one has none.
    const other = server.session();
    other.send(open({ liveness: 2 }));
    await server.engine.called("proven", 10);
    const streams = server.engine.of("command").map(({ stream }) => stream);
    expect(server.engine.of("proven").every(({ stream }) => stream === streams[1])).toBe(true);
    expect(client.frames.filter(isPing)).toHaveLength(1);
    client.answersPings = true;
    client.send({ ...ping, flags: 1 });
    await client.frame((frame) => isPing(frame) && frame !== ping);
    const proofs = await server.engine.called("proven", 20);
    expect(proofs.some(({ stream }) => stream === streams[0])).toBe(true);
  });

  it("is not proven through a connection that has gone silent", async () => {
    server.engine.opened.ttlMs = 60;
    await using relay = await startRelay(server.address);
    const session = server.session(server.connect({}, relay.endpoint));
    session.send(open({ liveness: 2 }));
    await server.engine.called("proven", 2);
    relay.blackHole();
    const other = server.session();
    other.send(open({ liveness: 2 }));
    await other.received(1);
    const [silent, lively] = server.engine.of("command").map(({ stream }) => stream);
    const before = server.engine.of("proven").length;
    const proofs = await server.engine.called("proven", before + 10);
    // One answer may have been on its way.
    expect(proofs.slice(before + 1).every(({ stream }) => stream === lively)).toBe(true);
    expect(proofs.slice(0, 2).every(({ stream }) => stream === silent)).toBe(true);
  });

  it("is not proven by pings that Node does not send, since the client has begun to close the connection", async () => {
    server.engine.opened.ttlMs = 60;
    await using client = await RawClient.connect(server.server.port);
    client.send(callFrame(1, "/holdfast.v1.LockService/Session"), messageFrame(1, openRequest));
    await server.engine.called("proven", 2);
    client.send({ type: GOAWAY, flags: 0, streamId: 0, payload: Buffer.alloc(8) });
    await client.frame(({ type }) => type === GOAWAY);
    const before = server.engine.of("proven").length;
    const other = server.session();
    other.send(open({ liveness: 2 }));
    const proofs = await server.engine.called("proven", before + 10);
    const closing = server.engine.of("command")[0]!.stream;
    // One ping may have been under way.
    expect(proofs.slice(before).filter(({ stream }) => stream === closing).length).toBeLessThanOrEqual(1);
  });

  it("shares the pings of its connection with the others, at the pace of the shortest TTL", async () => {
    await using client = await RawClient.connect(server.server.port);
    server.engine.opened.ttlMs = 60_000;
    client.send(callFrame(1, "/holdfast.v1.LockService/Hold"), messageFrame(1, holdRequest, END_STREAM));
    await server.engine.called("command", 2);
    server.engine.opened.ttlMs = 60;
    client.send(callFrame(3, "/holdfast.v1.LockService/Session"), messageFrame(3, openRequest));
    await client.frame(({ type, streamId }) => type === DATA && streamId === 3);
    const proofs = await server.engine.called("proven", 10);
    const [hold, , session] = server.engine.of("command").map(({ stream }) => stream);
    expect(proofs.slice(0, 10).map(({ stream }) => (stream === hold ? "hold" : "session"))).toEqual(
      Array.from({ length: 5 }, () => ["hold", "session"]).flat(),
    );
    expect(session).not.toBe(hold);
    expect(client.frames.filter(isPing).length).toBeLessThanOrEqual(6);
  });

  it("is not proven by an answer to a ping that was sent before it was there", async () => {
    server.engine.opened.ttlMs = 90;
    await using client = await RawClient.connect(server.server.port);
    client.answersPings = false;
    client.send(callFrame(1, "/holdfast.v1.LockService/Hold"), messageFrame(1, holdRequest, END_STREAM));
    const ping = await client.frame(isPing);
    client.send(callFrame(3, "/holdfast.v1.LockService/Session"), messageFrame(3, openRequest));
    await client.frame(({ type, streamId }) => type === DATA && streamId === 3);
    client.send({ ...ping, flags: 1 });
    const [first] = await server.engine.called("proven");
    expect(first?.stream).toBe(server.engine.of("command")[0]!.stream);
    expect(server.engine.of("proven")).toHaveLength(1);
  });

  it("is not proven any more once it is over", async () => {
    server.engine.opened.ttlMs = 60;
    const session = server.session();
    session.send(open({ liveness: 2 }));
    await server.engine.called("proven");
    session.call.end();
    await session.ending;
    const before = server.engine.of("proven").length;
    const other = server.session(server.connect());
    other.send(open({ liveness: 2 }));
    const proofs = await server.engine.called("proven", before + 5);
    const ended = server.engine.of("command")[0]!.stream;
    expect(proofs.slice(before).some(({ stream }) => stream === ended)).toBe(false);
  });
});

describe("a heartbeat session", () => {
  it("is not pinged", async () => {
    server.engine.opened = { ttlMs: 30, heartbeatIntervalMs: 10 };
    await using client = await RawClient.connect(server.server.port);
    client.send(callFrame(1, "/holdfast.v1.LockService/Session"), messageFrame(1, openRequest));
    await client.frame(({ type, streamId }) => type === DATA && streamId === 1);
    server.engine.opened = { ttlMs: 30, heartbeatIntervalMs: undefined as never };
    const other = server.session();
    other.send(open({ liveness: 2 }));
    await server.engine.called("proven", 10);
    expect(client.frames.filter(isPing)).toEqual([]);
  });
});
