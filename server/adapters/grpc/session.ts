import { Metadata, type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { SessionEvent } from "../../core/frames.ts";
import type { SessionRequest } from "../../gen/holdfast/v1/lock_service.ts";
import type { Edge } from "./edge.ts";
import { encodeSessionEvent } from "./encode.ts";
import { type Failure, failure } from "./failure.ts";
import { http2StreamOf, isClosed } from "./http2-stream.ts";
import { readCommand } from "./read-command.ts";
import type { Received } from "./received.ts";
import { StreamCall } from "./stream-call.ts";

export type EncodedSession = ServerDuplexStream<Received<SessionRequest>, Buffer>;

/** Handles a call of `Session`. */
export function handleSession(edge: Edge, call: EncodedSession): void {
  if (edge.calls.draining) edge.calls.turnAway(call);
  else new SessionCall(edge, call).start();
}

/** A call of `Session`. `StreamCall` lists the ways in which it can end. */
class SessionCall extends StreamCall<EncodedSession> {
  #firstCommand: NodeJS.Timeout | undefined;
  #outlivesStream = false;
  #ackedSeq = -1n;

  override start(): void {
    super.start();
    const { firstCommandWithinMs } = this.edge.limits;
    this.#firstCommand = setTimeout(() => {
      this.refuse("invalid", `no command came within ${firstCommandWithinMs / 1000} s: send open first`);
    }, firstCommandWithinMs);
    this.call.on("data", (frame: Received<SessionRequest>) => this.#receive(frame));
    this.call.once("end", () => this.#halfClosed());
  }

  send(event: SessionEvent): void {
    if (this.phase === "over") return;
    switch (event.kind) {
      case "waiting":
        return this.#push(this.#bearable(event), event.claimId);
      case "denied":
        return this.#push(this.#bearable(event));
      case "heartbeat-ack":
        // An ack answers all heartbeats up to its own, so behind a larger one it says nothing.
        if (event.seq < this.#ackedSeq) return;
        this.#ackedSeq = event.seq;
        return this.#push(event, "heartbeat-ack");
      case "servers":
        return this.#push(event, "servers");
      case "opened":
        this.opened(event);
        return this.#push(event);
      case "closed":
        this.#push(event);
        return this.end(event.reason === "closed-by-client" ? "ok" : failure(event.reason, event.message));
      default:
        return this.#push(event);
    }
  }

  /** Leaves holders out for a client that has much to read: a thousand claims may be answered in one turn. */
  #bearable<Event extends Extract<SessionEvent, { holders: unknown }>>(event: Event): Event {
    return this.pressed ? { ...event, holders: [] } : event;
  }

  #push(event: SessionEvent, key?: bigint | string): void {
    try {
      this.push(encodeSessionEvent(event), key);
    } catch (error) {
      this.fault("event.unencodable", error);
    }
  }

  #receive(frame: Received<SessionRequest>): void {
    if ("problem" in frame) return this.refuse("invalid", frame.problem);
    for (const wire of frame.message.commands) {
      if (this.phase === "refused" || this.phase === "over") return;
      const command = readCommand(wire, this.edge.limits.maxTtlMs, this.traceparent);
      if (typeof command === "string") return this.refuse("invalid", command);
      if (this.phase === "new") this.#began(command);
      this.apply(command);
    }
  }

  #began(first: { kind: string; onDisconnect?: string }): void {
    clearTimeout(this.#firstCommand);
    this.#outlivesStream = first.kind === "resume" || first.onDisconnect === "keep";
  }

  #halfClosed(): void {
    const { phase } = this;
    // Of a refused one, `closed` is on its way. A stream that was reset ends too, and then "cancelled" follows.
    if (phase === "refused" || phase === "over" || isClosed(http2StreamOf(this.call))) return;
    if (phase === "new") {
      return this.end(failure("invalid", "the stream was half-closed before any command came: send open first"));
    }
    this.end(this.#outlivesStream ? halfClosedEarly : "ok");
    this.tellEngine("half-closed");
  }

  protected override retire(): void {
    super.retire();
    clearTimeout(this.#firstCommand);
    this.call.pause();
  }
}

/** Not OK, which would say that everything is free: a session with KEEP waits for its client to come back. */
const halfClosedEarly: Failure = {
  code: status.CANCELLED,
  details: "the client half-closed the stream: its session lives on until its deadline; to end one, send close",
  metadata: new Metadata(),
};
