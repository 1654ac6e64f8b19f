import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { Claim, type ListLocksRequest, Lock, LockState, TokenState } from "../src/gen/holdfast/v1/lock_service.ts";
import { type Client, connect } from "../src/index.ts";
import { type Answers, FakeServer, failure } from "./fake-server.ts";

let open = new AsyncDisposableStack();

afterEach(async () => {
  await open.disposeAsync();
  open = new AsyncDisposableStack();
});

const serve = async (answers: Partial<Answers>) => open.use(await FakeServer.start(answers));

async function client(...answers: Partial<Answers>[]): Promise<Client> {
  const servers = await Promise.all(answers.map(serve));
  return open.use(connect(servers.map(({ address }) => address)));
}

const held = (name: string) =>
  Lock.create({
    name,
    state: LockState.HELD,
    mode: 1,
    holderCount: 1,
    holders: [Claim.create({ sessionId: "s", state: 2 })],
  });

describe("looking", () => {
  it("at one lock tells its holders and waiters", async () => {
    const asked: unknown[] = [];
    const it = await client({
      getLock: (request) => {
        asked.push(request);
        return {
          lock: Lock.create({ ...held("a"), state: LockState.CONTENDED, waiterCount: 1, waiters: [Claim.create()] }),
        };
      },
    });
    expect(await it.getLock("a", { maxClaims: 7 })).toMatchObject({
      name: "a",
      state: "contended",
      mode: "exclusive",
      holders: [{ sessionId: "s", held: true }],
      waiters: [{ held: false }],
      waiterCount: 1,
    });
    expect(asked).toEqual([{ name: "a", maxClaims: 7 }]);
    expect(it.sessionId).toBeUndefined();
  });

  it("at a free lock says so", async () => {
    const it = await client({ getLock: ({ name }) => ({ lock: Lock.create({ name }) }) });
    expect(await it.getLock("a")).toMatchObject({ name: "a", state: "free", mode: undefined, holders: [] });
  });

  it("at all locks goes from page to page", async () => {
    const asked: ListLocksRequest[] = [];
    const it = await client({
      listLocks: (request) => {
        asked.push(request);
        const names = { "": ["a", "b"], "2": ["c"], "3": [] }[request.pageToken] ?? [];
        return { locks: names.map(held), nextPageToken: { "": "2", "2": "3" }[request.pageToken] ?? "" };
      },
    });
    const names: string[] = [];
    for await (const { name } of it.listLocks("orders/", { state: "held" })) names.push(name);
    expect(names).toEqual(["a", "b", "c"]);
    expect(asked.map(({ prefix, state }) => [prefix, state])).toEqual(Array(3).fill(["orders/", LockState.HELD]));
  });

  it("at a token tells how its grant stands", async () => {
    const states = [TokenState.LIVE, TokenState.ENDED, TokenState.NOT_ISSUED];
    const it = await client({
      checkToken: ({ fencingToken }) => ({ state: states[Number(fencingToken)]!, claim: undefined }),
    });
    expect(await it.checkToken("a", 0n)).toEqual({ state: "live", claim: undefined });
    expect(await it.checkToken("a", 1n)).toMatchObject({ state: "ended" });
    expect(await it.checkToken("a", 2n)).toMatchObject({ state: "not-issued" });
  });

  it("fails with the reason of the service", async () => {
    const it = await client({
      getLock: () => {
        throw failure(status.INVALID_ARGUMENT, "INVALID", { lock: "a//b" });
      },
    });
    await expect(it.getLock("a//b")).rejects.toMatchObject({ name: "HoldfastError", reason: "invalid", lock: "a//b" });
  });

  it("sends nothing that cannot be right, and nothing once it is closed", async () => {
    const it = await client({});
    for (const wrong of [
      () => it.getLock("a", { maxClaims: -1 }),
      () => it.getLock("a", { maxClaims: Number.NaN }),
      () => it.checkToken("a", -1n),
      () => it.checkToken("a", 2n ** 64n),
      () => it.checkToken("a", 7 as never),
      () => it.watchLocks({ name: "a" }, { maxWaiters: 0.5 }).next(),
    ])
      await expect(wrong()).rejects.toMatchObject({ name: "HoldfastError", reason: "invalid" });
    await it.close();
    for (const late of [
      () => it.getLock("a"),
      () => it.checkToken("a", 1n),
      () => it.listLocks().next(),
      () => it.watchLocks({ name: "a" }).next(),
    ])
      await expect(late()).rejects.toMatchObject({ name: "HoldfastError", reason: "closed-by-client" });
  });

  it("asks the next address when one is gone or cannot answer, and stays there", async () => {
    let asked = 0;
    const unable = await serve({
      getLock: () => {
        asked++;
        throw failure(status.UNAVAILABLE, "STORE_UNAVAILABLE");
      },
    });
    const gone = await serve({});
    gone.kill();
    const able = await serve({ getLock: ({ name }) => ({ lock: held(name) }) });
    const it = open.use(connect([unable.address, gone.address, able.address]));
    expect(await it.getLock("a")).toMatchObject({ state: "held" });
    expect(await it.getLock("a")).toMatchObject({ state: "held" });
    expect(asked).toBe(1);
  });

  it("goes on at the next address also when many fail at once", async () => {
    const gone = await serve({});
    gone.kill();
    const able = await serve({ getLock: ({ name }) => ({ lock: held(name) }) });
    const it = open.use(connect([gone.address, able.address]));
    const answers = await Promise.all(Array.from({ length: 6 }, () => it.getLock("a")));
    expect(answers.map(({ state }) => state)).toEqual(Array(6).fill("held"));
  });

  it("asks an only address again, since several servers may be behind it", async () => {
    let asked = 0;
    const balanced = await serve({
      getLock: ({ name }) => {
        if (++asked < 3) throw failure(status.UNAVAILABLE, "DRAINING");
        return { lock: held(name) };
      },
    });
    const it = open.use(connect(balanced.address));
    expect(await it.getLock("a")).toMatchObject({ state: "held" });
    asked = -10;
    await expect(it.getLock("a")).rejects.toMatchObject({ reason: "draining" });
    expect(asked).toBe(-7);
  });

  it("fails when no address answers", async () => {
    const servers = [await serve({}), await serve({})];
    for (const server of servers) server.kill();
    const it = open.use(connect(servers.map(({ address }) => address)));
    await expect(it.getLock("a")).rejects.toMatchObject({ reason: "unreachable" });
  });

  it("fails when it takes too long, or is aborted", async () => {
    const server = await FakeServer.start({ getLock: () => ({ lock: undefined }) });
    open.use(server);
    server.hold();
    const it = open.use(connect(server.address, { callTimeoutMs: 100 }));
    await expect(it.getLock("a")).rejects.toMatchObject({ reason: "unreachable" });
    const controller = new AbortController();
    const looking = it.getLock("a", { signal: controller.signal });
    controller.abort("enough");
    await expect(looking).rejects.toMatchObject({ reason: "aborted", cause: "enough" });
    await expect(it.getLock("a", { signal: controller.signal })).rejects.toMatchObject({ reason: "aborted" });
  });
});

