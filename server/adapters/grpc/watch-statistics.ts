import type { Http2Session } from "node:http2";
import type { ServerWritableStream } from "@grpc/grpc-js";
import type { StatisticsWatch } from "../../engine/statistics.ts";
import { type WatchStatisticsRequest, WatchStatisticsResponse } from "../../gen/holdfast/v1/admin_service.ts";
import { toSample } from "./admin-views.ts";
import type { Edge } from "./edge.ts";
import { encode } from "./encode.ts";
import { failure, goesAway } from "./failure.ts";
import { http2StreamOf, resetIfLingering } from "./http2-stream.ts";
import type { OpenCall } from "./open-calls.ts";
import type { Received } from "./received.ts";
import type { Flushable } from "./turn.ts";

export type EncodedStatistics = ServerWritableStream<Received<WatchStatisticsRequest>, Buffer>;

/** Samples in one message: some ten kilobytes when much happens. */
const SAMPLES = 60;

/** Handles a call of `WatchStatistics`. */
export function handleWatchStatistics(edge: Edge, call: EncodedStatistics): void {
  if ("problem" in call.request) call.emit("error", failure("invalid", call.request.problem));
  else if (edge.calls.draining) edge.calls.turnAway(call);
  else new StatisticsCall(edge, call).start();
}

/**
 * A call of `WatchStatistics`. Like one of `WatchLocks` it takes more only when the connection has taken what it was
 * given before, and a slow reader misses what is forgotten meanwhile. It ends as those do.
 */
class StatisticsCall implements OpenCall, Flushable {
  readonly connection: Http2Session | undefined;
  readonly #edge: Edge;
  readonly #call: EncodedStatistics;
  #watch: StatisticsWatch | undefined;
  #asked = false;
  #sending = false;

  constructor(edge: Edge, call: EncodedStatistics) {
    this.connection = http2StreamOf(call).session;
    this.#edge = edge;
    this.#call = call;
  }

  start(): void {
    this.#edge.calls.add(this);
    this.#call.once("cancelled", () => this.#close());
    this.#watch = this.#edge.admin.engine.watchStatistics(() => this.#flushAtEnd());
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

  flush(): void {
    this.#asked = false;
    if (this.#sending || this.#watch === undefined) return;
    const samples = this.#watch.take(SAMPLES);
    if (samples.length === 0) return;
    const { serverId } = this.#edge.admin.engine;
    const bytes = encode(WatchStatisticsResponse, { serverId, samples: samples.map(toSample) });
    this.#sending = true;
    this.#call.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), () => {
      this.#sending = false;
      this.#flushAtEnd();
    });
  }
}
