import type { ClaimView, LockView } from "../../core/frames.ts";
import type { Mode } from "../../core/records.ts";
import { type Claim, ClaimState, type Lock, LockState, Mode as WireMode } from "../../gen/holdfast/v1/lock_service.ts";

export const NO_BYTES = Buffer.alloc(0);
/** The last moment that a `Date` can name. */
const MAX_DATE_MS = 8.64e15;

/** A lock as those who look are shown it. */
export function toLock(view: LockView): Lock {
  const { name, limit, holderCount, waiterCount, permitsHeld } = view;
  return {
    name,
    state: lockStates[view.state],
    mode: view.mode === undefined ? WireMode.UNSPECIFIED : modes[view.mode],
    limit,
    holderCount,
    waiterCount,
    permitsHeld,
    holders: view.holders.map(toClaim),
    waiters: view.waiters.map(toClaim),
  };
}

/** A claim as those who look, or wait behind it, are shown it. */
export function toClaim(view: ClaimView): Claim {
  const { sessionId, claimId, permits, lockCount, reentryId, purpose, client } = view;
  return {
    sessionId,
    claimId,
    state: view.held ? ClaimState.HELD : ClaimState.WAITING,
    mode: modes[view.mode],
    permits,
    fencingToken: view.token,
    lockCount,
    reentryId,
    purpose,
    value: asBuffer(view.value),
    client,
    claimedAt: toDate(view.claimedAtMs),
    grantedAt: toDate(view.grantedAtMs),
  };
}

const modes = {
  exclusive: WireMode.EXCLUSIVE,
  shared: WireMode.SHARED,
  semaphore: WireMode.SEMAPHORE,
} as const satisfies Record<Mode, WireMode>;

const lockStates = {
  free: LockState.UNSPECIFIED,
  held: LockState.HELD,
  contended: LockState.CONTENDED,
} as const satisfies Record<LockView["state"], LockState>;

const asBuffer = (bytes: Uint8Array): Buffer =>
  bytes.length === 0 ? NO_BYTES : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A server wrote it by its own clock, which may be anything; nothing is decided by it. */
export function toDate(ms: number | undefined): Date | undefined {
  return ms !== undefined && ms >= 0 && ms <= MAX_DATE_MS ? new Date(ms) : undefined;
}
