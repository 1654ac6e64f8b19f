import type { Reason } from "./reason.ts";

/**
 * What a session's client sends and is sent: `SessionCommand` and `SessionEvent` without their encoding. The
 * shapes are those of the server's own core, so that the two can be run against each other without a wire.
 */

/** How a claim shares a lock. */
export type Mode = "exclusive" | "shared" | "semaphore";

/** What a broken stream does to the claims of its session. */
export type OnDisconnect = "release" | "keep";

/** What proves that a session's client lives. */
export type Liveness = "heartbeat" | "transport";

/** What a client says it is: for people, nothing is decided by it. Empty or 0: it does not say. */
export interface ClientInfo {
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly language: string;
  readonly version: string;
}

/** One lock of a claim, and how to take it. */
export interface LockSpec {
  readonly name: string;
  readonly mode: Mode;
  /** How many permits of a semaphore to take: at least 1; 0 for every other mode. */
  readonly permits: number;
  /** How many permits the semaphore has: at least 1; 0 for every other mode. */
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

/** What a claim asks for, whichever session asks. */
export interface ClaimRequest {
  /** 1 to 16, each name once. */
  readonly locks: readonly LockSpec[];
  /** `undefined`: for ever; 0: try. */
  readonly waitMs: number | undefined;
  /** The thread of control within the session; empty: none. */
  readonly reentryId: string;
  readonly purpose: string;
  readonly value: Uint8Array;
  /** Its place in a trace. Absent: it has none. */
  readonly traceparent?: string | undefined;
}

export interface Acquire extends ClaimRequest {
  readonly kind: "acquire";
  readonly claimId: bigint;
}

export type Command =
  | Open
  | Resume
  | Acquire
  | { readonly kind: "heartbeat"; readonly seq: bigint }
  | { readonly kind: "release"; readonly claimId: bigint }
  | { readonly kind: "update"; readonly claimId: bigint; readonly value: Uint8Array }
  | { readonly kind: "close" };

/** A claim as one lock's queue shows it to everybody. */
export interface ClaimView {
  readonly sessionId: string;
  readonly claimId: bigint;
  /** Whether it is held; if not, it waits. */
  readonly held: boolean;
  readonly mode: Mode;
  /** How many permits of the lock it takes, if that is a semaphore, else 0. */
  readonly permits: number;
  /** The fencing token of its grant; 0n while it waits. */
  readonly token: bigint;
  /** How many locks the claim is on: all or nothing. */
  readonly lockCount: number;
  readonly reentryId: string;
  readonly purpose: string;
  /** What the holder announces; empty: nothing, or left out. */
  readonly value: Uint8Array;
  /** `undefined`: it did not say. */
  readonly client: ClientInfo | undefined;
  /** When it entered the queue, in milliseconds since 1970 by a server's clock. For people: the list is the order. */
  readonly claimedAtMs: number;
  /** When it was granted, likewise. `undefined`: it waits, or the server that answers was not there to see. */
  readonly grantedAtMs: number | undefined;
}

export interface GrantedLock {
  readonly name: string;
  /** Larger than the token of every earlier grant of the lock; tokens of different locks do not compare. */
  readonly token: bigint;
  /**
   * Who held the lock before, as far as the server saw that end; `undefined` if it saw none. It tells whether to
   * expect half-done work, and decides nothing.
   */
  readonly previous?: PreviousHolder | undefined;
}

export interface PreviousHolder {
  /** The fencing token of its grant. */
  readonly token: bigint;
  readonly end: HolderEnd;
}

/**
 * How a holder ended: `released` by its client; `expired` with its TTL, so that it may still be acting; `closed`
 * with its session otherwise; `forced` by an administrator; `unknown` to the server that says so.
 */
export type HolderEnd = "unknown" | "released" | "expired" | "closed" | "forced";

/** A live claim, as its own session is told of it after a resume. */
export interface SessionClaim {
  readonly claimId: bigint;
  readonly held: boolean;
  readonly locks: readonly GrantedLock[];
}

export interface Opened {
  readonly kind: "opened";
  readonly sessionId: string;
  /** Empty: it cannot be resumed. */
  readonly secret: string;
  readonly ttlMs: number;
  readonly validForMs: number;
  /** `undefined`: none is wanted. */
  readonly heartbeatIntervalMs: number | undefined;
  readonly claims: readonly SessionClaim[];
  /** Where else the service can be reached, as "host:port" each. */
  readonly servers: readonly string[];
}

export interface Waiting {
  readonly kind: "waiting";
  readonly claimId: bigint;
  readonly lock: string;
  readonly position: number;
  readonly holders: readonly ClaimView[];
  readonly holderCount: number;
}

export interface Denied {
  readonly kind: "denied";
  readonly claimId: bigint;
  readonly reason: Reason;
  readonly message: string;
  readonly lock: string;
  readonly holders: readonly ClaimView[];
  readonly holderCount: number;
}

export interface Lost {
  readonly kind: "lost";
  readonly claimId: bigint;
  readonly reason: Reason;
  readonly message: string;
}

export interface Granted {
  readonly kind: "granted";
  readonly claimId: bigint;
  readonly locks: readonly GrantedLock[];
}

export interface Updated {
  readonly kind: "updated";
  readonly claimId: bigint;
  /** `undefined`: the value was replaced. */
  readonly reason: Reason | undefined;
  readonly message: string;
}

export type SessionEvent =
  | Opened
  | { readonly kind: "heartbeat-ack"; readonly seq: bigint; readonly validForMs: number }
  | Waiting
  | Granted
  | Denied
  | { readonly kind: "released"; readonly claimId: bigint }
  | Updated
  | Lost
  | { readonly kind: "draining"; readonly leaveWithinMs: number; readonly servers: readonly string[] }
  | { readonly kind: "servers"; readonly servers: readonly string[] }
  | { readonly kind: "closed"; readonly reason: Reason; readonly message: string };
