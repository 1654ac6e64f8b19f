import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import {
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  LeaseService,
} from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { RenewOutcome } from "../../ports/store.ts";
import type { EtcdClient } from "./client.ts";

interface Owed {
  readonly lease: bigint;
  readonly sentAtMs: number;
  readonly done: (outcome: RenewOutcome) => void;
}

const UNAVAILABLE: RenewOutcome = { kind: "unavailable" };

/** One LeaseKeepAlive stream. etcd answers on it strictly in the order of the requests. */
export class RenewalStream {
  private readonly client: EtcdClient;
  private readonly stream: ClientDuplexStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;
  private readonly onBroken: (why: string) => void;
  /** In the order sent. */
  private owed: Owed[] = [];
  private broken = false;

  constructor(client: EtcdClient, onBroken: (why: string) => void) {
    this.client = client;
    this.onBroken = onBroken;
    this.stream = client.stream(LeaseService.leaseKeepAlive);
    this.stream.on("data", (response) => this.answered(response));
    this.stream.on("error", (error: ServiceError) => this.break(error.details));
    this.stream.once("end", () => this.break("etcd ended the stream"));
  }

  get owedCount(): number {
    return this.owed.length;
  }

  /** When the request was sent that has waited longest; infinite if none has. */
  get oldestSentAtMs(): number {
    return this.owed[0]?.sentAtMs ?? Number.POSITIVE_INFINITY;
  }

  renew(lease: bigint, done: (outcome: RenewOutcome) => void): void {
    this.owed.push({ lease, done, sentAtMs: performance.now() });
    this.stream.write({ ID: lease });
  }

  /** Ends it: what it still owes is unavailable. */
  break(why: string): void {
    if (this.broken) return;
    this.broken = true;
    this.client.cancel(this.stream);
    this.client.streamFailed({ details: why });
    this.onBroken(why);
    const { owed } = this;
    this.owed = [];
    for (const { done } of owed) done(UNAVAILABLE);
  }

  private answered({ ID, TTL }: LeaseKeepAliveResponse): void {
    if (this.broken) return;
    if (this.owed[0]?.lease !== ID) {
      this.break("etcd answered for another lease than the one asked about first");
      return;
    }
    const { done } = this.owed.shift()!;
    done(TTL > 0n ? { kind: "renewed", ttlSeconds: Number(TTL) } : { kind: "gone" });
  }
}
