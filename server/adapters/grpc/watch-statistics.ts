import type { ServerWritableStream } from "@grpc/grpc-js";
import { type WatchStatisticsRequest, WatchStatisticsResponse } from "../../gen/holdfast/v1/admin_service.ts";
import { toSample } from "./admin-views.ts";
import type { Edge } from "./edge.ts";
import { encode } from "./encode.ts";
import { failure } from "./failure.ts";
import { type Followed, FollowingCall } from "./following-call.ts";
import type { Received } from "./received.ts";

export type EncodedStatistics = ServerWritableStream<Received<WatchStatisticsRequest>, Buffer>;

/** Samples in one message: some ten kilobytes when much happens. */
const SAMPLES = 60;

/** Handles a call of `WatchStatistics`. */
export function handleWatchStatistics(edge: Edge, call: EncodedStatistics): void {
  if ("problem" in call.request) call.emit("error", failure("invalid", call.request.problem));
  else if (edge.calls.draining) edge.calls.turnAway(call);
  else new FollowingCall(edge, call, (ready) => followStatistics(edge, ready)).start();
}

/** The samples, of which a slow reader misses those that are forgotten meanwhile. */
function followStatistics({ admin: { engine } }: Edge, ready: () => void): Followed {
  const watch = engine.watchStatistics(ready);
  return {
    take() {
      const samples = watch.take(SAMPLES);
      if (samples.length === 0) return [];
      const { serverId } = engine;
      const bytes = encode(WatchStatisticsResponse, { serverId, samples: samples.map(toSample) });
      return [Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)];
    },
    close: () => watch.close(),
  };
}
