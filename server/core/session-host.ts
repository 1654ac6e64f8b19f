import type { Acquire, HolderEnd, PreviousHolder, SessionEvent } from "./frames.ts";
import type { PendingOperation } from "./group-commit.ts";
import type { LockTable, TableDelta } from "./lock-table.ts";
import type { Claim } from "./queue.ts";
import type { Reason } from "./reason.ts";
import type { SessionRecord } from "./records.ts";
import type { Wake } from "./wake.ts";

/** What every server bounds, so that no client can exhaust what others need (P9). */
export interface Limits {
  /** The longest TTL a session may ask for, in milliseconds. */
  readonly maxTtlMs: number;
  /** Live claims of a session; one on n locks counts n times. */
  readonly maxClaimsPerSession: number;
  /** Waiting claims on one lock. */
  readonly maxWaitersPerLock: number;
  /** How often a thread of control may hold one lock at a time. */
  readonly maxReentryDepth: number;
}

/** A session as notes tell of it: shared with what has it, so nothing is copied for a note. */
export interface NotedSession {
  readonly id: string;
  readonly record: SessionRecord;
}

/** A claim as notes tell of it, likewise. */
export interface NotedClaim {
  readonly id: bigint;
  readonly request: Pick<Acquire, "locks" | "reentryId" | "purpose" | "traceparent">;
}

interface ClaimNote {
  readonly session: NotedSession;
  readonly claim: NotedClaim;
}

/** What happened to a claim or a session, for those who measure, log or remember. Never decides anything. */
export type SessionNote =
  | { readonly kind: "session.opened"; readonly session: NotedSession; readonly resumed: boolean }
  | {
      readonly kind: "session.ended";
      readonly session: NotedSession;
      /** Who ended it, likewise. */
      readonly actor: string;
      readonly reason: Reason;
      readonly message: string;
    }
  /** It stands in its queues, behind somebody. */
  | ({ readonly kind: "claim.waiting" } & ClaimNote)
  | ({
      readonly kind: "claim.granted";
      readonly token: bigint;
      readonly mode: string;
      /** From the command to the grant. */
      readonly waitedMs: number;
      /** From the command until its claim stood in the table: the way to etcd and back. */
      readonly enteredMs: number;
      /**
       * From when the last holder in its way ended, as this server saw or decided it, to the grant. `undefined`: it
       * waited for nobody, or this server does not know.
       */
      readonly handOffMs: number | undefined;
      readonly reentered: boolean;
    } & ClaimNote)
  | ({
      readonly kind: "claim.denied";
      readonly reason: Reason;
      readonly message: string;
      readonly waitedMs: number;
    } & ClaimNote)
  /** Its client gave it up. */
  | ({
      readonly kind: "claim.released";
      readonly token: bigint;
      /** `undefined`: it was not held, or granted where nobody here saw it. */
      readonly heldMs: number | undefined;
      /** From the command, if it was given up while it waited; else `undefined`. */
      readonly waitedMs: number | undefined;
    } & ClaimNote)
  /** It was held, and ended without its client asking. */
  | ({
      readonly kind: "claim.lost";
      /** Who ended it, if an administrator whose reason is known. */
      readonly actor: string;
      readonly token: bigint;
      readonly reason: Reason;
      readonly message: string;
      readonly heldMs: number | undefined;
    } & ClaimNote)
  /** Threads of control wait in a circle, and this claim is to be denied for it. */
  | ({ readonly kind: "deadlock.found"; readonly message: string } & ClaimNote);

/** What a session needs done: everything it causes goes through here, and so does its time. */
export interface SessionHost {
  readonly serverId: string;
  readonly table: LockTable;
  readonly limits: Limits;
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Milliseconds since 1970, for people. */
  wallMs(): number;
  after(delayMs: number, then: () => void): Wake;
  submit(operation: PendingOperation): void;
  /** Calls back when the table is as new as etcd was at this call, or with `false` if etcd does not answer. */
  barrier(then: (current: boolean) => void): void;
  /** Calls back when the table has reached a revision; at once if it has. */
  whenTable(revision: number, then: () => void): void;
  /** Acts on what a claim given up through this server has let in. */
  letIn(delta: TableDelta): void;
  /** Remembers how a holder ended, for the next, and when that was seen or decided. */
  holderEnded(claim: Claim, end: HolderEnd, endedAtMs: number): void;
  /** Who held a lock last before the grant with `token`; `undefined`: nobody whom this server saw. */
  previousHolder(lock: string, token: bigint): PreviousHolder | undefined;
  /** Sends over the session's stream, if it has one. */
  send(stream: unknown, event: SessionEvent): void;
  revokeLease(lease: bigint): void;
  /** Looks for a deadlock around a claim that waits now and may be denied. */
  lookForDeadlock(around: Claim): void;
  note(note: SessionNote): void;
}
