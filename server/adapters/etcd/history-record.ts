import { STORE_KEY } from "../../core/keys.ts";
import {
  Compare,
  Compare_CompareResult,
  Compare_CompareTarget,
  KVService,
  PutRequest,
  RangeRequest,
  TxnRequest,
} from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import { StoreRecord } from "../../gen/holdfast/storage/v1/storage.ts";
import type { EtcdClient } from "./client.ts";
import type { CallFailure, UnaryMethod } from "./connection.ts";
import type { Keyspace } from "./keyspace.ts";
import type { Position } from "./position.ts";
import { StoreError } from "./store-error.ts";

const FORMAT = 1;
const TIMEOUT_MS = 2_000;
const MAX_REPLACED = 16;

/** Where etcd was in its history when a server last looked, as etcd itself keeps it: `StoreRecord`. */
export interface HistoryRecord {
  readonly historyId: string;
  readonly replaced: readonly string[];
  readonly seen: Position;
  /** A restored etcd that nobody has confirmed. */
  readonly unconfirmed: { readonly id: string; readonly problem: string } | undefined;
}

/** A record, and the revision that wrote it; 0: there is none. */
export interface ReadRecord {
  readonly record: HistoryRecord | undefined;
  readonly modRevision: number;
}

/** A call to etcd that failed. */
export class CallFailed extends Error {
  readonly failure: CallFailure;

  constructor(failure: CallFailure) {
    super(failure.details);
    this.failure = failure;
  }
}

/** Reads the record, linearizable. Rejects with `CallFailed`, or with `unknown-record`. */
export async function readRecord(client: EtcdClient, keyspace: Keyspace): Promise<ReadRecord> {
  const key = keyspace.bytes(STORE_KEY);
  const { kvs } = await called(client, KVService.range, RangeRequest.create({ key }));
  const [kv] = kvs;
  if (kv === undefined) return { record: undefined, modRevision: 0 };
  return { record: decode(kv.value), modRevision: Number(kv.modRevision) };
}

/**
 * Writes the record unless somebody else has since it was read; resolves with whether it was. Rejects with `CallFailed`
 * when that is not known.
 */
export async function writeRecord(
  client: EtcdClient,
  keyspace: Keyspace,
  record: HistoryRecord,
  modRevision: number,
): Promise<boolean> {
  const key = keyspace.bytes(STORE_KEY);
  const unchanged = Compare.create({
    key,
    target: Compare_CompareTarget.MOD,
    result: Compare_CompareResult.EQUAL,
    targetUnion: { $case: "modRevision", value: BigInt(modRevision) },
  });
  const put = PutRequest.create({ key, value: Buffer.from(encode(record)) });
  const request = TxnRequest.create({
    compare: [unchanged],
    success: [{ request: { $case: "requestPut", value: put } }],
  });
  const { succeeded } = await called(client, KVService.txn, request);
  return succeeded;
}

function called<Request, Response>(
  client: EtcdClient,
  method: UnaryMethod<Request, Response>,
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    client.call(method, request, TIMEOUT_MS, (failure, response) => {
      if (failure !== null) reject(new CallFailed(failure));
      else resolve(response!);
    });
  });
}

function encode({ historyId, replaced, seen, unconfirmed }: HistoryRecord): Uint8Array {
  return StoreRecord.encode({
    format: FORMAT,
    historyId,
    replacedHistoryIds: replaced.slice(-MAX_REPLACED),
    clusterId: seen.clusterId,
    raftTerm: BigInt(seen.term),
    raftIndex: BigInt(seen.index),
    revision: BigInt(seen.revision),
    spareEntries: BigInt(seen.spareEntries),
    restoredId: unconfirmed?.id ?? "",
    problem: unconfirmed?.problem ?? "",
  }).finish();
}

function decode(bytes: Uint8Array): HistoryRecord {
  const stored = tryDecode(bytes);
  if (stored?.format !== FORMAT) {
    const advice = "run the version of Holdfast that wrote it, or give this one another prefix";
    throw new StoreError("unknown-record", `"${STORE_KEY}" in etcd has format ${stored?.format ?? "?"}; ${advice}`);
  }
  const { historyId, replacedHistoryIds: replaced, restoredId: id } = stored;
  return {
    historyId,
    replaced,
    seen: {
      clusterId: stored.clusterId,
      term: Number(stored.raftTerm),
      index: Number(stored.raftIndex),
      revision: Number(stored.revision),
      spareEntries: Number(stored.spareEntries),
    },
    unconfirmed: id === "" ? undefined : { id, problem: stored.problem },
  };
}

function tryDecode(bytes: Uint8Array): StoreRecord | undefined {
  try {
    return StoreRecord.decode(bytes);
  } catch {
    return undefined;
  }
}
