import type { LockView } from "../../core/frames.ts";
import type { Reason } from "../../core/reason.ts";
import type { Answer, WatchQuery } from "../../engine/lock-engine.ts";
import {
  CloseSessionRequest,
  CloseSessionResponse,
  GetSessionRequest,
  GetSessionResponse,
  GetStatusRequest,
  GetStatusResponse,
  GetWaitGraphRequest,
  GetWaitGraphResponse,
  ListEventsRequest,
  ListEventsResponse,
  ListSessionsRequest,
  ListSessionsResponse,
  ReleaseLockRequest,
  ReleaseLockResponse,
  StatisticsSample,
} from "../../gen/holdfast/v1/admin_service.ts";
import { GetLockRequest, GetLockResponse, Lock } from "../../gen/holdfast/v1/lock_service.ts";
import type { Caller } from "./access.ts";
import { getSession, getStatus, getWaitGraph, listEvents, listSessions } from "./admin.ts";
import { closeSession, releaseLock } from "./admin-changes.ts";
import { toSample } from "./admin-views.ts";
import type { Edge } from "./edge.ts";
import { getLock } from "./reads.ts";
import { guarded, type Read, type Reply } from "./reply.ts";
import { NO_BYTES, toLock } from "./views.ts";

/** What came of a call: the response as JSON, with 64-bit numbers as strings, or why there is none. */
export type LocalAnswer =
  | { readonly kind: "ok"; readonly json: unknown }
  | { readonly kind: "failed"; readonly reason: Reason; readonly message: string };

/** A lock of a `LocalLockWatch`: JSON is made of it only if it is wanted, since thousands may change in a second. */
export interface LocalLock {
  readonly name: string;
  readonly holderCount: number;
  readonly waiterCount: number;
  toJson(): unknown;
}

/** A place in `WatchLocks`, as `LockWatch`; without values unless one lock is followed by its name. */
export interface LocalLockWatch {
  take(limit: number): { readonly locks: readonly LocalLock[]; readonly caughtUp: boolean };
  close(): void;
}

/** Samples taken at once. */
const SAMPLES = 60;

/** A call with everything but its request and reply. */
type Call = (edge: Edge, request: unknown, done: (answer: LocalAnswer) => void) => void;

/** The very functions that answer the calls over the wire, with JSON around them. */
const reads: ReadonlyMap<string, Call> = new Map([
  ["GetLock", call(GetLockRequest, GetLockResponse, getLock)],
  ["ListSessions", call(ListSessionsRequest, ListSessionsResponse, listSessions)],
  ["GetSession", call(GetSessionRequest, GetSessionResponse, getSession)],
  ["GetStatus", call(GetStatusRequest, GetStatusResponse, getStatus)],
  ["ListEvents", call(ListEventsRequest, ListEventsResponse, listEvents)],
  ["GetWaitGraph", call(GetWaitGraphRequest, GetWaitGraphResponse, getWaitGraph)],
]);

/** Likewise what changes something, for whoever may. */
const changes: ReadonlyMap<string, (caller: Caller) => Call> = new Map([
  [
    "ReleaseLock",
    (caller: Caller) => call(ReleaseLockRequest, ReleaseLockResponse, guarded(releaseLock, caller, "ReleaseLock")),
  ],
  [
    "CloseSession",
    (caller: Caller) => call(CloseSessionRequest, CloseSessionResponse, guarded(closeSession, caller, "CloseSession")),
  ],
]);

/**
 * The services for a neighbour within this process, such as the console: in and out goes what the protos' JSON is,
 * and in between is what every other client gets.
 */
export class LocalCalls {
  readonly #edge: Edge;

  constructor(edge: Edge) {
    this.#edge = edge;
  }

  /** Calls a method that changes nothing. Never rejects: a fault of ours is logged and answered as `internal`. */
  read(name: string, request: object): Promise<LocalAnswer> {
    return this.#run(reads.get(name), request);
  }

