import type { ServerWritableStream } from "@grpc/grpc-js";
import type { LockView } from "../../core/frames.ts";
import { lockNameProblem } from "../../core/lock-name.ts";
import type { WatchQuery } from "../../engine/lock-engine.ts";
import { type WatchLocksRequest, WatchLocksResponse } from "../../gen/holdfast/v1/lock_service.ts";
import type { Edge } from "./edge.ts";
import { encode } from "./encode.ts";
import { failure } from "./failure.ts";
import { type Followed, FollowingCall } from "./following-call.ts";
import type { Received } from "./received.ts";
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
  else new FollowingCall(edge, call, (ready) => followLocks(edge, query, ready)).start();
}

/** What is to be watched, or what is wrong with that. */
function readQuery({ prefix, name, maxWaiters }: WatchLocksRequest): WatchQuery | string {
  if (prefix !== "" && name !== "") return "prefix and name are both set: give one of them";
  const wrong = name === "" ? undefined : lockNameProblem(name);
  if (wrong !== undefined) return `name ${wrong}`;
  return { prefix, name, holderLimit: HOLDERS, waiterLimit: Math.min(maxWaiters, MAX_WAITERS) };
}

/** The locks that a query is about: what is taken of them is as it then is. */
function followLocks({ engine }: Edge, query: WatchQuery, ready: () => void): Followed {
  const watch = engine.watchLocks(query, ready);
  return {
    take() {
      const { locks, caughtUp } = watch.take(TAKEN_LOCKS);
      return encodeFrames(locks, caughtUp);
    },
    close: () => watch.close(),
  };
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