describe("watching", () => {
  it("shows what exists, then what changes, until the loop is left; then the call is over", async () => {
    const over = Promise.withResolvers<void>();
    const it = await client({
      watchLocks: (call) => {
        call.on("cancelled", over.resolve);
        expect(call.request).toEqual({ prefix: "", name: "leader", maxWaiters: 3 });
        call.write({ locks: [held("leader")], caughtUp: false });
        call.write({ locks: [], caughtUp: true });
        call.write({ locks: [Lock.create({ name: "leader" })], caughtUp: false });
      },
    });
    const seen: string[] = [];
    for await (const { locks, caughtUp } of it.watchLocks({ name: "leader" }, { maxWaiters: 3 })) {
      seen.push(caughtUp ? "caught up" : `${locks[0]?.name} ${locks[0]?.state}`);
      if (seen.length === 3) break;
    }
    expect(seen).toEqual(["leader held", "caught up", "leader free"]);
    await over.promise;
  });

  it("fails with the reason of the service, or when the server ends it", async () => {
    const it = await client({
      watchLocks: (call) => {
        call.write({ locks: [], caughtUp: true });
        if (call.request.prefix === "a") call.end();
        else call.emit("error", failure(status.UNAVAILABLE, "DRAINING"));
      },
    });
    const drain = async (prefix: string) => {
      for await (const _ of it.watchLocks({ prefix }));
    };
    await expect(drain("a")).rejects.toMatchObject({ reason: "connection-lost" });
    await expect(drain("b")).rejects.toMatchObject({ reason: "draining" });
  });

  it("begins at the next address when the first is gone", async () => {
    const gone = await serve({});
    gone.kill();
    const able = await serve({ watchLocks: (call) => void call.write({ locks: [], caughtUp: true }) });
    const it = open.use(connect([gone.address, able.address]));
    for await (const { caughtUp } of it.watchLocks({ prefix: "" })) {
      expect(caughtUp).toBe(true);
      break;
    }
  });

  it("ends when it is aborted", async () => {
    const controller = new AbortController();
    const it = await client({ watchLocks: (call) => void call.write({ locks: [], caughtUp: true }) });
    const watch = (async () => {
      for await (const _ of it.watchLocks({ prefix: "" }, { signal: controller.signal })) controller.abort("enough");
    })();
    await expect(watch).rejects.toMatchObject({ reason: "aborted", cause: "enough" });
    const late = it.watchLocks({ prefix: "" }, { signal: controller.signal }).next();
    await expect(late).rejects.toMatchObject({ reason: "aborted" });
  });
});
