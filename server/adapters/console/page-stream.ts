import type { ServerResponse } from "node:http";
import type { Feed } from "./feed.ts";

const PUMP_EVERY_MS = 100;
const TICK_EVERY_MS = 1_000;
/** A page that has read nothing for so long is gone, or as good as gone. */
const DEAD_AFTER_MS = 20_000;

/**
 * The one stream of a page: server-sent events, one for each frame of its feeds, and a tick each second that shows
 * that it lives. Of what the page has not read at most one frame is kept; while it does not read nothing is taken
 * from the feeds. It ends when the page goes, does not read for 20 s, or the server closes its connections.
 */
export class PageStream {
  readonly #response: ServerResponse;
  readonly #feeds: ReadonlyMap<string, Feed>;
  readonly #timer: NodeJS.Timeout;
  #blockedSinceMs: number | undefined;
  #tickedAtMs = Number.NEGATIVE_INFINITY;

  constructor(response: ServerResponse, feeds: ReadonlyMap<string, Feed>, hello: object) {
    this.#response = response;
    this.#feeds = feeds;
    this.#timer = setInterval(() => this.#pump(), PUMP_EVERY_MS);
    response.on("drain", () => {
      this.#blockedSinceMs = undefined;
      this.#pump();
    });
    response.on("error", () => response.destroy());
    response.once("close", () => {
      clearInterval(this.#timer);
      for (const feed of feeds.values()) feed.close();
    });
    this.#send("hello", JSON.stringify(hello));
    this.#pump();
  }

  #pump(): void {
    const nowMs = performance.now();
    if (this.#blockedSinceMs !== undefined) {
      if (nowMs - this.#blockedSinceMs > DEAD_AFTER_MS) this.#response.destroy();
      return;
    }
    if (nowMs - this.#tickedAtMs >= TICK_EVERY_MS) {
      this.#tickedAtMs = nowMs;
      this.#send("tick", JSON.stringify({ atMs: Date.now() }));
    }
    for (const [topic, feed] of this.#feeds) this.#drain(topic, feed, nowMs);
  }

  #drain(topic: string, feed: Feed, nowMs: number): void {
    while (this.#blockedSinceMs === undefined) {
      const frame = feed.take(nowMs);
      if (frame === undefined) return;
      this.#send(topic, frame);
    }
  }

  #send(event: string, text: string): void {
    if (!this.#response.write(`event: ${event}\ndata: ${text}\n\n`)) this.#blockedSinceMs = performance.now();
  }
}