  /** Calls a method that changes something, for somebody. Never rejects. */
  change(name: string, request: object, caller: Caller): Promise<LocalAnswer> {
    return this.#run(changes.get(name)?.(caller), request);
  }

  /** Follows locks. `ready` is called whenever `take` has something new after it had nothing. */
  watchLocks(query: WatchQuery, ready: () => void): LocalLockWatch {
    const watch = this.#edge.engine.watchLocks(query, ready);
    return {
      take(limit) {
        const { locks, caughtUp } = watch.take(limit);
        return { locks: locks.map((view) => localLock(view, query.name !== "")), caughtUp };
      },
      close: () => watch.close(),
    };
  }

  /** Tells what this server counts: first of each second that it remembers, then of each new one, until ended. */
  watchStatistics(take: (samples: readonly unknown[]) => void): () => void {
    const tell = () => {
      for (let samples = watch.take(SAMPLES); samples.length > 0; samples = watch.take(SAMPLES))
        take(samples.map((sample) => StatisticsSample.toJSON(toSample(sample))));
    };
    const watch = this.#edge.admin.engine.watchStatistics(tell);
    tell();
    return () => watch.close();
  }

  /** Whether somebody may change anything; if not, why, and whether showing a token would help. */
  access(caller: Caller): { readonly allowed: boolean; readonly problem: string; readonly byToken: boolean } {
    const { access } = this.#edge.admin;
    const permission = access.mayChange(caller);
    if (permission.kind === "granted") return { allowed: true, problem: "", byToken: false };
    return { allowed: false, problem: permission.message, byToken: access.takesToken };
  }

  #run(method: Call | undefined, request: object): Promise<LocalAnswer> {
    return new Promise((resolve) => {
      if (method === undefined)
        return resolve({ kind: "failed", reason: "internal", message: "not offered by this version of Holdfast" });
      try {
        method(this.#edge, request, resolve);
      } catch (error) {
        resolve(fault(this.#edge, error));
      }
    });
  }
}

interface RequestCodec<Request> {
  fromJSON(json: unknown): Request;
}

interface ResponseCodec<Response> {
  decode(bytes: Uint8Array): Response;
  toJSON(message: Response): unknown;
}

function call<Request, Response>(
  request: RequestCodec<Request>,
  response: ResponseCodec<Response>,
  read: Read<Request>,
): Call {
  return (edge, json, done) => {
    const reply: Reply = {
      fail: (reason, message) => done({ kind: "failed", reason, message }),
      answer: <Value>(answer: Answer<Value>, _lock: string, encode: (value: Value) => Uint8Array) => {
        if (answer.kind === "failed") return done(answer);
        try {
          done({ kind: "ok", json: response.toJSON(response.decode(encode(answer.value))) });
        } catch (error) {
          done(fault(edge, error));
        }
      },
    };
    const message = parsed(request, json);
    if (message === undefined) reply.fail("invalid", "a field of the request is not what it should be");
    else read(edge, message, reply);
  };
}

/** A request; `undefined` if a field is not what it should be, such as a number that is none. */
function parsed<Request>(request: RequestCodec<Request>, json: unknown): Request | undefined {
  try {
    return request.fromJSON(json);
  } catch {
    return undefined;
  }
}

function fault(edge: Edge, error: unknown): LocalAnswer {
  const problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
  edge.log.event("error", "local_call.failed", { problem });
  return { kind: "failed", reason: "internal", message: "a fault of the server, which has logged it" };
}

/** Values may be large. */
function localLock(view: LockView, withValues: boolean): LocalLock {
  const { name, holderCount, waiterCount } = view;
  return {
    name,
    holderCount,
    waiterCount,
    toJson: () => Lock.toJSON(withValues ? toLock(view) : withoutValues(toLock(view))),
  };
}

const withoutValues = (lock: Lock): Lock => ({
  ...lock,
  holders: lock.holders.map((claim) => ({ ...claim, value: NO_BYTES })),
});
