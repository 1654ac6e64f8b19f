import { describe, expect, it } from "vitest";
import { serverKey } from "../../server/core/keys.ts";
import type { ServerRecord } from "../../server/core/records.ts";
import { EngineBench, heartbeat, openFrame, TestStream } from "./engine-bench.ts";

const KEY = serverKey("server-1");
const about = { address: "here:7400", version: "1.2.3" };

function registered(): EngineBench {
  const bench = new EngineBench();
  bench.engine.register(about);
  bench.settle();
  return bench;
}

const entryOf = (bench: EngineBench) => bench.store.keys.entries.get(KEY);
const recordOf = (bench: EngineBench) => entryOf(bench)?.record as ServerRecord | undefined;

/** Another server makes itself known. */
const another = (bench: EngineBench, id: string, record: Partial<ServerRecord> = {}) =>
  bench.store.write((keys) =>
    keys.put(serverKey(id), {
      kind: "server",
      record: { address: `${id}:1`, version: "1", startedAtMs: 0, draining: false, ...record },
    }),
  );

describe("a server that is registered", () => {
  it("has a key of its own, bound to a lease of its own, which it renews", () => {
    const bench = registered();
    expect(recordOf(bench)).toEqual({ ...about, startedAtMs: 1_700_000_001_000, draining: false });
    const { lease } = entryOf(bench)!;
    expect(lease).not.toBe(0n);
    bench.store.held.add("renew");
    bench.clock.turn(3000);
    expect(bench.store.renewals.map((renewal) => renewal.lease)).toEqual([lease]);
  });

  it("tells clients of the others, as they open and as it drains", () => {
    const bench = registered();
    another(bench, "b");
    another(bench, "c", { draining: true });
    const stream = new TestStream();
    bench.do(stream, openFrame());
    expect(stream.opened().servers).toEqual(["b:1"]);
    another(bench, "d");
    bench.engine.drain(4000);
    expect(stream.events()).toEqual([{ kind: "draining", leaveWithinMs: 4000, servers: ["b:1", "d:1"] }]);
  });

  it("tells who is there of others that come and go, as its session is proven, and once", () => {
    const bench = registered();
    const [early, late] = [new TestStream(), new TestStream()];
    const told = (stream: TestStream) => stream.told().filter((what) => what.startsWith("servers"));
    bench.do(early, openFrame());
    bench.do(early, heartbeat(1n));
    early.events();
    another(bench, "b");
    bench.do(late, openFrame());
    late.events();
    expect(early.events()).toEqual([]);
    for (const stream of [early, late]) bench.do(stream, heartbeat(2n), heartbeat(3n));
    expect(told(early)).toEqual(["servers b:1"]);
    expect(told(late)).toEqual([]);
    // The same by another lease: what clients know is still so.
    bench.store.write((keys) => keys.delete(serverKey("b")));
    another(bench, "again", { address: "b:1" });
    bench.do(early, heartbeat(4n));
    expect(told(early)).toEqual([]);
    another(bench, "c");
    another(bench, "again", { address: "b:1", draining: true });
    bench.do(early, heartbeat(5n));
    expect(told(early)).toEqual(["servers c:1"]);
  });

  it("tells those too whose transport is what proves them", () => {
    const bench = registered();
    const stream = new TestStream();
    bench.do(stream, openFrame({ liveness: "transport" }));
    stream.events();
    another(bench, "b");
    bench.engine.transportProven(stream);
    bench.settle();
    expect(stream.events()).toEqual([{ kind: "servers", servers: ["b:1"] }]);
  });

  it("tells nobody of others if it tells no address itself", () => {
    const bench = new EngineBench();
    bench.engine.register({ ...about, address: "" });
    bench.settle();
    const stream = new TestStream();
    bench.do(stream, openFrame());
    another(bench, "b");
    bench.do(stream, heartbeat(1n));
    expect(stream.told()).toEqual(["opened", "heartbeat-ack 1"]);
  });

  it("tells of the others before etcd has its own key, and of nobody if it tells no address itself", () => {
    for (const [address, servers] of [
      ["here:7400", ["b:1"]],
      ["", []],
    ] as const) {
      const bench = new EngineBench();
      another(bench, "b");
      bench.settle();
      bench.store.held.add("grant");
      bench.engine.register({ ...about, address });
      bench.store.held.delete("grant");
      const stream = new TestStream();
      bench.do(stream, openFrame());
      expect(recordOf(bench)).toBeUndefined();
      expect(stream.opened().servers).toEqual(servers);
    }
  });

  it("is registered again when its key is gone, though nobody says so", () => {
    const bench = registered();
    bench.store.write((keys) => keys.delete(KEY));
    bench.settle();
    expect(recordOf(bench)).toMatchObject(about);
  });

  it("is registered again, with another lease, when etcd says that its lease is gone", () => {
    const bench = registered();
    const { lease } = entryOf(bench)!;
    bench.store.held.add("renew");
    bench.clock.turn(3000);
    bench.store.write((keys) => keys.expire(lease));
    bench.store.renewals[0]!.answer({ kind: "gone" });
    bench.settle();
    expect(recordOf(bench)).toMatchObject(about);
    expect(entryOf(bench)!.lease).not.toBe(lease);
    expect(bench.notes.filter(({ kind }) => kind === "server.registered")).toMatchObject([
      { again: false },
      { again: true },
    ]);
  });

  it("moves its key to another lease rather than renew one that may have run out, which could block", () => {
    const bench = registered();
    const { lease } = entryOf(bench)!;
    bench.store.held.add("renew");
    bench.clock.pause(11_000);
    bench.clock.turn(1);
    expect(bench.store.renewals).toEqual([]);
    expect(bench.store.revoked).toEqual([lease]);
    expect(entryOf(bench)!.lease).not.toBe(lease);
  });

  it("tries again when the store does not answer, is full, or has lost the lease", () => {
    const bench = new EngineBench();
    bench.store.held.add("grant").add("commit");
    bench.engine.register(about);
    bench.settle();
    bench.store.grants.shift()!.answer({ kind: "unavailable" });
    bench.clock.turn(1000);
    bench.store.grants.shift()!.answer({ kind: "granted", lease: 7n, ttlSeconds: 10 });
    bench.settle();
    for (const kind of ["unknown", "no-space"] as const) {
      bench.store.commits.shift()!.answer({ kind });
      bench.clock.turn(1000);
    }
    bench.store.commits.shift()!.answer({ kind: "lease-not-found" });
    bench.clock.turn(1000);
    bench.store.grants.shift()!.answer({ kind: "granted", lease: 8n, ttlSeconds: 10 });
    bench.settle();
    const applied = bench.store.commits.shift()!.land();
    bench.settle();
    expect([applied, entryOf(bench)?.lease]).toEqual([[true], 8n]);
  });

  it("whose first write lands late does not say that it serves after it has said that it drains", () => {
    const bench = new EngineBench();
    bench.store.held.add("commit");
    bench.engine.register(about);
    bench.settle();
    const late = bench.store.commits.shift()!;
    late.answer({ kind: "unknown" });
    bench.engine.drain(1000);
    bench.clock.turn(1000);
    bench.store.commits.shift()!.land();
    bench.settle();
    expect(recordOf(bench)?.draining).toBe(true);
    late.land();
    bench.settle();
    expect(recordOf(bench)?.draining).toBe(true);
  });

  it("takes no session while it drains, and says that it does not serve", () => {
    const bench = registered();
    bench.clock.turn(1000);
    expect(bench.engine.health().serving).toBe(true);
    bench.engine.drain(1000);
    bench.settle();
    expect(bench.engine.health()).toEqual({ serving: false, problem: "the server is shutting down" });
    expect(recordOf(bench)?.draining).toBe(true);
    const late = new TestStream();
    bench.do(late, openFrame());
    expect(late.told()).toEqual(["closed draining"]);
  });

  it("sends away at once whose session is being opened as it begins to drain, and ends that session", () => {
    const bench = registered();
    bench.store.held.add("commit");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    bench.engine.drain(1000);
    expect(stream.told()).toEqual(["closed draining"]);
    bench.store.held.clear();
    for (const commit of bench.store.commits.splice(0)) {
      const applied = commit.land();
      commit.answer({ kind: "decided", revision: bench.store.keys.revision, applied });
    }
    bench.clock.turn(1000);
    expect([...bench.store.keys.entries.keys()]).toEqual([KEY]);
  });

  it("is forgotten when it ends, and its end waits for that", () => {
    const bench = registered();
    const { lease } = entryOf(bench)!;
    let stopped = false;
    bench.store.held.add("commit");
    bench.engine.stop(3000, () => {
      stopped = true;
    });
    bench.settle();
    expect(stopped).toBe(false);
    const commit = bench.store.commits.shift()!;
    const applied = commit.land();
    commit.answer({ kind: "decided", revision: bench.store.keys.revision, applied });
    bench.settle();
    expect([entryOf(bench), stopped]).toEqual([undefined, true]);
    expect(bench.store.revoked).toEqual([lease]);
  });

  it("does not write to a store that was restored: its lease runs out", () => {
    const bench = registered();
    bench.store.held.add("read");
    bench.clock.turn(500);
    bench.store.reads.at(-1)!.answer({ kind: "revision", revision: 1 });
    bench.settle();
    expect(bench.engine.health().problem).toMatch(/restored/);
    const { commit, renew } = bench.store.calls;
    bench.store.write((keys) => keys.delete(KEY));
    bench.clock.turn(20_000);
    expect(bench.store.calls).toMatchObject({ commit, renew });
  });
});
