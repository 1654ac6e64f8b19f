import type { LockTable } from "../core/lock-table.ts";
import type { Session } from "../core/session.ts";
import type { Clock } from "../ports/clock.ts";

const EVERY_MS = 500;

/**
 * Tells waiting claims that they have moved up. Looked at twice a second, in the queues that have changed, and
 * not at every change: so a queue of n costs each waiter log n messages, and a hand-off none.
 */
export class PositionNotices {
  private readonly table: LockTable;
  private readonly clock: Clock;
  private readonly session: (id: string) => Session | undefined;
  private due = new Set<string>();
  private scheduled = false;

  constructor(table: LockTable, clock: Clock, session: (id: string) => Session | undefined) {
    this.table = table;
    this.clock = clock;
    this.session = session;
  }

  changed(locks: ReadonlySet<string>): void {
    for (const name of locks) if (this.table.queues.get(name)?.firstWaiting !== undefined) this.due.add(name);
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled || this.due.size === 0) return;
    this.scheduled = true;
    this.clock.at(this.clock.nowMs() + EVERY_MS, () => {
      this.scheduled = false;
      const due = this.due;
      this.due = new Set();
      // All are counted first: a claim on several locks is told of the one with the most before it.
      for (const name of due) this.count(name);
      for (const name of due) this.tell(name);
      this.schedule();
    });
  }

  private count(name: string): void {
    let position = 0;
    for (let seat = this.table.queues.get(name)?.firstWaiting; seat !== undefined; seat = seat.next)
      seat.position = ++position;
  }

  private tell(name: string): void {
    for (let seat = this.table.queues.get(name)?.firstWaiting; seat !== undefined; seat = seat.next)
      if (this.session(seat.claim.sessionId)?.movedUp(seat.claim) === false) this.due.add(name);
  }
}
