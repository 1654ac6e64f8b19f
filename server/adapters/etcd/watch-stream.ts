import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import {
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
  WatchService,
} from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { Event } from "../../gen/etcd/api/mvccpb/kv.ts";
import type { EtcdClient } from "./client.ts";
import type { Keyspace } from "./keyspace.ts";
import { revisionOf, toRevision } from "./revision.ts";

/** What comes over a watch. After `compacted`, `broken` or `fault` nothing does. */
export interface WatchEvents {
  /** `more`: a fragment, and others follow. */
  events(events: readonly Event[], more: boolean): void;
  progress(revision: number): void;
  /** etcd does not know any more what came before this revision. */
  compacted(revision: number): void;
  broken(why: string): void;
  /** It brought what cannot be. */
  fault(fault: Error): void;
}

export interface WatchStreamOptions {
  readonly client: EtcdClient;
  readonly keyspace: Keyspace;
  /** The first revision to be told, once more if need be. */
  readonly fromRevision: number;
  /** How long etcd may be silent after it was asked for something. */
  readonly silenceMs: number;
}

/** etcd speaks for all watches of a stream at once with this id. */
const ALL_WATCHES = -1n;

/**
 * One watch over the whole prefix, on a stream of its own. It ends in one of these ways: `close` (nobody is told);
 * etcd cancels the watch because of a compaction; or the stream is cancelled, ends, fails, or stays silent
 * when asked.
 */
export class WatchStream {
  private readonly client: EtcdClient;
  private readonly to: WatchEvents;
  private readonly stream: ClientDuplexStream<WatchRequest, WatchResponse>;
  private watchId: bigint | undefined;
  private readonly silenceMs: number;
  private silence: NodeJS.Timeout | undefined;
  private ended = false;

  constructor({ client, keyspace, fromRevision, silenceMs }: WatchStreamOptions, to: WatchEvents) {
    this.client = client;
    this.silenceMs = silenceMs;
    this.to = to;
    this.stream = client.stream(WatchService.watch);
    this.stream.on("data", (response) => this.heard(response));
    this.stream.on("error", ({ details }: ServiceError) => this.fail(details));
    this.stream.once("end", () => this.fail("etcd ended the stream"));
    const { start: key, end: rangeEnd } = keyspace;
    const value = WatchCreateRequest.create({ key, rangeEnd, startRevision: BigInt(fromRevision), fragment: true });
    this.ask({ requestUnion: { $case: "createRequest", value } });
  }

  /** Asks for progress; etcd drops it while this watch is behind. */
  requestProgress(): void {
    if (this.watchId !== undefined) this.ask({ requestUnion: { $case: "progressRequest", value: {} } });
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.silence);
    this.client.cancel(this.stream);
  }

  private ask(request: WatchRequest): void {
    this.stream.write(request);
    const { silenceMs } = this;
    this.silence ??= setTimeout(() => this.fail(`etcd was silent for ${silenceMs} ms`), silenceMs);
  }

  private heard(response: WatchResponse): void {
    if (this.ended) return;
    clearTimeout(this.silence);
    this.silence = undefined;
    try {
      this.pass(response);
    } catch (fault) {
      this.close();
      this.to.fault(fault as Error);
    }
  }

  private pass(response: WatchResponse): void {
    if (response.canceled) this.canceled(response);
    else if (response.created) this.watchId = response.watchId;
    else if (response.events.length > 0) {
      if (response.watchId === this.watchId) this.to.events(response.events, response.fragment);
    } else if (response.watchId === this.watchId || (response.watchId === ALL_WATCHES && this.watchId !== undefined)) {
      this.to.progress(revisionOf(response.header));
    }
  }

  private canceled({ compactRevision, cancelReason }: WatchResponse): void {
    if (compactRevision === 0n) this.fail(cancelReason || "etcd cancelled the watch");
    else {
      this.close();
      this.to.compacted(toRevision(compactRevision));
    }
  }

  private fail(why: string): void {
    if (this.ended) return;
    this.close();
    this.client.streamFailed({ details: why });
    this.to.broken(why);
  }
}
