import type { PendingOperation } from "../core/group-commit.ts";
import { serverKey } from "../core/keys.ts";
import type { Operation, Settled } from "../core/operation.ts";
import type { ServerRecord } from "../core/records.ts";
import type { ServerTable } from "../core/server-table.ts";
import type { Clock } from "../ports/clock.ts";
import type { Store } from "../ports/store.ts";

/** For so long a server that died is still told of to clients, who then find nobody there. */
const LEASE_SECONDS = 10;
const RENEW_EVERY_MS = 3000;
const AGAIN_MS = 500;

/** What a server says of itself to the others. */
export interface ServerDescription {
  /** Where clients are told to reach it, as "host:port"; empty: they come through something that chooses. */
  readonly address: string;
  readonly version: string;
}

export interface RegistrationHost {
  readonly serverId: string;
  readonly servers: ServerTable;
  wallMs(): number;
  after(delayMs: number, then: () => void): void;
  submit(operation: PendingOperation): void;
  whenTable(revision: number, then: () => void): void;
  revokeLease(lease: bigint): void;
  note(note: { readonly kind: "server.registered"; readonly address: string; readonly again: boolean }): void;
}

/**
 * Keeps this server's own key in etcd, bound to a lease of its own, as it is to be: written, rewritten when it
 * drains, written again whenever it is gone without our doing (a lease that ran out while the server stood still, a
 * key that somebody deleted), and deleted at the end.
 *
 * It compares what is wanted with what the table shows, and does one thing at a time to bring them together. Each
 * write is guarded by what the table shows, so that one of unknown outcome that lands late can only fail.
 */
export class Registration {
  private readonly host: RegistrationHost;
  private readonly store: Store;
  private readonly clock: Clock;
  private state: "none" | "kept" | "ending" | "over" = "none";
  private record: ServerRecord | undefined;
  private lease: bigint | undefined;
  /** When etcd may take the lease to have run out: it is not renewed past it, since that could block (DESIGN 4.7). */
  private leaseEndsAtMs = 0;
  private busy = false;
  /** The lease with which it was last seen registered. */
  private toldLease: bigint | undefined;
  private ended: (() => void)[] = [];

  constructor(host: RegistrationHost, store: Store, clock: Clock) {
    this.host = host;
    this.store = store;
    this.clock = clock;
  }

  /** Registers the server, and keeps it registered. Once. */
  begin({ address, version }: ServerDescription): void {
    this.state = "kept";
    this.record = { address, version, startedAtMs: this.host.wallMs(), draining: false };
    this.settle();
    this.renewRegularly();
  }

  /** Tells the others that this server takes no more sessions. */
  drain(): void {
    if (this.state !== "kept" || this.record === undefined) return;
    this.record = { ...this.record, draining: true };
    this.settle();
  }

  /** The address that clients are told; empty: none, or it has not begun. Known before etcd has it. */
  get address(): string {
    return this.record?.address ?? "";
  }

  /** Whether nothing of it is left in etcd, as far as is known, nor will be written. */
  get isOver(): boolean {
    return this.state === "none" || this.state === "over";
  }

  /** Deletes the key; calls back when that is known, unless it `isOver` already. */
  end(done: () => void): void {
    if (this.isOver) return;
    this.ended.push(done);
    this.state = "ending";
    this.settle();
  }

  /** Writes and renews nothing any more: the store is not to be trusted, and the lease runs out by itself. */
  abandon(): void {
    this.over();
  }

  /** To be called when the table of servers has changed. */
  changed(): void {
    this.settle();
  }

  private settle(): void {
    if (this.busy || this.isOver) return;
    const { host, record, lease } = this;
    const there = host.servers.get(host.serverId);
    if (this.state === "ending") {
      if (there !== undefined) return this.write(there.modRevision, undefined);
      if (lease !== undefined) host.revokeLease(lease);
      return this.over();
    }
    if (there !== undefined && there.lease === lease && there.record.draining === record?.draining) {
      if (lease !== this.toldLease)
        host.note({ kind: "server.registered", address: there.record.address, again: this.toldLease !== undefined });
      this.toldLease = lease;
      return;
    }
    if (lease === undefined) return this.grant();
    this.write(there?.modRevision, record);
  }

  private over(): void {
    this.state = "over";
    this.lease = undefined;
    for (const done of this.ended.splice(0)) done();
  }

  private grant(): void {
    this.busy = true;
    const askedAtMs = this.clock.nowMs();
    this.store.grantLease(LEASE_SECONDS, (outcome) => {
      this.busy = false;
      if (outcome.kind !== "granted") return this.host.after(AGAIN_MS, () => this.settle());
      if (this.state !== "kept") this.host.revokeLease(outcome.lease);
      else this.lease = outcome.lease;
      this.leaseEndsAtMs = askedAtMs + outcome.ttlSeconds * 1000;
      this.settle();
    });
  }

  /** Writes the record, or deletes it, if the key is still as the table shows it. */
  private write(seen: number | undefined, record: ServerRecord | undefined): void {
    this.busy = true;
    const key = serverKey(this.host.serverId);
    const lease = this.lease ?? 0n;
    this.host.submit({
      // A put whose lease may be gone travels like an open: only with its kind.
      kind: record === undefined ? "delete" : "open",
      sessionId: "",
      keys: [key],
      locks: [],
      lanes: [],
      bytes: 500,
      build: (): Operation => ({
        guards: [seen === undefined ? { kind: "absent", key } : { kind: "modified", key, revision: seen }],
        writes: [
          record === undefined
            ? { kind: "delete", key }
            : { kind: "put", key, value: { kind: "server", record }, lease },
        ],
      }),
      settled: (outcome) => this.written(outcome),
    });
  }

  private written(outcome: Settled): void {
    this.busy = false;
    if (this.state === "over") return;
    if (outcome.kind === "lease-not-found") this.lease = undefined;
    if (outcome.kind === "applied" || outcome.kind === "refused")
      this.host.whenTable(outcome.revision, () => this.settle());
    else this.host.after(AGAIN_MS, () => this.settle());
  }

  private renewRegularly(): void {
    if (this.state !== "kept") return;
    this.host.after(RENEW_EVERY_MS, () => this.renewRegularly());
    const { lease } = this;
    if (lease === undefined) return;
    const sentAtMs = this.clock.nowMs();
    if (sentAtMs >= this.leaseEndsAtMs) {
      this.host.revokeLease(lease);
      return this.lost(lease);
    }
    this.store.renewLease(lease, (outcome) => {
      if (outcome.kind === "gone") this.lost(lease);
      else if (outcome.kind === "renewed" && this.lease === lease)
        this.leaseEndsAtMs = Math.max(this.leaseEndsAtMs, sentAtMs + outcome.ttlSeconds * 1000);
    });
  }

  private lost(lease: bigint): void {
    if (this.lease !== lease) return;
    this.lease = undefined;
    this.settle();
  }
}
