import { describe, expect, it } from "vitest";
import { sessionKey } from "../../server/core/keys.ts";
import { deadlineOf } from "../../server/engine/deadlines.ts";
import { acquire } from "../core/session-bench.ts";
import { exclusive } from "../support/key-history.ts";
import { EngineBench, heartbeat } from "./engine-bench.ts";

function opened() {
  const bench = new EngineBench();
  const { stream, sessionId } = bench.open({ onDisconnect: "keep", ttlMs: 10_000 });
  bench.do(stream, acquire(1n, exclusive("a")));
  stream.events();
  return { bench, stream, isThere: () => bench.store.keys.entries.has(sessionKey(sessionId)) };
}

describe("a deadline", () => {
  it("is 1 % and 50 ms later than the TTL after the last proof", () => {
    expect(deadlineOf(1000, 10_000)).toBe(11_150);
  });

  it("ends a session whose client has not been proven alive, with all its claims", () => {
    const { bench, stream, isThere } = opened();
    bench.clock.turn(10_150);
    expect(isThere()).toBe(true);
    bench.clock.turn(200);
    expect(isThere()).toBe(false);
    expect(stream.told()).toEqual(["closed session-expired"]);
    expect(bench.engine.table.queues.size).toBe(0);
  });

  it("moves with each confirmed heartbeat, from when that came", () => {
    const { bench, stream, isThere } = opened();
    for (let seq = 1n; seq <= 10n; seq++) {
      bench.clock.turn(3000);
      bench.do(stream, heartbeat(seq));
    }
    expect(stream.told().at(-1)).toBe("heartbeat-ack 10");
    bench.clock.turn(10_150);
    expect(isThere()).toBe(true);
    bench.clock.turn(200);
    expect(isThere()).toBe(false);
  });

  it("is judged for a session without a stream, too", () => {
    const { bench, stream, isThere } = opened();
    bench.engine.disconnected(stream, "broken");
    bench.clock.turn(10_400);
    expect(isThere()).toBe(false);
  });

  it("is judged only after what came meanwhile was read, when the process stood still", () => {
    const { bench, stream, isThere } = opened();
    bench.clock.turn(9000);
    bench.do(stream, heartbeat(1n));
    bench.store.held.add("renew");
    bench.clock.turn(1000);
    bench.do(stream, heartbeat(2n));
    // Past what the first heartbeat was worth, and not past the second, whose renewal etcd confirmed meanwhile.
    bench.clock.pause(9500);
    // Timers come first; the answer is still in a socket.
    bench.clock.turn(0);
    expect(isThere()).toBe(true);
    bench.store.renewals.shift()?.answer({ kind: "renewed", ttlSeconds: 15 });
    bench.clock.turn(600);
    expect(isThere()).toBe(true);
    expect(stream.told()).toContain("heartbeat-ack 2");
    bench.clock.turn(300);
    expect(isThere()).toBe(false);
    const paused = bench.notes.filter(({ kind }) => kind === "engine.paused");
    expect(paused).toHaveLength(1);
  });

  it("is gone with its session: another server's is not touched", () => {
    const { bench, isThere } = opened();
    bench.store.write((keys) => keys.session("session1", "server-2"));
    bench.clock.turn(60_000);
    expect(isThere()).toBe(true);
  });

  it("that passed while the process stood still costs no grant: it is told once the proof is read", () => {
    const bench = new EngineBench();
    const holder = bench.open({ onDisconnect: "keep", ttlMs: 60_000 });
    bench.do(holder.stream, acquire(1n, exclusive("a")));
    const waiter = bench.open({ onDisconnect: "release", liveness: "transport", ttlMs: 10_000 });
    bench.do(waiter.stream, acquire(1n, exclusive("a")));
    bench.clock.turn(9000);
    bench.store.held.add("renew");
    bench.engine.transportProven(waiter.stream);
    bench.settle();
    bench.clock.pause(2000);
    // Timers come first, then what the watch has brought, then the answer to the renewal.
    bench.clock.turn(0);
    bench.do(holder.stream, { kind: "release", claimId: 1n });
    expect(waiter.stream.told()).toEqual(["waiting 1 1"]);
    bench.store.renewals.shift()!.answer({ kind: "renewed", ttlSeconds: 15 });
    bench.settle();
    expect(waiter.stream.told()).toEqual(["granted 1"]);
    bench.clock.turn(500);
    expect(waiter.stream.told()).toEqual([]);
  });

  it("and a limit of waiting leave no timer behind when they are not needed any more", () => {
    const bench = new EngineBench();
    const other = bench.open({ onDisconnect: "keep", ttlMs: 600_000 });
    bench.do(other.stream, acquire(1n, exclusive("held")));
    const pending = [5, 20].map((rounds) => {
      for (let round = 0; round < rounds; round++) oneComesAndGoes();
      // As many as there always are of what lasts for seconds.
      bench.clock.turn(10_000);
      return bench.clock.pendingCount;
    });
    expect(pending[1]).toBe(pending[0]);

    function oneComesAndGoes(): void {
      const { stream } = bench.open({ onDisconnect: "keep", ttlMs: 600_000 });
      const patient = (id: bigint, name: string) => acquire(id, exclusive(name), { waitMs: 3_600_000 });
      bench.do(stream, patient(1n, "own"));
      bench.do(stream, { kind: "release", claimId: 1n });
      bench.do(stream, patient(2n, "held"));
      bench.do(stream, { kind: "release", claimId: 2n });
      bench.do(stream, patient(3n, "own"));
      bench.do(stream, patient(4n, "held"));
      bench.do(stream, { kind: "close" });
    }
  });
});
