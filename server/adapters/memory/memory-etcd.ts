import type { Change, Entry, Snapshot } from "../../core/entry.ts";
import { compareBytewise } from "../../core/lock-name.ts";
import type { CommitOutcome, Guard, Operation, Write } from "../../core/operation.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Feed, Store } from "../../ports/store.ts";
import { KeyTable } from "./key-table.ts";
import { MemoryLeases } from "./memory-leases.ts";

/**
 * What etcd is to a store, in memory: keys with revisions, guarded transactions, leases, and a feed of changes for
 * each store connected to it. For tests and for embedding: it keeps the same contract as a real etcd, except that
 * nothing outlives the process, history is not kept and space does not run out.
 *
 * All that it answers comes at the end of the clock's turn, in the order in which it happened.
 */
export class MemoryEtcd {
  private readonly clock: Clock;
  private readonly keys = new KeyTable();
  private readonly leases: MemoryLeases;
  private readonly feeds = new Set<Feed>();
  private readonly answers: (() => void)[] = [];
  /** As etcd's when it is empty. */
  private revision = 1;

  constructor(clock: Clock) {
    this.clock = clock;
    this.leases = new MemoryLeases(clock, (lease) => this.revoke(lease));
  }

  /** A store of one server. `close` silences its feed; what it owes is answered still. */
  connect(): Store & { close(): void } {
    let feed: Feed | undefined;
    return {
      follow: (wanted) => {
        if (feed !== undefined) throw new Error("a store is followed once");
        feed = wanted;
        this.follow(wanted);
      },
      commit: (operations, done) => this.answer(done, this.commit(operations)),
      grantLease: (ttlSeconds, done) =>
        this.answer(done, { kind: "granted", lease: this.leases.grant(ttlSeconds), ttlSeconds }),
      renewLease: (lease, done) => {
        const ttlSeconds = this.leases.renew(lease);
        this.answer(done, ttlSeconds === undefined ? { kind: "gone" } : { kind: "renewed", ttlSeconds });
      },
      revokeLease: (lease, done) => {
        this.revoke(lease);
        this.answer(done, true);
      },
      readRevision: (done) => this.answer(done, { kind: "revision", revision: this.revision }),
      requestProgress: () => {
        const { revision } = this;
        this.later(() => this.tell(feed, (to) => to.progress(revision)));
      },
      readAll: (done) => this.answer(done, this.snapshot()),
      close: () => {
        if (feed !== undefined) this.feeds.delete(feed);
      },
    };
  }

  get leaseCount(): number {
    return this.leases.count;
  }

  get keyCount(): number {
    return this.keys.all().length;
  }

  private follow(feed: Feed): void {
    this.feeds.add(feed);
    const snapshot = this.snapshot();
    this.later(() => this.tell(feed, (to) => to.snapshot(snapshot)));
  }

  private snapshot(): Snapshot {
    return { revision: this.revision, entries: this.keys.all() };
  }

  private commit(operations: readonly Operation[]): CommitOutcome {
    refuseMalformed(operations);
    const applied = operations.map(({ guards }) => guards.every((guard) => this.holds(guard)));
    const writes = operations.filter((_, i) => applied[i]).flatMap((operation) => operation.writes);
    const leaseIsGone = (write: Write) => write.kind === "put" && write.lease !== 0n && !this.leases.has(write.lease);
    if (writes.some(leaseIsGone)) return { kind: "lease-not-found" };
    this.apply(writes);
    return { kind: "decided", revision: this.revision, applied };
  }

  private holds(guard: Guard): boolean {
    switch (guard.kind) {
      case "absent":
        return this.keys.get(guard.key) === undefined;
      case "modified":
        return this.keys.get(guard.key)?.modRevision === guard.revision;
      case "created":
        return this.keys.get(guard.key)?.createRevision === guard.revision;
      case "quiet":
        return this.keys.startingWith(guard.prefix).every(({ modRevision }) => modRevision <= guard.revision);
      default:
        return guard satisfies never;
    }
  }

  /** Writes in one revision; in none, if nothing changes. */
  private apply(writes: readonly Write[]): void {
    const revision = this.revision + 1;
    const changes: Change[] = [];
    for (const write of writes) {
      const before = this.keys.get(write.key);
      if (before !== undefined) this.leases.detach(before.lease, write.key);
      if (write.kind === "put") {
        const entry = entryOf(write, before?.createRevision ?? revision, revision);
        this.keys.put(entry);
        this.leases.attach(write.lease, write.key);
        changes.push({ kind: "put", entry });
      } else if (before !== undefined) {
        this.keys.delete(write.key);
        changes.push({ kind: "delete", key: write.key });
      }
    }
    if (changes.length === 0) return;
    this.revision = revision;
    const feeds = [...this.feeds];
    this.later(() => {
      for (const feed of feeds) this.tell(feed, (to) => to.changes(revision, changes));
    });
  }

  private revoke(lease: bigint): void {
    const keys = [...this.leases.take(lease)].sort(compareBytewise);
    this.apply(keys.map((key) => ({ kind: "delete", key })));
  }

  private tell(feed: Feed | undefined, what: (feed: Feed) => void): void {
    if (feed !== undefined && this.feeds.has(feed)) what(feed);
  }

  private answer<Outcome>(done: (outcome: Outcome) => void, outcome: NoInfer<Outcome>): void {
    this.later(() => done(outcome));
  }

  private later(answer: () => void): void {
    if (this.answers.push(answer) > 1) return;
    this.clock.endOfTurn(() => {
      for (const next of this.answers.splice(0)) next();
    });
  }
}

function entryOf(write: Write & { kind: "put" }, createRevision: number, modRevision: number): Entry {
  const { key, lease, value } = write;
  return { ...value, key, lease, createRevision, modRevision };
}

/** Throws for what etcd does not take. */
function refuseMalformed(operations: readonly Operation[]): void {
  if (operations.length > 120) throw new RangeError(`${operations.length} operations in one transaction`);
  for (const guard of operations.flatMap(({ guards }) => guards)) {
    const isOfKey = guard.kind === "created" || guard.kind === "modified";
    if (isOfKey && guard.revision < 1)
      throw new RangeError(`a guard that ${guard.key} is of revision ${guard.revision}`);
  }
  const keys = new Set<string>();
  for (const { key } of operations.flatMap(({ writes }) => writes)) {
    if (keys.has(key)) throw new Error(`${key} is written twice in one transaction`);
    keys.add(key);
  }
}
