import type { RenewOutcome } from "../../ports/store.ts";
import type { EtcdClient } from "./client.ts";
import { RenewalStream } from "./renewal-stream.ts";

/** Renewing a lease that has expired and is not yet revoked blocks all behind it: so not all are behind one. */
const STREAMS = 8;

/** A place whose stream broke stays empty for so long, so that a dead etcd is not asked thousands of times a second. */
const REST_MS = 100;

interface Place {
  stream: RenewalStream | undefined;
  restUntilMs: number;
}

/**
 * Renews leases over several streams, each request on the one that owes least. A stream that breaks, or that owes
 * one answer for longer than `timeoutMs`, is given up and replaced: what it owed is `unavailable`, and whatever
 * of that is asked for again goes to others.
 */
export class Renewals {
  private readonly client: EtcdClient;
  private readonly timeoutMs: number;
  private readonly onTrouble: (why: string) => void;
  private readonly places: readonly Place[] = Array.from({ length: STREAMS }, () => ({
    stream: undefined,
    restUntilMs: 0,
  }));
  private next = 0;
  private watchdog: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(client: EtcdClient, timeoutMs: number, onTrouble: (why: string) => void) {
    this.client = client;
    this.timeoutMs = timeoutMs;
    this.onTrouble = onTrouble;
  }

  /** As `Store.renewLease`. */
  renew(lease: bigint, done: (outcome: RenewOutcome) => void): void {
    const place = this.closed ? undefined : this.choose();
    if (place === undefined) {
      setImmediate(done, { kind: "unavailable" });
      return;
    }
    place.stream ??= this.open(place);
    place.stream.renew(lease, done);
    this.watchdog ??= setTimeout(() => this.check(), this.timeoutMs);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.watchdog);
    for (const { stream } of this.places) stream?.break("the store is closed");
  }

  /** The place that owes least, in turn among equals; `undefined`: all rest. */
  private choose(): Place | undefined {
    const nowMs = performance.now();
    let best: Place | undefined;
    for (let i = 0; i < STREAMS; i++) {
      const place = this.places[(this.next + i) % STREAMS]!;
      if (place.restUntilMs > nowMs) continue;
      if (best === undefined || owedBy(place) < owedBy(best)) best = place;
    }
    this.next = (this.next + 1) % STREAMS;
    return best;
  }

  private open(place: Place): RenewalStream {
    return new RenewalStream(this.client, (why) => {
      place.stream = undefined;
      place.restUntilMs = performance.now() + REST_MS;
      if (!this.closed) this.onTrouble(why);
    });
  }

  /** Gives up the streams that owe for too long; comes again when the next could be one. */
  private check(): void {
    this.watchdog = undefined;
    const nowMs = performance.now();
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const { stream } of this.places) {
      if (stream === undefined) continue;
      if (stream.oldestSentAtMs + this.timeoutMs <= nowMs) {
        stream.break(
          `a lease was not renewed within ${this.timeoutMs} ms, and ${stream.owedCount - 1} waited behind it`,
        );
      } else oldestMs = Math.min(oldestMs, stream.oldestSentAtMs);
    }
    if (oldestMs === Number.POSITIVE_INFINITY) return;
    this.watchdog = setTimeout(() => this.check(), Math.ceil(oldestMs + this.timeoutMs - nowMs));
  }
}

const owedBy = (place: Place) => place.stream?.owedCount ?? 0;
