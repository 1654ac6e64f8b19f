import { type Deadlock, findDeadlock } from "../core/deadlock.ts";
import type { LockTable } from "../core/lock-table.ts";
import type { Claim } from "../core/queue.ts";

/** How long after the store did not answer a circle that was seen is looked for again. */
const AGAIN_MS = 1000;

export interface DeadlocksHost {
  readonly table: LockTable;
  after(delayMs: number, then: () => void): void;
  endOfTurn(then: () => void): void;
  barrier(then: (current: boolean) => void): void;
  /** Denies the victim, if its session is here and its client asked for it. */
  deny(deadlock: Deadlock): void;
}

/**
 * Looks for deadlocks once at the end of a turn, whatever asked for it, and has the victim denied from behind a
 * barrier (DESIGN 4.12). Every server that finds a circle finds the same victim; the one with its session denies it.
 */
export class Deadlocks {
  private readonly host: DeadlocksHost;
  /** Around which claims to look at the end of this turn; `undefined`: around all. */
  private suspects: Set<Claim> | undefined = new Set();
  private isDue = false;
  /** Who was found: when one of them is gone, by whatever way and server, other circles may be left. */
  private readonly victims = new Set<Claim>();

  constructor(host: DeadlocksHost) {
    this.host = host;
  }

  /** Looks around a waiting claim; without one, around all. */
  look(around?: Claim): void {
    if (around === undefined) this.suspects = undefined;
    else this.suspects?.add(around);
    if (this.isDue) return;
    this.isDue = true;
    this.host.endOfTurn(() => this.find());
  }

  /** To be called when the table has changed. */
  changed(): void {
    for (const victim of this.victims) {
      if (victim.stage === "live" && !victim.held) continue;
      this.victims.delete(victim);
      this.look();
    }
  }

  private find(): void {
    const { suspects } = this;
    const { table } = this.host;
    this.isDue = false;
    this.suspects = new Set();
    if (findDeadlock(table, suspects) === undefined) return;
    this.host.barrier((current) => {
      if (!current) return this.host.after(AGAIN_MS, () => this.look());
      const found = findDeadlock(table, suspects);
      if (found === undefined) return;
      this.victims.add(found.victim);
      this.host.deny(found);
    });
  }
}
