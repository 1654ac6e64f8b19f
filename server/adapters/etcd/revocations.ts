import { LeaseService } from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { CallFailure, EtcdClient } from "./client.ts";

/** Each revoke is a commit with fsync in etcd, in the way of all other writes: hence slowly. */
const MAX_PER_SECOND = 200;
const MAX_IN_FLIGHT = 4;
const TIMEOUT_MS = 5_000;

/** More than these are left to expire by themselves. */
const MAX_WAITING = 100_000;

interface Waiting {
  readonly lease: bigint;
  readonly done: (known: boolean) => void;
}

/** Revokes leases in the background, one after the other. */
export class Revocations {
  private readonly client: EtcdClient;
  private waiting: Waiting[] = [];
  private inFlight = 0;
  private pause: NodeJS.Timeout | undefined;

  constructor(client: EtcdClient) {
    this.client = client;
  }

  /** As `Store.revokeLease`. */
  revoke(lease: bigint, done: (known: boolean) => void): void {
    if (this.client.isClosed || this.waiting.length === MAX_WAITING) {
      setImmediate(done, false);
      return;
    }
    this.waiting.push({ lease, done });
    this.proceed();
  }

  /** Gives up those that still wait. */
  close(): void {
    clearTimeout(this.pause);
    const { waiting } = this;
    this.waiting = [];
    for (const { done } of waiting) setImmediate(done, false);
  }

  private proceed(): void {
    if (this.pause !== undefined || this.inFlight === MAX_IN_FLIGHT) return;
    const first = this.waiting.shift();
    if (first === undefined) return;
    this.inFlight++;
    this.client.call(LeaseService.leaseRevoke, { ID: first.lease }, TIMEOUT_MS, (failure) => {
      this.inFlight--;
      first.done(failure === null || isGone(failure));
      this.proceed();
    });
    this.pause = setTimeout(() => {
      this.pause = undefined;
      this.proceed();
    }, 1_000 / MAX_PER_SECOND);
  }
}

/** A lease that etcd does not know is as revoked as can be: ids are never used again. */
const isGone = ({ details }: CallFailure) => details.includes("requested lease not found");
