import type { CommitOutcome, Operation, Settled } from "./operation.ts";

/** Something to be written, before it is known in which transaction. */
export interface PendingOperation {
  /**
   * How it may travel:
   * `open` starts a session, and its lease may be gone, which would fail the whole transaction;
   * `life` writes or deletes the key of a session that is there;
   * `claim` writes a claim; `try` writes one only if its locks are quiet;
   * `delete` deletes keys and writes none.
   */
  readonly kind: "open" | "life" | "end" | "claim" | "try" | "delete";
  /** Empty: none in particular. */
  readonly sessionId: string;
  /** The keys it writes or deletes. */
  readonly keys: readonly string[];
  readonly locks: readonly string[];
  /** What must stay in order: operations that share one are applied in the order in which they were added. */
  readonly lanes: readonly string[];
  /** Roughly how many bytes it adds to a transaction. */
  readonly bytes: number;
  /** Guards and writes, as things stand when it is sent; `undefined`: it is not wanted any more, and has said so. */
  build(ordinal: number): Operation | undefined;
  /** Told exactly once if it was built. */
  settled(outcome: Settled): void;
}

/** A transaction's worth. */
export interface Batch {
  readonly pending: readonly PendingOperation[];
  readonly operations: readonly Operation[];
}

/** What etcd takes in a transaction, with room to spare: 128 operations and 1.5 MiB by default. */
const MAX_WRITES = 120;
const MAX_BYTES = 1024 * 1024;

/**
 * Chooses what goes to etcd together (DESIGN 4.5). All guards of a transaction are evaluated before any of its
 * writes, so what must see another's effect may not share one with it; and two transactions in flight have no
 * order, so what must keep its order may not be in flight twice.
 */
export class GroupCommit {
  /** Whether etcd is over its quota: then deletes travel by themselves and nothing else is sent with them. */
  full = false;
  private waiting: PendingOperation[] = [];
  /** What must be sent by itself, because a transaction with company failed as a whole. */
  private readonly alone = new Set<PendingOperation>();
  private readonly busyKeys = new Set<string>();
  private readonly busyLanes = new Map<string, number>();

  get size(): number {
    return this.waiting.length;
  }

  add(operation: PendingOperation): void {
    this.waiting.push(operation);
  }

  /** The next transaction; `undefined`: nothing can be sent before one in flight is settled, or at all. */
  take(): Batch | undefined {
    const draft = new Draft();
    const rest: PendingOperation[] = [];
    let at = 0;
    for (; at < this.waiting.length && !draft.isClosed; at++) {
      const operation = this.waiting[at];
      if (operation === undefined) break;
      if (this.travels(operation, draft)) {
        // What is not wanted any more is not settled either: nothing may be remembered of it.
        if (!draft.add(operation, this.full, this.alone.has(operation))) this.alone.delete(operation);
      } else {
        draft.defer(operation);
        rest.push(operation);
      }
    }
    this.waiting = rest.length === 0 ? this.waiting.slice(at) : rest.concat(this.waiting.slice(at));
    if (draft.pending.length === 0) return undefined;
    for (const operation of draft.pending) this.occupy(operation);
    return { pending: draft.pending, operations: draft.operations };
  }

  /** Tells each operation of a batch what became of it, and lets those behind it go. */
  settle(batch: Batch, outcome: CommitOutcome): void {
    for (const operation of batch.pending) this.vacate(operation);
    if (outcome.kind === "lease-not-found" && batch.pending.length > 1) {
      // One lease that is gone fails all, and nothing was written: each is sent again by itself.
      for (const operation of batch.pending) this.alone.add(operation);
      this.waiting = [...batch.pending, ...this.waiting];
      return;
    }
    batch.pending.forEach((operation, i) => {
      this.alone.delete(operation);
      if (outcome.kind !== "decided") operation.settled(outcome);
      else operation.settled({ kind: outcome.applied[i] ? "applied" : "refused", revision: outcome.revision });
    });
  }

