import type { Http2Session } from "node:http2";
import type { ServerWritableStream } from "@grpc/grpc-js";
import type { LockView } from "../../core/frames.ts";
import { lockNameProblem } from "../../core/lock-name.ts";
import type { LockWatch, WatchQuery } from "../../engine/lock-engine.ts";
import { type WatchLocksRequest, WatchLocksResponse } from "../../gen/holdfast/v1/lock_service.ts";
import type { Edge } from "./edge.ts";
import { encode } from "./encode.ts";
import { failure, goesAway } from "./failure.ts";
import { http2StreamOf, resetIfLingering } from "./http2-stream.ts";
import type { OpenCall } from "./open-calls.ts";
import type { Received } from "./received.ts";
import type { Flushable } from "./turn.ts";
import { toLock } from "./views.ts";

export type EncodedWatch = ServerWritableStream<Received<WatchLocksRequest>, Buffer>;

const HOLDERS = 100;
const MAX_WAITERS = 100;
/** Locks taken at once: what is taken must be sent, so this bounds what a reader can leave with us. */
const TAKEN_LOCKS = 32;
/** The size at which a frame is sent rather than filled further. */
const FRAME_BYTES = 65_536;

/** Handles a call of `WatchLocks`. */
export function handleWatchLocks(edge: Edge, call: EncodedWatch): void {
  const query = "problem" in call.request ? call.request.problem : readQuery(call.request.message);
  if (typeof query === "string") call.emit("error", failure("invalid", query));
  else if (edge.calls.draining) edge.calls.turnAway(call);
  else new WatchCall(edge, call, query).start();
}

/** What is to be watched, or what is wrong with that. */
function readQuery({ prefix, name, maxWaiters }: WatchLocksRequest): WatchQuery | string {
  if (prefix !== "" && name !== "") return "prefix and name are both set: give one of them";
  const wrong = name === "" ? undefined : lockNameProblem(name);
  if (wrong !== undefined) return `name ${wrong}`;
  return { prefix, name, holderLimit: HOLDERS, waiterLimit: Math.min(maxWaiters, MAX_WAITERS) };
}

/**
 * A call of `WatchLocks`. It takes from the engine only when the connection has taken what it was given before, so a
 * slow reader misses steps and holds nothing up. It ends when the client cancels, its connection dies or its
 * deadline passes ("cancelled" for all of them), or when the server goes away (`drain`).
 */
class WatchCall implements OpenCall, Flushable {
  readonly connection: Http2Session | undefined;
  readonly #edge: Edge;
  readonly #call: EncodedWatch;
  readonly #query: WatchQuery;
  #watch: LockWatch | undefined;
  #asked = false;
  #sending = false;

  constructor(edge: Edge, call: EncodedWatch, query: WatchQuery) {
    this.connection = http2StreamOf(call).session;
    this.#edge = edge;
    this.#call = call;
    this.#query = query;
  }

  start(): void {
    this.#edge.calls.add(this);
    this.#call.once("cancelled", () => this.#close());
    this.#watch = this.#edge.engine.watchLocks(this.#query, () => this.#flushAtEnd());
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
    this.#watch?.close();
    this.#watch = undefined;
  }

  #flushAtEnd(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#edge.turn.atEnd(this);
  }

  /** Takes what there is, sends it, and comes again when that has gone out. */
  flush(): void {
    this.#asked = false;
    if (this.#sending || this.#watch === undefined) return;
    const { locks, caughtUp } = this.#watch.take(TAKEN_LOCKS);
    const frames = encodeFrames(locks, caughtUp);
    const last = frames.pop();
    if (last === undefined) return;
    this.#sending = true;
    for (const frame of frames) this.#call.write(frame);
    this.#call.write(last, () => {
      this.#sending = false;
      this.#flushAtEnd();
    });
  }
}

/** Messages of one lock each, one behind the other, are one with all the locks. */
function encodeFrames(locks: readonly LockView[], caughtUp: boolean): Buffer[] {
  const parts = locks.map((view) => encode(WatchLocksResponse, { locks: [toLock(view)], caughtUp: false }));
  if (caughtUp) parts.push(encode(WatchLocksResponse, { locks: [], caughtUp: true }));
  return joinUpTo(FRAME_BYTES, parts);
}

/** Joins byte strings, in order, into such of at most `limit` bytes; one that is larger stays by itself. */
function joinUpTo(limit: number, parts: readonly Uint8Array[]): Buffer[] {
  const joined: Buffer[] = [];
  let from = 0;
  let size = 0;
  for (const [index, part] of parts.entries()) {
    if (index > from && size + part.length > limit) {
      joined.push(Buffer.concat(parts.slice(from, index), size));
      from = index;
      size = 0;
    }
    size += part.length;
  }
  if (from < parts.length) joined.push(Buffer.concat(parts.slice(from), size));
  return joined;
}
