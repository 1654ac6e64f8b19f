import type { Snapshot } from "../../core/entry.ts";
import type { CommitOutcome, Operation } from "../../core/operation.ts";
import { KVService, RangeRequest } from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { Feed, LeaseOutcome, RenewOutcome, RevisionOutcome, Store } from "../../ports/store.ts";
import type { StoreStatus } from "../../ports/store-status.ts";
import { checkEtcd, retryUnless, startProblem } from "./check.ts";
import { type EtcdAddress, EtcdClient } from "./client.ts";
import { checkHistory, HistoryKeeper } from "./history.ts";
import { Keyspace } from "./keyspace.ts";
import { Leases } from "./leases.ts";
import { contradiction } from "./position.ts";
import { SeenFile } from "./seen-file.ts";
import { readSnapshot, type SnapshotResult } from "./snapshot.ts";
import { readStatus } from "./status.ts";
import { StoreError } from "./store-error.ts";
import { Transactions } from "./transactions.ts";
import { Watch } from "./watch.ts";

export type { EtcdAddress } from "./client.ts";
export type { RestoredStore } from "./history.ts";
export { confirmRestoredStore, findRestoredStore } from "./restored-store.ts";
export { StoreError, type StoreErrorReason } from "./store-error.ts";

export interface EtcdStoreOptions extends EtcdAddress {
  /** Before each of our keys; not empty. Whatever else is below it is refused. */
  readonly prefix: string;
  /**
   * Told when the store cannot go on: something is stored that cannot be read, or etcd said what cannot be. What
   * was built on the store is not to be trusted any more: stop serving. May be told more than once.
   */
  readonly onFault: (fault: Error) => void;
  /** Told what will heal by itself, for the log. */
  readonly onTrouble?: (event: StoreTrouble, why: string) => void;
  /**
   * Refuses an etcd that does not go on from where Holdfast has seen it last, and writes down how far it is: in etcd,
   * and in a file outside of it unless that is `undefined`. Absent: neither.
   */
  readonly history?: { readonly file: string | undefined };
  /** How long etcd may take to answer at the start. Absent: 5 s. */
  readonly startTimeoutMs?: number;
  /**
   * How long etcd has for a transaction, of which a commit may need two. Absent: 3 s. What a leader had in hand when it
   * died is never answered, and a new one is there within 2 s.
   */
  readonly commitTimeoutMs?: number;
  /** How long etcd has for a read, to grant a lease, or to break the silence of the watch. Absent: 3 s. */
  readonly readTimeoutMs?: number;
  /** How long etcd has to renew a lease before the stream is given up. Absent: 2 s. */
  readonly renewTimeoutMs?: number;
  /** How long `close` may take over the leases that wait to be revoked; others expire. Absent: 5 s. */
  readonly closeTimeoutMs?: number;
}

export type StoreTrouble = "member.left" | "history.not_kept" | "watch.broken" | "watch.compacted" | "renewals.broken";

/** The store on a real etcd. */
export interface EtcdStore extends Store, AsyncDisposable {
  /** Asks all members how they are. Takes up to 4 s, and never fails. */
  status(): Promise<StoreStatus>;
  /**
   * Ends it: the feed falls silent, the leases that wait to be revoked are, what is then still owed is answered as
   * unknown or unavailable, connections and timers go. Nothing may be called after. Harmless to repeat.
   */
  close(): Promise<void>;
}

/**
 * Connects to etcd and reads what is there, for `follow`.
 *
 * Rejects with a `StoreError` of one line when it does not answer in time, is too old, refuses us, was restored, or has
 * below the prefix what this version cannot read. Nothing is left open then.
 */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<EtcdStore> {
  const client = new EtcdClient(options);
  const keyspace = new Keyspace(options.prefix);
  watchMembers(client, keyspace, options);
  let keeper: HistoryKeeper | undefined;
  try {
    const untilMs = performance.now() + (options.startTimeoutMs ?? 5_000);
    await checkEtcd(client, options.endpoints, untilMs);
    keeper = await startHistory(client, keyspace, options, untilMs);
    const first = await firstSnapshot(client, keyspace, options.endpoints, untilMs);
    return new OpenStore({ client, keyspace, options, first, keeper });
  } catch (error) {
    keeper?.close();
    await client.close();
    throw error;
  }
}

function watchMembers(client: EtcdClient, keyspace: Keyspace, { onFault, onTrouble }: EtcdStoreOptions): void {
  client.watchMembers({
    key: keyspace.start,
    onMoved: (from, to, why) => onTrouble?.("member.left", `${from.endpoint} for ${to.endpoint}: ${why}`),
    onPosition: (position, before) => {
      const why = before && contradiction(before, position);
      if (why !== undefined) onFault(new StoreError("restored", `${why}: it was restored or is another. ${RESTORED}`));
    },
  });
}

