import { describe, expect, it } from "vitest";
import { sessionKey } from "../../server/core/keys.ts";
import { Openings } from "../../server/engine/openings.ts";
import type { Opening } from "../../server/engine/session-openings.ts";
import { acquire } from "../core/session-bench.ts";
import { exclusive } from "../support/key-history.ts";
import { close, EngineBench, heartbeat, openFrame, resumeFrame, TestStream } from "./engine-bench.ts";

const record = (bench: EngineBench, sessionId: string) => {
  const entry = bench.store.keys.entries.get(sessionKey(sessionId));
  return entry?.kind === "session" ? entry.record : undefined;
};

describe("an open", () => {
  it("is answered when its key is seen, with id, TTL and interval, and takes the commands that came meanwhile", () => {
    const bench = new EngineBench();
    const stream = new TestStream();
    bench.do(stream, openFrame({ ttlMs: 9000 }), acquire(1n, exclusive("a")), heartbeat(1n));
    const [opened, ...rest] = stream.events();
    expect(opened).toEqual({
      kind: "opened",
      sessionId: "session1",
      secret: "",
      ttlMs: 9000,
      validForMs: 9000,
      heartbeatIntervalMs: 3000,
      claims: [],
      servers: [],
    });
    expect(rest.map(({ kind }) => kind).sort()).toEqual(["granted", "heartbeat-ack"]);
    expect(record(bench, "session1")).toMatchObject({ ttlMs: 9000, attempt: 0n, serverId: "server-1" });
  });

  it("with KEEP is told a secret, of which etcd has the hash; with TRANSPORT no interval", () => {
    const bench = new EngineBench();
    const { secret, sessionId } = bench.open({ onDisconnect: "keep" });
    expect(secret).toBe("secret0");
    expect(record(bench, sessionId)?.secretHash).toBe("hash of secret0");
    const stream = new TestStream();
    bench.do(stream, openFrame({ liveness: "transport" }));
    expect(stream.opened()).toMatchObject({ secret: "", heartbeatIntervalMs: undefined });
  });

  it("asks for a lease that outlives the session: it is the last resort only", () => {
    const bench = new EngineBench();
    const asked: number[] = [];
    const { grantLease } = bench.store;
    bench.store.grantLease = (ttlSeconds, done) => {
      asked.push(ttlSeconds);
      grantLease.call(bench.store, ttlSeconds, done);
    };
    bench.open({ ttlMs: 15_000 });
    bench.open({ ttlMs: 2000 });
    expect(asked).toEqual([18, 5]);
  });

  it.each([
    ["unavailable", "the store does not answer"],
    ["no-space", "the store is full"],
  ] as const)("that gets no lease (%s) says so", (kind, words) => {
    const bench = new EngineBench();
    bench.store.held.add("grant");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    bench.store.grants.shift()?.answer({ kind });
    const [closed] = stream.events();
    expect(closed).toMatchObject({ kind: "closed", reason: "store-unavailable" });
    expect(closed?.kind === "closed" && closed.message).toContain(words);
  });

  it("of unknown outcome is given up together with its lease, and never repeated", () => {
    const bench = new EngineBench();
    bench.store.held.add("commit");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    bench.store.commits.shift()?.answer({ kind: "unknown" });
    bench.settle();
    expect(stream.told()).toEqual(["closed store-unavailable"]);
    expect(bench.store.revoked).toEqual([101n]);
    bench.clock.turn(10_000);
    expect(bench.store.commits).toEqual([]);
  });

  it("that is seen before its reply was lost is open all the same, and keeps its lease", () => {
    const bench = new EngineBench();
    bench.store.held.add("commit");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    const commit = bench.store.commits.shift();
    commit?.land();
    expect(stream.told()).toEqual(["opened"]);
    commit?.answer({ kind: "unknown" });
    bench.settle();
    expect(stream.told()).toEqual([]);
    expect(bench.store.revoked).toEqual([]);
  });

  it("whose client leaves before it has a lease gives the lease back", () => {
    const bench = new EngineBench();
    bench.store.held.add("grant");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    bench.engine.disconnected(stream, "broken");
    bench.store.grants.shift()?.answer({ kind: "granted", lease: 7n, ttlSeconds: 18 });
    bench.settle();
    expect(bench.store.revoked).toEqual([7n]);
    expect(bench.store.calls.commit).toBe(0);
  });

  it("whose client leaves while it is written ends what was written", () => {
    const bench = new EngineBench();
    bench.store.held.add("commit");
    const stream = new TestStream();
    bench.do(stream, openFrame({ onDisconnect: "keep" }));
    bench.engine.disconnected(stream, "broken");
    bench.store.held.clear();
    const commit = bench.store.commits.shift();
    commit?.land();
    commit?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    expect(bench.store.keys.entries.size).toBe(0);
    expect(bench.store.revoked).toEqual([101n]);
  });

  it("that came and went before it was seen says that the session ended", () => {
    const bench = new EngineBench();
    bench.store.held.add("commit");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    bench.store.watchIsSilent = true;
    const commit = bench.store.commits.shift();
    commit?.land();
    const { revision } = bench.store;
    bench.store.keys.endSession("session1");
    commit?.answer({ kind: "decided", revision, applied: [true] });
    expect(stream.told()).toEqual([]);
    bench.store.watchIsSilent = false;
    bench.store.resync();
    expect(stream.told()).toEqual(["closed session-expired"]);
  });
});

