import type { Http2Session } from "node:http2";
import type { ServerWritableStream } from "@grpc/grpc-js";
import type { Edge } from "./edge.ts";
import { goesAway } from "./failure.ts";
import { http2StreamOf, resetIfLingering } from "./http2-stream.ts";
import type { OpenCall } from "./open-calls.ts";
import type { Flushable } from "./turn.ts";

/** What a call follows. */
export interface Followed {
  /** What there is to send now, as encoded messages; none: nothing. What is taken is sent. */
  take(): readonly Buffer[];
  close(): void;
}

/**
 * A call that sends what happens until it ends. It takes more only when the connection has taken what it was given
 * before, so a slow reader misses what lies between and holds nothing up. It ends when the client cancels, its connection
 * dies or its deadline passes ("cancelled" for all of them), or when the server goes away (`drain`).
 */
export class FollowingCall implements OpenCall, Flushable {
  readonly connection: Http2Session | undefined;
  readonly #edge: Edge;
  readonly #call: ServerWritableStream<unknown, Buffer>;
  readonly #follow: (ready: () => void) => Followed;
  #followed: Followed | undefined;
  #asked = false;
  #sending = false;

  /** `follow` is called by `start`, and calls `ready` whenever there is something to take after there was nothing. */
  constructor(edge: Edge, call: ServerWritableStream<unknown, Buffer>, follow: (ready: () => void) => Followed) {
    this.connection = http2StreamOf(call).session;
    this.#edge = edge;
    this.#call = call;
    this.#follow = follow;
  }

  start(): void {
    this.#edge.calls.add(this);
    this.#call.once("cancelled", () => this.#close());
    this.#followed = this.#follow(() => this.#flushAtEnd());
    this.#flushAtEnd();
  }

  drain(): void {
    this.leave();
  }

  leave(): void {
    this.#close();
    const stream = http2StreamOf(this.#call);
    this.#call.emit("error", goesAway());
    resetIfLingering(stream, this.#edge.limits.lingerMs);
  }

  #close(): void {
    this.#edge.calls.delete(this);
    this.#followed?.close();
    this.#followed = undefined;
  }

  #flushAtEnd(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#edge.turn.atEnd(this);
  }

  /** Takes what there is, sends it, and comes again when that has gone out. */
  flush(): void {
    this.#asked = false;
    if (this.#sending || this.#followed === undefined) return;
    const frames = this.#followed.take();
    const last = frames.at(-1);
    if (last === undefined) return;
    this.#sending = true;
    for (const frame of frames.slice(0, -1)) this.#call.write(frame);
    this.#call.write(last, () => {
      this.#sending = false;
      this.#flushAtEnd();
    });
  }
}
