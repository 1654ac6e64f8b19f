import { randomBytes } from "node:crypto";
import { LeaseService } from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { LeaseOutcome, RenewOutcome } from "../../ports/store.ts";
import type { EtcdClient } from "./client.ts";
import { Renewals } from "./renewals.ts";
import { Revocations } from "./revocations.ts";

export interface LeaseOptions {
  readonly client: EtcdClient;
  /** How long etcd has to grant a lease. */
  readonly grantTimeoutMs: number;
  /** How long etcd has to renew one. */
  readonly renewTimeoutMs: number;
  readonly onTrouble: (why: string) => void;
}

/** So many renewals a second are those of sessions that live, and not of this server's own lease. */
const COMPANY_RENEWS_PER_SECOND = 3;

/** Leases: granted, renewed over several streams, revoked in the background. */
export class Leases {
  private readonly options: LeaseOptions;
  private readonly renewals: Renewals;
  private readonly revocations: Revocations;
  private readonly renewalRate = new Rate();

  constructor(options: LeaseOptions) {
    this.options = options;
    const { client, renewTimeoutMs: timeoutMs, onTrouble } = options;
    this.renewals = new Renewals({ client, timeoutMs, onTrouble });
    this.revocations = new Revocations({
      client,
      renewals: new Renewals({ client, timeoutMs, onTrouble, streams: 1 }),
      hasCompany: () => this.renewalRate.perSecond() >= COMPANY_RENEWS_PER_SECOND,
    });
  }

  grant(ttlSeconds: number, done: (outcome: LeaseOutcome) => void): void {
    const lease = newLeaseId();
    const { client, grantTimeoutMs } = this.options;
    const request = { ID: lease, TTL: BigInt(ttlSeconds) };
    client.call(LeaseService.leaseGrant, request, grantTimeoutMs, (failure, response) => {
      if (response !== undefined) {
        done({ kind: "granted", lease, ttlSeconds: Number(response.TTL) });
        return;
      }
      const details = failure?.details ?? "";
      // It may have been granted all the same, even when etcd says that it is full, and nobody would ever use it.
      // Only not if the id was taken: then it is somebody's.
      if (!details.includes("lease already exists")) this.revoke(lease, () => {});
      done({ kind: details.includes("database space exceeded") ? "no-space" : "unavailable" });
    });
  }

  renew(lease: bigint, done: (outcome: RenewOutcome) => void): void {
    this.renewalRate.count();
    this.renewals.renew(lease, done);
  }

  revoke(lease: bigint, done: (known: boolean) => void): void {
    this.revocations.revoke(lease, done);
  }

  /** Ends renewals at once, and revocations when those that wait are done or `timeoutMs` has passed. */
  async close(timeoutMs: number): Promise<void> {
    this.renewals.close();
    await this.revocations.finish(timeoutMs);
  }
}

/** Chosen here, so that a lease whose grant was not answered can be revoked. Positive, and no guess for others. */
const newLeaseId = (): bigint => BigInt.asUintN(63, randomBytes(8).readBigUInt64LE()) | 1n;

/** How often something happened in the last second or two. */
class Rate {
  private current = 0;
  private last = 0;
  private second = 0;

  count(): void {
    this.turn();
    this.current++;
  }

  perSecond(): number {
    this.turn();
    return Math.max(this.last, this.current);
  }

  private turn(): void {
    const second = Math.floor(performance.now() / 1_000);
    if (second === this.second) return;
    this.last = second === this.second + 1 ? this.current : 0;
    this.current = 0;
    this.second = second;
  }
}
