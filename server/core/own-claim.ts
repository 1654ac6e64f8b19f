import type { Acquire } from "./frames.ts";
import type { Claim } from "./queue.ts";
import type { Reason } from "./reason.ts";
import type { Wake } from "./wake.ts";

/** Why a claim is on its way out. Once it is, it is never granted any more. */
export type Leaving =
  /** For ever: any server may repeat the delete until it is known. */
  | { readonly by: "client" }
  /** Denied, after all: only the server with the session's epoch may do that. */
  | { readonly by: "server"; readonly reason: Reason; readonly message: string; readonly lock: string };

/** What is being done for a claim that the table has not shown yet. */
export type Progress =
  /** Nothing, but that something else must happen first. */
  | "resting"
  /** A barrier is under way, before it is refused. */
  | "checking"
  /** An operation that writes it is waiting to be sent. */
  | "queued"
  /** It has been sent: until its outcome is known, the claim may exist. */
  | "sent";

// Shared by all claims that have none: there may be a million of them.
const NO_VALUE: Uint8Array = new Uint8Array();
const NOBODY: readonly OwnClaim[] = [];
const NO_RIDERS: ReadonlySet<OwnClaim> = new Set();

/** A claim as the server that has its session knows it. */
export class OwnClaim {
  readonly id: bigint;
  readonly request: Acquire;
  /** Whether its acquire came over this very stream: only then may this server deny it (DESIGN 4.4). */
  asked: boolean;
  progress: Progress = "resting";
  /** That of the last acquire for it: `undefined` is for ever, 0 is a try. */
  waitMs: number | undefined;
  /** The claim in the table, from when it was first seen there. */
  seen: Claim | undefined;
  leaving: Leaving | undefined;
  /** Whether a delete decided by this server waits to be sent or is under way. */
  deleting = false;
  /** Whether the client was told that it is held. */
  granted = false;
  /** Whether a refusal was checked behind a barrier, with this same result. */
  checked = false;
  /** A try that enters the queue like any other claim: held in its first revision, or denied. */
  mustHold = false;
  /** How many attempts at writing it were refused. */
  refusals = 0;
  /** What denies it when its time to wait is up. */
  private limit: Wake | undefined;
  /** What the client was last told of its position, and when. */
  toldPosition = 0;
  toldPositionAtMs = 0;
  /** When it was asked for, for the time it took to be granted. */
  readonly askedAtMs: number;
  /** When it was seen in the table; when it was asked for, until then. */
  enteredAtMs: number;
  /** Whether it stood behind somebody. */
  waited = false;
  /** When it was granted, as this server saw it. Monotonic milliseconds. */
  grantedAtMs: number | undefined;
  /** The updates that are not answered yet, by the claim ids that they named, in order. */
  readonly updates: bigint[] = [];
  /** The value of the last of them: when it is written, all are. */
  newValue = NO_VALUE;
  updating = false;
  /** Claims of this session that wait for what becomes of this one: tries for its end, others of its thread for its grant. */
  followers: readonly OwnClaim[] = NOBODY;
  /** Claims that re-entered this one: they have no key of their own and live with it. */
  riders: ReadonlySet<OwnClaim> = NO_RIDERS;
  /** The claim that this one re-entered. */
  base: OwnClaim | undefined;
  /** Released by its own id, while others still ride on it. */
  left = false;
  /** The claim id that the end of this claim answers: that of the last release. */
  answersTo: bigint;

  constructor(request: Acquire, asked: boolean, nowMs: number) {
    this.id = request.claimId;
    this.request = request;
    this.asked = asked;
    this.waitMs = request.waitMs;
    this.askedAtMs = nowMs;
    this.enteredAtMs = nowMs;
    this.answersTo = request.claimId;
  }

  /** From now on this ends its waiting, and no earlier limit; `undefined`: nothing does. */
  limitWait(limit: Wake | undefined): void {
    this.limit?.cancel();
    this.limit = limit;
  }

  /** The client knows that it is held: it is not denied any more. */
  toldGranted(): void {
    this.granted = true;
    this.limitWait(undefined);
  }

  get isTry(): boolean {
    return this.waitMs === 0 && !this.mustHold;
  }

  get lockNames(): string {
    return this.request.locks.map((lock) => `"${lock.name}"`).join(", ");
  }
}

/** Whether an acquire that came again is the same, but for its wait. A claim taken over from etcd has no such value. */
export function sameAcquire(a: Acquire, b: Acquire, compareValue: boolean): boolean {
  if (a.reentryId !== b.reentryId || a.purpose !== b.purpose || a.locks.length !== b.locks.length) return false;
  for (let i = 0; i < a.locks.length; i++) {
    const x = a.locks[i];
    const y = b.locks[i];
    if (x?.name !== y?.name || x?.mode !== y?.mode || x?.permits !== y?.permits || x?.limit !== y?.limit) return false;
  }
  return !compareValue || sameBytes(a.value, b.value);
}

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);
