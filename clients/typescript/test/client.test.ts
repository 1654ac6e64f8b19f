import { ServerCredentials } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { Mode, Reason } from "../src/gen/holdfast/v1/lock_service.ts";
import {
  type Client,
  type ConnectOptions,
  connect,
  type HeldLock,
  type HoldfastError,
  LockLostError,
  type LockTarget,
  semaphore,
  shared,
} from "../src/index.ts";
import { certificate, key } from "./certificate.ts";
import { FakeServer, type FakeSession } from "./fake-server.ts";

let open = new AsyncDisposableStack();

afterEach(async () => {
  await open.disposeAsync();
  open = new AsyncDisposableStack();
});

async function serve(): Promise<FakeServer> {
  return open.use(await FakeServer.start());
}

/** A client of these servers; closed without waiting when the test ends. */
function client(servers: FakeServer | readonly FakeServer[], options: ConnectOptions = {}): Client {
  const addresses = [servers].flat().map(({ address }) => address);
  return open.use(connect(addresses, { closeTimeoutMs: 0, ...options }));
}

interface Scene extends ConnectOptions {
  /** How long the session is valid, in milliseconds. For tests of its end. */
  readonly validForMs?: number;
}

/** A client with a session, and the server's end of it. */
async function connected({ validForMs, ...options }: Scene = {}) {
  const server = await serve();
  const it = client(server, options);
  const [session] = await Promise.all([server.accept(validForMs), it.ready()]);
  return { client: it, session };
}

/** A client that holds "a" as claim 1. */
async function holding(scene: Scene = {}) {
  const { client, session } = await connected(scene);
  const acquiring = client.acquire("a");
  await session.next();
  session.granted(1n, "a");
  return { client, session, lock: await acquiring };
}

/** Stops everything, as a long computation does. */
function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

const rejection = (promise: Promise<unknown>): Promise<HoldfastError> =>
  promise.then(
    () => Promise.reject(new Error("it resolved")),
    (error) => error,
  );

