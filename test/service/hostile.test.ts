import { once } from "node:events";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { SessionRequest } from "../../server/gen/holdfast/v1/lock_service.ts";
import { Random } from "../support/random.ts";
import { acquire, detailsOf, type Ending, endingOf, open, TestServer } from "./harness.ts";
import { callFrame, DATA, END_STREAM, GOAWAY, HEADERS, messageFrame, RawClient, resetFrame } from "./raw-client.ts";

const SESSION = "/holdfast.v1.LockService/Session";
const METHODS = ["Session", "Hold", "GetLock", "ListLocks", "WatchLocks", "CheckToken"];

let server: TestServer;
const uncaught: unknown[] = [];
const note = (error: unknown) => uncaught.push(error);

beforeAll(async () => {
  process.on("uncaughtException", note);
  server = await TestServer.start();
});

// Whatever came, the server lives and serves.
afterEach(async () => {
  const session = server.session(server.connect());
  session.send(open(), { $case: "close", value: {} });
  expect((await session.ending).code).toBe(status.OK);
  expect(uncaught).toEqual([]);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  process.off("uncaughtException", note);
});

/** A message of a frame of commands, as bytes to be tampered with. */
const bytesOf = (...commands: Parameters<typeof open>[0][]): Buffer =>
  Buffer.from(SessionRequest.encode({ commands: commands.map((fields) => ({ command: open(fields) })) }).finish());

/** Sends bytes as a message of a Session, and resolves with how that ends. */
function sendBytes(bytes: Buffer): Promise<Ending> {
  const call = server.client.makeBidiStreamRequest(
    SESSION,
    (message: Buffer) => message,
    (message: Buffer) => message,
  );
  call.resume();
  call.write(bytes);
  return endingOf(call);
}

