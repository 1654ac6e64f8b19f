import type { RenewOutcome } from "../../ports/store.ts";
import type { EtcdClient } from "./client.ts";
import { type Renewal, RenewalStream } from "./renewal-stream.ts";

/** Renewing a lease that has expired and is not yet revoked blocks all behind it: so not all are behind one. */
const STREAMS = 8;

/** A place whose stream broke stays empty for so long, so that a dead etcd is not asked thousands of times a second. */
const REST_MS = 100;

/** A stream that answers nothing for this part of the time that a renewal has is suspected of being blocked. */
const STALLED_AFTER = 1 / 4;
/** How often in that time streams are looked at. */
const LOOKS_PER_STALL = 5;
/** When nothing is answered on any stream, etcd itself stands still, and to be asked ever more does not help it. */
const MAX_MOVES = 3;

interface Place {
  stream: RenewalStream | undefined;
  restUntilMs: number;
}

export interface RenewalOptions {
  readonly client: EtcdClient;
  /** How long a renewal may take, on however many streams. */
  readonly timeoutMs: number;
  readonly onTrouble: (why: string) => void;
  /** Over how many streams they are spread. Absent: 8. */
  readonly streams?: number;
}

/**
 * Renews leases over several streams to the member in use, each request on the stream that owes least.
 *
 * A stream that owes something and answers nothing for too long is put aside: the request that it may be blocked by waits on, and
 * those behind it go elsewhere, so that one lease that has expired costs the others a quarter of their time and not
 * all of it. What a stream owes that breaks goes elsewhere too, and so to another member if there is another by then:
 * to renew twice does no harm. What is not answered in time is `unavailable`.
 */
export class Renewals {
  private readonly options: RenewalOptions;
  private readonly places: readonly Place[];
  private next = 0;
  /** Streams that take nothing more: blocked, perhaps, or to a member that is not in use any more. */
  private readonly aside = new Set<RenewalStream>();
  /** All that are wanted, in the order in which their time is up. */
  private readonly pending = new Set<Renewal>();
  /** Those for which there is no stream now. */
  private homeless: Renewal[] = [];
  private looking: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(options: RenewalOptions) {
    this.options = options;
    this.places = Array.from({ length: options.streams ?? STREAMS }, () => ({ stream: undefined, restUntilMs: 0 }));
  }

  /** As `Store.renewLease`. */
  renew(lease: bigint, done: (outcome: RenewOutcome) => void): void {
    if (this.closed) {
      setImmediate(done, { kind: "unavailable" });
      return;
    }
    const renewal: Renewal = {
      lease,
      done,
      untilMs: performance.now() + this.options.timeoutMs,
      on: undefined,
      moves: 0,
    };
    this.pending.add(renewal);
    this.send(renewal);
    this.lookLater();
  }

  /** Ends all streams; what they owe is unavailable. */
  close(): void {
    this.closed = true;
    clearTimeout(this.looking);
    for (const { stream } of this.places) stream?.close();
    for (const stream of this.aside) stream.close();
    for (const renewal of this.pending) this.settle(renewal, { kind: "unavailable" });
  }

  private send(renewal: Renewal): void {
    const place = this.choose();
    if (place === undefined) {
      renewal.on = undefined;
      this.homeless.push(renewal);
      return;
    }
    place.stream ??= this.open();
    place.stream.send(renewal);
  }

  /** The place that owes least, in turn among equals; `undefined`: all rest. */
  private choose(): Place | undefined {
    const nowMs = performance.now();
    const count = this.places.length;
    let best: Place | undefined;
    for (let i = 0; i < count; i++) {
      const place = this.places[(this.next + i) % count]!;
      if (place.restUntilMs > nowMs) continue;
      this.leaveMember(place);
      if (best === undefined || owedBy(place) < owedBy(best)) best = place;
    }
    this.next = (this.next + 1) % count;
    return best;
  }

  /** A stream to a member that is not in use any more finishes what it owes. */
  private leaveMember(place: Place): void {
    const { stream } = place;
    if (stream === undefined || stream.connection === this.options.client.connection) return;
    place.stream = undefined;
    this.aside.add(stream);
  }

  private open(): RenewalStream {
    return new RenewalStream(this.options.client, {
      answered: (renewal, outcome) => this.settle(renewal, outcome),
      broken: (stream, why) => this.broken(stream, why),
    });
  }

  private broken(stream: RenewalStream, why: string): void {
    this.aside.delete(stream);
    const place = this.places.find((each) => each.stream === stream);
    if (place !== undefined) {
      place.stream = undefined;
      place.restUntilMs = performance.now() + REST_MS;
    }
    if (this.closed) return;
    this.options.onTrouble(why);
    for (const renewal of stream.wanted) this.send(renewal);
  }

  private settle(renewal: Renewal, outcome: RenewOutcome): void {
    const { done } = renewal;
    renewal.done = undefined;
    this.pending.delete(renewal);
    done?.(outcome);
  }

  private lookLater(): void {
    const stalledMs = this.options.timeoutMs * STALLED_AFTER;
    this.looking ??= setTimeout(() => this.look(stalledMs), stalledMs / LOOKS_PER_STALL);
  }

  private look(stalledMs: number): void {
    this.looking = undefined;
    const nowMs = performance.now();
    for (const renewal of this.pending) {
      if (renewal.untilMs > nowMs) break;
      this.settle(renewal, { kind: "unavailable" });
    }
    for (const place of this.places) {
      if (place.stream !== undefined && place.stream.standsStillSinceMs + stalledMs <= nowMs) this.putAside(place);
    }
    for (const renewal of this.homeless.splice(0)) if (renewal.done !== undefined) this.send(renewal);
    for (const stream of this.aside) {
      if (stream.wanted.length > 0) continue;
      stream.close();
      this.aside.delete(stream);
    }
    if (this.pending.size > 0 || this.aside.size > 0) this.lookLater();
  }

  /** Sends elsewhere what waits behind the request that its stream may be blocked by. */
  private putAside(place: Place): void {
    const stream = place.stream!;
    place.stream = undefined;
    this.aside.add(stream);
    const [, ...behind] = stream.wanted;
    const movable = behind.filter(({ moves }) => moves < MAX_MOVES);
    const waitedMs = Math.round(performance.now() - stream.standsStillSinceMs);
    this.options.onTrouble(
      `a lease was not renewed for ${waitedMs} ms; ${movable.length} that waited behind it go elsewhere`,
    );
    for (const renewal of movable) {
      renewal.moves++;
      this.send(renewal);
    }
  }
}

const owedBy = (place: Place) => place.stream?.owedCount ?? 0;
