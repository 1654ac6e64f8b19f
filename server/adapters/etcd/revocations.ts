import { LeaseService } from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { EtcdClient } from "./client.ts";
import type { CallFailure } from "./connection.ts";

/** Each revoke is a commit with fsync in etcd, in the way of all other writes: hence slowly. */
const PAUSE_MS = 5;
const MAX_IN_FLIGHT = 4;
/** At the end nothing else is in the way of ours. */
const MAX_IN_FLIGHT_AT_END = 16;

const TIMEOUT_MS = 5_000;

/** More than these are left to expire by themselves. */
const MAX_WAITING = 100_000;

interface Waiting {
  readonly lease: bigint;
  readonly done: (known: boolean) => void;
}

/** Revokes leases in the background: at most 200 a second, and few at once. */
export class Revocations {
  private readonly client: EtcdClient;
  private waiting: Waiting[] = [];
  private inFlight = 0;
  private pause: NodeJS.Timeout | undefined;
  /** Called when nothing waits or is in flight any more; set when the end has come. */
  private finished: (() => void) | undefined;

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

  /** Revokes what still waits, as fast as etcd does it; gives up what is left after `timeoutMs`. */
  async finish(timeoutMs: number): Promise<void> {
    clearTimeout(this.pause);
    this.pause = undefined;
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, timeoutMs);
    this.finished = patience.resolve;
    this.proceed();
    await patience.promise;
    clearTimeout(timer);
    const { waiting } = this;
    this.waiting = [];
    for (const { done } of waiting) done(false);
  }

  private proceed(): void {
    const limit = this.finished === undefined ? MAX_IN_FLIGHT : MAX_IN_FLIGHT_AT_END;
    while (this.pause === undefined && this.inFlight < limit) {
      const next = this.waiting.shift();
      if (next === undefined) break;
      this.send(next);
      if (this.finished !== undefined) continue;
      this.pause = setTimeout(() => {
        this.pause = undefined;
        this.proceed();
      }, PAUSE_MS);
    }
    if (this.inFlight === 0 && this.waiting.length === 0) this.finished?.();
  }

  private send({ lease, done }: Waiting): void {
    this.inFlight++;
    this.client.call(LeaseService.leaseRevoke, { ID: lease }, TIMEOUT_MS, (failure) => {
      this.inFlight--;
      done(failure === null || isGone(failure));
      this.proceed();
    });
  }
}

/** A lease that etcd does not know is as revoked as can be: ids are never used again. */
const isGone = ({ details }: CallFailure) => details.includes("requested lease not found");
