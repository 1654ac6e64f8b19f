import type { Clock, Wake } from "./ports/clock.ts";

/**
 * The time of this machine. Calls come at or after their time, never before: Node's timers may be early by a part
 * of a millisecond and end at 24 days, and are not trusted with either. Pending calls do not keep the process
 * running.
 */
export class SystemClock implements Clock {
  private readonly wakes = new WakeQueue();
  private timer: NodeJS.Timeout | undefined;
  private timerAtMs = Number.POSITIVE_INFINITY;
  private turn: (() => void)[] = [];

  nowMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  at(atMs: number, fn: () => void): Wake {
    const wake = new QueuedWake(this.wakes, atMs, fn);
    this.wakes.add(wake);
    if (atMs < this.timerAtMs) this.arm(atMs);
    return wake;
  }

  /** How many calls are pending. */
  get pendingCount(): number {
    return this.wakes.size;
  }

  endOfTurn(fn: () => void): void {
    if (this.turn.push(fn) > 1) return;
    setImmediate(() => {
      const ready = this.turn;
      this.turn = [];
      for (const call of ready) call();
    });
  }

  private arm(atMs: number): void {
    clearTimeout(this.timer);
    this.timerAtMs = atMs;
    const delayMs = Math.min(Math.max(Math.ceil(atMs - performance.now()), 1), MAX_DELAY_MS);
    this.timer = setTimeout(() => this.fire(), delayMs).unref();
  }

  private fire(): void {
    this.timerAtMs = Number.POSITIVE_INFINITY;
    // What these calls ask for at once comes in a later turn: sockets are read between.
    for (const wake of this.wakes.takeDue(performance.now())) wake.call();
    const nextMs = this.wakes.firstMs;
    if (nextMs < this.timerAtMs) this.arm(nextMs);
  }
}

/** The longest that setTimeout can wait. */
const MAX_DELAY_MS = 2 ** 31 - 1;

class QueuedWake implements Wake {
  readonly atMs: number;
  /** Where it is in the heap; nowhere: -1. */
  place = -1;
  private readonly queue: WakeQueue;
  private fn: (() => void) | undefined;

  constructor(queue: WakeQueue, atMs: number, fn: () => void) {
    this.queue = queue;
    this.atMs = atMs;
    this.fn = fn;
  }

  /** Not if it was cancelled by another that was due with it. */
  call(): void {
    this.fn?.();
  }

  cancel(): void {
    this.fn = undefined;
    this.queue.remove(this);
  }
}

/** A binary heap by time: hundreds of thousands of deadlines cost one timer, and each O(log n). */
class WakeQueue {
  private readonly heap: QueuedWake[] = [];

  get size(): number {
    return this.heap.length;
  }

  /** The time of the first; infinite if there is none. */
  get firstMs(): number {
    return this.heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  add(wake: QueuedWake): void {
    this.heap.push(wake);
    this.rise(wake, this.heap.length - 1);
  }

  /** Harmless for one that is not in it. */
  remove(wake: QueuedWake): void {
    const { place } = wake;
    if (place < 0) return;
    wake.place = -1;
    const last = this.heap.pop()!;
    if (last === wake) return;
    // It comes from another branch: it may be too early for this place, or too late.
    this.rise(last, place);
    this.sink(last, last.place);
  }

  /** Takes out all whose time is `nowMs` or before it, in order. */
  takeDue(nowMs: number): readonly QueuedWake[] {
    const due: QueuedWake[] = [];
    while (this.firstMs <= nowMs) {
      const first = this.heap[0]!;
      due.push(first);
      this.remove(first);
    }
    return due;
  }

  private rise(wake: QueuedWake, from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.heap[parent]!.atMs <= wake.atMs) break;
      this.put(this.heap[parent]!, at);
      at = parent;
    }
    this.put(wake, at);
  }

  private sink(wake: QueuedWake, from: number): void {
    const size = this.heap.length;
    let at = from;
    for (let child = 2 * at + 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && this.heap[child + 1]!.atMs < this.heap[child]!.atMs) child++;
      if (this.heap[child]!.atMs >= wake.atMs) break;
      this.put(this.heap[child]!, at);
      at = child;
    }
    this.put(wake, at);
  }

  private put(wake: QueuedWake, at: number): void {
    this.heap[at] = wake;
    wake.place = at;
  }
}
