import type { Http2Session } from "node:http2";
import { goesAway } from "./failure.ts";
import { http2StreamOf } from "./http2-stream.ts";
import type { EncodedCall } from "./outbox.ts";

/** A call that goes on until somebody ends it. */
export interface OpenCall {
  /** Absent if the connection was gone when the call began. */
  readonly connection: Http2Session | undefined;
  /** The server is going away: ends the call, unless there is a session behind it, whose client the engine tells. */
  drain(): void;
  /** Ends the call because the server goes away now. */
  leave(): void;
}

/**
 * The calls that go on, so that the server can tell them that it goes away, and wait for them.
 *
 * A connection is asked to go elsewhere (GOAWAY) only when no call goes on over it: Node's clients answer that by
 * closing their side, and then Node refuses to ping them, so that transport sessions would expire early.
 */
export class OpenCalls {
  readonly #calls = new Set<OpenCall>();
  readonly #perConnection = new Map<Http2Session, number>();
  #draining = false;
  #whenNone: (() => void)[] = [];

  /** Whether the server goes away: whoever comes now is to be turned away. */
  get draining(): boolean {
    return this.#draining;
  }

  add(call: OpenCall): void {
    this.#calls.add(call);
    this.#count(call.connection, 1);
  }

  /** Harmless for one that is not there. */
  delete(call: OpenCall): void {
    if (!this.#calls.delete(call)) return;
    this.#count(call.connection, -1);
    if (this.#draining) this.#closeIdle(call.connection);
    if (this.#calls.size === 0) for (const tell of this.#whenNone.splice(0)) tell();
  }

  /** Ends a call that comes while the server goes away. */
  turnAway(call: EncodedCall): void {
    const { session } = http2StreamOf(call);
    call.emit("error", goesAway());
    this.#closeIdle(session);
  }

  /** From now on nobody is let in, and only sessions may stay for a while. */
  drain(): void {
    this.#draining = true;
    for (const call of [...this.#calls]) call.drain();
  }

  /** Ends all of them. */
  leave(): void {
    for (const call of [...this.#calls]) call.leave();
  }

  /** Resolves when there is none. */
  none(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#calls.size === 0) resolve();
      else this.#whenNone.push(resolve);
    });
  }

  #count(connection: Http2Session | undefined, change: number): void {
    if (connection === undefined) return;
    const count = (this.#perConnection.get(connection) ?? 0) + change;
    if (count > 0) this.#perConnection.set(connection, count);
    else this.#perConnection.delete(connection);
  }

  /** Closes a connection, once what has ended on it is sent, if nothing goes on over it. */
  #closeIdle(connection: Http2Session | undefined): void {
    if (connection !== undefined && !this.#perConnection.has(connection)) connection.close();
  }
}
