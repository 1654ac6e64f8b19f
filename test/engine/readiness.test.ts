import { describe, expect, it } from "vitest";
import { EngineBench, openFrame, resumeFrame, TestStream } from "./engine-bench.ts";

/** A server whose store has been silent for so long. */
function silentFor(ms: number): EngineBench {
  const bench = new EngineBench();
  bench.store.held.add("read");
  bench.clock.turn(ms);
  return bench;
}

describe("a server whose store is silent", () => {
  it("sends clients away at once after 3 s, so that they try another server, and not before", () => {
    for (const frame of [openFrame(), resumeFrame("session9", "secret", 1n)]) {
      const early = silentFor(2900);
      const patient = new TestStream();
      early.do(patient, frame);
      expect(patient.told()).not.toContain("closed store-unavailable");
      const late = silentFor(3600);
      const stream = new TestStream();
      late.do(stream, frame);
      expect(stream.told()).toEqual(["closed store-unavailable"]);
      expect(late.engine.health()).toEqual({ serving: false, problem: "the store has not answered for 4 s" });
    }
  });

  it("sends clients away after 4 s in which no write was committed, though reads are answered", () => {
    const bench = new EngineBench();
    bench.store.held.add("proof");
    bench.clock.turn(5000);
    const stream = new TestStream();
    bench.do(stream, openFrame());
    expect(stream.events()).toEqual([
      expect.objectContaining({ kind: "closed", message: expect.stringMatching(/not committed a write for 5 s/) }),
    ]);
  });

  it("takes clients again as soon as the store has answered", () => {
    const bench = silentFor(3600);
    bench.store.held.clear();
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "revision", revision: bench.store.revision });
    bench.clock.turn(600);
    expect(bench.engine.health().serving).toBe(true);
    expect(bench.open().sessionId).toBe("session1");
  });
});

describe("a server that has withdrawn", () => {
  it("says that it does not serve, and tells the other servers, but serves whoever comes", () => {
    const bench = new EngineBench();
    bench.engine.register({ address: "here:1", version: "1" });
    bench.settle();
    bench.engine.withdraw();
    bench.settle();
    expect(bench.engine.health()).toEqual({ serving: false, problem: "the server is shutting down" });
    expect(bench.engine.servers.get("server-1")?.record.draining).toBe(true);
    const { stream } = bench.open();
    bench.engine.drain(1000);
    expect(stream.told()).toEqual(["draining"]);
    bench.engine.withdraw();
    const late = new TestStream();
    bench.do(late, openFrame());
    expect(late.told()).toEqual(["closed draining"]);
  });
});
