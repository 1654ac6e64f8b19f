import type { Reason } from "./reason.ts";
import type { ClientInfo, Liveness, Mode, OnDisconnect } from "./records.ts";

/** What a session's client sends and is sent: `SessionCommand` and `SessionEvent` without their encoding. */

export interface LockSpec {
  readonly name: string;
  readonly mode: Mode;
  /** At least 1 for a semaphore, else 0. */
  readonly permits: number;
  /** At least 1 for a semaphore, else 0. */
  readonly limit: number;
}

export interface Open {
  readonly kind: "open";
  readonly ttlMs: number;
  readonly onDisconnect: OnDisconnect;
  readonly liveness: Liveness;
  readonly client: ClientInfo | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Resume {
  readonly kind: "resume";
  readonly sessionId: string;
  readonly secret: string;
  readonly attempt: bigint;
}

export interface Acquire {
  readonly kind: "acquire";
  readonly claimId: bigint;
  readonly locks: readonly LockSpec[];
  /** `undefined`: for ever; 0: try. */
  readonly waitMs: number | undefined;
  readonly reentryId: string;
  readonly purpose: string;
  readonly value: Uint8Array;
  /** The caller's place in a trace, as W3C Trace Context writes it; well-formed. Absent: it has none. */
  readonly traceparent?: string | undefined;
}

/** A command that has been validated at the edge: sizes, names and ranges are right. */
export type Command =
  | Open
  | Resume
  | Acquire
  | { readonly kind: "heartbeat"; readonly seq: bigint }
  | { readonly kind: "release"; readonly claimId: bigint }
  | { readonly kind: "update"; readonly claimId: bigint; readonly value: Uint8Array }
  | { readonly kind: "close" }
  /** Came well-formed, but may not be done: the acquire is denied, with nothing written. */
  | {
      readonly kind: "refused";
      readonly claimId: bigint;
      readonly reason: Reason;
      readonly message: string;
      readonly lock: string;
    };

/** A claim as one lock's queue shows it. */
export interface ClaimView {
  readonly sessionId: string;
  readonly claimId: bigint;
  readonly held: boolean;
  readonly mode: Mode;
  readonly permits: number;
  /** 0n while it waits. */
  readonly token: bigint;
  readonly lockCount: number;
  readonly reentryId: string;
  readonly purpose: string;
  readonly value: Uint8Array;
  readonly client: ClientInfo | undefined;
  readonly claimedAtMs: number;
  /** `undefined`: it waits, or this server was not there to see. */
  readonly grantedAtMs: number | undefined;
}

export interface LockView {
  readonly name: string;
  readonly state: "free" | "held" | "contended";
  /** `undefined`: nobody holds it or waits for it. */
  readonly mode: Mode | undefined;
  readonly limit: number;
  readonly holderCount: number;
  readonly waiterCount: number;
  readonly permitsHeld: number;
  readonly holders: readonly ClaimView[];
  readonly waiters: readonly ClaimView[];
}

export interface GrantedLock {
  readonly name: string;
  readonly token: bigint;
  /** Who held it before, as far as this server saw it. For people and clean-up: nothing is decided by it. */
  readonly previous?: PreviousHolder | undefined;
}

export interface PreviousHolder {
  readonly token: bigint;
  readonly end: HolderEnd;
  /** When this server saw that it ends, or decided it. Monotonic milliseconds. */
  readonly endedAtMs: number;
}

/** How a holder ended: `closed` by the end of its session other than by its TTL. */
export type HolderEnd = "unknown" | "released" | "expired" | "closed" | "forced";

export interface SessionClaim {
  readonly claimId: bigint;
  readonly held: boolean;
  readonly locks: readonly GrantedLock[];
}

export type SessionEvent =
  | {
      readonly kind: "opened";
      readonly sessionId: string;
      /** Empty: it cannot be resumed. */
      readonly secret: string;
      readonly ttlMs: number;
      readonly validForMs: number;
      /** `undefined`: none is wanted. */
      readonly heartbeatIntervalMs: number | undefined;
      readonly claims: readonly SessionClaim[];
      /** Where else the service can be reached, as "host:port". */
      readonly servers: readonly string[];
    }
  | { readonly kind: "heartbeat-ack"; readonly seq: bigint; readonly validForMs: number }
  | {
      readonly kind: "waiting";
      readonly claimId: bigint;
      readonly lock: string;
      readonly position: number;
      readonly holders: readonly ClaimView[];
      readonly holderCount: number;
    }
  | { readonly kind: "granted"; readonly claimId: bigint; readonly locks: readonly GrantedLock[] }
  | {
      readonly kind: "denied";
      readonly claimId: bigint;
      readonly reason: Reason;
      readonly message: string;
      readonly lock: string;
      readonly holders: readonly ClaimView[];
      readonly holderCount: number;
    }
  | { readonly kind: "released"; readonly claimId: bigint }
  | {
      readonly kind: "updated";
      readonly claimId: bigint;
      readonly reason: Reason | undefined;
      readonly message: string;
    }
  | { readonly kind: "lost"; readonly claimId: bigint; readonly reason: Reason; readonly message: string }
  | { readonly kind: "draining"; readonly leaveWithinMs: number; readonly servers: readonly string[] }
  /** Where else the service can be reached now, like `servers` of `opened`. */
  | { readonly kind: "servers"; readonly servers: readonly string[] }
  | { readonly kind: "closed"; readonly reason: Reason; readonly message: string };
