import type { Change, Entry, Snapshot } from "../../server/core/entry.ts";
import type { CommitOutcome, Guard, Operation, Write } from "../../server/core/operation.ts";
import type { World } from "./world.ts";

interface Lease {
  readonly ttlMs: number;
  expiresAtMs: number;
  renewedAtMs: number;
}

/** One revision of the log, as a watch delivers it. */
export interface Revision {
  readonly revision: number;
  readonly changes: readonly Change[];
  /** Keys of claims that were written on condition of being held at once. */
  readonly tried: readonly string[];
}

/** How often etcd looks for leases that have expired; so expiry is up to that late. */
const TICK_MS = 500;
/** One and a half elections, in whole seconds. */
const SHORTEST_TTL_S = 2;
/** What a new leader adds to the full TTL that it gives every lease. */
const ELECTION_MS = 1000;

/**
 * The etcd cluster of a walk: keys with revisions, leases, transactions whose guards are all evaluated before any
 * write, leader changes and quota, with the quirks that were measured. What passes between it and a server is the
 * business of `EtcdConnection`.
 */
export class SimulatedEtcd {
  readonly world: World;
  revision = 1;
  readonly entries = new Map<string, Entry>();
  readonly leases = new Map<bigint, Lease>();
  readonly log: Revision[] = [];
  /** Until when a transaction with a put is refused. */
  fullUntilMs = 0;
  /** Until when there is no leader: nothing is decided, though what was sent may be applied later. */
  leaderlessUntilMs = 0;
  leaderChanges = 0;
  /** Told of each revision, with the writes applied. */
  onRevision: (revision: Revision) => void = () => undefined;
  private readonly watchers = new Set<() => void>();
  private leaseIds = 1n;

  constructor(world: World) {
    this.world = world;
    this.tick();
  }

  get hasLeader(): boolean {
    return this.world.nowMs >= this.leaderlessUntilMs;
  }

  /** Calls back, soon, whenever there is a new revision. Returns how to stop that. */
  subscribe(changed: () => void): () => void {
    this.watchers.add(changed);
    return () => this.watchers.delete(changed);
  }

  snapshot(): Snapshot {
    return { revision: this.revision, entries: [...this.entries.values()] };
  }

  /** Others use the same etcd: revisions pass that nobody here ever sees. */
  passForeignRevision(): void {
    this.revision++;
  }

  /** Nobody leads for a while; then every lease gets its full TTL again. */
  changeLeader(gapMs: number): void {
    this.leaderlessUntilMs = this.world.nowMs + gapMs;
    this.leaderChanges++;
    if (this.leases.size > 0) this.world.count("etcd: a new leader gives leases their TTL again");
    for (const lease of this.leases.values())
      lease.expiresAtMs = Math.max(lease.expiresAtMs, this.leaderlessUntilMs + lease.ttlMs + ELECTION_MS);
  }

  apply(operations: readonly Operation[]): CommitOutcome {
    this.checkForm(operations);
    const writes = operations.flatMap((operation) => operation.writes);
    if (this.world.nowMs < this.fullUntilMs && writes.some((write) => write.kind === "put"))
      return { kind: this.isProvenRefused(operations) ? "no-space" : "unknown" };
    const applied = operations.map((operation) => operation.guards.every((guard) => this.holds(guard)));
    const chosen = operations.filter((_, i) => applied[i]).flatMap((operation) => operation.writes);
    if (chosen.some((write) => write.kind === "put" && write.lease !== 0n && !this.leases.has(write.lease)))
      return { kind: "lease-not-found" };
    this.write(operations, applied);
    return { kind: "decided", revision: this.revision, applied };
  }

  /**
   * What a full etcd answers to a transaction with a put is no proof that it did nothing: only guards are that still
   * hold, and that the transaction's own writes would have broken. The adapter asks for them.
   */
  private isProvenRefused(operations: readonly Operation[]): boolean {
    return operations.some(({ guards, writes }) => {
      const breaksOwn = writes.some((write) => guards.some((guard) => breaks(write, guard)));
      return breaksOwn && guards.every((guard) => this.holds(guard));
    });
  }

  private write(operations: readonly Operation[], applied: readonly boolean[]): void {
    const revision = this.revision + 1;
    const changes: Change[] = [];
    operations.forEach((operation, i) => {
      // Guards see nothing of their own transaction, so what one operation writes may not matter to another's.
      if (i > 0 && operation.guards.every((guard) => this.holds(guard)) !== applied[i])
        this.world.violation(
          "NOT-SERIAL",
          `operation ${i} was decided without what went before: ${describe(operation)}`,
        );
      if (applied[i]) for (const write of operation.writes) this.writeOne(write, revision, changes);
    });
    const tries = operations.filter((op, i) => applied[i] && op.guards.some((guard) => guard.kind === "quiet"));
    const tried = tries.flatMap((operation) => operation.writes.map((write) => write.key));
    this.finish(revision, changes, tried);
  }

