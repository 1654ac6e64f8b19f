/** A part of what a page follows, in frames of text that the page puts together again. */
export interface Feed {
  /**
   * The next frame: JSON without line breaks. `undefined`: there is nothing now; it is asked again a little later.
   * What is not taken is not kept: a slow page gets the latest state, and misses only steps between.
   */
  take(nowMs: number): string | undefined;
  close(): void;
}

/** Something wrong with a part, for the page to say in its place. */
export const problemFrame = (message: string): string => JSON.stringify({ problem: message });
