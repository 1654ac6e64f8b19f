import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WatchLocksRequest, type WatchLocksResponse } from "../../server/gen/holdfast/v1/lock_service.ts";
import { claimView, detailsOf, type Ending, lockView, TestServer } from "./harness.ts";

let server: TestServer;

beforeEach(async () => {
  server = await TestServer.start();
});

afterEach(() => server[Symbol.asyncDispose]());

/** A watch as a program with nothing but stubs sees it. */
function watch(request: Parameters<typeof WatchLocksRequest.fromPartial>[0] = {}) {
  const call = server.client.watchLocks(WatchLocksRequest.fromPartial(request));
  const frames: WatchLocksResponse[] = [];
  let check: () => void = () => undefined;
  call.on("error", () => undefined);
  call.on("data", (frame: WatchLocksResponse) => {
    frames.push(frame);
    check();
  });
  return {
    call,
    frames,
    ending: new Promise<Ending>((resolve) => call.once("status", resolve)),
    /** Resolves when what has come fulfils a condition. */
    until: (fulfilled: () => boolean) =>
      new Promise<void>((resolve) => {
        check = () => {
          if (fulfilled()) resolve();
        };
        check();
      }),
  };
}

describe("WatchLocks", () => {
  it("asks for what was asked for", async () => {
    watch({ prefix: "orders/", maxWaiters: 3 });
    watch({ name: "orders/42", maxWaiters: 101 });
    watch();
    const calls = await server.engine.called("watchLocks", 3);
    expect(calls.map(({ query }) => query)).toEqual([
      { prefix: "orders/", name: "", holderLimit: 100, waiterLimit: 3 },
      { prefix: "", name: "orders/42", holderLimit: 100, waiterLimit: 100 },
      { prefix: "", name: "", holderLimit: 100, waiterLimit: 0 },
    ]);
  });

  it("says that it is caught up even if there is nothing", async () => {
    const { frames, until } = watch();
    await until(() => frames.length > 0);
    expect(frames).toEqual([{ locks: [], caughtUp: true }]);
  });

  it("sends what there is, then that it is caught up, then what changes", async () => {
    const { frames, until } = watch({ prefix: "a" });
    await server.engine.called("watchLocks");
    const there = Array.from({ length: 100 }, (_, i) => lockView({ name: `a${i}` }));
    server.engine.watch!.change(...there);
    await until(() => frames.some(({ caughtUp }) => caughtUp));
    expect(frames.flatMap(({ locks }) => locks.map(({ name }) => name))).toEqual(there.map(({ name }) => name));
    expect(frames.filter(({ caughtUp }) => caughtUp)).toHaveLength(1);
    expect(frames.at(-1)?.caughtUp).toBe(true);
    server.engine.watch!.change(lockView({ name: "a5", state: "free", mode: undefined, holderCount: 0, holders: [] }));
    await until(() => frames.at(-1)?.locks[0]?.name === "a5");
    expect(frames.at(-1)).toMatchObject({ locks: [{ name: "a5", state: 0, mode: 0, holders: [] }], caughtUp: false });
  });

  it("sends the changes of a turn in one frame", async () => {
    const { frames, until } = watch();
    await until(() => frames.length === 1);
    for (let i = 0; i < 20; i++) server.engine.watch!.change(lockView({ name: `a${i}` }));
    await until(() => frames.flatMap(({ locks }) => locks).length === 20);
    expect(frames).toHaveLength(2);
  });

  it("cuts what is large into frames that can be read", async () => {
    const { frames, until } = watch();
    await until(() => frames.length === 1);
    const holders = Array.from({ length: 100 }, () => claimView({ value: new Uint8Array(4_096) }));
    server.engine.watch!.change(...Array.from({ length: 10 }, (_, i) => lockView({ name: `a${i}`, holders })));
    await until(() => frames.flatMap(({ locks }) => locks).length === 10);
    expect(frames.slice(1).map(({ locks }) => locks.length)).toEqual(Array.from({ length: 10 }, () => 1));
    expect(frames[1]?.locks[0]?.holders).toHaveLength(100);
  });

  it("takes nothing more from the engine while its client does not read, and then the latest state only", async () => {
    const { call, frames, until } = watch();
    await until(() => frames.length === 1);
    call.pause();
    const { taken } = server.engine.watch!;
    const holders = Array.from({ length: 100 }, () => claimView({ value: new Uint8Array(4_096) }));
    const rounds = 300;
    for (let round = 1; round <= rounds; round++) {
      const locks = Array.from({ length: 8 }, (_, i) => lockView({ name: `a${i}`, waiterCount: round, holders }));
      server.engine.watch!.change(...locks);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const locksTaken = taken.reduce((sum, count) => sum + count, 0);
    // 8 locks of 400 KiB each are more than the connection takes at a time.
    expect(locksTaken).toBeLessThan(8 * 10);
    call.resume();
    await until(
      () => frames.flatMap(({ locks }) => locks).filter(({ waiterCount }) => waiterCount === rounds).length === 8,
    );
    expect(frames.flatMap(({ locks }) => locks).length).toBeLessThan(8 * 12);
  });

  it("ends the engine's watch when the client cancels", async () => {
    const { call, frames, until } = watch();
    await until(() => frames.length === 1);
    call.cancel();
    await server.engine.called("watchClosed");
    server.engine.watch!.change(lockView());
    expect(server.engine.of("watchClosed")).toHaveLength(1);
  });

  it.each([
    ["prefix and name are both set", { prefix: "a", name: "b" }],
    ["name has an empty segment", { name: "a/" }],
  ])("is refused with %s", async (message, request) => {
    const ending = await watch(request).ending;
    expect(ending.code).toBe(status.INVALID_ARGUMENT);
    expect(ending.details).toContain(message);
    expect(detailsOf(ending).info?.reason).toBe("REASON_INVALID");
    expect(server.engine.calls).toEqual([]);
  });
});
