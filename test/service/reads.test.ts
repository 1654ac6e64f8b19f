import { type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type {
  CheckTokenRequest,
  CheckTokenResponse,
  GetLockRequest,
  GetLockResponse,
  ListLocksRequest,
  ListLocksResponse,
} from "../../server/gen/holdfast/v1/lock_service.ts";
import { ask, claimView, detailsOf, lockView, TestServer } from "./harness.ts";
import { callFrame, DATA, END_STREAM, HEADERS, messageFrame, RawClient } from "./raw-client.ts";

let server: TestServer;

beforeEach(async () => {
  server = await TestServer.start({ unreadAnswerBytes: 100_000 });
});

afterEach(() => server[Symbol.asyncDispose]());

/** What was answered; throws if the call failed. */
function answered<Response>(asked: { ok: Response } | { failed: ServiceError }): Response {
  if ("failed" in asked) throw asked.failed;
  return asked.ok;
}

/** What was said of a request that is wrong. */
function refused(asked: { ok: unknown } | { failed: ServiceError }): string {
  if ("ok" in asked) throw new Error("it was answered");
  expect(asked.failed.code).toBe(status.INVALID_ARGUMENT);
  expect(detailsOf(asked.failed)).toMatchObject({ info: { reason: "REASON_INVALID", metadata: {} } });
  expect(server.engine.calls).toEqual([]);
  return asked.failed.details;
}

describe("GetLock", () => {
  const getLock = (request: Partial<GetLockRequest>) =>
    ask<GetLockRequest, GetLockResponse>((asked, tell) => server.client.getLock(asked, tell), {
      name: "a",
      maxClaims: 0,
      ...request,
    });

  it("answers with the lock as the engine shows it", async () => {
    const holders = [claimView({ mode: "semaphore", permits: 2, value: Buffer.from("v") })];
    const waiters = [claimView({ held: false, token: 0n, grantedAtMs: undefined })];
    const counts = { limit: 3, holderCount: 1, waiterCount: 1, permitsHeld: 2 };
    const value = lockView({ name: "a", state: "contended", mode: "semaphore", ...counts, holders, waiters });
    server.engine.lock = { kind: "ok", value };
    const { lock } = answered(await getLock({ name: "a" }));
    expect(lock).toMatchObject({
      ...{ name: "a", state: 2, mode: 3, ...counts },
      holders: [{ claimId: 7n, state: 2, fencingToken: 1_000n, value: Buffer.from("v"), permits: 2 }],
      waiters: [{ claimId: 7n, state: 1, fencingToken: 0n, grantedAt: undefined }],
    });
  });

  it("answers with an empty lock for one that nobody holds", async () => {
    const value = lockView({ state: "free", mode: undefined, holderCount: 0, holders: [] });
    server.engine.lock = { kind: "ok", value };
    expect(answered(await getLock({})).lock).toMatchObject({ name: "a", state: 0, mode: 0, holders: [], waiters: [] });
  });

  it.each([
    [0, 100],
    [1, 1],
    [1_000, 1_000],
    [4_294_967_295, 1_000],
  ])("asked for %i claims takes up to %i", async (maxClaims, limit) => {
    await getLock({ name: "orders/42", maxClaims });
    expect(server.engine.of("getLock")).toEqual([{ kind: "getLock", name: "orders/42", limit }]);
  });

  it("refuses a name that is none", async () => {
    expect(refused(await getLock({ name: "" }))).toBe("name is empty");
    expect(refused(await getLock({ name: "a//b" }))).toContain("name has an empty segment");
  });

  it("does not fall over a clock that shows nonsense", async () => {
    const holders = [claimView({ claimedAtMs: Number.NaN, grantedAtMs: 1e300 })];
    server.engine.lock = { kind: "ok", value: lockView({ holders }) };
    expect(answered(await getLock({})).lock?.holders).toMatchObject([{ claimedAt: undefined, grantedAt: undefined }]);
  });

  it("ends with INTERNAL, and a line in the log, if the answer cannot be encoded", async () => {
    server.engine.lock = { kind: "ok", value: lockView({ holderCount: -1 }) };
    const asked = await getLock({});
    expect("failed" in asked && asked.failed.code).toBe(status.INTERNAL);
    expect(server.logged).toMatchObject([{ level: "error", name: "read.failed" }]);
  });

  it("is refused while earlier answers on its connection are not read", async () => {
    const holders = Array.from({ length: 100 }, () => claimView({ value: new Uint8Array(4_096) }));
    server.engine.lock = { kind: "ok", value: lockView({ holders }) };
    await using client = await RawClient.connect(server.server.port);
    const request = Buffer.from([0x0a, 1, 0x61]);
    for (const streamId of [1, 3])
      client.send(callFrame(streamId, "/holdfast.v1.LockService/GetLock"), messageFrame(streamId, request, END_STREAM));
    const refusal = await client.frame(({ type, flags }) => type === HEADERS && (flags & END_STREAM) !== 0);
    expect(refusal.streamId).toBe(3);
    expect(client.frames.some(({ type, streamId }) => type === DATA && streamId === 1)).toBe(true);
    expect(client.frames.some(({ type, streamId }) => type === DATA && streamId === 3)).toBe(false);
    // Another connection has nothing to do with it.
    expect(answered(await getLock({})).lock?.holders).toHaveLength(100);
    expect(answered(await getLock({})).lock?.holders).toHaveLength(100);
  });
});

describe("ListLocks", () => {
  const listLocks = (request: Partial<ListLocksRequest>) =>
    ask<ListLocksRequest, ListLocksResponse>((asked, tell) => server.client.listLocks(asked, tell), {
      prefix: "",
      state: 0,
      pageSize: 0,
      pageToken: "",
      ...request,
    });

  it("asks for what was asked for", async () => {
    await listLocks({});
    await listLocks({ prefix: "orders/4", state: 1, pageSize: 7 });
    await listLocks({ state: 2, pageSize: 4_294_967_295 });
    expect(server.engine.of("listLocks").map(({ query }) => query)).toEqual([
      { prefix: "", state: undefined, after: "", pageSize: 100, holderLimit: 10 },
      { prefix: "orders/4", state: "held", after: "", pageSize: 7, holderLimit: 10 },
      { prefix: "", state: "contended", after: "", pageSize: 1_000, holderLimit: 10 },
    ]);
  });

  it("gives a token for the next page, which asks for what comes after", async () => {
    const filter = { prefix: "é", state: 1 as const };
    server.engine.page = {
      kind: "ok",
      value: { locks: [lockView({ name: "é1" }), lockView({ name: "é2" })], more: true },
    };
    const first = answered(await listLocks(filter));
    expect(first.locks.map(({ name }) => name)).toEqual(["é1", "é2"]);
    server.engine.page = { kind: "ok", value: { locks: [lockView({ name: "é3" })], more: false } };
    const second = answered(await listLocks({ ...filter, pageSize: 5, pageToken: first.nextPageToken }));
    expect(server.engine.of("listLocks")[1]?.query.after).toBe("é2");
    expect(second).toMatchObject({ locks: [{ name: "é3" }], nextPageToken: "" });
  });

  it("ends a page early that a client could not read, and goes on behind it", async () => {
    const holders = Array.from({ length: 10 }, () => claimView({ purpose: "x".repeat(256) }));
    const locks = Array.from({ length: 1_000 }, (_, i) =>
      lockView({ name: `lock-${String(i).padStart(4, "0")}`, holders }),
    );
    server.engine.page = { kind: "ok", value: { locks, more: false } };
    const page = answered(await listLocks({ pageSize: 1_000 }));
    expect(page.locks.length).toBeLessThan(500);
    await listLocks({ pageToken: page.nextPageToken });
    expect(server.engine.of("listLocks")[1]?.query.after).toBe(page.locks.at(-1)?.name);
  });

  it("refuses a token of another question, or none of ours", async () => {
    server.engine.page = { kind: "ok", value: { locks: [lockView()], more: true } };
    const { nextPageToken: token } = answered(await listLocks({ prefix: "a" }));
    server.engine.calls.length = 0;
    const inverted = `${token.slice(0, -1)}${token.endsWith("A") ? "Q" : "A"}`;
    const wrong = [{ pageToken: token }, { prefix: "a", state: 1 as const, pageToken: token }].concat(
      ["!", "AAAA", inverted, `${token}=`, "A".repeat(60_000)].map((pageToken) => ({
        prefix: "a",
        state: 0,
        pageToken,
      })) as never,
    );
    for (const request of wrong) expect(refused(await listLocks(request))).toContain("page_token is not");
  });

  it("refuses a state that it does not know", async () => {
    expect(refused(await listLocks({ state: 3 as 2 }))).toBe("state 3 is unknown to this server");
  });
});

describe("CheckToken", () => {
  const checkToken = (request: Partial<CheckTokenRequest>) =>
    ask<CheckTokenRequest, CheckTokenResponse>((asked, tell) => server.client.checkToken(asked, tell), {
      name: "a",
      fencingToken: 1n,
      ...request,
    });

  it("answers with the state of the grant, and its claim without value", async () => {
    const claim = claimView({ value: Buffer.from("secret"), token: 2n ** 63n - 1n });
    server.engine.token = { kind: "ok", value: { state: "live", claim } };
    const live = answered(await checkToken({ fencingToken: 2n ** 63n - 1n }));
    expect(live).toMatchObject({ state: 1, claim: { fencingToken: 2n ** 63n - 1n, value: Buffer.alloc(0) } });
    expect(server.engine.of("checkToken")).toEqual([{ kind: "checkToken", name: "a", token: 2n ** 63n - 1n }]);
    server.engine.token = { kind: "ok", value: { state: "ended", claim: undefined } };
    expect(answered(await checkToken({}))).toEqual({ state: 2, claim: undefined });
    server.engine.token = { kind: "ok", value: { state: "not-issued", claim: undefined } };
    expect(answered(await checkToken({}))).toEqual({ state: 3, claim: undefined });
  });

  it("refuses zero and a name that is none", async () => {
    expect(refused(await checkToken({ fencingToken: 0n }))).toContain("fencing_token is zero");
    expect(refused(await checkToken({ name: "/" }))).toContain("name has an empty segment");
  });
});
