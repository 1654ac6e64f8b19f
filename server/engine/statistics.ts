import type { Clock } from "../ports/clock.ts";
import type { EngineNote, Telemetry } from "../ports/telemetry.ts";
import { BUCKETS, bucketOf, type Distribution, sumOf } from "./distribution.ts";

/** How many seconds are remembered. */
export const KEPT_SECONDS = 900;

const SAMPLE_MS = 1_000;
/** What happened in one second, and what there was at its end. */
export interface Sample {
  /** When the second ended, in milliseconds since 1970. */
  readonly atMs: number;
  readonly grants: number;
  readonly denials: number;
  readonly releases: number;
  readonly losses: number;
  readonly forced: number;
  readonly deadlocks: number;
  readonly acquireTime: Distribution;
  readonly holdTime: Distribution;
  readonly locks: number;
  readonly held: number;
  readonly waiting: number;
  readonly sessions: number;
}

/** What there is at a moment, of the whole service. */
export type Gauges = Pick<Sample, "locks" | "held" | "waiting" | "sessions">;

/** A reader's place among the samples: it takes all there are, as fast as it can. */
export interface StatisticsWatch {
  /** Up to `limit` samples, oldest first, that were not taken yet and are still remembered. */
  take(limit: number): readonly Sample[];
  close(): void;
}

/**
 * Counts what the engine tells, second by second, for a quarter of an hour. A second in which the process stood
 * still is missing.
 */
export class Statistics implements Telemetry {
  private readonly clock: Clock;
  private readonly gauges: () => Gauges;
  private readonly acquireTime = new Histogram();
  private readonly holdTime = new Histogram();
  private counts = noCounts();
  /** The samples of the last seconds; that of second n is at n modulo their number. */
  private readonly samples: Sample[] = [];
  private taken = 0;
  private readonly watchers = new Set<() => void>();

  constructor(clock: Clock, gauges: () => Gauges) {
    this.clock = clock;
    this.gauges = gauges;
  }

  /** Begins to take samples, until `isOver` says so. */
  start(isOver: () => boolean): void {
    this.clock.at(this.clock.nowMs() + SAMPLE_MS, () => {
      if (isOver()) return;
      this.sample();
      this.start(isOver);
    });
  }

  note(note: EngineNote): void {
    switch (note.kind) {
      case "claim.granted":
        if (note.reentered) return;
        this.counts.grants++;
        this.acquireTime.add(note.waitedMs);
        return;
      case "claim.denied":
        this.counts.denials++;
        if (note.reason === "deadlock") this.counts.deadlocks++;
        return;
      case "claim.released":
        this.counts.releases++;
        if (note.heldMs !== undefined) this.holdTime.add(note.heldMs);
        return;
      case "claim.lost":
        this.counts.losses++;
        if (note.heldMs !== undefined) this.holdTime.add(note.heldMs);
        return;
      case "claim.forced":
        this.counts.forced++;
        return;
      case "session.forced":
        this.counts.forced += note.claims;
        return;
      default:
        return;
    }
  }

  /** How long the claims took that were granted in the last so many seconds, the current one left out. */
  recentAcquireTime(seconds: number): Distribution {
    const parts: Distribution[] = [];
    for (let back = 1; back <= Math.min(seconds, this.taken, KEPT_SECONDS); back++)
      parts.push((this.samples[(this.taken - back) % KEPT_SECONDS] as Sample).acquireTime);
    return sumOf(parts);
  }

  /** Follows the samples, those first that are there. `ready` is called after each; never from within this call. */
  watch(ready: () => void): StatisticsWatch {
    let next = Math.max(0, this.taken - KEPT_SECONDS);
    this.watchers.add(ready);
    return {
      take: (limit) => {
        next = Math.max(next, this.taken - KEPT_SECONDS);
        const until = Math.min(this.taken, next + limit);
        const samples: Sample[] = [];
        for (; next < until; next++) samples.push(this.samples[next % KEPT_SECONDS] as Sample);
        return samples;
      },
      close: () => this.watchers.delete(ready),
    };
  }

  private sample(): void {
    this.samples[this.taken % KEPT_SECONDS] = {
      atMs: this.clock.wallMs(),
      ...this.counts,
      acquireTime: this.acquireTime.take(),
      holdTime: this.holdTime.take(),
      ...this.gauges(),
    };
    this.taken++;
    this.counts = noCounts();
    for (const ready of this.watchers) ready();
  }
}

const noCounts = () => ({ grants: 0, denials: 0, releases: 0, losses: 0, forced: 0, deadlocks: 0 });

const NOTHING: Distribution = { count: 0, totalMs: 0, maxMs: 0, indexes: [], counts: [] };

/** A distribution while it grows. */
class Histogram {
  private readonly buckets = new Uint32Array(BUCKETS);
  private count = 0;
  private totalMs = 0;
  private maxMs = 0;

  add(ms: number): void {
    this.count++;
    this.totalMs += ms;
    if (ms > this.maxMs) this.maxMs = ms;
    const bucket = bucketOf(ms);
    this.buckets[bucket] = (this.buckets[bucket] as number) + 1;
  }

  /** What was added since it was last taken. */
  take(): Distribution {
    if (this.count === 0) return NOTHING;
    const indexes: number[] = [];
    const counts: number[] = [];
    this.buckets.forEach((count, index) => {
      if (count === 0) return;
      indexes.push(index);
      counts.push(count);
    });
    const taken = { count: this.count, totalMs: this.totalMs, maxMs: this.maxMs, indexes, counts };
    this.buckets.fill(0);
    this.count = 0;
    this.totalMs = 0;
    this.maxMs = 0;
    return taken;
  }
}