  private writeOne(write: Write, revision: number, changes: Change[]): void {
    const before = this.entries.get(write.key);
    if (write.kind === "delete") {
      if (before === undefined) return;
      this.entries.delete(write.key);
      changes.push({ kind: "delete", key: write.key });
      return;
    }
    const entry = {
      ...write.value,
      key: write.key,
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      lease: write.lease,
    } as Entry;
    this.entries.set(write.key, entry);
    changes.push({ kind: "put", entry });
  }

  private finish(revision: number, changes: readonly Change[], tried: readonly string[]): void {
    if (changes.length === 0) return;
    this.revision = revision;
    const done = { revision, changes, tried };
    this.log.push(done);
    this.world.note(`etcd ${revision} ${changes.map(describeChange).join(" ")}`);
    this.onRevision(done);
    for (const changed of this.watchers) changed();
  }

  private holds(guard: Guard): boolean {
    switch (guard.kind) {
      case "absent":
        return !this.entries.has(guard.key);
      case "modified":
        return this.entries.get(guard.key)?.modRevision === guard.revision;
      case "created":
        return this.entries.get(guard.key)?.createRevision === guard.revision;
      case "quiet":
        for (const [key, entry] of this.entries)
          if (key.startsWith(guard.prefix) && entry.modRevision > guard.revision) return false;
        return true;
      default:
        return guard satisfies never;
    }
  }

  private checkForm(operations: readonly Operation[]): void {
    const keys = operations.flatMap((operation) => operation.writes.map((write) => write.key));
    if (keys.length > 120) this.world.violation("TOO-LARGE", `a transaction of ${keys.length} writes`);
    for (const operation of operations) {
      const isGuarded = operation.guards.some(({ kind }) => kind === "created" || kind === "absent");
      if (!isGuarded && operation.writes.some(({ kind, key }) => kind === "delete" && key.startsWith("claim/")))
        // What honest clients do cannot show the harm, since they use no claim id twice.
        this.world.violation("UNGUARDED", `a claim is deleted whenever it was created: ${describe(operation)}`);
    }
    if (new Set(keys).size < keys.length) this.world.violation("KEY-TWICE", keys.join(" "));
  }

  /** Grants a lease, for longer than was asked if that is less than two elections take. */
  grantLease(ttlSeconds: number): bigint {
    const ttlMs = Math.max(ttlSeconds, SHORTEST_TTL_S) * 1000;
    const id = this.leaseIds++;
    this.leases.set(id, { ttlMs, expiresAtMs: this.world.nowMs + ttlMs, renewedAtMs: this.world.nowMs });
    return id;
  }

  /** What a renewal that arrives now gets; `blocked`: the lease has expired, and is not revoked yet. */
  renewLease(id: bigint): "renewed" | "gone" | "blocked" {
    const lease = this.leases.get(id);
    if (lease === undefined) return "gone";
    if (this.world.nowMs > lease.expiresAtMs) return "blocked";
    lease.expiresAtMs = this.world.nowMs + lease.ttlMs;
    lease.renewedAtMs = this.world.nowMs;
    return "renewed";
  }

  ttlSecondsOf(id: bigint): number {
    return (this.leases.get(id)?.ttlMs ?? 0) / 1000;
  }

  /** Deletes a lease and all that is bound to it, in one revision. */
  revokeLease(id: bigint): void {
    if (!this.leases.delete(id)) return;
    const revision = this.revision + 1;
    const changes: Change[] = [];
    // In the order of keys, whenever they were bound to it.
    for (const { key, lease } of [...this.entries.values()].sort((a, b) => (a.key < b.key ? -1 : 1)))
      if (lease === id) this.writeOne({ kind: "delete", key }, revision, changes);
    this.finish(revision, changes, []);
  }

  private tick(): void {
    if (this.hasLeader)
      for (const [id, lease] of [...this.leases])
        if (this.world.nowMs > lease.expiresAtMs) {
          this.world.count("etcd: lease expired");
          if (this.world.nowMs > lease.expiresAtMs + TICK_MS / 10)
            this.world.count("etcd: a tick comes late for a lease");
          this.revokeLease(id);
        }
    this.world.after(TICK_MS, () => this.tick());
  }
}

function breaks(write: Write, guard: Guard): boolean {
  if (guard.kind === "quiet" || guard.key !== write.key) return false;
  return write.kind === "put" ? guard.kind !== "created" : guard.kind !== "absent";
}

const describe = (operation: Operation): string => operation.writes.map((write) => write.key).join(" ");

function describeChange(change: Change): string {
  if (change.kind === "delete") return `-${change.key}`;
  const { entry } = change;
  const about = entry.kind === "claim" ? `=${entry.record.value.join(".")}` : "";
  return `+${entry.key}@${entry.createRevision}${about}`;
}
