import { describe, expect, it } from "vitest";
import { bucketOf, type Distribution } from "../../server/engine/distribution.ts";
import { KEPT_SECONDS, Statistics } from "../../server/engine/statistics.ts";
import { acquire } from "../core/session-bench.ts";
import { exclusive } from "../support/key-history.ts";
import { noted } from "../support/notes.ts";
import { Random } from "../support/random.ts";
import { EngineBench } from "./engine-bench.ts";
import { HandClock } from "./hand-clock.ts";

const gauges = { locks: 1, held: 2, waiting: 3, sessions: 4 };

function started(): { clock: HandClock; statistics: Statistics } {
  const clock = new HandClock();
  const statistics = new Statistics(clock, () => gauges);
  statistics.start(() => false);
  return { clock, statistics };
}

/** As a reader of the wire does it: from the middle of the bucket in which it is. */
function percentile({ indexes, counts, count }: Distribution, share: number): number {
  let left = share * count;
  for (const [i, index] of indexes.entries()) {
    left -= counts[i] as number;
    if (left <= 0) return 1.05 ** (index - 0.5) / 1_000;
  }
  return Number.NaN;
}

describe("statistics", () => {
  it("count, second by second, what happened in it", () => {
    const { clock, statistics } = started();
    const watch = statistics.watch(() => undefined);
    statistics.note(noted.granted({ waitedMs: 3 }));
    statistics.note(noted.granted({ waitedMs: 5 }));
    statistics.note({ ...noted.granted(), reentered: true });
    statistics.note(noted.denied("busy"));
    statistics.note(noted.denied("deadlock"));
    statistics.note(noted.released({ heldMs: 40 }));
    statistics.note(noted.released());
    statistics.note(noted.lost({ heldMs: 60 }));
    clock.turn(2_000);
    const [first, second] = watch.take(10);
    expect(first).toMatchObject({ grants: 2, denials: 2, releases: 2, losses: 1, deadlocks: 1, forced: 0, ...gauges });
    expect(first?.acquireTime).toMatchObject({ count: 2, totalMs: 8, maxMs: 5, counts: [1, 1] });
    expect(first?.holdTime).toMatchObject({ count: 2, totalMs: 100, maxMs: 60 });
    expect(second).toMatchObject({ grants: 0, acquireTime: { count: 0, totalMs: 0, indexes: [] } });
    expect(second?.atMs).toBe((first?.atMs as number) + 1_000);
  });

  it("keep a quarter of an hour, and a reader who is slower than that misses what is older", () => {
    const { clock, statistics } = started();
    const watch = statistics.watch(() => undefined);
    clock.turn((KEPT_SECONDS + 5) * 1_000);
    const latecomer = statistics.watch(() => undefined);
    for (const reader of [watch, latecomer]) {
      const samples = [...reader.take(500), ...reader.take(1_000)];
      expect(samples).toHaveLength(KEPT_SECONDS);
      expect(samples[0]?.atMs).toBe(clock.wallMs() - (KEPT_SECONDS - 1) * 1_000);
      expect(samples.at(-1)?.atMs).toBe(clock.wallMs());
    }
  });

  it("tell a reader of each new sample until it leaves", () => {
    const { clock, statistics } = started();
    let calls = 0;
    const watch = statistics.watch(() => calls++);
    clock.turn(3_000);
    watch.close();
    clock.turn(3_000);
    expect(calls).toBe(3);
  });

  it("have no sample for seconds in which the process stood still", () => {
    const { clock, statistics } = started();
    const watch = statistics.watch(() => undefined);
    clock.pause(10_000);
    clock.turn(2_000);
    expect(watch.take(100)).toHaveLength(3);
  });

  it("stop with their server", () => {
    const bench = new EngineBench();
    const watch = bench.engine.administration.watchStatistics(() => undefined);
    bench.engine.stop(0, () => undefined);
    bench.clock.turn(10_000);
    expect(watch.take(100)).toHaveLength(0);
  });
});

describe("a time's bucket", () => {
  it("holds times above 1.05^(i-1) and up to 1.05^i microseconds, as the wire says", () => {
    expect([0, 0.0001, 0.001].map(bucketOf)).toEqual([0, 0, 0]);
    for (let i = 1; i < 510; i++) {
      const bound = 1.05 ** i / 1_000;
      expect(bucketOf(bound)).toBe(i);
      expect(bucketOf(bound * 1.001)).toBe(i + 1);
    }
    expect(bucketOf(Number.MAX_VALUE)).toBe(519);
  });

  it("gives percentiles that are right within 2.5 %, whatever the times", () => {
    const random = new Random(7);
    const { clock, statistics } = started();
    const times = Array.from({ length: 5_000 }, () => 0.05 * 2 ** (random.next() * 20));
    for (const waitedMs of times) statistics.note(noted.granted({ waitedMs }));
    const watch = statistics.watch(() => undefined);
    clock.turn(1_000);
    const distribution = watch.take(1)[0]?.acquireTime as Distribution;
    times.sort((a, b) => a - b);
    for (const share of [0.5, 0.9, 0.99, 0.999]) {
      const exact = times[Math.ceil(share * times.length) - 1] as number;
      expect(Math.abs(percentile(distribution, share) / exact - 1)).toBeLessThan(0.025);
    }
  });
});

describe("a server's statistics", () => {
  it("tell how long claims took to be granted and were held, and what there is", () => {
    const bench = new EngineBench();
    const one = bench.open();
    const two = bench.open();
    bench.do(one.stream, acquire(1n, exclusive("a")));
    bench.do(two.stream, acquire(1n, exclusive("a")));
    bench.clock.turn(300);
    bench.do(one.stream, { kind: "release", claimId: 1n });
    bench.clock.turn(700);
    const [sample] = bench.engine.administration.watchStatistics(() => undefined).take(10);
    expect(sample).toMatchObject({ grants: 2, releases: 1, locks: 1, held: 1, waiting: 0, sessions: 2 });
    expect(sample?.acquireTime).toMatchObject({ count: 2, totalMs: 300, maxMs: 300 });
    expect(sample?.holdTime).toMatchObject({ count: 1, totalMs: 300 });
  });
});
