import type { ClaimView, LockView } from "./frames.ts";
import type { LockTable } from "./lock-table.ts";
import type { Queue, Seat } from "./queue.ts";

const NO_VALUE = new Uint8Array();

/** A claim as the queue of one of its locks shows it. `value` is left out unless asked for, and while it waits. */
export function viewClaim(seat: Seat, table: LockTable, withValue: boolean): ClaimView {
  const { claim, record } = seat;
  return {
    sessionId: claim.sessionId,
    claimId: claim.id,
    held: claim.held,
    mode: record.mode,
    permits: record.permits,
    token: claim.held ? claim.token : 0n,
    lockCount: claim.lockNames.length,
    reentryId: record.reentryId,
    purpose: record.purpose,
    value: withValue && claim.held ? record.value : NO_VALUE,
    client: table.sessions.get(claim.sessionId)?.record.client,
    claimedAtMs: record.claimedAtMs,
    grantedAtMs: claim.held ? claim.grantedAtMs : undefined,
  };
}

export interface LockViewLimits {
  readonly holders: number;
  readonly waiters: number;
  readonly values: boolean;
}

/** A lock as somebody looking sees it; one that does not exist is `free`. */
export function viewLock(name: string, table: LockTable, limits: LockViewLimits): LockView {
  const queue = table.queues.get(name);
  const first = queue?.first;
  if (queue === undefined || first === undefined) return freeLock(name);
  return {
    name,
    state: queue.waitingCount > 0 ? "contended" : "held",
    mode: first.spec.mode,
    limit: first.spec.limit,
    holderCount: queue.heldCount,
    waiterCount: queue.waitingCount,
    permitsHeld: queue.held.permits,
    holders: viewHolders(queue, table, limits.holders, limits.values),
    waiters: viewSeats(queue.firstWaiting, table, limits.waiters, false),
  };
}

/** The first holders of a lock, oldest grant first. */
export function viewHolders(queue: Queue | undefined, table: LockTable, limit: number, values: boolean): ClaimView[] {
  return queue === undefined ? [] : viewSeats(queue.first, table, Math.min(limit, queue.heldCount), values);
}

function viewSeats(from: Seat | undefined, table: LockTable, limit: number, values: boolean): ClaimView[] {
  const views: ClaimView[] = [];
  for (let seat = from; seat !== undefined && views.length < limit; seat = seat.next)
    views.push(viewClaim(seat, table, values));
  return views;
}

const freeLock = (name: string): LockView => ({
  name,
  state: "free",
  mode: undefined,
  limit: 0,
  holderCount: 0,
  waiterCount: 0,
  permitsHeld: 0,
  holders: [],
  waiters: [],
});
