import { describe, expect, it } from "vitest";
import { serverKey } from "../../server/core/keys.ts";
import { close, EngineBench, heartbeat, type TestStream } from "./engine-bench.ts";

interface Scene {
  readonly bench: EngineBench;
  readonly keeping: TestStream;
  readonly bound: TestStream;
}

/** A server with a client that can resume elsewhere and one that cannot, and another server that is known. */
function scene(others: readonly string[] = ["b"]): Scene {
  const bench = new EngineBench();
  bench.engine.register({ address: "here:1", version: "1" });
  bench.settle();
  for (const id of others)
    bench.store.write((keys) =>
      keys.put(serverKey(id), {
        kind: "server",
        record: { address: `${id}:1`, version: "1", startedAtMs: 0, draining: false },
      }),
    );
  const keeping = bench.open({ ttlMs: 60_000, onDisconnect: "keep" }).stream;
  const bound = bench.open({ ttlMs: 60_000 }).stream;
  bench.clock.turn(1000);
  keeping.events();
  bound.events();
  return { bench, keeping, bound };
}

describe("a server that has lost its store", () => {
  it("sends those who can resume to servers that say that they serve, once; the others stay", () => {
    const { bench, keeping, bound } = scene(["b", "c"]);
    bench.store.held.add("read");
    bench.clock.turn(6000);
    expect(bench.asked.map(({ addresses }) => addresses)).toEqual([["b:1", "c:1"]]);
    bench.asked[0]!.answer(["c:1"]);
    expect(keeping.events()).toEqual([{ kind: "draining", leaveWithinMs: 2000, servers: ["c:1"] }]);
    bench.clock.turn(10_000);
    expect([keeping.events(), bound.events(), bench.asked.length]).toEqual([[], [], 1]);
  });

  it("tells those who stayed of all servers when the store is back", () => {
    const { bench, keeping } = scene(["b", "c"]);
    bench.store.held.add("read");
    bench.clock.turn(6000);
    bench.asked[0]!.answer(["c:1"]);
    bench.store.held.clear();
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "revision", revision: bench.store.revision });
    bench.clock.turn(1000);
    bench.do(keeping, heartbeat(1n));
    expect(keeping.told()).toEqual(["draining", "heartbeat-ack 1", "servers b:1 c:1"]);
  });

  it("does so too when reads are answered and no write is committed", () => {
    const { bench, keeping } = scene();
    bench.store.held.add("proof");
    bench.clock.turn(8000);
    bench.asked[0]!.answer(["b:1"]);
    expect(keeping.told()).toEqual(["draining"]);
  });

  it("asks only when the others would have noticed too, had they lost it at the same time", () => {
    const { bench } = scene();
    bench.store.held.add("read");
    bench.clock.turn(4500);
    expect(bench.engine.health().serving).toBe(false);
    expect(bench.asked).toEqual([]);
    bench.clock.turn(1500);
    expect(bench.asked).toHaveLength(1);
  });

  it("leaves clients alone while no other server has a store either, and goes on asking", () => {
    const { bench, keeping } = scene();
    bench.store.held.add("read");
    for (let i = 0; i < 10; i++) {
      bench.clock.turn(2000);
      bench.asked.at(-1)?.answer([]);
    }
    expect(keeping.events()).toEqual([]);
    expect(bench.asked.length).toBeGreaterThan(5);
    bench.clock.turn(2000);
    bench.asked.at(-1)!.answer(["b:1"]);
    expect(keeping.told()).toEqual(["draining"]);
  });

  it("says nothing when the store has come back before the others have answered", () => {
    const { bench, keeping } = scene();
    bench.store.held.add("read");
    bench.clock.turn(6000);
    bench.store.held.clear();
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "revision", revision: bench.store.revision });
    bench.clock.turn(1000);
    bench.asked[0]!.answer(["b:1"]);
    expect(keeping.events()).toEqual([]);
  });

  it("asks nobody when there is no other server, or nobody to send away", () => {
    const alone = scene([]);
    const empty = scene();
    empty.bench.do(empty.keeping, close);
    for (const { bench } of [alone, empty]) {
      bench.store.held.add("read");
      bench.clock.turn(10_000);
      expect(bench.asked).toEqual([]);
    }
  });
});
