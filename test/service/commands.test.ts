import { Metadata, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Command } from "../../server/core/frames.ts";
import type { SessionCommand } from "../../server/gen/holdfast/v1/lock_service.ts";
import { acquire, detailsOf, heartbeat, open, release, TestServer, TestSession } from "./harness.ts";

let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start();
});

afterAll(() => server[Symbol.asyncDispose]());

type WireCommand = SessionCommand["command"];

/** What the engine is given for commands, all of them in one frame. */
async function given(...commands: readonly WireCommand[]): Promise<readonly Command[]> {
  const before = server.engine.commands.length;
  const session = server.session();
  session.send(...commands);
  const calls = await server.engine.called("command", before + commands.length);
  session.call.cancel();
  return calls.slice(before).map(({ command }) => command);
}

/** How the engine is told to refuse a stream over which these commands came. */
async function refusal(...commands: readonly WireCommand[]): Promise<string> {
  const before = server.engine.of("refuse").length;
  const session = server.session();
  session.send(...commands);
  const refused = (await server.engine.called("refuse", before + 1))[before]!;
  const ending = await session.ending;
  expect(refused.reason).toBe("invalid");
  expect(ending.code).toBe(status.INVALID_ARGUMENT);
  expect(ending.details).toBe(refused.message);
  expect(detailsOf(ending).info).toMatchObject({ domain: "holdfast.v1", reason: "REASON_INVALID" });
  expect(session.events.at(-1)).toMatchObject({ $case: "closed", value: { message: refused.message } });
  return refused.message;
}

const seconds = (count: number, nanos = 0) => ({ seconds: BigInt(count), nanos });
const repeat = (count: number) => "x".repeat(count);
const locks = (...names: readonly string[]) => names.map((name) => ({ name }));
const labels = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`key-${i}`, "value"]));

describe("an open", () => {
  it("has its defaults when nothing is set", async () => {
    const [command] = await given(open());
    expect(command).toEqual({
      kind: "open",
      ttlMs: 15_000,
      onDisconnect: "release",
      liveness: "heartbeat",
      client: undefined,
      labels: {},
    });
  });

  it("comes through with everything set to its limit", async () => {
    const client = { name: repeat(128), host: repeat(128), pid: 4_294_967_295, language: "go", version: "1.2.0" };
    const [command] = await given(
      open({
        ttl: seconds(600),
        onDisconnect: 2,
        liveness: 2,
        client,
        labels: { ...labels(15), [repeat(63)]: repeat(255) },
      }),
    );
    expect(command).toMatchObject({ ttlMs: 600_000, onDisconnect: "keep", liveness: "transport", client });
    expect(Object.keys(command?.kind === "open" ? command.labels : {})).toHaveLength(16);
  });

  it.each([
    ["zero: the default", seconds(0), 15_000],
    ["too short: 2 s", seconds(0, 1), 2_000],
    ["a fraction: rounded up", seconds(7, 1), 8_000],
    ["whole: as it is", seconds(7), 7_000],
  ])("has a ttl that is %s", async (_name, ttl, ttlMs) => {
    expect(await given(open({ ttl }))).toMatchObject([{ ttlMs }]);
  });

  it.each<[string, WireCommand]>([
    ["open.ttl is 601 s: at most 600 s are allowed", open({ ttl: seconds(600, 1) })],
    ["open.ttl is negative", open({ ttl: seconds(-1) })],
    ["open.ttl is no valid duration", open({ ttl: seconds(1, 1_000_000_000) })],
    ["open.ttl is no valid duration", open({ ttl: seconds(1, -1) })],
    ["open.ttl is no valid duration", open({ ttl: seconds(-1, 1) })],
    ["open.ttl is no valid duration", open({ ttl: seconds(315_576_000_001) })],
    ["open.on_disconnect 3 is unknown", open({ onDisconnect: 3 as 2 })],
    ["open.liveness 9 is unknown", open({ liveness: 9 as 2 })],
    ["open.client.name is longer than 128 bytes", open({ client: { name: repeat(129) } })],
    ["open.client.host is longer than 128 bytes", open({ client: { host: "ü".repeat(65) } })],
    ["open.client.language is longer than 128 bytes", open({ client: { language: repeat(129) } })],
    ["open.client.version is longer than 128 bytes", open({ client: { version: repeat(129) } })],
    ["open.labels has 17 entries: at most 16", open({ labels: labels(17) })],
    ["open.labels has an empty key", open({ labels: { "": "value" } })],
    ["open.labels has a key longer than 63 bytes", open({ labels: { [repeat(64)]: "value" } })],
    ['open.labels["key"] is longer than 255 bytes', open({ labels: { key: repeat(256) } })],
    ["open.resume.session_id is missing", open({ resume: { secret: "s", attempt: 1n } })],
    ["open.resume.secret is missing", open({ resume: { sessionId: "s", attempt: 1n } })],
    ["open.resume.attempt is zero", open({ resume: { sessionId: "s", secret: "s" } })],
  ])("is refused with %s", async (message, command) => {
    expect(await refusal(command)).toContain(message);
  });

  it("resumes whatever else it says, since that is ignored", async () => {
    const resume = { sessionId: "session-1", secret: "secret", attempt: 3n };
    const command = open({ resume, ttl: seconds(-1), liveness: 9 as 2, labels: labels(17) });
    expect(await given(command)).toEqual([{ kind: "resume", ...resume }]);
  });
});

