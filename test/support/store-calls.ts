import type { CommitOutcome, Guard, Operation, StoredValue, Write } from "../../server/core/operation.ts";
import type { ClaimRecord, ServerRecord, SessionRecord } from "../../server/core/records.ts";
import type { LeaseOutcome, RenewOutcome, RevisionOutcome, Snapshot, Store } from "../../server/ports/store.ts";

/** Limits for a store to which nothing happens but a busy machine. */
export const patient = { commitTimeoutMs: 20_000, readTimeoutMs: 20_000, renewTimeoutMs: 20_000 };

/** The calls of a store as promises. */
export const commit = (store: Store, ...operations: readonly Operation[]): Promise<CommitOutcome> =>
  new Promise((resolve) => store.commit(operations, resolve));

export const grantLease = (store: Store, ttlSeconds: number): Promise<LeaseOutcome> =>
  new Promise((resolve) => store.grantLease(ttlSeconds, resolve));

export const renewLease = (store: Store, lease: bigint): Promise<RenewOutcome> =>
  new Promise((resolve) => store.renewLease(lease, resolve));

export const revokeLease = (store: Store, lease: bigint): Promise<boolean> =>
  new Promise((resolve) => store.revokeLease(lease, resolve));

export const readRevision = (store: Store): Promise<RevisionOutcome> =>
  new Promise((resolve) => store.readRevision(resolve));

export const readAll = (store: Store): Promise<Snapshot | undefined> =>
  new Promise((resolve) => store.readAll(resolve));

/** Commits, and fails unless it was decided: the revision, and what was applied. */
export async function decided(store: Store, ...operations: readonly Operation[]) {
  const outcome = await commit(store, ...operations);
  if (outcome.kind !== "decided") throw new Error(`the commit is ${outcome.kind}`);
  return outcome;
}

/** Commits, and fails unless all of it was applied: the revision. */
export async function applied(store: Store, ...operations: readonly Operation[]): Promise<number> {
  const outcome = await decided(store, ...operations);
  if (!outcome.applied.every(Boolean)) throw new Error(`only ${outcome.applied} of the commit were applied`);
  return outcome.revision;
}

export const operation = (guards: readonly Guard[], ...writes: readonly Write[]): Operation => ({ guards, writes });

export const absent = (key: string): Guard => ({ kind: "absent", key });
export const modified = (key: string, revision: number): Guard => ({ kind: "modified", key, revision });
export const created = (key: string, revision: number): Guard => ({ kind: "created", key, revision });
export const quiet = (prefix: string, revision: number): Guard => ({ kind: "quiet", prefix, revision });

export const put = (key: string, value: StoredValue, lease = 0n): Write => ({ kind: "put", key, value, lease });
export const remove = (key: string): Write => ({ kind: "delete", key });

export const session = (given: Partial<SessionRecord> = {}): StoredValue => ({
  kind: "session",
  record: {
    ttlMs: 15_000,
    onDisconnect: "keep",
    liveness: "heartbeat",
    secretHash: "",
    serverId: "server-1",
    attempt: 0n,
    identity: "",
    peer: "",
    client: undefined,
    labels: {},
    openedAtMs: 1_700_000_000_000,
    ...given,
  },
});

export const claim = (lockName: string, given: Partial<ClaimRecord> = {}): StoredValue => ({
  kind: "claim",
  record: {
    ordinal: 0,
    mode: "exclusive",
    permits: 0,
    limit: 0,
    reentryId: "",
    lockNames: [lockName],
    purpose: "",
    value: new Uint8Array(0),
    claimedAtMs: 1_700_000_000_000,
    ...given,
  },
});

export const server = (given: Partial<ServerRecord> = {}): StoredValue => ({
  kind: "server",
  record: { address: "localhost:7400", version: "0.1.0", startedAtMs: 1_700_000_000_000, draining: false, ...given },
});