describe("acquire", () => {
  it("opens a session that says who this is, and resolves with the lock and its token", async () => {
    const server = await serve();
    const it = client(server, { clientName: "billing", labels: { team: "money" }, onDisconnect: "keep" });
    const acquiring = it.acquire("orders/42", { purpose: "billing run", value: "host-7" });
    const session = await server.sessions.take();
    const [opening] = await session.next();
    expect(opening).toMatchObject({
      $case: "open",
      value: {
        ttl: { seconds: 15n },
        onDisconnect: 2,
        liveness: 1,
        client: { name: "billing", pid: process.pid, language: "typescript", version: "0.1.0" },
        labels: { team: "money" },
      },
    });
    session.opened();
    const [acquire] = await session.next();
    expect(acquire).toMatchObject({
      $case: "acquire",
      value: {
        claimId: 1n,
        locks: [{ name: "orders/42", mode: Mode.EXCLUSIVE }],
        wait: undefined,
        purpose: "billing run",
        value: Buffer.from("host-7"),
      },
    });
    session.send({
      $case: "granted",
      value: {
        claimId: 1n,
        locks: [{ name: "orders/42", fencingToken: 2n ** 60n + 1n, previous: { fencingToken: 7n, end: 2 } }],
      },
    });
    const lock = await acquiring;
    expect(lock.remainingMs).toBeGreaterThan(10_000);
    expect([lock.name, lock.token, lock.held, it.sessionId]).toEqual(["orders/42", 2n ** 60n + 1n, true, "session"]);
    expect(lock.previous).toEqual({ token: 7n, end: "expired" });
  });

  it("sends everything of one turn in one frame", async () => {
    const { client, session } = await holding();
    void client.acquire("b").catch(() => {});
    await Promise.resolve();
    void client.acquire("c").catch(() => {});
    expect(await session.nextSketch()).toEqual(["acquire 2", "acquire 3"]);
  });

  it("takes several locks in one claim, each in its mode", async () => {
    const { client, session } = await connected();
    const acquiring = client.acquire(["a", shared("b"), semaphore("c", { limit: 5, permits: 2 })], { waitMs: 1500 });
    const [acquire] = await session.next();
    expect(acquire).toMatchObject({
      value: {
        wait: { seconds: 1n, nanos: 500_000_000 },
        locks: [
          { name: "a", mode: Mode.EXCLUSIVE, permits: 0, limit: 0 },
          { name: "b", mode: Mode.SHARED, permits: 0, limit: 0 },
          { name: "c", mode: Mode.SEMAPHORE, permits: 2, limit: 5 },
        ],
      },
    });
    session.granted(1n, "a", "b", "c");
    expect((await acquiring).locks.map(({ name }) => name)).toEqual(["a", "b", "c"]);
  });

  it("tells the place in the queue, and who holds the lock", async () => {
    const { client, session } = await connected();
    const places: unknown[] = [];
    const acquiring = client.acquire("a", { onWaiting: (place) => places.push(place) });
    await session.next();
    const holder = { name: "billing", host: "h", pid: 7, language: "go", version: "1" };
    session.send({
      $case: "waiting",
      value: { claimId: 1n, lock: "a", position: 3, holders: [claim(holder)], holderCount: 1 },
    });
    session.granted(1n, "a");
    await acquiring;
    expect(places).toMatchObject([
      { lock: "a", position: 3, holderCount: 1, holders: [{ client: holder, token: 5n }] },
    ]);
  });

  it("is refused with the reason and the holders", async () => {
    const { client, session } = await connected();
    const acquiring = rejection(client.acquire("a", { waitMs: 0 }));
    await session.next();
    deny(session, 1n, Reason.BUSY);
    expect(await acquiring).toMatchObject({
      name: "HoldfastError",
      reason: "busy",
      message: "in words",
      lock: "a",
      holderCount: 1,
      holders: [{ sessionId: "other", held: true, claimedAtMs: 1000, grantedAtMs: undefined }],
    });
  });

  it("that is aborted rejects, is taken back, and gives a grant that crosses back too", async () => {
    const { client, session } = await connected();
    const controller = new AbortController();
    const acquiring = rejection(client.acquire("a", { signal: controller.signal }));
    await session.next();
    controller.abort("changed my mind");
    expect(await acquiring).toMatchObject({ reason: "aborted", cause: "changed my mind" });
    expect(await session.nextSketch()).toEqual(["release 1"]);
    session.granted(1n, "a");
    expect(await session.nextSketch()).toEqual(["release 1"]);
  });

  it("with a signal that was aborted before sends nothing, nor do requests that cannot be right", async () => {
    const { client, session } = await connected();
    const signal = AbortSignal.abort("no");
    expect(await rejection(client.acquire("x", { signal }))).toMatchObject({ reason: "aborted", cause: "no" });
    for (const wrong of [
      () => client.acquire("a//b"),
      () => client.acquire([]),
      () => client.acquire(["a", "a"]),
      () => client.acquire("a", { waitMs: -1 }),
      () => client.acquire("a", { waitMs: Number.NaN }),
      () => client.acquire("a", { purpose: "x".repeat(257) }),
      () => client.acquire("a", { value: "x".repeat(4097) }),
      () => client.acquire(semaphore("a", { limit: 2, permits: 3 })),
      // What a program in JavaScript may give.
      ...[undefined, null, 7, {}, { name: "a" }, { name: 7, mode: "shared" }, { name: "a", mode: "write" }].map(
        (target) => () => client.acquire(target as never),
      ),
      () => client.acquire({ name: "a", mode: "exclusive", permits: 3, limit: 5 }),
      () => client.acquire({ name: "a", mode: "shared", permits: Number.NaN, limit: 0 }),
      () => client.acquire("a", { waitMs: null as never }),
      () => client.acquire("a", { signal: {} as never }),
      () => client.withLock("a", { signal: 7 as never }, () => undefined),
      () => client.acquire("a", null as never),
      () => client.withLock("a", null as never, () => undefined),
    ])
      expect(await rejection(wrong())).toMatchObject({ reason: "invalid" });
    void client.acquire("b").catch(() => {});
    expect(await session.nextSketch()).toEqual(["acquire 1"]);
  });

  it("says how it is written when a program in JavaScript writes it otherwise", async () => {
    const { client, session } = await connected();
    const body = () => undefined;
    const order = /^withLock: give the function last: withLock\(name, fn\) or withLock\(name, options, fn\)$/;
    for (const [wrong, message] of [
      [
        () => client.acquire("a", { timeout: 5 } as never),
        /"timeout"; there are waitMs, onWaiting, signal, purpose, val/,
      ],
      [() => client.acquire("a", { reentrant: false } as never), /^acquire: there is no option "reentrant"/],
      [() => client.tryAcquire("a", { waitMs: 5 } as never), /^tryAcquire: there is no option "waitMs"/],
      [() => client.withLock("a", { wait: 5 } as never, body), /^withLock: there is no option "wait"; .*reentrant$/],
      [() => client.acquire("a", 5000 as never), /^acquire: the options are an object, not a number$/],
      [() => (client as never as { withLock: (name: string) => Promise<void> }).withLock("a"), order],
      [() => client.withLock("a", { waitMs: 1000 }, undefined as never), order],
      [() => client.withLock("a", body as never, { waitMs: 1000 } as never), order],
      [() => client.withLock("a", ...([{}, body, {}] as unknown as [typeof body])), order],
    ] as const)
      expect(await rejection(wrong())).toMatchObject({ reason: "invalid", message: expect.stringMatching(message) });
    expect(() => semaphore("s", undefined as never)).toThrow(
      expect.objectContaining({
        reason: "invalid",
        message: expect.stringContaining('semaphore("gpu", { limit: 4 })'),
      }),
    );
    void client.withLock("b", undefined as never, body).catch(() => {});
    expect(await session.nextSketch()).toEqual(["acquire 1"]);
  });

  it("takes null for no signal, as fetch does, and a kind that says no more than its mode", async () => {
    const { client, session } = await connected();
    session.grantAll();
    const lock = await client.acquire({ name: "a", mode: "shared" } as never, { signal: null as never });
    expect(lock.held).toBe(true);
    await client.withLock("b", { signal: null as never }, (held) => expect(held.held).toBe(true));
  });

  it("leaves out a traceparent that cannot be one", async () => {
    for (const [given, sent] of [
      [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      ],
      ["x".repeat(100_000), ""],
      ["\ud800", ""],
      ["", ""],
      [undefined, ""],
    ] as const) {
      const { client, session } = await connected({ traceparent: () => given });
      void client.acquire("a").catch(() => {});
      expect(await session.next()).toMatchObject([{ $case: "acquire", value: { traceparent: sent } }]);
    }
  });

  it("does not settle late: an abort after the grant changes nothing", async () => {
    const { client, session } = await connected();
    const controller = new AbortController();
    const acquiring = client.acquire("a", { signal: controller.signal });
    await session.next();
    session.granted(1n, "a");
    const lock = await acquiring;
    controller.abort();
    expect(lock.held).toBe(true);
  });

  it("fails in words when no server can be reached", async () => {
    const server = await serve();
    server.kill();
    const it = client(server, { connectTimeoutMs: 200 });
    const error = await rejection(it.acquire("a"));
    expect(error).toMatchObject({ reason: "unreachable", lock: "a" });
    expect(error.message).toContain(server.address);
    expect(await rejection(it.ready())).toMatchObject({ reason: "unreachable" });
  });

  it("fails with what the server says when it wants no session of this client", async () => {
    const server = await serve();
    const acquiring = rejection(client(server).acquire("a"));
    const refused = await server.sessions.take();
    await refused.next();
    refused.closed(Reason.NOT_PERMITTED, "who are you?");
    expect(await acquiring).toMatchObject({ reason: "not-permitted", message: "who are you?" });
  });
});