describe("an acquire", () => {
  it("waits for ever, exclusively, when nothing else is said", async () => {
    expect(await given(open(), acquire({}))).toMatchObject([
      { kind: "open" },
      {
        kind: "acquire",
        claimId: 1n,
        locks: [{ name: "a", mode: "exclusive", permits: 0, limit: 0 }],
        waitMs: undefined,
        reentryId: "",
        purpose: "",
      },
    ]);
  });

  it("comes through with everything set to its limit", async () => {
    const names = Array.from({ length: 16 }, (_, i) => `${repeat(510)}${String(i).padStart(2, "0")}`);
    const fields = { reentryId: repeat(128), purpose: repeat(256), value: Buffer.alloc(4096, 7) };
    const claimId = 2n ** 64n - 1n;
    const [, command] = await given(open(), acquire({ claimId, locks: locks(...names), ...fields }));
    expect(command).toMatchObject({ claimId, ...fields });
    expect(command?.kind === "acquire" && command.locks.map(({ name }) => name)).toEqual(names);
  });

  it.each([
    ["a try when it is zero", seconds(0), 0],
    ["no try when it is a nanosecond", seconds(0, 1), 1],
    ["rounded up to milliseconds", seconds(1, 500_000_001), 1_501],
    ["as long as a duration can be", seconds(315_576_000_000), 315_576_000_000_000],
  ])("has a wait that is %s", async (_name, wait, waitMs) => {
    expect(await given(open(), acquire({ wait }))).toMatchObject([{}, { kind: "acquire", waitMs }]);
  });

  it.each([
    [{ mode: 1 as const }, { mode: "exclusive", permits: 0, limit: 0 }],
    [{ mode: 2 as const }, { mode: "shared", permits: 0, limit: 0 }],
    [
      { mode: 3 as const, limit: 5 },
      { mode: "semaphore", permits: 1, limit: 5 },
    ],
    [
      { mode: 3 as const, limit: 5, permits: 5 },
      { mode: "semaphore", permits: 5, limit: 5 },
    ],
  ])("takes a lock as %o", async (spec, taken) => {
    expect(await given(open(), acquire({ locks: [{ name: "a", ...spec }] }))).toMatchObject([{}, { locks: [taken] }]);
  });

  it.each<[string, string, Parameters<typeof acquire>[0]]>([
    ["acquire.locks is empty", "", { locks: [] }],
    ["acquire.locks has 17 entries", "", { locks: locks(..."abcdefghijklmnopq") }],
    ["acquire.locks[0].name is empty", "", { locks: locks("") }],
    ["acquire.locks[1].name has an empty segment", "", { locks: locks("a", "a//b") }],
    ["acquire.locks[0].name is longer than 512 bytes", "", { locks: locks(repeat(513)) }],
    ["acquire.locks[0].name contains a control character", "", { locks: locks("a\n") }],
    ["acquire.locks[2].name is there twice", "a", { locks: locks("a", "b", "a") }],
    ["acquire.locks[0].mode 4 is unknown", "a", { locks: [{ name: "a", mode: 4 as 3 }] }],
    ["acquire.locks[0].permits is only for MODE_SEMAPHORE", "a", { locks: [{ name: "a", permits: 1 }] }],
    ["acquire.locks[0].limit is only for MODE_SEMAPHORE", "a", { locks: [{ name: "a", mode: 2, limit: 1 }] }],
    ["acquire.locks[0].limit is missing", "a", { locks: [{ name: "a", mode: 3 }] }],
    ["acquire.locks[0].permits is 3, more than", "a", { locks: [{ name: "a", mode: 3, permits: 3, limit: 2 }] }],
    ["acquire.wait is negative", "", { wait: seconds(0, -1) }],
    ["acquire.wait is no valid duration", "", { wait: seconds(1, 1_000_000_000) }],
    ["acquire.reentry_id is longer than 128 bytes", "", { reentryId: repeat(129) }],
    ["acquire.purpose is longer than 256 bytes", "", { purpose: "ü".repeat(129) }],
    ["acquire.value is longer than 4096 bytes", "", { value: Buffer.alloc(4097) }],
  ])("is denied with %s, and the session goes on", async (message, lock, fields) => {
    const commands = await given(open(), acquire({ claimId: 5n, ...fields }), heartbeat(1n));
    expect(commands).toMatchObject([
      { kind: "open" },
      { kind: "refused", claimId: 5n, reason: "invalid", message: expect.stringContaining(message), lock },
      { kind: "heartbeat", seq: 1n },
    ]);
  });

  it("closes the stream if its claim has no number", async () => {
    expect(await refusal(open(), acquire({ claimId: 0n }))).toContain("acquire.claim_id is zero");
  });
});

