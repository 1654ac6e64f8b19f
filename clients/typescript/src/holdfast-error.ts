import type { ClaimView } from "./frames.ts";
import type { Reason } from "./reason.ts";

/** What an error may tell beside its reason. */
export interface ErrorDetails {
  /** The lock it is about. */
  readonly lock?: string;
  /** Who holds that lock, oldest grant first, at most 10. */
  readonly holders?: readonly ClaimView[];
  /** How many hold it. */
  readonly holderCount?: number;
  /** For the log. */
  readonly cause?: unknown;
}

/**
 * Whatever goes wrong with Holdfast. `reason` is for programs: `busy`, `timeout`, `unreachable` and so on never
 * mean each other. `message` is for people.
 */
export class HoldfastError extends Error {
  readonly reason: Reason;
  /** The lock it is about; `undefined` if it is not about one. */
  readonly lock: string | undefined;
  /**
   * Who holds the lock that could not be had, oldest grant first, at most 10, as far as a server told. Empty for
   * other reasons, or if only waiters were before the claim.
   */
  readonly holders: readonly ClaimView[];
  /** How many hold it; 0 if nobody told. */
  readonly holderCount: number;

  constructor(reason: Reason, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.reason = reason;
    this.lock = details.lock;
    this.holders = details.holders ?? [];
    this.holderCount = details.holderCount ?? 0;
  }
}

/**
 * A lock is not held any more although nobody here released it: somebody else may hold it now. Stop what it
 * guards. `reason` says how: `session-expired` (the validity deadline passed), `connection-lost`,
 * `released-by-force`, `closed-by-force`, `closed-by-client` (this client was closed) and others.
 */
export class LockLostError extends HoldfastError {}
