/** A moment, by both clocks. */
export interface Instant {
  /** Monotonic milliseconds: for everything that decides. Stands still while the machine is suspended. */
  readonly nowMs: number;
  /** Milliseconds since 1970: only to notice a suspended machine. */
  readonly wallMs: number;
}

/** Rates of clocks may differ by 1 % between client and server (DESIGN, P5). */
const RATE_MARGIN = 0.99;

/** A wall clock that gains more than this on the monotonic one means a suspended machine (DESIGN 4.7). */
const SUSPENDED_MS = 1000;

/**
 * How long a session may be believed: the validity deadline.
 *
 * Counted from when the proof was *sent*, so that it passes here before it passes at the server. What the wall
 * clock gained on the monotonic one since then counts as time that has passed.
 */
export class Validity {
  #deadlineMs = Number.NEGATIVE_INFINITY;
  /** How far the wall clock was ahead of the monotonic one at the proof, or since it was set back. */
  #aheadMs = 0;
  #gainedMs = 0;

  /** The server confirmed that the session is safe for `validForMs` from `sentAt`. Never shortens. */
  prove(sentAt: Instant, validForMs: number): void {
    const deadlineMs = sentAt.nowMs + validForMs * RATE_MARGIN;
    if (deadlineMs <= this.#deadlineMs) return;
    this.#deadlineMs = deadlineMs;
    this.#aheadMs = sentAt.wallMs - sentAt.nowMs;
    this.#gainedMs = 0;
  }

  /** Monotonic milliseconds, as of the last look. */
  get deadlineMs(): number {
    return this.#deadlineMs - this.#gainedMs;
  }

  /** Why the session may not be believed any more; `undefined` if it may. */
  problemAt(at: Instant): string | undefined {
    if (this.#deadlineMs === Number.POSITIVE_INFINITY) return undefined;
    const aheadMs = at.wallMs - at.nowMs;
    this.#aheadMs = Math.min(this.#aheadMs, aheadMs);
    this.#gainedMs = aheadMs - this.#aheadMs;
    if (this.#gainedMs > SUSPENDED_MS)
      return `the wall clock jumped ${Math.round(this.#gainedMs)} ms ahead, so the machine was probably suspended`;
    if (at.nowMs >= this.deadlineMs)
      return "no heartbeat was confirmed in time: the connection, the server or this program stood still";
    return undefined;
  }
}
