import type { Http2Session } from "node:http2";

/** A call that goes on until somebody ends it. */
export interface OpenCall {
  /** Absent once the connection is gone. */
  readonly connection: Http2Session | undefined;
  /** Tells the client that the server goes away in so many milliseconds. */
  drain(leaveWithinMs: number): void;
  /** Ends the call because the server goes away now. */
  leave(): void;
}

/** The calls that go on, so that the server can tell them that it goes away, and wait for them. */
export class OpenCalls {
  readonly #calls = new Set<OpenCall>();
  #draining = false;
  #whenNone: (() => void)[] = [];

  /** Whether the server goes away: no further call is let in then. */
  get draining(): boolean {
    return this.#draining;
  }

  add(call: OpenCall): void {
    this.#calls.add(call);
  }

  /** Harmless for one that is not there. */
  delete(call: OpenCall): void {
    this.#calls.delete(call);
    if (this.#calls.size > 0) return;
    for (const tell of this.#whenNone.splice(0)) tell();
  }

  /** Lets no further call in, and tells all of them and their connections that the server goes away. */
  drain(leaveWithinMs: number): void {
    this.#draining = true;
    const connections = new Set<Http2Session>();
    for (const call of this.#calls) {
      call.drain(leaveWithinMs);
      if (call.connection?.destroyed === false) connections.add(call.connection);
    }
    // Not `close()`: a closed connection is not pinged any more, and its transport sessions would expire early.
    for (const connection of connections) connection.goaway(0, 2 ** 31 - 1);
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
}
