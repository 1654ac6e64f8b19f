import { describe, expect, it } from "vitest";
import type { Liveness } from "../../server/core/records.ts";
import { EngineBench, heartbeat } from "./engine-bench.ts";

function opened(liveness: Liveness = "heartbeat") {
  const bench = new EngineBench();
  const { stream } = bench.open({ onDisconnect: "keep", ttlMs: 10_000, liveness });
  bench.store.held.add("renew");
  const renewed = () => {
    bench.store.renewals.shift()?.answer({ kind: "renewed", ttlSeconds: 15 });
    bench.settle();
  };
  return { bench, stream, renewed };
}

describe("a renewal", () => {
  it("is sent for a heartbeat, after it came, and acked with what it is worth when etcd has confirmed", () => {
    const { bench, stream, renewed } = opened();
    bench.do(stream, heartbeat(1n));
    expect(bench.store.renewals.map(({ lease }) => lease)).toEqual([101n]);
    expect(stream.told()).toEqual([]);
    renewed();
    expect(stream.events()).toEqual([{ kind: "heartbeat-ack", seq: 1n, validForMs: 10_000 }]);
  });

  it("is sent for nothing else: no command, no time, no stream keeps a session", () => {
    const { bench, stream } = opened();
    bench.do(stream, { kind: "release", claimId: 9n }, { kind: "update", claimId: 9n, value: new Uint8Array() });
    bench.engine.transportProven(stream);
    bench.clock.turn(10_000);
    expect(bench.store.calls.renew).toBe(0);
  });

  it("speaks for all heartbeats that came while the one before it was under way, and only then", () => {
    const { bench, stream, renewed } = opened();
    bench.do(stream, heartbeat(1n));
    bench.do(stream, heartbeat(2n));
    bench.do(stream, heartbeat(3n));
    expect(bench.store.calls.renew).toBe(1);
    renewed();
    expect(stream.told()).toEqual(["heartbeat-ack 1"]);
    expect(bench.store.calls.renew).toBe(2);
    renewed();
    expect(stream.told()).toEqual(["heartbeat-ack 3"]);
    expect(bench.store.calls.renew).toBe(2);
  });

  it("is told of as late when its heartbeat came after more than half of the TTL", () => {
    const { bench, stream, renewed } = opened();
    const late = () => bench.notes.flatMap((note) => (note.kind === "heartbeat.late" ? [note.sinceMs] : []));
    bench.do(stream, heartbeat(1n));
    renewed();
    bench.clock.turn(5_000);
    bench.do(stream, heartbeat(2n));
    renewed();
    expect(late()).toEqual([]);
    bench.clock.turn(5_001);
    bench.do(stream, heartbeat(3n));
    expect(late()).toEqual([5_001]);
  });

  it("that is not answered extends nothing, and the next heartbeat asks again", () => {
    const { bench, stream, renewed } = opened();
    bench.do(stream, heartbeat(1n));
    bench.store.renewals.shift()?.answer({ kind: "unavailable" });
    bench.settle();
    expect(stream.told()).toEqual([]);
    expect(bench.store.calls.renew).toBe(1);
    bench.clock.turn(3000);
    bench.do(stream, heartbeat(2n));
    renewed();
    expect(stream.told()).toEqual(["heartbeat-ack 2"]);
  });

  it("of a lease that is gone is not acked: the table will show the end", () => {
    const { bench, stream } = opened();
    bench.do(stream, heartbeat(1n));
    bench.store.renewals.shift()?.answer({ kind: "gone" });
    expect(stream.told()).toEqual([]);
    bench.clock.turn(10_400);
    expect(stream.told()).toEqual(["closed session-expired"]);
  });

  it("is not acked unless the table was proven current within 2 s", () => {
    const { bench, stream, renewed } = opened();
    bench.store.held.add("read");
    bench.clock.turn(2001);
    bench.do(stream, heartbeat(1n));
    renewed();
    expect(stream.told()).toEqual([]);
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "revision", revision: bench.store.revision });
    bench.settle();
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "revision", revision: bench.store.revision });
    bench.do(stream, heartbeat(2n));
    renewed();
    expect(stream.told()).toEqual(["heartbeat-ack 2"]);
  });

  it("that was not acked has extended nothing: the deadline is that of the last ack", () => {
    const { bench, stream, renewed } = opened();
    bench.store.held.add("read");
    bench.clock.turn(3000);
    bench.do(stream, heartbeat(1n));
    renewed();
    bench.clock.turn(7400);
    expect(stream.told()).toEqual(["closed session-expired"]);
  });

  it("is not acked while a silent watch hides that the session is gone", () => {
    const { bench, stream, renewed } = opened();
    bench.clock.turn(500);
    bench.store.watchIsSilent = true;
    bench.store.write((keys) => keys.endSession("session1"));
    bench.clock.turn(3000);
    bench.do(stream, heartbeat(1n));
    renewed();
    expect(stream.told()).toEqual([]);
  });

  it("is not sent past the deadline", () => {
    const { bench, stream } = opened();
    bench.clock.pause(10_151);
    bench.do(stream, heartbeat(1n));
    expect(bench.store.calls.renew).toBe(0);
  });

  it("is not acked to a session that is ending", () => {
    const { bench, stream, renewed } = opened();
    bench.do(stream, heartbeat(1n));
    bench.store.held.add("commit");
    bench.do(stream, { kind: "close" });
    renewed();
    expect(stream.told()).toEqual([]);
  });

  it("needs heartbeats that count upwards", () => {
    for (const second of [5n, 4n]) {
      const { bench, stream } = opened();
      bench.do(stream, heartbeat(5n), heartbeat(second));
      expect(stream.told()).toEqual(["closed invalid"]);
    }
  });

  it("of a session with TRANSPORT is sent for what its transport answered, and acks nothing", () => {
    const { bench, stream, renewed } = opened("transport");
    bench.engine.transportProven(stream);
    expect(bench.store.calls.renew).toBe(1);
    bench.clock.turn(9000);
    renewed();
    expect(stream.told()).toEqual([]);
    bench.engine.transportProven(stream);
    renewed();
    bench.clock.turn(10_000);
    expect(stream.told()).toEqual([]);
    bench.clock.turn(400);
    expect(stream.told()).toEqual(["closed session-expired"]);
  });

  it("of a session with TRANSPORT acks a heartbeat all the same, with a ping in between", () => {
    const { bench, stream, renewed } = opened("transport");
    bench.engine.transportProven(stream);
    bench.do(stream, heartbeat(1n));
    bench.engine.transportProven(stream);
    renewed();
    renewed();
    expect(stream.told()).toEqual(["heartbeat-ack 1"]);
  });

  it("is forgotten with its session", () => {
    const { bench, stream, renewed } = opened();
    bench.do(stream, heartbeat(1n), heartbeat(2n));
    bench.store.write((keys) => keys.endSession("session1"));
    stream.events();
    renewed();
    expect(bench.store.calls.renew).toBe(1);
    expect(stream.told()).toEqual([]);
  });
});
