import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SessionEvent } from "../../server/core/frames.ts";
import { SessionRequest } from "../../server/gen/holdfast/v1/lock_service.ts";
import type { SessionStream } from "../../server/ports/session-stream.ts";
import { claimView, detailsOf, open, TestServer, type TestSession } from "./harness.ts";
import { callFrame, END_STREAM, HEADERS, messageFrame, RawClient, RST_STREAM } from "./raw-client.ts";

const KIB = 1_024;
const LIMIT_BYTES = 1_024 * KIB;
/** More than a connection takes on this machine before it says no. */
const TAKEN_BYTES = 600 * KIB;

let server: TestServer;

beforeEach(async () => {
  server = await TestServer.start({ outboxBytes: LIMIT_BYTES, lingerMs: 60_000 });
});

afterEach(() => server[Symbol.asyncDispose]());

/** A session whose client reads nothing until it is told to, and the engine's end of it. */
async function unread(): Promise<[TestSession, SessionStream]> {
  const session = server.session();
  session.call.pause();
  session.send(open());
  const [opened] = await server.engine.called("command");
  return [session, opened!.stream];
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

const denial = (claimId: bigint, bytes: number): SessionEvent => ({
  ...{ kind: "denied", claimId, reason: "busy", message: "x".repeat(bytes), lock: "", holders: [], holderCount: 0 },
});

/** Sends so much that the connection takes no more, but less than the limit. */
async function fill(stream: SessionStream): Promise<bigint> {
  const count = BigInt(TAKEN_BYTES / (10 * KIB));
  for (let claimId = 1n; claimId <= count; claimId++) {
    stream.send(denial(claimId, 10 * KIB));
    await nextTurn();
  }
  return count;
}

const waiting = (claimId: bigint, position: number): SessionEvent => ({
  ...{ kind: "waiting", claimId, lock: "a", position, holders: [claimView()], holderCount: 1 },
});

describe("a client that does not read", () => {
  it("is sent the latest position of each claim and the latest ack when it reads again, and not each", async () => {
    const [session, stream] = await unread();
    const filled = await fill(stream);
    for (let step = 1; step <= 2_000; step++) {
      stream.send(waiting(101n, 3_000 - step));
      stream.send(waiting(102n, 5_000 - step));
      stream.send({ kind: "heartbeat-ack", seq: BigInt(step), validForMs: step });
      if (step % 100 === 0) await nextTurn();
    }
    stream.send({ kind: "granted", claimId: 101n, locks: [{ name: "a", token: 1n }] });
    session.call.resume();
    const events = await session.received(1 + Number(filled) + 4);
    expect(events.slice(-4)).toMatchObject([
      { $case: "waiting", value: { claimId: 101n, position: 1_000 } },
      { $case: "waiting", value: { claimId: 102n, position: 3_000 } },
      { $case: "heartbeatAck", value: { seq: 2_000n, validFor: { seconds: 2n, nanos: 0 } } },
      { $case: "granted", value: { claimId: 101n } },
    ]);
    expect(server.engine.of("disconnected")).toEqual([]);
  });

  it("loses nothing of what is not out of date", async () => {
    const [session, stream] = await unread();
    const filled = await fill(stream);
    session.call.resume();
    const events = await session.received(1 + Number(filled));
    expect(events.slice(1).map((event) => event?.$case === "denied" && event.value.claimId)).toEqual(
      Array.from({ length: Number(filled) }, (_, i) => BigInt(i + 1)),
    );
    stream.send({ kind: "released", claimId: 100n });
    expect((await session.received(2 + Number(filled))).at(-1)).toMatchObject({ $case: "released" });
  });

  it("is told of a thousand claims at once without being cut off: holders are left out, and counted", async () => {
    const [session, stream] = await unread();
    const holders = Array.from({ length: 10 }, () => claimView({ purpose: "x".repeat(256) }));
    for (let claimId = 1n; claimId <= 1_000n; claimId++)
      stream.send({ kind: "waiting", claimId, lock: "a", position: 1, holders, holderCount: 10 });
    session.call.resume();
    const told = (await session.received(1_001))
      .slice(1)
      .flatMap((event) => (event?.$case === "waiting" ? [event.value] : []));
    expect(told.map(({ claimId }) => claimId)).toEqual(Array.from({ length: 1_000 }, (_, i) => BigInt(i + 1)));
    expect(told.every(({ holderCount }) => holderCount === 10)).toBe(true);
    expect(told[0]?.holders).toHaveLength(10);
    expect(told.at(-1)?.holders).toEqual([]);
  });

  it("is cut off at the limit, with client-too-slow", async () => {
    const [session, stream] = await unread();
    let sent = 0;
    while (server.engine.of("disconnected").length === 0) {
      stream.send(denial(BigInt(++sent), 10 * KIB));
      await nextTurn();
    }
    expect(sent * 10 * KIB).toBeLessThan(LIMIT_BYTES + TAKEN_BYTES);
    expect(server.engine.of("disconnected")).toMatchObject([{ how: "broken", stream }]);
    expect(server.logged).toMatchObject([{ level: "warn", name: "stream.cut_off" }]);
    expect(server.noted).toEqual([{ kind: "stream.cut-off", droppedEvents: expect.any(Number) }]);
    session.call.resume();
    const ending = await session.ending;
    expect(ending.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(detailsOf(ending).info?.reason).toBe("REASON_CLIENT_TOO_SLOW");
    expect(session.events.length).toBeLessThan(sent);
  });

  it("is cut off by tiny events too, which cost more than their bytes", async () => {
    const [, stream] = await unread();
    await fill(stream);
    let sent = 0n;
    while (server.engine.of("disconnected").length === 0) {
      for (let i = 0; i < 100; i++) stream.send({ kind: "released", claimId: ++sent });
      await nextTurn();
    }
    expect(sent).toBeLessThan(5_000n);
  });

  it("is cut off without the engine being called from within its own call", async () => {
    const [, stream] = await unread();
    for (let claimId = 1n; claimId <= 200n; claimId++) stream.send(denial(claimId, 10 * KIB));
    expect(server.engine.of("disconnected")).toEqual([]);
    expect(await server.engine.called("disconnected")).toMatchObject([{ how: "broken" }]);
  });

  it("costs no more memory than the limit, whatever the engine goes on sending", async () => {
    const [, stream] = await unread();
    const before = process.memoryUsage().arrayBuffers;
    let peak = 0;
    for (let claimId = 1n; claimId <= 20_000n; claimId++) {
      stream.send(denial(claimId, 10 * KIB));
      if (claimId % 100n === 0n) {
        await nextTurn();
        peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
      }
    }
    // 200 MB were sent. What the garbage collector has not taken yet counts too.
    expect(peak).toBeLessThan(32 * KIB * KIB);
    expect(server.engine.of("disconnected")).toHaveLength(1);
  });

  it("does not keep others waiting", async () => {
    const [, stream] = await unread();
    await fill(stream);
    const other = server.session(server.connect());
    other.send(open());
    await other.received(1);
    expect(server.engine.of("disconnected")).toEqual([]);
  });
});

describe("a call that has ended", () => {
  const openRequest = SessionRequest.encode({ commands: [{ command: open() }] }).finish();

  it.each([
    ["status", 10n],
    ["last events", 80n],
  ])("is reset if its client does not read so far that its %s can be sent", async (_what, count) => {
    await using hasty = await TestServer.start({ lingerMs: 50 });
    await using client = await RawClient.connect(hasty.server.port);
    client.send(callFrame(1, "/holdfast.v1.LockService/Session"), messageFrame(1, openRequest));
    const [opened] = await hasty.engine.called("command");
    for (let claimId = 1n; claimId <= count; claimId++) {
      opened!.stream.send(denial(claimId, 10 * KIB));
      await nextTurn();
    }
    opened!.stream.send({ kind: "closed", reason: "session-expired", message: "over" });
    const reset = await client.frame(({ type }) => type === RST_STREAM);
    // ENHANCE_YOUR_CALM, which clients take for RESOURCE_EXHAUSTED.
    expect(reset).toMatchObject({ streamId: 1, payload: Buffer.of(0, 0, 0, 11) });
  });

  it("is reset without an error if its client read all and keeps its own side open", async () => {
    await using hasty = await TestServer.start({ lingerMs: 1_000 });
    await using client = await RawClient.connect(hasty.server.port);
    client.send(callFrame(1, "/holdfast.v1.LockService/Session"), messageFrame(1, openRequest));
    const [opened] = await hasty.engine.called("command");
    opened!.stream.send({ kind: "closed", reason: "closed-by-client", message: "over" });
    const reset = await client.frame(({ type }) => type === RST_STREAM);
    expect(reset).toMatchObject({ streamId: 1, payload: Buffer.of(0, 0, 0, 0) });
    expect(client.frames.some(({ type, flags }) => type === HEADERS && (flags & END_STREAM) !== 0)).toBe(true);
  });
});
