import type { Change, Snapshot } from "../core/entry.ts";
import type { CommitOutcome, Operation } from "../core/operation.ts";

export type { Change, Snapshot } from "../core/entry.ts";
export type { CommitOutcome, Operation } from "../core/operation.ts";

/**
 * What the decisions need of etcd. Keys are those of `core/keys.ts`, below a prefix that only the adapter
 * knows. Everything answers by callback, exactly once and never from within the call, so that the real
 * engine runs unchanged on a simulated store in virtual time. Nothing here repeats anything: the only
 * retries are those of the engine (DESIGN 4.4).
 *
 * Revisions are etcd's, as numbers: an adapter that meets one above 2^53 - 1 stops.
 */
export interface Store {
  /** Begins to follow everything below the prefix: one snapshot, then the changes. Called once, first. */
  follow(feed: Feed): void;

  /**
   * Applies operations in one transaction: each one's writes if its guards hold. All guards, of all
   * operations, are evaluated before any write. At most 120 operations, no key written twice.
   */
  commit(operations: readonly Operation[], done: (outcome: CommitOutcome) => void): void;

  /** Grants a lease for at least `ttlSeconds`. */
  grantLease(ttlSeconds: number, done: (outcome: LeaseOutcome) => void): void;

  /**
   * Renews a lease, by a request sent after this call. Leases are spread over several streams, and one
   * whose reply does not come in time answers `unavailable` and is moved to another (DESIGN 4.7).
   */
  renewLease(lease: bigint, done: (outcome: RenewOutcome) => void): void;

  /** Revokes a lease, at a bounded rate, in the background. `known`: it is gone now. */
  revokeLease(lease: bigint, done: (known: boolean) => void): void;

  /** Asks for etcd's current revision by a linearizable read. */
  readRevision(done: (outcome: RevisionOutcome) => void): void;

  /** Asks the watch for its progress: `Feed.progress` follows, unless etcd drops the request. */
  requestProgress(): void;

  /**
   * Reads everything at one revision, linearizable, for comparison with a table (DESIGN 4.11). `undefined`:
   * could not be read.
   */
  readAll(done: (snapshot: Snapshot | undefined) => void): void;
}

/** Where the watch delivers: whole revisions, in order, without gaps. */
export interface Feed {
  /** Everything there is at a revision: first of all, and again after each gap (compaction, DESIGN 4.11). */
  snapshot(snapshot: Snapshot): void;
  /** All changes of one revision, which is larger than every one before. */
  changes(revision: number, changes: readonly Change[]): void;
  /** Everything up to `revision` has been delivered. */
  progress(revision: number): void;
}

export type LeaseOutcome =
  | { readonly kind: "granted"; readonly lease: bigint; readonly ttlSeconds: number }
  | { readonly kind: "no-space" }
  | { readonly kind: "unavailable" };

export type RenewOutcome =
  | { readonly kind: "renewed"; readonly ttlSeconds: number }
  | { readonly kind: "gone" }
  | { readonly kind: "unavailable" };

export type RevisionOutcome =
  | { readonly kind: "revision"; readonly revision: number }
  | { readonly kind: "unavailable" };
