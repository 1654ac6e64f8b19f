import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { isDeepStrictEqual } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import type { Lock, WatchLocksResponse } from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";
import { toolPath } from "../support/etcd.ts";
import { Inbox } from "../support/inbox.ts";
import { useService } from "../support/service.ts";

const service = useService({ servers: 2 });

let grpcurl = "";
beforeAll(async () => {
  grpcurl = await toolPath("grpcurl");
});

/** A call by grpcurl, with nothing but what the server says of itself by reflection. */
class GrpcurlCall implements AsyncDisposable {
  output = "";
  errors = "";
  readonly #child: ChildProcess;
  readonly #exited: Promise<number>;
  readonly #printed = new Inbox<string>();

  constructor(request: object | undefined, ...args: readonly string[]) {
    const data = request === undefined ? [] : ["-d", JSON.stringify(request)];
    this.#child = spawn(grpcurl, ["-plaintext", ...data, service().address(), ...args]);
    this.#exited = once(this.#child, "close").then(([code]) => code);
    this.#child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.output += text;
      this.#printed.add(this.output);
    });
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.errors += text;
    });
  }

  async prints(text: string): Promise<void> {
    await this.#printed.first((output) => (output.includes(text) ? true : undefined));
  }

  ends(): Promise<number> {
    return this.#exited;
  }

  interrupt(): Promise<number> {
    this.#child.kill("SIGINT");
    return this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill("SIGKILL");
    await this.#exited;
  }
}

const LOCKS = "holdfast.v1.LockService";

describe("grpcurl alone", () => {
  it("G1 lists the services and describes them", async () => {
    await using list = new GrpcurlCall(undefined, "list");
    expect(await list.ends()).toBe(0);
    const services = list.output.trim().split("\n");
    expect(services).toEqual(expect.arrayContaining([LOCKS, "holdfast.v1.AdminService", "grpc.health.v1.Health"]));
    await using described = new GrpcurlCall(undefined, "describe", `${LOCKS}.Hold`);
    expect(await described.ends()).toBe(0);
    expect(described.output).toContain("rpc Hold ( .holdfast.v1.HoldRequest )");
  });

  it("G1 holds a lock, is refused with the holder's name, sees it, and is granted after Ctrl-C of the first", async () => {
    const name = "orders/42";
    await using holder = new GrpcurlCall({ locks: [{ name }], client: { name: "ops" } }, `${LOCKS}/Hold`);
    await holder.prints("fencingToken");
    await using refused = new GrpcurlCall({ locks: [{ name }], wait: "0s" }, `${LOCKS}/Hold`);
    expect(await refused.ends()).not.toBe(0);
    expect(refused.errors).toContain("REASON_BUSY");
    expect(refused.errors).toContain('"name": "ops"');

    await using seen = new GrpcurlCall({ name }, `${LOCKS}/GetLock`);
    expect(await seen.ends()).toBe(0);
    const { lock } = JSON.parse(seen.output);
    expect(lock).toMatchObject({ name, state: "LOCK_STATE_HELD", holderCount: 1 });
    expect(lock.holders[0]).toMatchObject({ state: "CLAIM_STATE_HELD", client: { name: "ops" } });

    await using next = new GrpcurlCall({ locks: [{ name }] }, `${LOCKS}/Hold`);
    await next.prints("waiting");
    await holder.interrupt();
    await next.prints("granted");
    await next.prints('"end": "HOLDER_END_CLOSED"');
  });
});

/** Follows the locks with a prefix at the second server. */
class Follower implements Disposable {
  readonly seen = new Inbox<Lock>();
  readonly caughtUp = Promise.withResolvers<void>();
  readonly #call;

