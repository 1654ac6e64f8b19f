import type { Wake } from "../../server/core/wake.ts";
import type { Clock } from "../../server/ports/clock.ts";

/** A clock that stands until it is turned. The end of a turn is Node's. */
export class TurnedClock implements Clock {
  private time = 0;
  private wakes: { readonly atMs: number; readonly fn: () => void }[] = [];

  nowMs(): number {
    return this.time;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.time;
  }

  at(atMs: number, fn: () => void): Wake {
    const wake = { atMs, fn };
    this.wakes.push(wake);
    return {
      cancel: () => {
        this.wakes = this.wakes.filter((each) => each !== wake);
      },
    };
  }

  endOfTurn(fn: () => void): void {
    setImmediate(fn);
  }

  /** Lets time pass, and does what is due by then, in order. */
  turn(ms: number): void {
    const untilMs = this.time + ms;
    for (;;) {
      const next = this.wakes.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.wakes.splice(this.wakes.indexOf(next), 1);
      this.time = Math.max(this.time, next.atMs);
      next.fn();
    }
    this.time = untilMs;
  }
}
