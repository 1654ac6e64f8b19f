import type { Wake } from "../../server/core/wake.ts";
import type { Clock } from "../../server/ports/clock.ts";
import type { Entropy } from "../../server/ports/entropy.ts";

/** What a walk found wrong: the name of the broken promise, when, and in words. */
export interface Violation {
  readonly what: string;
  readonly atMs: number;
  readonly detail: string;
}

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** What a walk can be run without, to find out what its failure needs. */
export const INGREDIENTS = [
  "server-crashes",
  "silent-watch",
  "server-pauses",
  "watch-gap",
  "leader-changes",
  "full-etcd",
  "drains",
  "refused-streams",
  "cut-off-servers",
  "force",
  "revoked-leases",
  "late-transactions",
  "lost-replies",
  "lost-requests",
  "broken-streams",
  "migrations",
  "client-pauses",
  "suspended-machines",
  "closed-sessions",
  "client-crashes",
  "hasty-clients",
  "whims",
  "several-locks",
  "shared-locks",
  "semaphores",
  "threads",
  "impatient-threads",
  "tries",
  "timed-waits",
  "cancels",
  "updates",
  "library-clients",
] as const;

export type Ingredient = (typeof INGREDIENTS)[number];

/** Several times what any walk needs. */
const MAX_EVENTS = 200_000;

/**
 * One seeded walk's time, chance and record: everything in a walk happens as an event of this world, so the same
 * seed gives the same run to the last event.
 */
export class World {
  /** True time in virtual milliseconds, which nobody in the walk can read. */
  nowMs = 0;
  /** Whether trouble is still being made. */
  isChaotic = true;
  readonly violations: Violation[] = [];
  readonly counts = new Map<string, number>();
  /** The last lines of what happened, kept only if asked for. */
  readonly trace: string[] = [];
  private readonly heap: Event[] = [];
  private readonly keepTrace: boolean;
  private readonly without: ReadonlySet<string>;
  private orders = 0;
  private random: number;
  private hash = 0x811c9dc5;
  private stopped = false;

  /** `salt`: another course of the same seed. `without`: what may not happen. */
  constructor(seed: number, { keepTrace = false, salt = 0, without = [] as readonly string[] } = {}) {
    this.random = (Math.imul(seed, 2654435761) ^ Math.imul(salt, 40503)) >>> 0;
    this.keepTrace = keepTrace;
    this.without = new Set(without);
  }

  /** Whether something that chance has chosen may happen in this walk. */
  may(what: Ingredient): boolean {
    return !this.without.has(what);
  }