  constructor(prefix: string) {
    this.#call = service().stub(1).watchLocks({ prefix, name: "", maxWaiters: 100 });
    this.#call.on("error", () => undefined);
    this.#call.on("data", ({ locks, caughtUp }: WatchLocksResponse) => {
      for (const lock of locks) this.seen.add(lock);
      if (caughtUp) this.caughtUp.resolve();
    });
  }

  /** Stops reading. */
  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  /** Resolves when this state of a lock has come, after so many others. */
  shows(name: string, holderToken: bigint | undefined, waiterCount: number, from: number): Promise<Lock> {
    return this.seen.first(
      (lock) =>
        lock.name === name && lock.holders[0]?.fencingToken === holderToken && lock.waiterCount === waiterCount
          ? lock
          : undefined,
      from,
    );
  }

  [Symbol.dispose](): void {
    this.#call.cancel();
  }
}

describe("watching", () => {
  it("G5 a watcher is shown what is there, and then every change of its prefix in order", async () => {
    await using sessions = await service().sessionsAt([0, 1]);
    const [one, two] = sessions.list;
    const old = await one.take("g5/steps/old");
    using follower = new Follower("g5/steps/");
    await follower.caughtUp.promise;
    expect(follower.seen.items.map(({ name, holders }) => [name, holders[0]!.fencingToken])).toEqual([
      ["g5/steps/old", old.token],
    ]);

    const name = "g5/steps/new";
    const steps: [bigint | undefined, number][] = [];
    // Each step begins where the last was shown: what an earlier round showed is no sign that this one is through.
    let from = 1;
    const step = async (token: bigint | undefined, waiterCount: number) => {
      steps.push([token, waiterCount]);
      await follower.shows(name, token, waiterCount, from);
      from = follower.seen.items.length;
    };
    for (let round = 0; round < 10; round++) {
      const first = await one.take(name);
      await step(first.token, 0);
      await one.take("g5/elsewhere", { waitMs: 0 }).then(({ claimId }) => one.release(claimId));
      const second = two.acquire(name);
      await step(first.token, 1);
      await one.release(first.claimId);
      await step((await second.granted).token, 0);
      await two.release(second.id);
      await step(undefined, 0);
    }
    const shown = follower.seen.items.slice(1);
    expect(new Set(shown.map((lock) => lock.name))).toEqual(new Set([name]));
    const states = shown.map(({ holders, waiterCount }) => [holders[0]?.fencingToken, waiterCount]);
    // A server that lets in the next before etcd has the release shows that state twice: then, and when etcd has it.
    const changes = states.filter((state, i) => !isDeepStrictEqual(state, states[i - 1]));
    expect(changes).toEqual(steps);
  });

  it("G5 a watcher that does not read is sent the latest state, and no backlog", async () => {
    const LOCKS_IN_USE = 5;
    const ROUNDS = 200;
    await using sessions = await service().sessionsAt([0]);
    const [session] = sessions.list;
    using follower = new Follower("g5/slow/");
    await follower.caughtUp.promise;
    follower.pause();
    // Each state is 4 KiB: without a bound the backlog would be 8 MiB.
    const value = Buffer.alloc(4096, "x");
    const use = async (name: string) => {
      let last = await session.take(name, { value });
      for (let round = 1; round < ROUNDS; round++) {
        await session.release(last.claimId);
        last = await session.take(name, { value });
      }
      return last.token;
    };
    const names = Array.from({ length: LOCKS_IN_USE }, (_, i) => `g5/slow/${i}`);
    const tokens = await Promise.all(names.map(use));
    follower.resume();
    await Promise.all(names.map((name, i) => follower.shows(name, tokens[i], 0, 0)));
    expect(follower.seen.items.length).toBeLessThan((LOCKS_IN_USE * ROUNDS) / 4);
    for (const name of names) {
      const states = follower.seen.items.filter((lock) => lock.name === name);
      const shown = states.map(({ holders }) => holders[0]?.fencingToken).filter((token) => token !== undefined);
      expect(shown).toEqual([...shown].sort((a, b) => Number(a - b)));
    }
  });
});
