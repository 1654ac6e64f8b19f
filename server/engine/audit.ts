import type { Change, Snapshot } from "../core/entry.ts";
import type { LockTable } from "../core/lock-table.ts";
import type { Clock } from "../ports/clock.ts";
import type { Store } from "../ports/store.ts";

export interface AuditHost {
  /** The first key on which what this server knows and a snapshot differ, those in `except` left out. */
  disagreement(snapshot: Snapshot, except: ReadonlySet<string>): string | undefined;
  whenTable(revision: number, then: () => void): void;
  /** Makes the table what the snapshot says. */
  resync(snapshot: Snapshot): void;
  apply(revision: number, changes: readonly Change[]): void;
}

/**
 * Compares the table with what is really in etcd, from time to time, and reads it anew if they differ: older
 * etcd versions have lost watch events (etcd#18089, etcd#17529), and nothing else would ever notice.
 */
export class Audit {
  private readonly table: LockTable;
  private readonly store: Store;
  private readonly clock: Clock;
  private readonly host: AuditHost;
  private readonly everyMs: number;
  /** Keys that changed while a comparison is under way: they say nothing. `undefined`: none is, or it says nothing. */
  private changed: Set<string> | undefined;
  /** Changes kept back while the table is read anew. */
  private keptBack: { readonly revision: number; readonly changes: readonly Change[] }[] | undefined;

  constructor(table: LockTable, store: Store, clock: Clock, host: AuditHost, everyMs: number) {
    this.table = table;
    this.store = store;
    this.clock = clock;
    this.host = host;
    this.everyMs = everyMs;
  }

  start(): void {
    this.clock.at(this.clock.nowMs() + this.everyMs, () => this.compare());
  }

  /** Whether changes are kept back, so that the table's revision must not move on without them. */
  get isHoldingBack(): boolean {
    return this.keptBack !== undefined;
  }

  /** Sees every revision before the table does. Returns whether it is kept back. */
  intercept(revision: number, changes: readonly Change[]): boolean {
    if (this.keptBack !== undefined) {
      this.keptBack.push({ revision, changes });
      return true;
    }
    if (this.changed !== undefined)
      for (const change of changes) this.changed.add(change.kind === "put" ? change.entry.key : change.key);
    return false;
  }

  /** The table was read anew, and so passed over revisions that `intercept` has not seen: a comparison under way is void. */
  resynced(): void {
    this.changed = undefined;
  }

  private compare(): void {
    this.changed = new Set();
    this.store.readAll((snapshot) => {
      if (snapshot === undefined) return this.finish();
      // Only when the table is as new as the snapshot: then what has not changed since must be the same in both.
      this.host.whenTable(snapshot.revision, () => {
        const { changed } = this;
        if (changed === undefined || this.host.disagreement(snapshot, changed) === undefined) this.finish();
        else this.readAnew();
      });
    });
  }

  private readAnew(): void {
    this.changed = undefined;
    this.keptBack = [];
    this.store.readAll((snapshot) => {
      const keptBack = this.keptBack ?? [];
      this.keptBack = undefined;
      // Read after the last change that the table has, so it is at least as new, unless a gap was filled meanwhile.
      if (snapshot !== undefined && snapshot.revision >= this.table.revision) this.host.resync(snapshot);
      for (const { revision, changes } of keptBack) this.host.apply(revision, changes);
      this.finish();
    });
  }

  private finish(): void {
    this.changed = undefined;
    this.start();
  }
}