describe("tryAcquire", () => {
  it("resolves with the lock, or with undefined when it is taken, and rejects for every other reason", async () => {
    const { client, session } = await connected();
    const tries = [1, 2, 3].map(() => client.tryAcquire("a"));
    const [first] = await session.next();
    expect(first).toMatchObject({ value: { wait: { seconds: 0n, nanos: 0 } } });
    session.granted(1n, "a");
    deny(session, 2n, Reason.BUSY);
    deny(session, 3n, Reason.STORE_UNAVAILABLE);
    expect((await tries[0])?.token).toBe(101n);
    expect(await tries[1]).toBeUndefined();
    expect(await rejection(tries[2]!)).toMatchObject({ reason: "store-unavailable" });
  });
});

describe("a held lock", () => {
  it("is released once, resolves when that is committed, and is not lost by it", async () => {
    const { session, lock } = await holding();
    const { signal } = lock;
    const released = [lock.release(), lock.release()];
    expect(lock.held).toBe(false);
    expect(await session.nextSketch()).toEqual(["release 1"]);
    session.released(1n);
    expect(await Promise.all(released)).toEqual(["released", "released"]);
    expect(await lock.release()).toBe("released");
    expect([signal.aborted, lock.loss]).toEqual([false, undefined]);
  });

  it("is released at the end of its scope, however that is left", async () => {
    const { session, lock } = await holding();
    const scope = (async () => {
      await using _held = lock;
      throw new Error("thrown in the scope");
    })();
    expect(await session.nextSketch()).toEqual(["release 1"]);
    session.released(1n);
    await expect(scope).rejects.toThrow("thrown in the scope");
  });

  it("that is lost aborts its signal with the reason, and says so when it is released", async () => {
    const { session, lock } = await holding();
    const { signal } = lock;
    const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
    session.send({ $case: "lost", value: { claimId: 1n, reason: Reason.RELEASED_BY_FORCE, message: "by Ann" } });
    await aborted;
    expect(signal.reason).toBeInstanceOf(LockLostError);
    expect(signal.reason).toMatchObject({ reason: "released-by-force", lock: "a" });
    expect(signal.reason.message).toContain("by Ann");
    expect([lock.held, lock.loss]).toEqual([false, signal.reason]);
    expect(await lock.release()).toBe("lost");
    expect(await rejection(lock.update("x"))).toBe(signal.reason);
  });

  it("has an aborted signal also when nobody looked before the loss", async () => {
    const { session, lock, client } = await holding();
    session.closed(Reason.CLOSED_BY_FORCE, "by Ann");
    await rejection(client.acquire("b"));
    expect(lock.signal.aborted).toBe(true);
    expect(lock.signal.reason).toMatchObject({ reason: "closed-by-force" });
  });

  it("is lost at the validity deadline, when heartbeats go unanswered", async () => {
    const startMs = performance.now();
    const { session, lock } = await holding({ validForMs: 1000 });
    session.silence();
    await new Promise((resolve) => lock.signal.addEventListener("abort", resolve));
    expect(lock.signal.reason).toMatchObject({ reason: "session-expired" });
    expect(performance.now() - startMs).toBeGreaterThan(990);
  });

  it("outlives its TTL as long as heartbeats are answered", async () => {
    const { session, lock } = await holding({ validForMs: 6000 });
    for (let heartbeats = 0; heartbeats < 4; heartbeats++) await session.heartbeats.take();
    expect(lock.held).toBe(true);
  });

  it.each([
    ["held", (lock: HeldLock) => lock.held === false],
    ["loss", (lock: HeldLock) => lock.loss?.reason === "session-expired"],
    ["remainingMs", (lock: HeldLock) => lock.remainingMs === 0],
    ["signal", (lock: HeldLock) => lock.signal.aborted],
    ["release", async (lock: HeldLock) => (await lock.release()) === "lost"],
    ["update", async (lock: HeldLock) => (await rejection(lock.update("x"))) instanceof LockLostError],
  ])("says by %s that it is lost in the very next line after the event loop was blocked", async (_name, tells) => {
    const { lock } = await holding({ validForMs: 1000 });
    const { signal } = lock;
    block(1000);
    // What was read from the property before is as old as the event loop.
    expect(signal.aborted).toBe(false);
    expect(await tells(lock)).toBe(true);
  });

  it("is not granted by a frame that was read too late", async () => {
    const { client, session } = await connected({ validForMs: 1000 });
    const acquiring = client.acquire("a");
    await session.next();
    session.granted(1n, "a");
    block(1000);
    const outcome = await Promise.race([acquiring, session.nextSketch()]);
    expect(outcome).toEqual(["close"]);
  });

  it("replaces its value, and tells when the server did not", async () => {
    const { session, lock } = await holding();
    const updates = [lock.update("one"), rejection(lock.update("two"))];
    expect(await session.next()).toMatchObject([
      { $case: "update", value: { claimId: 1n, value: Buffer.from("one") } },
      { $case: "update", value: { claimId: 1n, value: Buffer.from("two") } },
    ]);
    session.send(
      { $case: "updated", value: { claimId: 1n, reason: Reason.UNSPECIFIED, message: "" } },
      { $case: "updated", value: { claimId: 1n, reason: Reason.STORE_UNAVAILABLE, message: "full" } },
    );
    expect(await Promise.all(updates)).toMatchObject([undefined, { reason: "store-unavailable", message: "full" }]);
    const late = rejection(lock.update("three"));
    void lock.release();
    expect(await late).toMatchObject({ reason: "not-found" });
    expect(await rejection(lock.update("four"))).toMatchObject({ reason: "not-found" });
  });
});

