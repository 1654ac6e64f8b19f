import type { SessionEvent } from "../core/frames.ts";

/** The server's end of a client's stream, as the engine sees it. */
export interface SessionStream {
  /** The client's network address, for people. */
  readonly peer: string;
  /** Whom the client authenticated as; empty: nobody. */
  readonly identity: string;
  /**
   * Sends an event; what is sent in one turn of the event loop travels in one frame. `closed` is the last:
   * the call ends after it with the status of its reason. Never fails: a stream that is gone, or whose
   * reader is too slow, says so by `Engine.disconnected`.
   */
  send(event: SessionEvent): void;
}
