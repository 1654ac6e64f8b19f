import { LeaseService } from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { EtcdClient } from "./client.ts";
import type { CallFailure } from "./connection.ts";
import type { Renewals } from "./renewals.ts";

/** Each revoke is a commit with fsync in etcd, in the way of all other writes: hence slowly. */
const PAUSE_MS = 5;
const MAX_IN_FLIGHT = 4;
/** At the end nothing else is in the way of ours. */
const MAX_IN_FLIGHT_AT_END = 16;

/** Revokes that take longer find etcd on a slow disk, or busy: then one at a time, and with pauses. */
const SLOW_MS = 25;
/** By so much the latest revoke changes what is known of how long they take. */
const LATEST_COUNTS = 0.3;
/** Of the time that etcd works on ours, so much it has to itself. */
const PAUSES_PER_SLOW_REVOKE = 4;

const TIMEOUT_MS = 5_000;

/** More than these are left to expire by themselves. */
const MAX_WAITING = 100_000;

/** How soon a lease that waits is renewed first, while etcd is slow: a session's lease outlives it by 2 s at least. */
const FIRST_RENEWAL_MS = 300;
const LOOK_EVERY_MS = 100;
/** How many are renewed at a time. */
const RENEW_AT_ONCE = 500;

export interface RevocationOptions {
  readonly client: EtcdClient;
  /** For these leases alone. One that has expired holds up those behind it. */
  readonly renewals: Renewals;
  /** Whether sessions live whose leases are renewed all the time, and would be late. */
  readonly hasCompany: () => boolean;
}

interface Waiting {
  readonly lease: bigint;
  readonly done: (known: boolean) => void;
  /** When it is to be renewed, if it still waits then. */
  renewAtMs: number;
}

/**
 * Revokes leases in the background: at most 200 a second, and few at once.
 *
 * To etcd a lease that expires costs the same commit as one that is revoked, and etcd lets 16 expire at a time. So on a slow
 * disk thousands of leases whose sessions have died together would keep it from all else for minutes: the leases that wait
 * are then renewed, which costs it nothing, until it is their turn. Unless nobody is there whom it would keep waiting.
 */
export class Revocations {
  private readonly client: EtcdClient;
  private readonly renewals: Renewals;
  private readonly hasCompany: () => boolean;
  /** In the order in which they came. */
  private readonly waiting = new Map<bigint, Waiting>();
  private inFlight = 0;
  private pause: NodeJS.Timeout | undefined;
  private lookingAfter: NodeJS.Timeout | undefined;
  /** How long revokes take, the latest ones. */
  private tookMs = 0;
  /** Called when nothing waits or is in flight any more; set when the end has come. */
  private finished: (() => void) | undefined;

  constructor({ client, renewals, hasCompany }: RevocationOptions) {
    this.client = client;
    this.renewals = renewals;
    this.hasCompany = hasCompany;
  }

  /** As `Store.revokeLease`. */
  revoke(lease: bigint, done: (known: boolean) => void): void {
    if (this.client.isClosed || this.waiting.size === MAX_WAITING) {
      setImmediate(done, false);
      return;
    }
    this.waiting.set(lease, { lease, done, renewAtMs: performance.now() + FIRST_RENEWAL_MS });
    this.proceed();
    this.lookLater();
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
    clearTimeout(this.lookingAfter);
    this.renewals.close();
    const left = [...this.waiting.values()];
    this.waiting.clear();
    for (const { done } of left) done(false);
  }

  private get isSlow(): boolean {
    return this.tookMs > SLOW_MS && this.hasCompany();
  }

  private get maxInFlight(): number {
    if (this.finished !== undefined) return MAX_IN_FLIGHT_AT_END;
    return this.isSlow ? 1 : MAX_IN_FLIGHT;
  }

  private proceed(): void {
    while (this.pause === undefined && this.inFlight < this.maxInFlight) {
      const [next] = this.waiting.values();
      if (next === undefined) break;
      this.waiting.delete(next.lease);
      this.send(next);
      if (this.finished === undefined && !this.isSlow) this.rest(PAUSE_MS);
    }
    if (this.inFlight === 0 && this.waiting.size === 0) this.finished?.();
  }

  private rest(forMs: number): void {
    clearTimeout(this.pause);
    this.pause = setTimeout(() => {
      this.pause = undefined;
      this.proceed();
    }, forMs);
  }

  private send({ lease, done }: Waiting): void {
    this.inFlight++;
    const sentAtMs = performance.now();
    this.client.call(LeaseService.leaseRevoke, { ID: lease }, TIMEOUT_MS, (failure) => {
      this.inFlight--;
      this.tookMs += LATEST_COUNTS * (performance.now() - sentAtMs - this.tookMs);
      if (this.finished === undefined && this.isSlow) this.rest(this.tookMs * PAUSES_PER_SLOW_REVOKE);
      done(failure === null || isGone(failure));
      this.proceed();
    });
  }

  private lookLater(): void {
    this.lookingAfter ??= setTimeout(() => this.keepWaiting(), LOOK_EVERY_MS);
  }

  /** Renews those that wait, while etcd is slow, before they expire. */
  private keepWaiting(): void {
    this.lookingAfter = undefined;
    if (this.waiting.size === 0) return;
    const nowMs = performance.now();
    let count = 0;
    if (this.isSlow && this.finished === undefined)
      for (const waiting of this.waiting.values()) {
        if (waiting.renewAtMs > nowMs) continue;
        this.renew(waiting);
        if (++count === RENEW_AT_ONCE) break;
      }
    this.lookLater();
  }

  private renew(waiting: Waiting): void {
    // Not again before this one is answered.
    waiting.renewAtMs = Number.POSITIVE_INFINITY;
    this.renewals.renew(waiting.lease, (outcome) => {
      if (outcome.kind === "renewed") waiting.renewAtMs = performance.now() + (outcome.ttlSeconds * 1_000) / 2;
      else if (outcome.kind === "unavailable") waiting.renewAtMs = performance.now() + FIRST_RENEWAL_MS;
      else if (this.waiting.delete(waiting.lease)) waiting.done(true);
    });
  }
}

/** A lease that etcd does not know is as revoked as can be: ids are never used again. */
const isGone = ({ details }: CallFailure) => details.includes("requested lease not found");