describe("a stream", () => {
  it("must begin with open or resume", () => {
    const bench = new EngineBench();
    const stream = new TestStream();
    bench.do(stream, heartbeat(1n));
    expect(stream.told()).toEqual(["closed invalid"]);
  });

  it("may open only once, be it before or after it is answered", () => {
    const bench = new EngineBench();
    const early = new TestStream();
    bench.do(early, openFrame(), openFrame());
    expect(early.told()).toEqual(["closed invalid"]);
    const { stream } = bench.open();
    bench.do(stream, openFrame());
    expect(stream.told()).toEqual(["closed invalid"]);
  });

  it("that was closed takes nothing more, whatever still comes over it", () => {
    const bench = new EngineBench();
    for (const first of [heartbeat(1n), openFrame()]) {
      const stream = new TestStream();
      bench.do(stream, first, openFrame(), openFrame(), acquire(1n, exclusive("a")), heartbeat(1n), close);
      expect(stream.told()).toEqual(["closed invalid"]);
    }
    const refused = new TestStream();
    bench.engine.refuse(refused, "invalid", "no open came within 5 s");
    bench.do(refused, openFrame());
    expect(refused.told()).toEqual(["closed invalid"]);
    const gone = bench.open().stream;
    bench.engine.disconnected(gone, "broken");
    bench.do(gone, openFrame());
    expect(gone.told()).toEqual([]);
    expect(bench.engine.counts()).toMatchObject({ sessions: 0, ownSessions: 0 });
  });

  it("may not send more than 4,000 commands before it is open", () => {
    const bench = new EngineBench();
    bench.store.held.add("grant");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    for (let i = 1n; i <= 4000n; i++) bench.engine.command(stream, heartbeat(i));
    expect(stream.told()).toEqual([]);
    bench.engine.command(stream, heartbeat(4001n));
    expect(stream.told()).toEqual(["closed invalid"]);
  });

  it("is refused before the table is there, and after the server began to stop", () => {
    const bench = new EngineBench(false);
    const early = new TestStream();
    bench.do(early, openFrame());
    expect(early.told()).toEqual(["closed store-unavailable"]);
    bench.engine.start(() => undefined);
    bench.settle();
    bench.engine.stop(1000, () => undefined);
    const late = new TestStream();
    bench.do(late, openFrame());
    expect(late.told()).toEqual(["closed draining"]);
  });

  it("of a session with RELEASE ends it, however it ends; its lease is revoked when that is known", () => {
    for (const how of ["half-closed", "cancelled", "broken"] as const) {
      const bench = new EngineBench();
      const { stream } = bench.open();
      bench.do(stream, acquire(1n, exclusive("a")));
      bench.store.held.add("commit");
      bench.engine.disconnected(stream, how);
      bench.settle();
      expect(bench.store.revoked).toEqual([]);
      bench.store.held.clear();
      const end = bench.store.commits.shift();
      end?.land();
      expect(bench.engine.table.queues.size).toBe(0);
      end?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
      bench.settle();
      expect(bench.store.keys.entries.size).toBe(0);
      expect(bench.store.revoked).toEqual([101n]);
    }
  });

  it("of a session with KEEP leaves it as it is when it breaks or half-closes, and only close ends it", () => {
    const bench = new EngineBench();
    const { stream, sessionId, secret } = bench.open({ onDisconnect: "keep" });
    bench.do(stream, acquire(1n, exclusive("a")));
    bench.engine.disconnected(stream, "half-closed");
    bench.settle();
    expect(bench.engine.table.heldCount).toBe(1);
    const again = new TestStream();
    bench.do(again, resumeFrame(sessionId, secret, 1n));
    again.events();
    bench.do(again, close);
    expect(again.told()).toEqual(["closed closed-by-client"]);
    expect(bench.store.keys.entries.size).toBe(0);
  });
});

describe("the openings under way", () => {
  const opening = (sessionId: string, attempt: bigint) =>
    ({ kind: attempt === 0n ? "open" : "life", sessionId, attempt }) as Opening;

  it("are forgotten when the table shows that they cannot come any more", () => {
    const openings = new Openings();
    for (const attempt of [1n, 2n, 3n]) openings.add(opening("s", attempt));
    openings.seen("s", 2n);
    expect([1n, 2n, 3n].map((attempt) => openings.find("s", attempt)?.attempt)).toEqual([undefined, undefined, 3n]);
    openings.seen("s", undefined);
    expect(openings.find("s", 3n)).toBeUndefined();
  });

  it("are one for each attempt: a later one takes the place of the earlier", () => {
    const openings = new Openings();
    const [first, second] = [opening("s", 1n), opening("s", 1n)];
    expect(openings.add(first)).toBeUndefined();
    expect(openings.add(second)).toBe(first);
    openings.delete(first);
    expect(openings.find("s", 1n)).toBe(second);
    expect(openings.hasNew).toBe(false);
    openings.add(opening("new", 0n));
    expect(openings.hasNew).toBe(true);
  });
});
