/** Something that waits for the end of the turn of the event loop. */
export interface Flushable {
  flush(): void;
}

/**
 * Flushes, when what is ready in this turn of the event loop has been handled, everything that asked for it: one
 * wake-up for all streams, and for each of them one frame.
 */
export class Turn {
  #asked: Flushable[] = [];

  /** Calls `flush` once at the end of this turn. To be asked once a turn. */
  atEnd(flushable: Flushable): void {
    if (this.#asked.push(flushable) === 1) setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    const asked = this.#asked;
    this.#asked = [];
    for (const flushable of asked) flushable.flush();
  };
}
