import type { Clock } from "../../ports/clock.ts";

interface Lease {
  readonly ttlSeconds: number;
  readonly keys: Set<string>;
  expiresAtMs: number;
}

/** Leases that expire by a clock. */
export class MemoryLeases {
  private readonly clock: Clock;
  private readonly onExpired: (lease: bigint) => void;
  private readonly leases = new Map<bigint, Lease>();
  private lastId = 0n;

  constructor(clock: Clock, onExpired: (lease: bigint) => void) {
    this.clock = clock;
    this.onExpired = onExpired;
  }

  get count(): number {
    return this.leases.size;
  }

  has(id: bigint): boolean {
    return this.leases.has(id);
  }

  grant(ttlSeconds: number): bigint {
    const id = ++this.lastId;
    const expiresAtMs = this.clock.nowMs() + ttlSeconds * 1_000;
    this.leases.set(id, { ttlSeconds, keys: new Set(), expiresAtMs });
    this.expireAt(id, expiresAtMs);
    return id;
  }

  /** The TTL that it now has again; `undefined`: there is no such lease. */
  renew(id: bigint): number | undefined {
    const lease = this.leases.get(id);
    if (lease !== undefined) lease.expiresAtMs = this.clock.nowMs() + lease.ttlSeconds * 1_000;
    return lease?.ttlSeconds;
  }

  /** Forgets it, and tells which keys were bound to it. */
  take(id: bigint): readonly string[] {
    const keys = this.leases.get(id)?.keys ?? [];
    this.leases.delete(id);
    return [...keys];
  }

  attach(id: bigint, key: string): void {
    this.leases.get(id)?.keys.add(key);
  }

  detach(id: bigint, key: string): void {
    this.leases.get(id)?.keys.delete(key);
  }

  private expireAt(id: bigint, atMs: number): void {
    this.clock.at(atMs, () => {
      const lease = this.leases.get(id);
      if (lease === undefined) return;
      if (lease.expiresAtMs > this.clock.nowMs()) this.expireAt(id, lease.expiresAtMs);
      else this.onExpired(id);
    });
  }
}
