import type { Feed } from "./feed.ts";
import type { Services } from "./services.ts";

/** Samples kept for pages that come: 15 minutes. */
const MAX_SAMPLES = 900;
const FRAME_SAMPLES = 100;

interface SampleJson {
  readonly at?: string;
}

/** What the server counted, second by second: followed once for all pages, each sample turned into text once. */
export class Statistics {
  readonly #end: () => void;
  readonly #samples: { readonly atMs: number; readonly text: string }[] = [];
  /** How many samples there were before the oldest that is kept. */
  #dropped = 0;

  constructor(services: Services) {
    this.#end = services.watchStatistics((samples) => {
      for (const sample of samples as readonly SampleJson[])
        this.#samples.push({ atMs: Date.parse(sample.at ?? ""), text: JSON.stringify(sample) });
      const excess = this.#samples.length - MAX_SAMPLES;
      if (excess > 0) this.#dropped += this.#samples.splice(0, excess).length;
    });
  }

  /** The number of the first sample after a moment. */
  firstAfter(afterMs: number): number {
    const index = this.#samples.findIndex(({ atMs }) => atMs > afterMs);
    return this.#dropped + (index === -1 ? this.#samples.length : index);
  }

  /** Samples from a number on, and the number of the one after them. Those not kept any more are left out. */
  from(number: number): { readonly texts: readonly string[]; readonly next: number } {
    const index = Math.max(0, number - this.#dropped);
    const texts = this.#samples.slice(index, index + FRAME_SAMPLES).map(({ text }) => text);
    return { texts, next: this.#dropped + index + texts.length };
  }

  close(): void {
    this.#end();
  }
}

/** What was counted since the page last heard of it. */
export class StatisticsFeed implements Feed {
  readonly #statistics: Statistics;
  readonly #close: () => void;
  readonly #afterMs: number;
  #next: number | undefined;

  constructor(statistics: Statistics, afterMs: number, close: () => void) {
    this.#statistics = statistics;
    this.#afterMs = afterMs;
    this.#close = close;
  }

  take(): string | undefined {
    this.#next ??= this.#statistics.firstAfter(this.#afterMs);
    const { texts, next } = this.#statistics.from(this.#next);
    this.#next = next;
    return texts.length === 0 ? undefined : `{"samples":[${texts.join(",")}]}`;
  }

  close(): void {
    this.#close();
  }
}
