import type { LockTable } from "../core/lock-table.ts";
import type { Clock } from "../ports/clock.ts";
import type { Store } from "../ports/store.ts";

/** How long a barrier may take before its callers are told that the store does not answer. */
const PATIENCE_MS = 5000;
const PROGRESS_EVERY_MS = 100;

/** Those who are served by one read. */
interface Round {
  readonly callers: ((current: boolean) => void)[];
  isOver: boolean;
}

/**
 * Waits until the table is as new as etcd (DESIGN 4.10), so that a negative answer never comes from an old one.
 * One linearizable read serves all callers waiting at the time; who comes while it is under way waits for the
 * next, since that read may have been answered before it came.
 */
export class Barrier {
  /** When the read was sent that last proved the table current. Monotonic milliseconds. */
  provenAtMs = Number.NEGATIVE_INFINITY;
  private readonly table: LockTable;
  private readonly store: Store;
  private readonly clock: Clock;
  private readonly wentBack: (seen: number, answered: number) => void;
  /** Those for whom the next read will be sent. */
  private next: Round | undefined;
  private reading = false;
  private waiting: { readonly revision: number; readonly sinceMs: number; readonly then: () => void }[] = [];
  private asking = false;

  constructor(table: LockTable, store: Store, clock: Clock, wentBack: (seen: number, answered: number) => void) {
    this.table = table;
    this.store = store;
    this.clock = clock;
    this.wentBack = wentBack;
  }

  /** Calls back once: with `true` from a table no older than this call, or with `false` within 5 s. */
  wait(then: (current: boolean) => void): void {
    if (this.next !== undefined) {
      this.next.callers.push(then);
      return;
    }
    const round: Round = { callers: [then], isOver: false };
    this.next = round;
    this.clock.at(this.clock.nowMs() + PATIENCE_MS, () => this.finish(round, false));
    if (!this.reading) this.clock.endOfTurn(() => this.read());
  }

  private finish(round: Round, current: boolean): void {
    if (round.isOver) return;
    round.isOver = true;
    if (this.next === round) this.next = undefined;
    for (const then of round.callers) then(current);
  }

  private read(): void {
    const round = this.next;
    if (this.reading || round === undefined) return;
    this.next = undefined;
    this.reading = true;
    const sentAtMs = this.clock.nowMs();
    const seen = this.table.revision;
    this.store.readRevision((outcome) => {
      this.reading = false;
      if (this.next !== undefined) this.clock.endOfTurn(() => this.read());
      if (outcome.kind === "unavailable") return this.finish(round, false);
      if (outcome.revision < seen) {
        // etcd's revisions only grow: this is another etcd, or one restored from a backup (DESIGN 4.11).
        this.wentBack(seen, outcome.revision);
        return this.finish(round, false);
      }
      if (outcome.revision > this.table.revision) this.store.requestProgress();
      this.whenTable(outcome.revision, () => {
        this.provenAtMs = Math.max(this.provenAtMs, sentAtMs);
        this.finish(round, true);
      });
    });
  }

  /** Calls back when the table has reached a revision: at once, or from `advanced`. */
  whenTable(revision: number, then: () => void): void {
    if (this.table.revision >= revision) return then();
    this.waiting.push({ revision, sinceMs: this.clock.nowMs(), then });
    this.askForProgress();
  }

  /** For how long the oldest revision known to exist has been missing from the table. 0: none is. Milliseconds. */
  get lagMs(): number {
    const [oldest] = this.waiting;
    return oldest === undefined ? 0 : this.clock.nowMs() - oldest.sinceMs;
  }

  /** To be called whenever the table has moved on. */
  advanced(): void {
    if (this.waiting.length === 0) return;
    const { revision } = this.table;
    const due = this.waiting.filter((each) => each.revision <= revision);
    if (due.length === 0) return;
    this.waiting = this.waiting.filter((each) => each.revision > revision);
    for (const each of due) each.then();
  }

  /** Others may use the same etcd: their revisions pass without reaching our watch, unless it is asked. */
  private askForProgress(): void {
    if (this.asking) return;
    this.asking = true;
    this.clock.at(this.clock.nowMs() + PROGRESS_EVERY_MS, () => {
      this.asking = false;
      if (this.waiting.length === 0) return;
      this.store.requestProgress();
      this.askForProgress();
    });
  }
}
