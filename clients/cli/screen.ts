/** A terminal that is drawn on as a whole, until q or Ctrl-C, and is as it was afterwards. */
export class Screen implements Disposable {
  readonly #ending = new AbortController();

  constructor() {
    // The other screen, without a cursor.
    process.stdout.write("\u001b[?1049h\u001b[?25l");
    process.stdin.setRawMode?.(true);
    process.stdin.on("data", this.#typed).resume();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, this.#end);
  }

  get rows(): number {
    return process.stdout.rows ?? 24;
  }

  get columns(): number {
    return process.stdout.columns ?? 80;
  }

  /** Aborted when somebody wants it to end. */
  get ended(): AbortSignal {
    return this.#ending.signal;
  }

  /** Shows a text, whose lines fit, in the place of what was there. */
  draw(text: string): void {
    const lines = text.split("\n").slice(0, this.rows);
    process.stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join("\r\n")}\u001b[J`);
  }

  /** Resolves when the time has passed, or at the end. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.ended.aborted) return resolve();
      const timer = setTimeout(done, ms);
      const { ended } = this;
      ended.addEventListener("abort", done);
      function done(): void {
        clearTimeout(timer);
        ended.removeEventListener("abort", done);
        resolve();
      }
    });
  }

  [Symbol.dispose](): void {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, this.#end);
    process.stdin.off("data", this.#typed).pause();
    process.stdin.setRawMode?.(false);
    process.stdout.write("\u001b[?25h\u001b[?1049l");
  }

  readonly #end = (): void => this.#ending.abort();

  readonly #typed = (keys: Buffer): void => {
    // Ctrl-C and Ctrl-D are keys like others here.
    if (["q", "Q", "\u0003", "\u0004"].some((key) => keys.includes(key))) this.#end();
  };
}
