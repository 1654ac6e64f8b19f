import type { Http2Session } from "node:http2";
import type { Command, SessionEvent } from "../../core/frames.ts";
import type { Reason } from "../../core/reason.ts";
import type { StreamEnd } from "../../engine/lock-engine.ts";
import type { SessionStream } from "../../ports/session-stream.ts";
import type { Edge } from "./edge.ts";
import { type Failure, failure } from "./failure.ts";
import { http2StreamOf, isConnected } from "./http2-stream.ts";
import type { OpenCall } from "./open-calls.ts";
import { type EncodedCall, Outbox } from "./outbox.ts";
import { traceparentOf } from "./trace-parent.ts";

/**
 * A call that has a session behind it: `Session` or `Hold`. It stands between grpc-js and the engine and lets
 * neither's failures reach the other. It can end in these ways, each with a method:
 * - the engine says so: `closed`, and in a Hold `denied` and `lost`. `end`, by `send`;
 * - the client cancels or resets it, its connection dies, its deadline passes, or it sends a message that is too
 *   large: grpc-js says "cancelled" for all of them, and after every other end too. `broken`;
 * - the client half-closes, which only a Session can: "end". `SessionCall.halfClosed`;
 * - what came over it cannot be applied, or nothing came in time, or the server goes away: `refuse`, and then the
 *   engine sends `closed`;
 * - the client does not read. `tooSlow`;
 * - the engine throws or an event cannot be encoded. `fault`.
 * "error" is not among them: grpc-js never emits it here, and takes ours as the order to end with that status.
 */
export abstract class StreamCall<Call extends EncodedCall> implements SessionStream, OpenCall {
  readonly peer: string;
  readonly identity = "";
  readonly connection: Http2Session | undefined;
  /** Of the call, for claims that bring none of their own. */
  protected readonly traceparent: string | undefined;
  protected readonly edge: Edge;
  protected readonly call: Call;
  readonly #outbox: Outbox;
  /** `new`: the engine has not heard of it. `refused`: what still comes is ignored. `over`: nothing more is sent. */
  #phase: "new" | "live" | "refused" | "over" = "new";

  constructor(edge: Edge, call: Call) {
    this.peer = call.getPeer();
    this.traceparent = traceparentOf(call.metadata);
    this.connection = http2StreamOf(call).session;
    this.edge = edge;
    this.call = call;
    const { outboxBytes: limitBytes, lingerMs } = edge.limits;
    this.#outbox = new Outbox(call, {
      turn: edge.turn,
      limitBytes,
      lingerMs,
      overflowed: (events) => this.#tooSlow(events),
    });
  }

  abstract send(event: SessionEvent): void;

  /** Begins to follow the call. */
  start(): void {
    this.edge.calls.add(this);
    this.call.once("cancelled", () => this.#broken());
  }

  drain(): void {
    // The engine tells all that it knows of.
    if (this.#phase === "new") this.leave();
  }

  leave(): void {
    this.refuse("draining", "this server goes away now: go on at another one");
  }

  protected get phase(): "new" | "live" | "refused" | "over" {
    return this.#phase;
  }

  /** Gives the engine a command. */
  protected apply(command: Command): void {
    this.#phase = "live";
    try {
      this.edge.engine.command(this, command);
    } catch (error) {
      this.fault("command.failed", error);
    }
  }

  /** Has the engine close the stream; what still comes over it is ignored. */
  protected refuse(reason: Reason, message: string): void {
    if (this.#phase === "refused" || this.#phase === "over") return;
    this.#phase = "refused";
    try {
      this.edge.engine.refuse(this, reason, message);
    } catch (error) {
      this.fault("refusal.failed", error);
    }
  }

  /** Tells the engine that the stream has ended. Not to be called from within `send`, which is a call of the engine's. */
  protected tellEngine(how: StreamEnd): void {
    try {
      this.edge.engine.disconnected(this, how);
    } catch (error) {
      this.edge.log.event("error", "disconnection.failed", { peer: this.peer, problem: describe(error) });
    }
  }

  /** Whether the client has so much to read that only what must be said should be sent. */
  protected get pressed(): boolean {
    return this.#outbox.pressed;
  }

  protected push(bytes: Uint8Array, key?: bigint | string): void {
    this.#outbox.push(bytes, key);
  }

  /** The session is open: proves it by pings, if that is how it is to be proven. */
  protected opened({ heartbeatIntervalMs, ttlMs }: Extract<SessionEvent, { kind: "opened" }>): void {
    if (heartbeatIntervalMs === undefined && this.connection !== undefined)
      this.edge.pings.add(this.connection, this, ttlMs);
  }

  /** Ends the call after everything that was pushed. */
  protected end(ending: Failure | "ok"): void {
    this.retire();
    this.#outbox.end(ending);
  }

  /** Nothing more is taken from the call, and nothing more is sent. */
  protected retire(): void {
    this.#phase = "over";
    if (this.connection !== undefined) this.edge.pings.remove(this.connection, this);
    this.edge.calls.delete(this);
  }

  #broken(): void {
    const known = this.#phase === "live" || this.#phase === "refused";
    this.retire();
    this.#outbox.discard();
    // A stream that ends alone was ended by its client; if the connection is gone nobody knows what that wanted.
    if (known) this.tellEngine(isConnected(this.connection) ? "cancelled" : "broken");
  }

  #tooSlow(droppedEvents: number): void {
    const known = this.#phase !== "over";
    this.retire();
    this.#outbox.cutOff(failure("client-too-slow", "the client left too many events unread: read on, and open again"));
    this.edge.log.event("warn", "stream.cut_off", { peer: this.peer, reason: "client-too-slow", droppedEvents });
    this.edge.telemetry.note({ kind: "stream.cut-off", droppedEvents });
    if (known) this.tellEngine("broken");
  }

  /** Ends the call because of a fault of ours, which goes to the log and not to the client. */
  protected fault(event: string, error: unknown): void {
    const known = this.#phase !== "over";
    this.edge.log.event("error", event, { peer: this.peer, problem: describe(error) });
    this.retire();
    this.#outbox.cutOff(failure("internal", "a fault of the server, which has logged it"));
    if (known) setImmediate(() => this.tellEngine("broken"));
  }
}

/** An error for the log. */
function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
