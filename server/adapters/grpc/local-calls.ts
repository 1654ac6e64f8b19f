import type { Reason } from "../../core/reason.ts";
import type { Answer, WatchQuery } from "../../engine/lock-engine.ts";
import {
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
  StatisticsSample,
} from "../../gen/holdfast/v1/admin_service.ts";
import { GetLockRequest, GetLockResponse, Lock } from "../../gen/holdfast/v1/lock_service.ts";
import { getSession, getStatus, getWaitGraph, listEvents, listSessions } from "./admin.ts";
import { toSample } from "./admin-views.ts";
import type { Edge } from "./edge.ts";
import { getLock } from "./reads.ts";
import type { Read, Reply } from "./reply.ts";
import { NO_BYTES, toLock } from "./views.ts";

/** What came of a call: the response as JSON, with 64-bit numbers as strings, or why there is none. */
export type LocalAnswer =
  | { readonly kind: "ok"; readonly json: unknown }
  | { readonly kind: "failed"; readonly reason: Reason; readonly message: string };

/** A place in `WatchLocks`, as `LockWatch`, with the locks as JSON and without values. */
export interface LocalLockWatch {
  take(limit: number): { readonly locks: readonly unknown[]; readonly caughtUp: boolean };
  close(): void;
}

/** Samples taken at once. */
const SAMPLES = 60;

/** Who calls, from wherever. */
export interface LocalCaller {
  readonly peer: string;
  readonly local: boolean;
  readonly token: string;
}

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
  change(_name: string, _request: object, _caller: LocalCaller): Promise<LocalAnswer> {
    return this.#run(undefined, {});
  }

  /** Follows locks. `ready` is called whenever `take` has something new after it had nothing. */
  watchLocks(query: WatchQuery, ready: () => void): LocalLockWatch {
    const watch = this.#edge.engine.watchLocks(query, ready);
    return {
      take(limit) {
        const { locks, caughtUp } = watch.take(limit);
        return { locks: locks.map((view) => Lock.toJSON(withoutValues(toLock(view)))), caughtUp };
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

  /** Whether somebody may change anything. */
  access({ local }: LocalCaller): { readonly allowed: boolean; readonly problem: string; readonly byToken: boolean } {
    const problem = "Read-only: you come from another machine, and this server has no token for changes from there.";
    return { allowed: local, problem: local ? "" : problem, byToken: false };
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
    read(edge, request.fromJSON(json), reply);
  };
}

function fault(edge: Edge, error: unknown): LocalAnswer {
  const problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
  edge.log.event("error", "local_call.failed", { problem });
  return { kind: "failed", reason: "internal", message: "a fault of the server, which has logged it" };
}

/** Values may be large, and are shown only with one lock. */
const withoutValues = (lock: Lock): Lock => ({
  ...lock,
  holders: lock.holders.map((claim) => ({ ...claim, value: NO_BYTES })),
});
