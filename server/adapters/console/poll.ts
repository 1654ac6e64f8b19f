/** The share of the time that a poll may take. */
const BUSY_SHARE = 20;

/**
 * Asks again and again, and keeps the latest answer: once for all pages that show it. A question that takes long is
 * asked less often.
 */
export class Poll<Value> {
  /** The latest answer. `undefined`: there is none yet. */
  latest: Value | undefined;
  readonly #ask: () => Promise<Value>;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(ask: () => Promise<Value>, everyMs: number) {
    this.#ask = ask;
    this.#everyMs = everyMs;
    this.#next(0);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #next(afterMs: number): void {
    this.#timer = setTimeout(() => {
      const startedAtMs = performance.now();
      void this.#ask().then((answer) => {
        if (this.#closed) return;
        this.latest = answer;
        this.#next(Math.max(this.#everyMs, BUSY_SHARE * (performance.now() - startedAtMs)));
      });
    }, afterMs).unref();
  }
}
