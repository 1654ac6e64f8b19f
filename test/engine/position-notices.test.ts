import { describe, expect, it } from "vitest";
import { acquire, release } from "../core/session-bench.ts";
import { exclusive } from "../support/key-history.ts";
import { EngineBench, type TestStream } from "./engine-bench.ts";

const SESSIONS = 10;
const EACH = 1000;

describe("10,000 waiters on one lock", () => {
  it("cost each of them about log n messages, at most one a second, while the queue is drained", () => {
    const bench = new EngineBench();
    const holder = bench.open({ ttlMs: 600_000 }).stream;
    bench.do(holder, acquire(1n, exclusive("hot")));
    const streams = Array.from({ length: SESSIONS }, () => bench.open({ ttlMs: 600_000 }).stream);
    for (let i = 1; i <= EACH; i++)
      for (const stream of streams) bench.engine.command(stream, acquire(BigInt(i), exclusive("hot")));
    bench.settle();
    const told = new Map<string, { position: number; atMs: number }[]>();
    const collect = () => {
      for (const [i, stream] of streams.entries())
        for (const event of stream.events())
          if (event.kind === "waiting") {
            const key = `${i}/${event.claimId}`;
            const all = told.get(key) ?? [];
            told.set(key, [...all, { position: event.position, atMs: bench.clock.nowMs() }]);
          }
    };
    collect();
    // Fifty go each half second, whoever is first.
    const queue = bench.engine.table.queues.get("hot")!;
    bench.do(holder, release(1n));
    while (queue.waitingCount > 0) {
      for (let n = 0; n < 50 && queue.first !== undefined; n++) {
        const { sessionId, id } = queue.first.claim;
        const stream = streams[Number(sessionId.slice("session".length)) - 2] as TestStream;
        bench.do(stream, release(id));
      }
      bench.clock.turn(500);
      collect();
    }
    expect(told.size).toBe(SESSIONS * EACH);
    const problems: string[] = [];
    for (const [claim, all] of told) {
      if (all.length > Math.log2(10_000) + 11) problems.push(`${claim} was told ${all.length} times`);
      for (const [i, now] of all.entries()) {
        const before = all[i - 1];
        if (before === undefined) continue;
        const isWorthIt = now.position <= 10 ? now.position < before.position : now.position * 2 <= before.position;
        if (!isWorthIt) problems.push(`${claim} was told ${now.position} after ${before.position}`);
        if (now.atMs - before.atMs < 1000) problems.push(`${claim} was told again after ${now.atMs - before.atMs} ms`);
      }
    }
    expect(problems).toEqual([]);
    // The last one came from far behind, and was told more than once.
    expect(told.get(`${SESSIONS - 1}/${EACH}`)!.length).toBeGreaterThan(6);
  });
});

describe("a position", () => {
  function waitingBehind(ahead: number) {
    const bench = new EngineBench();
    bench.store.write((keys) => {
      for (let i = 0; i < ahead; i++) keys.claim(`w${i}`, [exclusive("a")]);
    });
    const { stream } = bench.open({ ttlMs: 600_000 });
    bench.do(stream, acquire(1n, exclusive("a")));
    const leave = (from: number, count: number) =>
      bench.store.write((keys) => {
        for (let i = from; i < from + count; i++) keys.end(`w${i}`, 1n);
      });
    return { bench, stream, leave };
  }

  it("is told again when it is due, though nothing changes any more: the latest one then", () => {
    const { bench, stream, leave } = waitingBehind(8);
    expect(stream.told()).toEqual(["waiting 1 8"]);
    leave(0, 1);
    leave(1, 1);
    bench.clock.turn(500);
    expect(stream.told()).toEqual([]);
    leave(2, 1);
    bench.clock.turn(500);
    expect(stream.told()).toEqual(["waiting 1 5"]);
    leave(3, 1);
    bench.clock.turn(999);
    expect(stream.told()).toEqual([]);
    bench.clock.turn(501);
    expect(stream.told()).toEqual(["waiting 1 4"]);
    bench.clock.turn(60_000);
    expect(stream.told()).toEqual([]);
  });

  it("changes by those who leave from the middle, too, and not by those behind", () => {
    const { bench, stream, leave } = waitingBehind(6);
    stream.events();
    bench.store.write((keys) => keys.claim("behind", [exclusive("a")]));
    bench.clock.turn(2000);
    expect(stream.told()).toEqual([]);
    leave(3, 1);
    bench.clock.turn(2000);
    expect(stream.told()).toEqual(["waiting 1 5"]);
  });

  it("of a claim on several locks is that on the lock with the most before it", () => {
    const bench = new EngineBench();
    bench.store.write((keys) => {
      for (let i = 0; i < 6; i++) keys.claim(`a${i}`, [exclusive("a")]);
      for (let i = 0; i < 4; i++) keys.claim(`b${i}`, [exclusive("b")]);
    });
    const { stream } = bench.open({ ttlMs: 600_000 });
    bench.do(stream, acquire(1n, [exclusive("b"), exclusive("a")]));
    expect(stream.events()).toMatchObject([{ lock: "a", position: 6 }]);
    bench.store.write((keys) => keys.end("b0", 1n));
    bench.clock.turn(2000);
    expect(stream.told()).toEqual([]);
    bench.store.write((keys) => {
      for (const i of [0, 1, 2, 3]) keys.end(`a${i}`, 1n);
    });
    bench.clock.turn(2000);
    expect(stream.events()).toMatchObject([{ lock: "b", position: 3 }]);
  });

  it("of waiters on several locks is found without counting each queue for each of them", () => {
    const bench = new EngineBench();
    const { stream } = bench.open({ ttlMs: 600_000 });
    bench.store.write((keys) => keys.claim("h", [exclusive("stuck")]));
    bench.store.write((keys) => keys.claim("h", [exclusive("hot")]));
    bench.do(
      stream,
      ...Array.from({ length: 900 }, (_, i) => acquire(BigInt(i + 1), [exclusive("hot"), exclusive("stuck")])),
    );
    const queue = bench.engine.table.queues.get("stuck")!;
    let counted = 0;
    const { positionOf } = queue;
    queue.positionOf = (seat) => {
      counted++;
      return positionOf.call(queue, seat);
    };
    for (let i = 0; i < 5; i++) {
      bench.store.write((keys) => {
        const passing = keys.claim("passing", [exclusive("hot")]);
        keys.end("passing", passing.id);
      });
      bench.clock.turn(1000);
    }
    expect(counted).toBe(0);
  });
});