const RESTORED =
  "Locks and fencing tokens may be older than what clients were told: start the servers anew, and read on";

/** Refuses a restored etcd, and begins to remember this one; `undefined`: that was not asked for. */
async function startHistory(
  client: EtcdClient,
  keyspace: Keyspace,
  { history, prefix, endpoints, onTrouble }: EtcdStoreOptions,
  untilMs: number,
): Promise<HistoryKeeper | undefined> {
  if (history === undefined) return undefined;
  const file = history.file === undefined ? undefined : new SeenFile(history.file);
  const options = { client, keyspace, prefix, endpoints, file, untilMs };
  const historyId = await checkHistory(options);
  return new HistoryKeeper(options, historyId, (why) => onTrouble?.("history.not_kept", why));
}

/** Reads what is there, if need be again: the member in use may be left just now for one that answers. */
async function firstSnapshot(
  client: EtcdClient,
  keyspace: Keyspace,
  endpoints: readonly string[],
  untilMs: number,
): Promise<Snapshot> {
  for (;;) {
    const result = await new Promise<SnapshotResult>((resolve) => readSnapshot(client, keyspace, resolve));
    if (result.kind === "read") return result.snapshot;
    if (result.kind === "fault") throw result.fault;
    await retryUnless(startProblem(result.failure, endpoints), untilMs);
  }
}

interface OpenedParts {
  readonly client: EtcdClient;
  readonly keyspace: Keyspace;
  readonly options: EtcdStoreOptions;
  readonly first: Snapshot;
  readonly keeper: HistoryKeeper | undefined;
}

class OpenStore implements EtcdStore {
  private readonly client: EtcdClient;
  private readonly keyspace: Keyspace;
  private readonly options: EtcdStoreOptions;
  private readonly transactions: Transactions;
  private readonly leases: Leases;
  private readonly readTimeoutMs: number;
  private readonly onTrouble: (event: StoreTrouble, why: string) => void;
  /** What was read at the start, until it is followed. */
  private first: Snapshot | undefined;
  private watch: Watch | undefined;
  private readonly keeper: HistoryKeeper | undefined;

  constructor({ client, keyspace, options, first, keeper }: OpenedParts) {
    this.client = client;
    this.keyspace = keyspace;
    this.options = options;
    this.first = first;
    this.keeper = keeper;
    this.readTimeoutMs = options.readTimeoutMs ?? 3_000;
    const { onFault, onTrouble = () => {} } = options;
    this.onTrouble = onTrouble;
    this.transactions = new Transactions({
      client,
      keyspace,
      timeoutMs: options.commitTimeoutMs ?? 3_000,
      onFault,
    });
    this.leases = new Leases({
      client,
      grantTimeoutMs: this.readTimeoutMs,
      renewTimeoutMs: options.renewTimeoutMs ?? 2_000,
      onTrouble: (why) => onTrouble("renewals.broken", why),
    });
  }

  follow(feed: Feed): void {
    if (this.first === undefined) throw new Error("a store is followed once");
    const { client, keyspace, onTrouble } = this;
    const { onFault } = this.options;
    const silenceMs = this.readTimeoutMs;
    this.watch = new Watch({ client, keyspace, feed, silenceMs, onFault, onTrouble }, this.first);
    this.first = undefined;
  }

  commit(operations: readonly Operation[], done: (outcome: CommitOutcome) => void): void {
    this.transactions.commit(operations, done);
  }

  grantLease(ttlSeconds: number, done: (outcome: LeaseOutcome) => void): void {
    this.leases.grant(ttlSeconds, done);
  }

  renewLease(lease: bigint, done: (outcome: RenewOutcome) => void): void {
    this.leases.renew(lease, done);
  }

  revokeLease(lease: bigint, done: (known: boolean) => void): void {
    this.leases.revoke(lease, done);
  }

  readRevision(done: (outcome: RevisionOutcome) => void): void {
    // One key that is not there, since only the header is wanted.
    const request = RangeRequest.create({ key: this.keyspace.start });
    this.client.call(KVService.range, request, this.readTimeoutMs, (_, response) => {
      if (response === undefined) done({ kind: "unavailable" });
      else done({ kind: "revision", revision: Number(response.header?.revision) });
    });
  }

  requestProgress(): void {
    this.watch?.requestProgress();
  }

  readAll(done: (snapshot: Snapshot | undefined) => void): void {
    readSnapshot(this.client, this.keyspace, (result) => {
      if (result.kind === "fault") this.options.onFault(result.fault);
      done(result.kind === "read" ? result.snapshot : undefined);
    });
  }

  status(): Promise<StoreStatus> {
    return readStatus(this.options);
  }

  async close(): Promise<void> {
    this.watch?.close();
    this.keeper?.close();
    await this.leases.close(this.options.closeTimeoutMs ?? 5_000);
    await this.client.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
