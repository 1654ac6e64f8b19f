import type { ServerWritableStream } from "@grpc/grpc-js";
import type { SessionEvent } from "../../core/frames.ts";
import type { HoldRequest } from "../../gen/holdfast/v1/lock_service.ts";
import type { Edge } from "./edge.ts";
import { encodeHoldStep, type HoldStep } from "./encode.ts";
import { type ClaimEnd, failure } from "./failure.ts";
import { readAcquire } from "./read-acquire.ts";
import { readDescription } from "./read-open.ts";
import type { Received } from "./received.ts";
import { StreamCall } from "./stream-call.ts";

export type EncodedHold = ServerWritableStream<Received<HoldRequest>, Buffer>;

/** The one claim of the session behind a Hold. */
const CLAIM_ID = 1n;

/** Handles a call of `Hold`. */
export function handleHold(edge: Edge, call: EncodedHold): void {
  if (edge.calls.draining) edge.calls.turnAway(call);
  else new HoldCall(edge, call).start();
}

/** A call of `Hold`: a session of its own with one claim. `StreamCall` lists the ways in which it can end. */
class HoldCall extends StreamCall<EncodedHold> {
  #granted = false;
  /** The lock, if it is one. */
  #lock = "";

  override start(): void {
    const { request } = this.call;
    if ("problem" in request) return this.#reject(request.problem);
    const { message } = request;
    const description = readDescription(message, this.edge.limits.maxTtlMs, "");
    if (typeof description === "string") return this.#reject(description);
    const claim = readAcquire({ ...message, claimId: CLAIM_ID, reentryId: "", traceparent: "" }, "", this.traceparent);
    if (claim.kind === "refused") return this.#endWith({ ...claim, kind: "denied", holders: [], holderCount: 0 });
    if (claim.locks.length === 1) this.#lock = claim.locks[0]!.name;
    super.start();
    this.apply({ kind: "open", ...description, onDisconnect: "release", liveness: "transport" });
    if (this.phase === "live") this.apply(claim);
  }

  send(event: SessionEvent): void {
    if (this.phase === "over") return;
    switch (event.kind) {
      case "opened":
        return this.opened(event);
      case "granted":
        this.#granted = true;
        return this.#push(event);
      case "waiting":
        return this.#push(event, "waiting");
      case "draining":
        return this.#push(event);
      case "denied":
      case "lost":
        this.#endWith(event);
        // The session has nothing more to hold. Later, because this is the engine's own call.
        setImmediate(() => this.tellEngine("half-closed"));
        return;
      case "closed":
        return this.#endWith(this.#claimEnd(event));
      case "released":
      case "updated":
      case "heartbeat-ack":
        return; // Answers to commands that a Hold does not give.
      case "servers":
        return; // What a Hold holds cannot be resumed elsewhere.
      default:
        return event satisfies never;
    }
  }

  #push(step: HoldStep, key?: string): void {
    try {
      this.push(encodeHoldStep(step), key);
    } catch (error) {
      this.fault("event.unencodable", error);
    }
  }

  /** What the end of the session means for its claim. */
  #claimEnd({ reason, message }: Extract<SessionEvent, { kind: "closed" }>): ClaimEnd {
    if (this.#granted) return { kind: "lost", claimId: CLAIM_ID, reason, message };
    return { kind: "denied", claimId: CLAIM_ID, reason, message, lock: this.#lock, holders: [], holderCount: 0 };
  }

  #endWith(claimEnd: ClaimEnd): void {
    const lock = claimEnd.kind === "denied" ? claimEnd.lock : this.#lock;
    this.end(failure(claimEnd.reason, claimEnd.message, lock, claimEnd));
  }

  /** What is wrong is not about the claim. */
  #reject(problem: string): void {
    this.end(failure("invalid", problem));
  }
}
