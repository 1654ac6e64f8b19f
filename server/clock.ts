import type { Clock } from "./ports/clock.ts";

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

  at(atMs: number, fn: () => void): void {
    this.wakes.add({ atMs, fn });
    if (atMs < this.timerAtMs) this.arm(atMs);
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
    for (const wake of this.wakes.takeDue(performance.now())) wake.fn();
    const nextMs = this.wakes.firstMs;
    if (nextMs < this.timerAtMs) this.arm(nextMs);
  }
}

/** The longest that setTimeout can wait. */
const MAX_DELAY_MS = 2 ** 31 - 1;

interface Wake {
  readonly atMs: number;
  readonly fn: () => void;
}

/** A binary heap by time: hundreds of thousands of deadlines cost one timer, and each O(log n). */
class WakeQueue {
  private readonly heap: Wake[] = [];

  /** The time of the first; infinite if there is none. */
  get firstMs(): number {
    return this.heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  add(wake: Wake): void {
    let at = this.heap.push(wake) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.heap[parent]!.atMs <= wake.atMs) break;
      this.heap[at] = this.heap[parent]!;
      at = parent;
    }
    this.heap[at] = wake;
  }

  /** Takes out all whose time is `nowMs` or before it, in order. */
  takeDue(nowMs: number): readonly Wake[] {
    const due: Wake[] = [];
    while (this.firstMs <= nowMs) {
      due.push(this.heap[0]!);
      const last = this.heap.pop()!;
      if (this.heap.length > 0) this.sink(last);
    }
    return due;
  }

  private sink(wake: Wake): void {
    const size = this.heap.length;
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && this.heap[child + 1]!.atMs < this.heap[child]!.atMs) child++;
      if (this.heap[child]!.atMs >= wake.atMs) break;
      this.heap[at] = this.heap[child]!;
      at = child;
    }
    this.heap[at] = wake;
  }
}
