import { type ClientDuplexStream, credentials } from "@grpc/grpc-js";
import {
  WatchClient,
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from "../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { Event_EventType, type Event as WatchEvent } from "../../server/gen/etcd/api/mvccpb/kv.ts";
import type { EtcdCluster, EtcdMember } from "./etcd-cluster.ts";
import { type KeyChange, TrueQueues } from "./true-queues.ts";

const PREFIX = "holdfast/";
const MARKER = "audit/marker";
const MARK_EVERY_MS = 10;
const AGAIN_AFTER_MS = 200;
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/**
 * Follows etcd from its first revision over all of its members at once, so that none can keep anything from it, and
 * hands every revision to a judgement of its own about who holds what. Beside that it writes a key of its own again
 * and again: what has a later revision than such a write was committed after the write began. So it can say of each
 * revision, whatever the machine's load, from when on it may have been there.
 */
export class Auditor {
  readonly queues = new TrueQueues();
  /** The latest revision that it has seen. */
  revision = 0;
  private readonly etcd: EtcdCluster;
  private readonly nowMs: () => number;
  private readonly marks: { readonly revision: number; readonly sentAtMs: number }[] = [];
  private readonly followers: Follower[];
  private isClosed = false;
  private readonly marking: Promise<void>;

  /** `nowMs`: by the clock that all clients share. */
  constructor(etcd: EtcdCluster, nowMs: () => number) {
    this.etcd = etcd;
    this.nowMs = nowMs;
    this.followers = etcd.members.map((member) => new Follower(member, this));
    this.marking = this.mark();
  }

  /** No revision as late as this one was there before; 0: nobody knows. */
  committedAfterMs(revision: number): number {
    const { marks } = this;
    let low = 0;
    let high = marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (marks[middle]!.revision < revision) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : marks[low - 1]!.sentAtMs;
  }

  /** Whole revisions, in order; those that another member told of already are known. */
  take(events: readonly WatchEvent[]): void {
    const known = this.revision;
    let changes: WatchEvent[] = [];
    const finish = (): void => {
      if (changes.length > 0) this.queues.follow(this.revision, changes.map(changeOf));
      changes = [];
    };
    for (const event of events) {
      const revision = Number(event.kv!.modRevision);
      if (revision <= known) continue;
      if (revision !== this.revision) finish();
      this.revision = revision;
      if (event.kv!.key.toString().startsWith(PREFIX)) changes.push(event);
    }
    finish();
  }

  private async mark(): Promise<void> {
    for (let i = 0; !this.isClosed; i++) {
      const member = this.etcd.members[i % this.etcd.members.length]!;
      const sentAtMs = this.nowMs();
      // One whose outcome is unknown says nothing.
      const revision = await member.put(MARKER, "").catch(() => 0);
      if (revision > (this.marks.at(-1)?.revision ?? 0)) this.marks.push({ revision, sentAtMs });
      await new Promise((resolve) => setTimeout(resolve, MARK_EVERY_MS));
    }
  }

  /** Ends it when it has seen all that is in etcd by now. */
  async close(): Promise<void> {
    this.isClosed = true;
    await this.marking;
    const last = this.marks.at(-1)?.revision ?? 0;
    const untilMs = performance.now() + 20_000;
    while (this.revision < last && performance.now() < untilMs) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const follower of this.followers) follower.close();
    if (this.revision < last)
      this.queues.found("AUDIT-GAP", `the auditor has seen ${this.revision} of ${last} revisions`);
  }
}

function changeOf({ type, kv }: WatchEvent): KeyChange {
  const { value, createRevision, lease } = kv!;
  const key = kv!.key.toString().slice(PREFIX.length);
  if (type === Event_EventType.DELETE) return { key, put: undefined };
  return { key, put: { value, createRevision: Number(createRevision), lease } };
}

/** The watch of one member, begun anew for as long as it breaks. */
class Follower {
  private readonly auditor: Auditor;
  private readonly client: WatchClient;
  private stream: ClientDuplexStream<WatchRequest, WatchResponse> | undefined;
  private isClosed = false;

  constructor({ endpoint }: EtcdMember, auditor: Auditor) {
    this.auditor = auditor;
    this.client = new WatchClient(endpoint, credentials.createInsecure(), {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.keepalive_time_ms": 6000,
      "grpc.keepalive_timeout_ms": 3000,
      "grpc.max_reconnect_backoff_ms": 500,
    });
    this.open();
  }

  close(): void {
    this.isClosed = true;
    this.stream?.cancel();
    this.client.close();
  }

  private open(): void {
    if (this.isClosed) return;
    const stream = this.client.watch();
    this.stream = stream;
    stream.on("data", ({ events, compactRevision }: WatchResponse) => {
      this.auditor.take(events);
      if (compactRevision === 0n) return;
      // A member that was behind has forgotten what it had not told; it matters only if the others had not either.
      if (Number(compactRevision) > this.auditor.revision + 1)
        this.auditor.queues.found("AUDIT-GAP", `history before ${compactRevision} is gone`);
      stream.cancel();
    });
    stream.on("error", () => undefined);
    // Every end comes with a status.
    stream.on("status", () => setTimeout(() => this.open(), AGAIN_AFTER_MS));
    const everything = { key: Buffer.of(0), rangeEnd: Buffer.of(0) };
    const startRevision = BigInt(this.auditor.revision + 1);
    const create = WatchCreateRequest.create({ ...everything, startRevision });
    stream.write({ requestUnion: { $case: "createRequest", value: create } });
  }
}
