import type { Wake } from "../../server/core/wake.ts";
import type { Clock } from "../../server/ports/clock.ts";

/** A clock that stands until it is turned, and turns of the event loop that end when the test says so. */
export class HandClock implements Clock {
  private time = 1000;
  private timers: { readonly atMs: number; readonly fn: () => void }[] = [];
  private readonly ends: (() => void)[] = [];

  nowMs(): number {
    return this.time;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.time;
  }

  at(atMs: number, fn: () => void): Wake {
    const wake = { atMs, fn };
    this.timers.push(wake);
    return {
      cancel: () => {
        this.timers = this.timers.filter((each) => each !== wake);
      },
    };
  }

  endOfTurn(fn: () => void): void {
    this.ends.push(fn);
  }

  /** How many calls are pending. */
  get pendingCount(): number {
    return this.timers.length;
  }

  /** Ends the turn, and those that follow at once from what it brings about. */
  settle(): void {
    for (let fn = this.ends.shift(); fn !== undefined; fn = this.ends.shift()) fn();
  }

  /** Lets time pass and does what is due by then, in order, each in a turn of its own. */
  turn(ms: number): void {
    const untilMs = this.time + ms;
    this.settle();
    for (let next = this.takeDue(untilMs); next !== undefined; next = this.takeDue(untilMs)) {
      this.time = Math.max(this.time, next.atMs);
      next.fn();
      this.settle();
    }
    this.time = untilMs;
  }

  /** The process stands still: what was due meanwhile is done at the end of it. */
  pause(ms: number): void {
    this.time += ms;
  }

  private takeDue(untilMs: number) {
    const [next] = this.timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
    if (next !== undefined) this.timers.splice(this.timers.indexOf(next), 1);
    return next;
  }
}
