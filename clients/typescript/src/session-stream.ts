import { type ClientDuplexStream, status as Code, connectivityState } from "@grpc/grpc-js";
import { closeChannel } from "./channel.ts";
import { type CallError, decodeError } from "./decode-error.ts";
import type { Command, SessionEvent } from "./frames.ts";
import type { LockServiceClient, SessionRequest, SessionResponse } from "./gen/holdfast/v1/lock_service.ts";
import type { Failure } from "./reason.ts";
import { fromWire, sizeBound, toWire } from "./wire.ts";

/** A frame from the client is at most 64 KiB. */
const MAX_FRAME_BYTES = 64 * 1024;

/** How long an abandoned stream may take to send what was written and be answered. */
const FAREWELL_MS = 1000;

/** What a stream reports: `connected` at most once, then frames, `ended` at most once and last. */
export interface StreamListener {
  connected(): void;
  received(events: readonly SessionEvent[]): void;
  ended(why: Failure): void;
}

/**
 * One Session call over a connection of its own, which goes with it. It can end in four ways: it cannot be
 * connected, the server ends it, the connection breaks, or it is abandoned; the last reports nothing more.
 */
export class SessionStream {
  readonly #client: LockServiceClient;
  #listener: StreamListener | undefined;
  #call: ClientDuplexStream<SessionRequest, SessionResponse> | undefined;

  constructor(client: LockServiceClient, listener: StreamListener) {
    this.#client = client;
    this.#listener = listener;
    this.#whenConnected();
  }

  #whenConnected(): void {
    if (this.#listener === undefined) return;
    const channel = this.#client.getChannel();
    const state = channel.getConnectivityState(true);
    const isReady = state === connectivityState.READY;
    // A call on a channel that failed ends at once, with the reason that the channel itself does not tell.
    if (isReady || state === connectivityState.TRANSIENT_FAILURE) this.#start(isReady);
    else channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => this.#whenConnected());
  }

  #start(isReady: boolean): void {
    const call = this.#client.session();
    this.#call = call;
    call.on("data", ({ events }: SessionResponse) =>
      this.#listener?.received(events.map(fromWire).filter((event) => event !== undefined)),
    );
    // Every end comes with a status, an error besides only if it is not OK.
    call.on("error", () => {});
    call.on("status", (status: CallError) => this.#ended(status, isReady));
    if (isReady) this.#listener?.connected();
  }

  #ended(status: CallError, wasConnected: boolean): void {
    const listener = this.#listener;
    this.#listener = undefined;
    closeChannel(this.#client);
    listener?.ended(failureFrom(status, wasConnected));
  }

  /** Sends commands in their order, in as few frames as they fit into. */
  send(commands: readonly Command[]): void {
    for (const frame of frames(commands)) this.#call?.write({ commands: frame.map(toWire) });
  }

  /** Takes nothing more. What was sent still goes out; then the call is half-closed, and soon cut off. */
  abandon(): void {
    this.#listener = undefined;
    const call = this.#call;
    if (call === undefined) return closeChannel(this.#client);
    call.end();
    const timer = setTimeout(() => call.cancel(), FAREWELL_MS);
    call.once("status", () => clearTimeout(timer));
  }
}

function failureFrom(status: CallError, wasConnected: boolean): Failure {
  if (status.code === Code.OK) return { reason: "connection-lost", message: "the server ended the stream" };
  const { reason, message } = decodeError(status);
  const ofTheConnection = reason === "unreachable" || reason === "aborted" || reason === "unknown";
  if (!ofTheConnection) return { reason, message };
  return { reason: wasConnected ? "connection-lost" : "unreachable", message };
}

/** Splits commands so that each part fits into a frame. */
export function* frames(commands: readonly Command[]): Generator<readonly Command[]> {
  let start = 0;
  let bytes = 0;
  for (const [i, command] of commands.entries()) {
    const size = sizeBound(command);
    if (bytes + size > MAX_FRAME_BYTES) {
      yield commands.slice(start, i);
      start = i;
      bytes = 0;
    }
    bytes += size;
  }
  yield start === 0 ? commands : commands.slice(start);
}
