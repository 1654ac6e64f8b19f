import type { Session } from "../core/session.ts";
import type { Wake } from "../core/wake.ts";
import type { Clock } from "../ports/clock.ts";
import type { Telemetry } from "../ports/telemetry.ts";

/** A timer that fires so late has waited for a process that stood still. */
const PAUSE_MS = 100;
/** How long what was in the sockets when a deadline passed has to be read and confirmed by etcd. */
const READ_FIRST_MS = 100;

/** Ends sessions whose clients have not been proven alive in time. One timer for each. */
export class Deadlines {
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  private readonly wakes = new Map<Session, Wake>();
  private notedAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, telemetry: Telemetry) {
    this.clock = clock;
    this.telemetry = telemetry;
  }

  watch(session: Session): void {
    const atMs = session.deadlineMs + 1;
    this.wake(session, atMs, () => this.look(session, atMs));
  }

  /** It is over here, or another server's. Its deadline may be minutes away. */
  forget(session: Session): void {
    this.wakes.get(session)?.cancel();
    this.wakes.delete(session);
  }

  private look(session: Session, dueAtMs: number): void {
    if (!session.isOpen) return;
    const nowMs = this.clock.nowMs();
    this.notePause(nowMs, nowMs - dueAtMs);
    if (nowMs <= session.deadlineMs) return this.watch(session);
    // After a pause, however short it looks from here, heartbeats may be waiting in the sockets: they are read first.
    this.clock.endOfTurn(() => this.wake(session, this.clock.nowMs() + READ_FIRST_MS, () => this.judge(session)));
  }

  private judge(session: Session): void {
    if (!session.isOpen) return;
    if (this.clock.nowMs() <= session.deadlineMs) return this.watch(session);
    const { ttlMs } = session.record;
    session.end("session-expired", `nothing proved the client alive for the TTL of ${ttlMs} ms: open a new session`);
  }

  /** The one call that is pending for a session. */
  private wake(session: Session, atMs: number, fn: () => void): void {
    if (session.isOpen) this.wakes.set(session, this.clock.at(atMs, fn));
  }

  private notePause(nowMs: number, lateMs: number): void {
    if (lateMs <= PAUSE_MS || nowMs - this.notedAtMs <= lateMs) return;
    this.notedAtMs = nowMs;
    this.telemetry.note({ kind: "engine.paused", forMs: Math.round(lateMs) });
  }
}

/**
 * Until when a server keeps a session whose client was proven alive at `provenAtMs`: 1 % for clocks that run
 * at different rates, and 50 ms for the way. The client's own deadline is earlier (DESIGN 4.7, P5).
 */
export const deadlineOf = (provenAtMs: number, ttlMs: number): number => provenAtMs + ttlMs * 1.01 + 50;
