import type { Session } from "../core/session.ts";
import type { Clock } from "../ports/clock.ts";
import type { Telemetry } from "../ports/telemetry.ts";

/** A timer that fires so late has waited for a process that stood still. */
const PAUSE_MS = 100;
/** How long after a pause no deadline is judged: heartbeats that came meanwhile are still in the sockets. */
const READ_FIRST_MS = 100;

/** Ends sessions whose clients have not been proven alive in time. One timer for each. */
export class Deadlines {
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  private judgeFromMs = 0;

  constructor(clock: Clock, telemetry: Telemetry) {
    this.clock = clock;
    this.telemetry = telemetry;
  }

  watch(session: Session): void {
    const atMs = Math.max(session.deadlineMs + 1, this.judgeFromMs);
    this.clock.at(atMs, () => this.judge(session, atMs));
  }

  private judge(session: Session, dueAtMs: number): void {
    if (!session.isOpen) return;
    const nowMs = this.clock.nowMs();
    if (nowMs - dueAtMs > PAUSE_MS) {
      if (nowMs + READ_FIRST_MS > this.judgeFromMs + PAUSE_MS)
        this.telemetry.note({ kind: "engine.paused", forMs: Math.round(nowMs - dueAtMs) });
      this.judgeFromMs = nowMs + READ_FIRST_MS;
    }
    if (nowMs <= session.deadlineMs || nowMs < this.judgeFromMs) return this.watch(session);
    const { ttlMs } = session.record;
    session.end("session-expired", `nothing proved the client alive for the TTL of ${ttlMs} ms: open a new session`);
  }
}

/**
 * Until when a server keeps a session whose client was proven alive at `provenAtMs`: 1 % for clocks that run
 * at different rates, and 50 ms for the way. The client's own deadline is earlier (DESIGN 4.7, P5).
 */
export const deadlineOf = (provenAtMs: number, ttlMs: number): number => provenAtMs + ttlMs * 1.01 + 50;
