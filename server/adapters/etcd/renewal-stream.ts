import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import {
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  LeaseService,
} from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { RenewOutcome } from "../../ports/store.ts";
import type { EtcdClient } from "./client.ts";
import type { EtcdConnection } from "./connection.ts";

/** A renewal that is wanted until it is answered or its time is up, on whichever stream. */
export interface Renewal {
  readonly lease: bigint;
  /** When its time is up. Monotonic milliseconds. */
  readonly untilMs: number;
  /** Told once; `undefined` after that. */
  done: ((outcome: RenewOutcome) => void) | undefined;
  /** The stream that it was sent on last; an answer on an earlier one is as good. */
  on: RenewalStream | undefined;
  /** How often it was sent elsewhere because its stream stood still. */
  moves: number;
}

interface Owed {
  readonly renewal: Renewal;
  readonly sentAtMs: number;
}

export interface RenewalStreamEvents {
  answered(renewal: Renewal, outcome: RenewOutcome): void;
  /** It has ended by itself. Nothing more comes. */
  broken(stream: RenewalStream, why: string): void;
}

/** One LeaseKeepAlive stream. etcd answers on it strictly in the order of the requests. */
export class RenewalStream {
  /** The member that it goes to. */
  readonly connection: EtcdConnection;
  private readonly client: EtcdClient;
  private readonly to: RenewalStreamEvents;
  private readonly stream: ClientDuplexStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;
  /** In the order sent. */
  private owed: Owed[] = [];
  private answeredAtMs = Number.NEGATIVE_INFINITY;
  private ended = false;

  constructor(client: EtcdClient, to: RenewalStreamEvents) {
    this.client = client;
    this.to = to;
    this.connection = client.connection;
    this.stream = client.stream(LeaseService.leaseKeepAlive);
    this.stream.on("data", (response) => this.answered(response));
    this.stream.on("error", (error: ServiceError) => this.break(error.details));
    this.stream.once("end", () => this.break("etcd ended the stream"));
  }

  get owedCount(): number {
    return this.owed.length;
  }

  /** Since when it owes something and answers nothing; infinite if it owes nothing. A slow one goes on answering. */
  get standsStillSinceMs(): number {
    return Math.max(this.owed[0]?.sentAtMs ?? Number.POSITIVE_INFINITY, this.answeredAtMs);
  }

  /** What it owes, was not sent on another stream since, and is still wanted: the oldest first. */
  get wanted(): readonly Renewal[] {
    return this.owed.flatMap(({ renewal }) => (renewal.done !== undefined && renewal.on === this ? [renewal] : []));
  }

  send(renewal: Renewal): void {
    renewal.on = this;
    this.owed.push({ renewal, sentAtMs: performance.now() });
    this.stream.write({ ID: renewal.lease });
  }

  /** Ends it, without a word. */
  close(): void {
    if (this.ended) return;
    this.ended = true;
    this.client.cancel(this.stream);
  }

  private break(why: string): void {
    if (this.ended) return;
    this.close();
    this.client.streamFailed({ details: why });
    this.to.broken(this, why);
  }

  private answered({ ID, TTL }: LeaseKeepAliveResponse): void {
    if (this.ended) return;
    if (this.owed[0]?.renewal.lease !== ID) {
      this.break("etcd answered for another lease than the one asked about first");
      return;
    }
    const { renewal } = this.owed.shift()!;
    this.answeredAtMs = performance.now();
    this.to.answered(renewal, TTL > 0n ? { kind: "renewed", ttlSeconds: Number(TTL) } : { kind: "gone" });
  }
}
