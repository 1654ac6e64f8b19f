import type { Http2Session } from "node:http2";
import type { LockEngine } from "../../engine/lock-engine.ts";
import type { SessionStream } from "../../ports/session-stream.ts";

/**
 * Proves `transport` sessions by HTTP/2 pings that their client's connection answers: one ping at a time for all
 * streams of a connection, each third of the shortest TTL among them.
 */
export class Pings {
  readonly #engine: LockEngine;
  readonly #connections = new WeakMap<Http2Session, PingedConnection>();

  constructor(engine: LockEngine) {
    this.#engine = engine;
  }

  /** Begins to prove a stream. It goes unproven, and its session ends, when its connection does not answer. */
  add(connection: Http2Session, stream: SessionStream, ttlMs: number): void {
    let pinged = this.#connections.get(connection);
    if (pinged === undefined) {
      pinged = new PingedConnection(connection, this.#engine);
      this.#connections.set(connection, pinged);
    }
    pinged.add(stream, ttlMs);
  }

  /** Ends it; harmless for a stream that was not added. */
  remove(connection: Http2Session, stream: SessionStream): void {
    this.#connections.get(connection)?.remove(stream);
  }
}

class PingedConnection {
  readonly #connection: Http2Session;
  readonly #engine: LockEngine;
  readonly #ttls = new Map<SessionStream, number>();
  #everyMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #unanswered = false;

  constructor(connection: Http2Session, engine: LockEngine) {
    this.#connection = connection;
    this.#engine = engine;
  }

  add(stream: SessionStream, ttlMs: number): void {
    this.#ttls.set(stream, ttlMs);
    if (ttlMs / 3 < this.#everyMs) this.#wait(ttlMs / 3);
  }

  remove(stream: SessionStream): void {
    this.#ttls.delete(stream);
    if (this.#ttls.size > 0) return;
    clearTimeout(this.#timer);
    this.#everyMs = Number.POSITIVE_INFINITY;
  }

  #wait(everyMs: number): void {
    clearTimeout(this.#timer);
    this.#everyMs = everyMs;
    this.#timer = setTimeout(this.#ping, everyMs);
  }

  readonly #ping = (): void => {
    let shortestMs = Number.POSITIVE_INFINITY;
    for (const ttlMs of this.#ttls.values()) shortestMs = Math.min(shortestMs, ttlMs);
    this.#wait(shortestMs / 3);
    if (this.#unanswered || this.#connection.destroyed) return;
    // A stream that is opened while the ping is under way was not there to be proven by it.
    const streams = [...this.#ttls.keys()];
    this.#unanswered = true;
    this.#connection.ping((error) => {
      this.#unanswered = false;
      if (error !== null) return;
      for (const stream of streams) if (this.#ttls.has(stream)) this.#engine.transportProven(stream);
    });
  };
}
