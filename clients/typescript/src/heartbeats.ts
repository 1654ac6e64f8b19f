import type { Instant } from "./validity.ts";

/** When to send heartbeats, and when those that are answered were sent. `seq` never restarts in a session. */
export class Heartbeats {
  readonly #intervalMs: number;
  #seq = 0n;
  #unanswered: { readonly seq: bigint; readonly sentAt: Instant }[] = [];
  /** When the next one is due. Monotonic milliseconds. */
  dueMs = Number.POSITIVE_INFINITY;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** Another stream carries them from now on; its `open` was sent then. What earlier streams answer means nothing. */
  restart(openSentAt: Instant): void {
    this.#unanswered = [];
    this.dueMs = openSentAt.nowMs + this.#intervalMs;
  }

  /** The `seq` to send now. */
  next(at: Instant): bigint {
    this.#seq += 1n;
    this.#unanswered.push({ seq: this.#seq, sentAt: at });
    this.dueMs = at.nowMs + this.#intervalMs;
    return this.#seq;
  }

  /** When the heartbeat that an ack answers was sent, and with it all before; `undefined` if none was. */
  answered(seq: bigint): Instant | undefined {
    const found = this.#unanswered.find((heartbeat) => heartbeat.seq === seq);
    if (found !== undefined) this.#unanswered = this.#unanswered.filter((heartbeat) => heartbeat.seq > seq);
    return found?.sentAt;
  }

  /** Whether one has waited a whole interval for its answer: the stream may be dead without a word. */
  isMute(nowMs: number): boolean {
    const oldest = this.#unanswered[0];
    return oldest !== undefined && nowMs - oldest.sentAt.nowMs >= this.#intervalMs;
  }
}
