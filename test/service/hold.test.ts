import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SessionEvent } from "../../server/core/frames.ts";
import { HoldRequest } from "../../server/gen/holdfast/v1/lock_service.ts";
import type { SessionStream } from "../../server/ports/session-stream.ts";
import { claimView, detailsOf, type TestHold, TestServer } from "./harness.ts";
import { callFrame, DATA, END_STREAM, messageFrame, RawClient, resetFrame } from "./raw-client.ts";

let server: TestServer;

beforeEach(async () => {
  server = await TestServer.start();
});

afterEach(() => server[Symbol.asyncDispose]());

const granted: SessionEvent = { kind: "granted", claimId: 1n, locks: [{ name: "a", token: 5n }] };

/** A Hold whose acquire the engine has, and the engine's end of it. */
async function holding(): Promise<[TestHold, SessionStream]> {
  const before = server.engine.commands.length;
  const hold = server.hold({ locks: [{ name: "a" }] });
  const commands = await server.engine.called("command", before + 2);
  return [hold, commands.at(-1)!.stream];
}

describe("a Hold", () => {
  it("is a session of its own with one claim", async () => {
    const client = { name: "shop", host: "web-1", pid: 1, language: "", version: "" };
    const rest = { ttl: { seconds: 4n, nanos: 1 }, client, labels: { job: "nightly" } };
    const wait = { seconds: 1n, nanos: 0 };
    server.hold({
      locks: [{ name: "a" }, { name: "b", mode: 2 }],
      wait,
      purpose: "why",
      value: Buffer.from("v"),
      ...rest,
    });
    await server.engine.called("command", 2);
    expect(server.engine.commands).toEqual([
      {
        kind: "open",
        ttlMs: 5_000,
        onDisconnect: "release",
        liveness: "transport",
        client,
        labels: { job: "nightly" },
      },
      {
        kind: "acquire",
        claimId: 1n,
        locks: [
          { name: "a", mode: "exclusive", permits: 0, limit: 0 },
          { name: "b", mode: "shared", permits: 0, limit: 0 },
        ],
        waitMs: 1_000,
        reentryId: "",
        purpose: "why",
        value: Buffer.from("v"),
      },
    ]);
  });

  it("tells of waiting, of the grant, and of draining", async () => {
    const [hold, stream] = await holding();
    const holders = [claimView()];
    stream.send({ kind: "waiting", claimId: 1n, lock: "a", position: 1, holders, holderCount: 1 });
    await hold.received(1);
    stream.send(granted);
    await hold.received(2);
    stream.send({ kind: "servers", servers: ["c:1"] });
    stream.send({ kind: "draining", leaveWithinMs: 30_000, servers: ["b:1"] });
    expect(await hold.received(3)).toMatchObject([
      { $case: "waiting", value: { claimId: 1n, lock: "a", position: 1, holderCount: 1, holders: [{ claimId: 7n }] } },
      { $case: "granted", value: { claimId: 1n, locks: [{ name: "a", fencingToken: 5n }] } },
      { $case: "draining", value: { leaveWithin: { seconds: 30n, nanos: 0 }, servers: ["b:1"] } },
    ]);
  });

  it("that is reset ends its session", async () => {
    await using client = await RawClient.connect(server.server.port);
    server.engine.onCommand = (stream, command) => {
      if (command.kind === "acquire") stream.send(granted);
    };
    const request = HoldRequest.encode(HoldRequest.fromPartial({ locks: [{ name: "a" }] })).finish();
    client.send(callFrame(1, "/holdfast.v1.LockService/Hold"), messageFrame(1, request, END_STREAM));
    await client.frame(({ type }) => type === DATA);
    client.send(resetFrame(1, 8));
    expect(await server.engine.called("disconnected")).toMatchObject([{ how: "cancelled" }]);
  });

  it("that is cancelled ends its session", async () => {
    const [hold] = await holding();
    hold.call.cancel();
    expect(await server.engine.called("disconnected")).toMatchObject([{ how: "cancelled" }]);
  });

  it.each<["denied" | "lost", SessionEvent]>([
    ["denied", { kind: "denied", claimId: 1n, reason: "busy", message: "x", lock: "a", holders: [], holderCount: 1 }],
    ["lost", { kind: "lost", claimId: 1n, reason: "released-by-force", message: "x" }],
  ])("whose claim is %s leaves no session behind", async (_kind, event) => {
    const [hold, stream] = await holding();
    stream.send(event);
    expect(server.engine.of("disconnected")).toEqual([]);
    expect((await hold.ending).code).toBe(status.ABORTED);
    expect(await server.engine.called("disconnected")).toMatchObject([{ how: "half-closed" }]);
    const [next] = await holding();
    next.call.cancel();
    await server.engine.called("disconnected", 2);
    expect(server.engine.of("disconnected").map((call) => call.stream === stream)).toEqual([true, false]);
  });

  it("whose session ends while it waits is denied", async () => {
    const [hold, stream] = await holding();
    stream.send({ kind: "closed", reason: "store-unavailable", message: "no answer" });
    const ending = await hold.ending;
    expect(ending).toMatchObject({ code: status.UNAVAILABLE, details: "no answer" });
    expect(detailsOf(ending)).toMatchObject({
      types: ["google.rpc.ErrorInfo", "holdfast.v1.Denied"],
      denied: { claimId: 1n, reason: 19, lock: "a" },
      lost: undefined,
    });
  });

  it("whose session ends while it holds has lost", async () => {
    const [hold, stream] = await holding();
    stream.send(granted);
    await hold.received(1);
    stream.send({ kind: "closed", reason: "session-expired", message: "no sign of life" });
    const ending = await hold.ending;
    expect(ending).toMatchObject({ code: status.ABORTED, details: "no sign of life" });
    expect(detailsOf(ending)).toMatchObject({
      types: ["google.rpc.ErrorInfo", "holdfast.v1.Lost"],
      lost: { claimId: 1n, reason: 12 },
      denied: undefined,
    });
  });

  it("never ends with OK", async () => {
    const [hold, stream] = await holding();
    stream.send({ kind: "closed", reason: "closed-by-client", message: "closed" });
    expect((await hold.ending).code).toBe(status.CANCELLED);
  });

  it("for a wrong claim is denied at once, and no session is opened", async () => {
    const ending = await server.hold({ locks: [{ name: "a//b" }] }).ending;
    expect(ending).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(ending.details).toContain("locks[0].name has an empty segment");
    expect(detailsOf(ending)).toMatchObject({
      info: { reason: "REASON_INVALID", metadata: {} },
      denied: { claimId: 1n, reason: 6, message: ending.details },
    });
    expect(server.engine.calls).toEqual([]);
  });

  it.each<[string, Parameters<typeof HoldRequest.fromPartial>[0]]>([
    ["ttl is 601 s", { ttl: { seconds: 601n } }],
    ["ttl is negative", { ttl: { seconds: -1n } }],
    ["client.name is longer", { client: { name: "x".repeat(129) } }],
    ["labels has an empty key", { labels: { "": "x" } }],
  ])("for a wrong session is refused with %s", async (message, fields) => {
    const ending = await server.hold({ locks: [{ name: "a" }], ...fields }).ending;
    expect(ending.code).toBe(status.INVALID_ARGUMENT);
    expect(ending.details).toMatch(new RegExp(`^${message}`));
    expect(detailsOf(ending)).toMatchObject({ info: { reason: "REASON_INVALID" }, types: ["google.rpc.ErrorInfo"] });
    expect(server.engine.calls).toEqual([]);
  });
});