describe("withLock", () => {
  it("resolves with what the function returns, when the lock is released", async () => {
    const { client, session } = await connected();
    const done = client.withLock("a", async (lock) => lock.token);
    await session.next();
    session.granted(1n, "a");
    expect(await session.nextSketch()).toEqual(["release 1"]);
    session.released(1n);
    expect(await done).toBe(101n);
  });

  it("releases when the function throws, and rejects with that", async () => {
    const { client, session } = await connected();
    const failed = rejection(
      client.withLock("a", { waitMs: 5000 }, () => {
        throw new Error("of the function");
      }),
    );
    await session.next();
    session.granted(1n, "a");
    expect(await session.nextSketch()).toEqual(["release 1"]);
    session.released(1n);
    expect(await failed).toMatchObject({ message: "of the function" });
  });

  it("rejects with the loss, whatever the function returned or threw because of it", async () => {
    for (const end of [() => "done", () => Promise.reject(new Error("the database refused")), undefined]) {
      const { client, session } = await connected();
      const failed = rejection(
        client.withLock("a", async ({ signal }) => {
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          if (end === undefined) throw signal.reason;
          return end();
        }),
      );
      await session.next();
      session.granted(1n, "a");
      session.send({ $case: "lost", value: { claimId: 1n, reason: Reason.RELEASED_BY_FORCE, message: "by Ann" } });
      const error = await failed;
      expect(error).toBeInstanceOf(LockLostError);
      expect(error.reason).toBe("released-by-force");
      expect((error.cause as Error | undefined)?.message).toBe(
        end?.toString().includes("reject") ? "the database refused" : undefined,
      );
    }
  });

  it("says what to do where it would wait for itself: an upgrade, one of several, an acquire", async () => {
    const { client, session } = await connected();
    session.grantAll();
    const inside = (outside: LockTarget, call: () => Promise<unknown>) =>
      client.withLock(outside, async () => (await rejection(call())).message.replace(/^.* for itself: /, ""));
    const nothing = () => undefined;
    expect(await inside(shared("a"), () => client.withLock("a", { waitMs: 1000 }, nothing))).toBe(
      "take it as strongly outside, or release it first",
    );
    expect(await inside("a", () => client.withLock(["a", "b"], nothing))).toBe(
      "take all of these locks outside, or release it first",
    );
    expect(await inside("a", () => client.acquire("a"))).toBe(
      "use withLock here too, which re-enters it, or release it first",
    );
  });

  it("rejects when the function came to its end past the deadline", async () => {
    const { client, session } = await connected({ validForMs: 1000 });
    const failed = rejection(client.withLock("a", () => block(1000)));
    await session.next();
    session.granted(1n, "a");
    expect(await failed).toMatchObject({ name: "LockLostError", reason: "session-expired" });
  });
});

