import type { Entry, Snapshot } from "../../core/entry.ts";
import { STORE_KEY } from "../../core/keys.ts";
import { KVService, RangeRequest, type RangeResponse } from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { EtcdClient } from "./client.ts";
import type { CallFailure } from "./connection.ts";
import type { Keyspace } from "./keyspace.ts";
import { decodeEntry } from "./records.ts";
import { revisionOf, toRevision } from "./revision.ts";

/** Keys a page, to begin with. etcd counts all keys for each page, so they are not small. */
const PAGE = 5_000;
const PAGE_TIMEOUT_MS = 10_000;

export type SnapshotResult =
  | { readonly kind: "read"; readonly snapshot: Snapshot }
  | { readonly kind: "failed"; readonly failure: CallFailure }
  /** Something is stored that cannot be read. */
  | { readonly kind: "fault"; readonly fault: Error };

/**
 * Reads everything below the prefix as of one revision, which is no older than this call: the first page is a
 * linearizable read and tells the revision, the others are read at it. Starts again, with larger pages, if etcd
 * forgets that revision meanwhile.
 */
export function readSnapshot(client: EtcdClient, keyspace: Keyspace, done: (result: SnapshotResult) => void): void {
  new SnapshotRead(client, keyspace, done).next();
}

class SnapshotRead {
  private readonly client: EtcdClient;
  private readonly keyspace: Keyspace;
  private readonly done: (result: SnapshotResult) => void;
  private limit = PAGE;
  /** 0: not known yet. */
  private revision = 0;
  private from: Buffer;
  private entries: Entry[] = [];

  constructor(client: EtcdClient, keyspace: Keyspace, done: (result: SnapshotResult) => void) {
    this.client = client;
    this.keyspace = keyspace;
    this.done = done;
    this.from = keyspace.start;
  }

  next(): void {
    const { from: key, limit, revision } = this;
    const request = RangeRequest.create({ key, rangeEnd: this.keyspace.end, limit, revision });
    this.client.call(KVService.range, request, PAGE_TIMEOUT_MS, (failure, response) => {
      if (response !== undefined) this.take(response);
      else this.failed(failure!);
    });
  }

  private take(response: RangeResponse): void {
    try {
      if (this.revision === 0) this.revision = revisionOf(response.header);
      for (const kv of response.kvs) {
        const key = this.keyspace.key(kv.key);
        if (key === STORE_KEY) continue;
        this.entries.push(
          decodeEntry({
            key,
            value: kv.value,
            createRevision: toRevision(kv.createRevision),
            modRevision: toRevision(kv.modRevision),
            lease: kv.lease,
          }),
        );
      }
    } catch (fault) {
      this.done({ kind: "fault", fault: fault as Error });
      return;
    }
    const last = response.kvs.at(-1);
    if (!response.more || last === undefined) {
      this.done({ kind: "read", snapshot: { revision: this.revision, entries: this.entries } });
      return;
    }
    this.from = Buffer.concat([last.key, Buffer.of(0)]);
    this.next();
  }

  private failed(failure: CallFailure): void {
    if (failure.details.includes("required revision has been compacted")) {
      this.limit *= 2;
      this.revision = 0;
      this.from = this.keyspace.start;
      this.entries = [];
    } else if (failure.details.includes("larger than max") && this.limit > 1) {
      this.limit = Math.ceil(this.limit / 4);
    } else {
      this.done({ kind: "failed", failure });
      return;
    }
    this.next();
  }
}
