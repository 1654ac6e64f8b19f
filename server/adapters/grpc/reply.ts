import type { Http2Session } from "node:http2";
import type { ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import type { Reason } from "../../core/reason.ts";
import type { Answer } from "../../engine/lock-engine.ts";
import type { Caller } from "./access.ts";
import type { Edge } from "./edge.ts";
import { type ClaimEnd, failure } from "./failure.ts";
import { http2StreamOf } from "./http2-stream.ts";
import type { Received } from "./received.ts";

/** Where a read puts its one answer, however it was asked: over the wire, or from within this process. */
export interface Reply {
  /** Ends the call with the status of a reason. `lock` is empty unless it is about one lock; `end` goes with it. */
  fail(reason: Reason, message: string, lock?: string, end?: ClaimEnd): void;
  /** Ends the call with what the engine answered, as `encode` has it. */
  answer<Value>(answer: Answer<Value>, lock: string, encode: (value: Value) => Uint8Array): void;
}

/** The answer of a call over the wire. */
class CallReply implements Reply {
  readonly #edge: Edge;
  readonly #call: ServerUnaryCall<unknown, Buffer>;
  readonly #respond: sendUnaryData<Buffer>;

  constructor(edge: Edge, call: ServerUnaryCall<unknown, Buffer>, respond: sendUnaryData<Buffer>) {
    this.#edge = edge;
    this.#call = call;
    this.#respond = respond;
  }

  fail(reason: Reason, message: string, lock = "", end?: ClaimEnd): void {
    this.#respond(failure(reason, message, lock, end));
  }

  answer<Value>(answer: Answer<Value>, lock: string, encode: (value: Value) => Uint8Array): void {
    if (answer.kind === "failed") return this.fail(answer.reason, answer.message, lock);
    try {
      this.#send(encode(answer.value));
    } catch (error) {
      this.fault(error);
    }
  }

  /** Ends the call because of a fault of ours, which goes to the log and not to the client. */
  fault(error: unknown): void {
    const problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#edge.log.event("error", "read.failed", { method: this.#call.getPath(), problem });
    this.fail("internal", "a fault of the server, which has logged it");
  }

  #send(bytes: Uint8Array): void {
    const stream = http2StreamOf(this.#call);
    const connection = stream.session;
    if (connection === undefined || stream.destroyed) return;
    if (unreadBytes(connection) > this.#edge.limits.unreadAnswerBytes)
      return this.fail("client-too-slow", "earlier answers on this connection were not read: read them first");
    unread.set(connection, unreadBytes(connection) + bytes.length);
    stream.once("close", () => unread.set(connection, unreadBytes(connection) - bytes.length));
    this.#respond(null, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  }
}

/** How many bytes of answers a connection has been given that it did not take yet: each may be megabytes. */
const unread = new WeakMap<Http2Session, number>();
const unreadBytes = (connection: Http2Session): number => unread.get(connection) ?? 0;

/** What a read does with a request that is well-formed. It answers once, by `reply`. */
export type Read<Request> = (edge: Edge, request: Request, reply: Reply) => void;

/** Makes a handler for grpc-js of a read. */
export function handleRead<Request>(edge: Edge, read: Read<Request>) {
  return (call: ServerUnaryCall<Received<Request>, Buffer>, respond: sendUnaryData<Buffer>): void => {
    const reply = new CallReply(edge, call, respond);
    if ("problem" in call.request) return reply.fail("invalid", call.request.problem);
    try {
      read(edge, call.request.message, reply);
    } catch (error) {
      reply.fault(error);
    }
  };
}

/** What a change does, likewise, for a caller who may. `actor` names the caller. */
export type Change<Request> = (edge: Edge, request: Request, reply: Reply, actor: string) => void;

/** A change as what is done with a request of this caller: who may not is told so, and so is the log. */
export function guarded<Request>(change: Change<Request>, caller: Caller, method: string): Read<Request> {
  return (edge, request, reply) => {
    const permission = edge.admin.access.mayChange(caller);
    if (permission.kind === "granted") return change(edge, request, reply, permission.actor);
    edge.admin.access.tellRefused(edge.log, method, caller);
    reply.fail("not-permitted", permission.message);
  };
}

/** Makes a handler for grpc-js of a change. */
export function handleChange<Request>(edge: Edge, change: Change<Request>) {
  return (call: ServerUnaryCall<Received<Request>, Buffer>, respond: sendUnaryData<Buffer>): void =>
    handleRead(edge, guarded(change, callerOf(call), call.getPath()))(call, respond);
}

function callerOf(call: ServerUnaryCall<unknown, Buffer>): Caller {
  const [authorization] = call.metadata.get("authorization");
  return { peer: call.getPeer(), authorization: authorization?.toString() };
}
