import { compareBytewise } from "../core/lock-name.ts";
import type { LockTable } from "../core/lock-table.ts";
import { viewLock } from "../core/views.ts";
import type { LockPage, LockQuery, LockWatch, WatchQuery } from "./lock-engine.ts";

/** Those who follow locks. Each has the names it has not taken yet: never more than there are locks. */
export class LockWatches {
  private readonly table: LockTable;
  private readonly watchers = new Set<Watcher>();

  constructor(table: LockTable) {
    this.table = table;
  }

  open(query: WatchQuery, ready: () => void, endOfTurn: (fn: () => void) => void): LockWatch {
    const watcher = new Watcher(this.table, query, ready, () => this.watchers.delete(watcher));
    this.watchers.add(watcher);
    // It always has something at first: that it is caught up.
    endOfTurn(() => {
      if (this.watchers.has(watcher)) ready();
    });
    return watcher;
  }

  changed(locks: ReadonlySet<string>): void {
    for (const watcher of this.watchers) watcher.changed(locks);
  }
}

class Watcher implements LockWatch {
  private readonly table: LockTable;
  private readonly query: WatchQuery;
  private readonly ready: () => void;
  private readonly closed: () => void;
  private readonly dirty = new Set<string>();
  /** How many of the names taken first existed at the start. */
  private left: number;
  private caughtUp = false;

  constructor(table: LockTable, query: WatchQuery, ready: () => void, closed: () => void) {
    this.table = table;
    this.query = query;
    this.ready = ready;
    this.closed = closed;
    for (const [name, queue] of table.queues) if (queue.first !== undefined && this.follows(name)) this.dirty.add(name);
    this.left = this.dirty.size;
  }

  private follows(name: string): boolean {
    return this.query.name === "" ? name.startsWith(this.query.prefix) : name === this.query.name;
  }

  changed(locks: ReadonlySet<string>): void {
    const idle = this.dirty.size === 0 && this.caughtUp;
    for (const name of locks) if (this.follows(name)) this.dirty.add(name);
    if (idle && this.dirty.size > 0) this.ready();
  }

  take(limit: number): ReturnType<LockWatch["take"]> {
    const locks = [];
    const limits = { holders: this.query.holderLimit, waiters: this.query.waiterLimit, values: true };
    for (const name of this.dirty) {
      if (locks.length >= limit) break;
      // A name goes to the end when it changes again: those of the start are taken first, as they then are.
      this.dirty.delete(name);
      locks.push(viewLock(name, this.table, limits));
    }
    this.left -= locks.length;
    const caughtUp = !this.caughtUp && this.left <= 0;
    this.caughtUp ||= caughtUp;
    return { locks, caughtUp };
  }

  close(): void {
    this.closed();
  }
}

/**
 * A page of locks in byte order of names. Looks at every lock once, and keeps a page's worth: no index is kept
 * up for it on the way of a claim.
 */
export function listLocks(table: LockTable, query: LockQuery): LockPage {
  const names: string[] = [];
  for (const [name, queue] of table.queues) {
    if (queue.first === undefined || !name.startsWith(query.prefix)) continue;
    if (query.state !== undefined && (queue.waitingCount > 0 ? "contended" : "held") !== query.state) continue;
    if (query.after === "" || compareBytewise(name, query.after) > 0) names.push(name);
    if (names.length >= 4 * query.pageSize + 1000) keepFirst(names, query.pageSize + 1);
  }
  keepFirst(names, query.pageSize + 1);
  const page = names.slice(0, query.pageSize);
  const limits = { holders: query.holderLimit, waiters: 0, values: false };
  return { locks: page.map((name) => viewLock(name, table, limits)), more: names.length > page.length };
}

function keepFirst(names: string[], count: number): void {
  names.sort(compareBytewise);
  if (names.length > count) names.length = count;
}