describe("bytes that are no message", () => {
  it.each<[string, Buffer]>([
    ["garbage", Buffer.from("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "latin1")],
    ["a message that ends in the middle of a field", bytesOf({ labels: { key: "value" } }).subarray(0, 12)],
    ["a zero byte, which stubs take for the end", Buffer.concat([Buffer.alloc(1), bytesOf({})])],
    ["a group that is never closed", Buffer.of(0x0b, 0x0b, 0x0b)],
    [
      "a text that is not UTF-8",
      bytesOf({ client: { name: "abc" } }).map((byte) => (byte === 0x62 ? 0xff : byte)) as Buffer,
    ],
  ])("close the stream, invalid: %s", async (_name, bytes) => {
    const before = server.engine.commands.length;
    const ending = await sendBytes(bytes);
    expect(ending.code).toBe(status.INVALID_ARGUMENT);
    expect(ending.details).toContain("SessionRequest");
    expect(detailsOf(ending).info?.reason).toBe("REASON_INVALID");
    expect(server.engine.commands).toHaveLength(before);
  });

  const seed = Date.now() % 1_000_000;

  it(`of any kind are answered, on every method (seed ${seed})`, async () => {
    const random = new Random(seed);
    const whole = bytesOf({ ttl: { seconds: 5n }, client: { name: "name" }, labels: { key: "value" } });
    await using client = await RawClient.connect(server.server.port);
    const count = 600;
    for (let i = 0; i < count; i++) {
      const bytes = Buffer.from(whole);
      for (let changes = random.below(6); changes >= 0; changes--)
        bytes[random.below(bytes.length)] = random.below(256);
      const streamId = 2 * i + 1;
      const path = `/holdfast.v1.LockService/${random.pick(METHODS)}`;
      client.send(
        callFrame(streamId, path),
        messageFrame(streamId, bytes.subarray(0, random.below(bytes.length)), END_STREAM),
      );
    }
    // A Hold or a watch may have come out right: those go on.
    const last = 2 * count + 1;
    client.send(callFrame(last, SESSION), messageFrame(last, Buffer.of(0xff), END_STREAM));
    await client.frame(
      ({ type, flags, streamId }) => type === HEADERS && streamId === last && (flags & END_STREAM) !== 0,
    );
    expect(server.logged.filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe("a message", () => {
  it("that is too large ends the call, and the session is told", async () => {
    const before = server.engine.of("disconnected").length;
    const session = server.session();
    session.send(open());
    await session.received(1);
    session.send(
      ...Array.from({ length: 20 }, (_, i) => acquire({ claimId: BigInt(i + 1), value: Buffer.alloc(4_000) })),
    );
    expect((await session.ending).code).toBe(status.RESOURCE_EXHAUSTED);
    expect(await server.engine.called("disconnected", before + 1)).toHaveLength(before + 1);
  });

  it("that becomes too large when it is unpacked ends the call", async () => {
    await using client = await RawClient.connect(server.server.port);
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    client.send(callFrame(1, SESSION, [["grpc-encoding", "gzip"]]));
    const { payload } = messageFrame(1, bomb);
    payload[0] = 1;
    for (let at = 0; at < payload.length; at += 16_000)
      client.send({ type: DATA, flags: 0, streamId: 1, payload: payload.subarray(at, at + 16_000) });
    await client.frame(({ type, flags }) => type === HEADERS && (flags & END_STREAM) !== 0);
  });

  it("of which the end never comes is not applied: the stream is half-closed without it", async () => {
    const before = server.engine.commands.length;
    await using client = await RawClient.connect(server.server.port);
    client.send(callFrame(1, SESSION), messageFrame(1, bytesOf({}), END_STREAM, 1_000));
    await client.frame(({ type, flags }) => type === HEADERS && (flags & END_STREAM) !== 0);
    expect(server.engine.commands).toHaveLength(before);
  });
});

describe("a connection", () => {
  it("that opens and resets ten thousand calls is closed", async () => {
    await using client = await RawClient.connect(server.server.port);
    for (let i = 0; i < 10_000; i++) client.send(callFrame(2 * i + 1, SESSION), resetFrame(2 * i + 1, 8));
    await client.frame(({ type }) => type === GOAWAY);
  });

  it("that opens and resets sessions tells the engine of each that it knows", async () => {
    const before = server.engine.calls.length;
    await using client = await RawClient.connect(server.server.port);
    for (let i = 0; i < 300; i++) {
      const streamId = 2 * i + 1;
      client.send(callFrame(streamId, SESSION), messageFrame(streamId, bytesOf({})), resetFrame(streamId, 8));
    }
    client.send(callFrame(1_001, SESSION), messageFrame(1_001, bytesOf({})));
    await client.frame(({ type, streamId }) => type === DATA && streamId === 1_001);
    client.socket.destroy();
    const opened = () => server.engine.calls.slice(before).filter(({ kind }) => kind === "command").length;
    const ended = () => server.engine.calls.slice(before).filter(({ kind }) => kind === "disconnected").length;
    while (ended() < opened()) await new Promise((resolve) => setImmediate(resolve));
    expect(ended()).toBe(opened());
  });

  it.each([
    ["a path of bytes", "/holdfast.v1.LockService/\xff\xfe\x80", []],
    ["a path without end", `/${"x".repeat(10_000)}`, []],
    ["a timeout that is none", SESSION, [["grpc-timeout", "soon"]]],
    ["a timeout without end", SESSION, [["grpc-timeout", "99999999H"]]],
    ["an encoding that nobody knows", SESSION, [["grpc-encoding", "\xff\xfe"]]],
    ["a header with a strange name", SESSION, [["x!#$%&'*+^`|~", "1"]]],
    ["a binary header that is not base64", SESSION, [["x-bin", "%%%"]]],
    ["a content type that is not gRPC's", SESSION, [["content-type", "text/html"]]],
  ] as [string, string, [string, string][]][])("may send %s", async (_name, path, headers) => {
    await using client = await RawClient.connect(server.server.port);
    client.send(callFrame(1, path, headers), messageFrame(1, Buffer.of(0xff), END_STREAM));
    await client.frame(({ type, streamId }) => type === GOAWAY || streamId === 1);
  });

  it("may speak another protocol", async () => {
    const socket = connect(server.server.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.resume();
    await once(socket, "connect");
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await once(socket, "close");
  });

  it("that says nothing is closed when it does not answer a ping", async () => {
    await using strict = await TestServer.start({ keepaliveTimeMs: 50, keepaliveTimeoutMs: 50 });
    const socket = connect(strict.server.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.resume();
    await once(socket, "connect");
    await once(socket, "close");
  });
});