  private travels(operation: PendingOperation, draft: Draft): boolean {
    if (this.alone.has(operation)) return draft.pending.length === 0 && !this.isBusy(operation);
    return !this.isBusy(operation) && draft.accepts(operation, this.full);
  }

  private isBusy(operation: PendingOperation): boolean {
    for (const key of operation.keys) if (this.busyKeys.has(key)) return true;
    for (const lane of operation.lanes) if (this.busyLanes.has(lane)) return true;
    return false;
  }

  private occupy(operation: PendingOperation): void {
    for (const key of operation.keys) this.busyKeys.add(key);
    for (const lane of operation.lanes) this.busyLanes.set(lane, (this.busyLanes.get(lane) ?? 0) + 1);
  }

  private vacate(operation: PendingOperation): void {
    for (const key of operation.keys) this.busyKeys.delete(key);
    for (const lane of operation.lanes) {
      const count = this.busyLanes.get(lane) ?? 1;
      if (count === 1) this.busyLanes.delete(lane);
      else this.busyLanes.set(lane, count - 1);
    }
  }
}

/** A transaction being put together. */
class Draft {
  readonly pending: PendingOperation[] = [];
  readonly operations: Operation[] = [];
  isClosed = false;
  private writes = 0;
  private bytes = 0;
  private heaviest = 0;
  private company: "opens" | "deletes" | "puts" | undefined;
  private readonly keys = new Set<string>();
  private readonly sessions = new Set<string>();
  private readonly livesOf = new Set<string>();
  private readonly locks = new Set<string>();
  private readonly triedLocks = new Set<string>();
  private readonly deferredLanes = new Set<string>();

  accepts(operation: PendingOperation, full: boolean): boolean {
    const { kind, sessionId, keys, locks, lanes } = operation;
    if (this.company !== undefined && companyOf(operation, full) !== this.company) return false;
    for (const lane of lanes) if (this.deferredLanes.has(lane)) return false;
    for (const key of keys) if (this.keys.has(key)) return false;
    const life = kind === "life" || kind === "end" || kind === "open";
    if (sessionId !== "" && (this.livesOf.has(sessionId) || (life && this.sessions.has(sessionId)))) return false;
    for (const lock of locks) {
      if (this.triedLocks.has(lock)) return false;
      if (kind === "try" && this.locks.has(lock)) return false;
    }
    // When it is sent nested, etcd lets a part have only what the number of parts leaves of 128.
    const parts = this.pending.length + 1 + Math.max(this.heaviest, weightOf(operation));
    return this.writes + keys.length <= MAX_WRITES && parts <= 128 && this.bytes + operation.bytes <= MAX_BYTES;
  }

  /** Returns whether it is wanted still. */
  add(operation: PendingOperation, full: boolean, alone: boolean): boolean {
    const built = operation.build(this.pending.length);
    if (built === undefined) return false;
    const { kind, sessionId, keys, locks } = operation;
    this.pending.push(operation);
    this.operations.push(built);
    this.company ??= companyOf(operation, full);
    this.writes += keys.length;
    this.heaviest = Math.max(this.heaviest, weightOf(operation));
    this.bytes += operation.bytes;
    for (const key of keys) this.keys.add(key);
    if (sessionId !== "")
      (kind === "claim" || kind === "try" || kind === "delete" ? this.sessions : this.livesOf).add(sessionId);
    for (const lock of locks) (kind === "try" ? this.triedLocks : this.locks).add(lock);
    this.isClosed = alone || this.writes >= MAX_WRITES;
    return true;
  }

  defer(operation: PendingOperation): void {
    for (const lane of operation.lanes) this.deferredLanes.add(lane);
  }
}

/** What may travel together: opens; and, while etcd is over its quota, what only deletes. */
function companyOf(operation: PendingOperation, full: boolean): "opens" | "deletes" | "puts" {
  if (operation.kind === "open") return "opens";
  return full && (operation.kind === "delete" || operation.kind === "end") ? "deletes" : "puts";
}

/** At least as many as its guards, and as its writes. */
const weightOf = (operation: PendingOperation): number =>
  operation.keys.length * (operation.kind === "delete" ? 1 : 2) + 2;