describe("a client", () => {
  it("resumes on a server that its own has told of, and looks there too", async () => {
    const known = await serve();
    const other = open.use(await FakeServer.start({ getLock: () => ({ lock: undefined }) }));
    const it = client(known);
    const acquiring = it.acquire("a");
    const session = await known.sessions.take();
    await session.next();
    session.opened({ servers: [other.address] });
    await session.next();
    session.granted(1n, "a");
    const lock = await acquiring;
    known.kill();
    const resumed = await other.sessions.take();
    expect(await resumed.nextSketch()).toEqual(["open"]);
    resumed.opened({ held: [1n] });
    await it.ready();
    expect([lock.held, await it.getLock("a")]).toMatchObject([true, { state: "free" }]);
  });

  it("resumes on another server when its own is gone, and the lock stays held", async () => {
    const servers = [await serve(), await serve()];
    const it = client(servers);
    const acquiring = it.acquire("a");
    const arriving = servers.map((server) => server.sessions.take());
    const chosen = await Promise.race(arriving.map((session, i) => session.then(() => i)));
    const first = await arriving[chosen]!;
    await first.next();
    first.opened();
    await first.next();
    first.granted(1n, "a");
    const lock = await acquiring;
    servers[chosen]!.kill();
    const second = await arriving[1 - chosen]!;
    expect(await second.next()).toMatchObject([
      { $case: "open", value: { resume: { sessionId: "session", secret: "secret", attempt: 1n } } },
    ]);
    second.opened({ held: [1n] });
    expect([await it.ready(), lock.held]).toEqual([undefined, true]);
    void lock.release();
    expect(await second.nextSketch()).toEqual(["release 1"]);
  });

  it("resumes on a new connection when a stream is broken without a word", async () => {
    const server = await serve();
    const it = client(server);
    const acquiring = it.acquire("a");
    const first = await server.accept();
    await first.next();
    first.granted(1n, "a");
    const lock = await acquiring;
    first.break();
    const second = await server.sessions.take();
    expect(await second.nextSketch()).toEqual(["open"]);
    second.opened({ held: [1n] });
    await it.ready();
    expect(lock.held).toBe(true);
  });

  it("asks for what it waits for in a fresh session when the old one is gone", async () => {
    const server = await serve();
    const acquiring = client(server).acquire("a");
    const first = await server.accept();
    await first.next();
    first.closed(Reason.SESSION_EXPIRED);
    const second = await server.accept();
    expect(await second.nextSketch()).toEqual(["acquire 1"]);
    second.granted(1n, "a");
    expect((await acquiring).held).toBe(true);
  });

  it("loses everything with the connection if it was told to", async () => {
    const { session, lock } = await holding({ onDisconnect: "release" });
    const { signal } = lock;
    session.break();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    expect(signal.reason).toMatchObject({ reason: "connection-lost" });
  });

  it("closes its session, loses its locks at once, and refuses everything afterwards", async () => {
    const { client, session, lock } = await holding({ closeTimeoutMs: 60_000 });
    const waiting = rejection(client.acquire("b"));
    const { signal } = lock;
    const closing = client.close();
    expect([lock.held, signal.aborted]).toEqual([false, true]);
    expect(signal.reason).toMatchObject({ reason: "closed-by-client" });
    expect(await waiting).toMatchObject({ reason: "closed-by-client" });
    expect(await session.nextSketch()).toEqual(["close"]);
    session.closed(Reason.CLOSED_BY_CLIENT);
    await closing;
    await client.close();
    await session.ended;
    expect(await rejection(client.acquire("c"))).toMatchObject({ reason: "closed-by-client" });
    expect(await rejection(client.ready())).toMatchObject({ reason: "closed-by-client" });
    expect(await lock.release()).toBe("lost");
  });

  it("closes within its time when the server does not answer", async () => {
    const { client, session } = await holding({ closeTimeoutMs: 1000 });
    await client.close();
    expect(await session.nextSketch()).toEqual(["close"]);
    await session.ended;
  });

  it("takes and gives back thousands of locks, with nothing left over", async () => {
    const { client, session } = await connected();
    session.grantAll();
    const outcomes = await Promise.all(
      Array.from({ length: 5000 }, (_, i) => client.withLock(`lock/${i}`, (lock) => lock.token)),
    );
    expect(new Set(outcomes).size).toBe(5000);
  });

  it("trusts only servers whose certificate it was told to trust", async () => {
    const credentials = ServerCredentials.createSsl(null, [
      { cert_chain: Buffer.from(certificate), private_key: Buffer.from(key) },
    ]);
    const server = open.use(await FakeServer.start({}, credentials));
    const trusting = client(server, { tls: { ca: certificate, serverName: "locks.test" } });
    await Promise.all([server.accept(), trusting.ready()]);
    const elsewhere = client(server, { tls: { ca: certificate, serverName: "else.test" }, connectTimeoutMs: 2000 });
    expect((await rejection(elsewhere.ready())).message).toContain("else.test");
    const suspicious = client(server, { tls: { serverName: "locks.test" }, connectTimeoutMs: 2000 });
    expect(await rejection(suspicious.ready())).toMatchObject({ reason: "unreachable" });
  });

  it("says so when a server speaks TLS and it does not, or the other way round", async () => {
    const credentials = ServerCredentials.createSsl(null, [
      { cert_chain: Buffer.from(certificate), private_key: Buffer.from(key) },
    ]);
    const [secret, plain] = [open.use(await FakeServer.start({}, credentials)), await serve()];
    for (const [server, tls, hint] of [
      [secret, false, /^[^\n]*; if the server speaks TLS, give `tls`$/],
      [plain, { ca: certificate }, /^[^\n]*; the server seems to speak plain text: leave `tls` away$/],
    ] as const) {
      const it = client(server, { tls, connectTimeoutMs: 1000 });
      for (const error of await Promise.all([it.ready(), it.acquire("a"), it.getLock("a")].map(rejection)))
        expect(error).toMatchObject({ reason: "unreachable", message: expect.stringMatching(hint) });
    }
  });

  it("takes host and port, and what gRPC resolves in ways of its own, for an address", () => {
    const good = ["a:1", "10.0.0.1:65535", "[::1]:7400", "dns:///a:1", "ipv4:10.0.0.1:1,10.0.0.2:1", "ipv6:[::1]:1"];
    for (const address of [...good, "unix:/run/holdfast", "unix:///run/holdfast"]) open.use(connect(address));
    const bad = [
      "http://127.0.0.1:17400",
      "https://a:1",
      ":7400",
      "localhost",
      "a:0",
      "a:99999",
      "a:1/b",
      "a b:1",
      "::1:7400",
    ];
    for (const address of [...bad, "[a]:1", "[::1]", "a:", "a:-1", "a:1e3", "xds:///a", "dns:", "", 7400 as never])
      for (const addresses of [address, ["a:1", address]])
        expect(() => connect(addresses), String(address)).toThrow(
          expect.objectContaining({
            reason: "invalid",
            message: `addresses: ${JSON.stringify(address)} is not "host:port", such as 127.0.0.1:7400`,
          }),
        );
    for (const addresses of [[], undefined as never])
      expect(() => connect(addresses)).toThrow("addresses: give at least one, such as 127.0.0.1:7400");
  });

  it("says what TLS is to be given, and which options there are", () => {
    for (const [options, message] of [
      [
        { tls: { ca: "/path/ca.pem" } },
        'tls.ca: no PEM, which has "-----BEGIN": give what is in the file, not its path',
      ],
      [{ tls: { ca: certificate, cert: certificate, key: Buffer.from("der") } }, "tls.key: no PEM"],
      [{ tls: "yes" }, 'tls: "yes" is neither true, nor false, nor {'],
      [{ tls: null }, "tls: null is neither true, nor false"],
      [{ tls: { ca: 7 } }, "tls.ca: no PEM"],
      [{ tls: { caFile: "x" } }, 'tls: there is no option "caFile"; there are ca, cert, key, serverName'],
      [{ bogus: 1 }, 'connect: there is no option "bogus"; there are ttlMs, onDisconnect, '],
      [null, "connect: the options are an object, not null"],
    ] as const)
      expect(() => connect("a:1", options as never)).toThrow(
        expect.objectContaining({ reason: "invalid", message: expect.stringContaining(message) }),
      );
  });

  it("cannot be made with options that cannot be right", () => {
    for (const [addresses, options] of [
      [[], {}],
      ["", {}],
      ["127.0.0.1:7400", { ttlMs: 1999 }],
      ["127.0.0.1:7400", { connectTimeoutMs: Number.NaN }],
      ["127.0.0.1:7400", { clientName: "x".repeat(129) }],
      ["127.0.0.1:7400", { labels: { "": "x" } }],
      ["127.0.0.1:7400", { labels: { a: "x".repeat(256) } }],
      ["127.0.0.1:7400", { tls: { cert: "-----BEGIN no certificate" } }],
      ["127.0.0.1:7400", { onDisconnect: "keeps" as "keep" }],
      ["127.0.0.1:7400", { liveness: "" as "transport" }],
    ] as const)
      expect(() => connect(addresses, options)).toThrow(expect.objectContaining({ reason: "invalid" }));
  });
});

function deny(session: FakeSession, claimId: bigint, reason: Reason): void {
  session.send({
    $case: "denied",
    value: { claimId, reason, message: "in words", lock: "a", holders: [claim(undefined)], holderCount: 1 },
  });
}

function claim(info: { name: string; host: string; pid: number; language: string; version: string } | undefined) {
  return {
    sessionId: "other",
    claimId: 9n,
    state: 2,
    mode: Mode.EXCLUSIVE,
    permits: 0,
    fencingToken: 5n,
    lockCount: 1,
    reentryId: "",
    purpose: "",
    value: Buffer.alloc(0),
    client: info,
    claimedAt: new Date(1000),
    grantedAt: undefined,
  } as const;
}