describe("other commands", () => {
  it("come through", async () => {
    const value = Buffer.alloc(4096, 1);
    const update: WireCommand = { $case: "update", value: { claimId: 1n, value } };
    const close: WireCommand = { $case: "close", value: {} };
    const commands = await given(open(), release(0n), release(7n), update, heartbeat(2n ** 64n - 1n), close);
    expect(commands.slice(1)).toEqual([
      { kind: "release", claimId: 0n },
      { kind: "release", claimId: 7n },
      { kind: "update", claimId: 1n, value },
      { kind: "heartbeat", seq: 2n ** 64n - 1n },
      { kind: "close" },
    ]);
  });

  it("close the stream when they cannot be applied", async () => {
    const update: WireCommand = { $case: "update", value: { claimId: 1n, value: Buffer.alloc(4097) } };
    expect(await refusal(open(), update)).toContain("update.value is longer than 4096 bytes");
    expect(await refusal(open(), undefined)).toContain("command is unset, or unknown");
  });

  it("are applied in the order sent, within a frame and across frames", async () => {
    const before = server.engine.commands.length;
    const session = server.session();
    session.send(open());
    for (let i = 1n; i <= 200n; i += 2n) session.send(release(i), release(i + 1n));
    const calls = await server.engine.called("command", before + 201);
    session.call.cancel();
    const ids = calls.slice(before + 1).map(({ command }) => (command.kind === "release" ? command.claimId : 0n));
    expect(ids).toEqual(Array.from({ length: 200 }, (_, i) => BigInt(i + 1)));
  });

  it("behind one that cannot be applied are not applied", async () => {
    const before = server.engine.commands.length;
    await refusal(open(), undefined, release(1n));
    expect(server.engine.commands.slice(before)).toMatchObject([{ kind: "open" }]);
  });
});

describe("a place in a trace", () => {
  const [mine, calls] = ["ab", "cd"].map((byte) => `00-${byte.repeat(16)}-${byte.repeat(8)}-01`) as [string, string];

  /** What the engine is given of it, for an acquire with the first and a call with the second. */
  async function taken(traceparent: string, ofCall?: string): Promise<unknown> {
    const before = server.engine.commands.length;
    const metadata = new Metadata();
    if (ofCall !== undefined) metadata.set("traceparent", ofCall);
    const session = new TestSession(server.client.session(metadata));
    session.send(open(), acquire({ claimId: 1n, locks: locks("a"), traceparent }));
    const given = await server.engine.called("command", before + 2);
    session.call.cancel();
    return (given[before + 1]!.command as { traceparent?: string }).traceparent;
  }

  it("is the acquire's own, else that of its call", async () => {
    expect(await taken(mine)).toBe(mine);
    expect(await taken(mine, calls)).toBe(mine);
    expect(await taken("", calls)).toBe(calls);
    expect(await taken("")).toBeUndefined();
  });

  it("is no reason to refuse anything when it is broken", async () => {
    for (const broken of ["x", mine.toUpperCase(), `ff${mine.slice(2)}`, mine.replace(/ab/g, "00"), "0".repeat(4_000)])
      expect(await taken(broken, calls)).toBe(calls);
    expect(await taken("", "broken")).toBeUndefined();
    expect(await taken(`01${mine.slice(2)}-more`)).toBe(`01${mine.slice(2)}-more`);
  });
});
