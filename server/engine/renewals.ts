import type { Session } from "../core/session.ts";
import type { SessionHost } from "../core/session-host.ts";
import type { Store } from "../ports/store.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import { deadlineOf } from "./deadlines.ts";

/** How old the proof that the table is current may be for an ack (DESIGN 4.7). */
const CURRENT_WITHIN_MS = 2000;

/** A proof that the client lives, waiting for its renewal. */
interface Proof {
  readonly atMs: number;
  /** The heartbeat to answer; `undefined`: none, its transport answered a ping. */
  readonly seq: bigint | undefined;
}

interface Renewal {
  inFlight: boolean;
  next: Proof | undefined;
  lastSeq: bigint;
  /** When the last heartbeat came, in monotonic milliseconds; the first has none before it, and cannot be late. */
  lastAtMs: number;
}

/** A heartbeat is late when it comes after so much of the TTL: it is asked for each third. */
const LATE_AFTER = 0.5;

/**
 * Renews leases for what proves their clients alive, and for nothing else: by a request sent after the proof
 * arrived, answered only when etcd has confirmed. One request at a time for each session; of the proofs that
 * come meanwhile the last speaks for all.
 */
export class Renewals {
  private readonly host: SessionHost;
  private readonly store: Store;
  private readonly telemetry: Telemetry;
  private readonly provenAtMs: () => number;
  private readonly confirmed: (session: Session) => void;
  private readonly renewals = new Map<Session, Renewal>();

  /** `provenAtMs`: when the table last was current. `confirmed`: told each session that has been renewed. */
  constructor(
    host: SessionHost,
    store: Store,
    telemetry: Telemetry,
    provenAtMs: () => number,
    confirmed: (session: Session) => void,
  ) {
    this.host = host;
    this.store = store;
    this.telemetry = telemetry;
    this.provenAtMs = provenAtMs;
    this.confirmed = confirmed;
  }

  /** A heartbeat came. Returns what is wrong with it, if so. */
  heartbeat(session: Session, seq: bigint): string | undefined {
    const renewal = this.of(session);
    if (seq <= renewal.lastSeq) return `heartbeat.seq ${seq} is not larger than ${renewal.lastSeq}: count upwards`;
    renewal.lastSeq = seq;
    const nowMs = this.host.nowMs();
    const sinceMs = nowMs - renewal.lastAtMs;
    if (sinceMs > session.record.ttlMs * LATE_AFTER)
      this.telemetry.note({ kind: "heartbeat.late", session, sinceMs: Math.round(sinceMs) });
    renewal.lastAtMs = nowMs;
    this.renew(session, renewal, { atMs: nowMs, seq });
    return undefined;
  }

  /** The client's transport answered a ping. */
  proven(session: Session): void {
    const renewal = this.of(session);
    this.renew(session, renewal, { atMs: this.host.nowMs(), seq: renewal.next?.seq });
  }

  forget(session: Session): void {
    this.renewals.delete(session);
  }

  private of(session: Session): Renewal {
    let renewal = this.renewals.get(session);
    if (renewal === undefined) {
      renewal = { inFlight: false, next: undefined, lastSeq: -1n, lastAtMs: this.host.nowMs() };
      this.renewals.set(session, renewal);
    }
    return renewal;
  }

  private renew(session: Session, renewal: Renewal, proof: Proof): void {
    renewal.next = proof;
    // Past its deadline a session is about to be ended: renewing it could wait for ever behind its own expiry.
    if (renewal.inFlight || !session.isOpen || this.host.nowMs() > session.deadlineMs) return;
    renewal.inFlight = true;
    renewal.next = undefined;
    const sentAtMs = this.host.nowMs();
    this.store.renewLease(session.lease, (outcome) => {
      renewal.inFlight = false;
      this.telemetry.note({ kind: "lease.renewed", outcome: outcome.kind, tookMs: this.host.nowMs() - sentAtMs });
      if (outcome.kind === "renewed") this.confirm(session, proof);
      if (renewal.next !== undefined && this.renewals.has(session)) this.renew(session, renewal, renewal.next);
    });
  }

  private confirm(session: Session, proof: Proof): void {
    if (!session.isOpen || !this.host.table.sessions.has(session.id)) return;
    // A watch that is silent and stale may hide that the session is gone or another's.
    if (this.host.nowMs() - this.provenAtMs() > CURRENT_WITHIN_MS) return;
    const { ttlMs } = session.record;
    session.prolong(deadlineOf(proof.atMs, ttlMs));
    if (proof.seq !== undefined && session.stream !== undefined)
      this.host.send(session.stream, { kind: "heartbeat-ack", seq: proof.seq, validForMs: ttlMs });
    this.confirmed(session);
  }
}