  /** A number from 0 to 1, without 1 (mulberry32). */
  chance(): number {
    this.random = (this.random + 0x6d2b79f5) | 0;
    let t = Math.imul(this.random ^ (this.random >>> 15), 1 | this.random);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  between(from: number, to: number): number {
    return from + this.chance() * (to - from);
  }

  whole(from: number, to: number): number {
    return Math.floor(this.between(from, to + 1));
  }

  happens(probability: number): boolean {
    return this.chance() < probability;
  }

  pick<Item>(items: readonly Item[]): Item | undefined {
    return items[Math.floor(this.chance() * items.length)];
  }

  /** Runs `run` in `delayMs` of true time; events of one moment in the order in which they were asked for. */
  after(delayMs: number, run: () => void): void {
    this.at(this.nowMs + Math.max(0, delayMs), run);
  }

  /** Runs `run` at a moment of true time that has not passed. */
  at(atMs: number, run: () => void): void {
    const event = { atMs, order: this.orders++, run };
    const { heap } = this;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  /** Runs until nothing is left, `stop` is called, or enough has been found wrong. */
  run(): void {
    while (!this.stopped && this.heap.length > 0 && this.violations.length < 5) {
      this.runNext();
      if (this.orders > MAX_EVENTS) {
        this.violation("BUSY-LOOP", `${this.orders} events, and no end`);
        return;
      }
    }
  }

  /** Runs the next event. For who does not want to give the world away until it ends. */
  runNext(): void {
    const event = this.takeFirst();
    this.nowMs = event.atMs;
    event.run();
  }

  stop(): void {
    this.stopped = true;
  }

  count(situation: string, by = 1): void {
    this.counts.set(situation, (this.counts.get(situation) ?? 0) + by);
  }

  /** Notes what happened: all of it goes into the hash of the run. */
  note(line: string): void {
    const text = `${this.nowMs.toFixed(3)} ${line}`;
    let { hash } = this;
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    this.hash = hash;
    if (this.keepTrace) this.trace.push(text);
  }

  violation(what: string, detail: string): void {
    this.violations.push({ what, atMs: this.nowMs, detail });
    this.note(`!!! ${what}: ${detail}`);
  }

  get traceHash(): string {
    return (this.hash >>> 0).toString(16).padStart(8, "0");
  }

  private takeFirst(): Event {
    const { heap } = this;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

const isBefore = (a: Event, b: Event): boolean => (a.atMs === b.atMs ? a.order < b.order : a.atMs < b.atMs);

/** Ids and secrets from the walk's chance; the "hash" hides nothing, which no walk needs. */
export function simulatedEntropy(world: World): Entropy {
  const characters = (length: number): string => {
    let text = "";
    while (text.length < length) text += Math.floor(world.chance() * 36).toString(36);
    return text;
  };
  return { newId: () => characters(8), newSecret: () => characters(8), hash: (text) => `hash of ${text}` };
}

/**
 * A process on a machine with a clock of its own: what reaches it while it is paused waits, and is handled in
 * order when it wakes, due timers first. Nothing reaches it any more once it has crashed.
 */
export class Process implements Clock {
  readonly world: World;
  isAlive = true;
  private readonly rate: number;
  private readonly offsetMs: number;
  private isPaused = false;
  /** Since when its monotonic clock stands still, in true time, and for how long it did before. */
  private suspendedSinceMs: number | undefined;
  private suspendedMs = 0;
  private dueTimers: (() => void)[] = [];
  private inbox: (() => void)[] = [];
  private draining = false;
  private turn: (() => void)[] = [];
  private readonly failed: (error: unknown) => void;

  /** Its clock runs at a rate within 1 % of true time. `failed` is told what it throws. */
  constructor(world: World, failed: (error: unknown) => void) {
    this.world = world;
    this.failed = failed;
    this.rate = world.between(0.9905, 1.0095);
    this.offsetMs = world.between(0, 1e6);
  }

  nowMs(): number {
    const trueMs = this.suspendedSinceMs ?? this.world.nowMs;
    return this.offsetMs + (trueMs - this.suspendedMs) * this.rate;
  }

  wallMs(): number {
    return 1.7e12 + this.world.nowMs;
  }

  at(atMs: number, fn: () => void): Wake {
    let isWanted = true;
    const wait = () => {
      // A timer may fire late by a little, never early.
      this.world.after((atMs - this.nowMs()) / this.rate + 1e-6, () =>
        this.timer(() => {
          if (!isWanted) return;
          if (this.nowMs() < atMs) wait();
          else fn();
        }),
      );
    };
    wait();
    return {
      cancel: () => {
        isWanted = false;
      },
    };
  }

  endOfTurn(fn: () => void): void {
    if (this.turn.push(fn) > 1) return;
    this.turnEnds();
  }

  /** A turn ends when all that has come has been read. */
  private turnEnds(): void {
    this.world.after(this.world.between(0, 0.2), () =>
      this.timer(() => {
        if (this.inbox.length > 0) return this.turnEnds();
        const ready = this.turn;
        this.turn = [];
        for (const call of ready) this.guard(call);
      }),
    );
  }

  /** Something reaches it over the network. */
  receive(fn: () => void): void {
    if (!this.isAlive) return;
    if (!this.isPaused && this.inbox.length === 0) return this.guard(fn);
    this.inbox.push(fn);
    if (!this.isPaused) this.drain();
  }

  get isTroubled(): boolean {
    return this.isPaused || this.inbox.length > 0;
  }

  pause(forMs: number): void {
    if (this.isPaused || !this.isAlive) return;
    this.isPaused = true;
    this.world.after(forMs, () => this.wake());
  }

  /** Pauses the whole machine: its monotonic clock stands still, the wall clock does not. */
  suspend(forMs: number): void {
    if (this.isPaused || !this.isAlive) return;
    this.suspendedSinceMs = this.world.nowMs;
    this.pause(forMs);
  }

  private wake(): void {
    this.isPaused = false;
    if (this.suspendedSinceMs !== undefined) this.suspendedMs += this.world.nowMs - this.suspendedSinceMs;
    this.suspendedSinceMs = undefined;
    const timers = this.dueTimers;
    this.dueTimers = [];
    for (const timer of timers) if (this.isAlive) this.guard(timer);
    this.drain();
  }

  private drain(): void {
    if (this.draining || this.inbox.length === 0) return;
    this.draining = true;
    this.world.after(this.world.between(0, 0.2), () => {
      this.draining = false;
      if (!this.isAlive || this.isPaused) return;
      const next = this.inbox.shift();
      if (next !== undefined) this.guard(next);
      this.drain();
    });
  }

  private timer(fn: () => void): void {
    if (!this.isAlive) return;
    if (this.isPaused) this.dueTimers.push(fn);
    else this.guard(fn);
  }

  private guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this.failed(error);
    }
  }
}
