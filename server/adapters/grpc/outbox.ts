import type { ServerDuplexStream, ServerWritableStream } from "@grpc/grpc-js";
import type { Failure } from "./failure.ts";
import { http2StreamOf, resetIfLingering } from "./http2-stream.ts";
import type { Turn } from "./turn.ts";

/** A call whose responses are encoded already. */
export type EncodedCall = ServerDuplexStream<unknown, Buffer> | ServerWritableStream<unknown, Buffer>;

/** The size at which a frame is sent rather than filled further. */
const FRAME_BYTES = 65_536;
/** What grpc-js and the connection are given before they have taken what went before. */
const WINDOW_BYTES = 131_072;
/** What an event costs here besides its bytes: without it a million empty ones would weigh nothing. */
const ENTRY_BYTES = 160;

interface Entry {
  bytes: Uint8Array;
  readonly key: bigint | string | undefined;
}

export interface OutboxOptions {
  readonly turn: Turn;
  readonly limitBytes: number;
  readonly lingerMs: number;
  /** Told once, at the end of a turn, that the reader is too slow: so many events that were not sent are dropped. */
  readonly overflowed: (events: number) => void;
}

/**
 * What one stream is still to be sent. The events of a turn travel in one frame. grpc-js would buffer without
 * bound for a client that does not read, so no more than a window is handed to it; the rest waits here, where what
 * has become out of date is replaced, and where it is bounded.
 */
export class Outbox {
  readonly #call: EncodedCall;
  readonly #options: OutboxOptions;
  #waiting: Entry[] = [];
  /** How many of `#waiting` have been sent. */
  #sent = 0;
  #waitingBytes = 0;
  #inFlightBytes = 0;
  /** Those of `#waiting` that a later event of the same key replaces. */
  readonly #replaceable = new Map<bigint | string, Entry>();
  #asked = false;
  #state: "open" | "overflowed" | "ended" = "open";
  #ending: Failure | "ok" | undefined;

  constructor(call: EncodedCall, options: OutboxOptions) {
    this.#call = call;
    this.#options = options;
  }

  /** Whether so much waits that only what must be said should be added. */
  get pressed(): boolean {
    return this.#waitingBytes + this.#inFlightBytes > this.#options.limitBytes / 2;
  }

  /**
   * Adds an encoded event. One with a `key` takes the place of the latest one with that key, if it was not sent yet:
   * it may thus come before others that were added earlier.
   */
  push(bytes: Uint8Array, key?: bigint | string): void {
    if (this.#state !== "open" || this.#ending !== undefined) return;
    const earlier = key === undefined ? undefined : this.#replaceable.get(key);
    if (earlier === undefined) {
      const entry = { bytes, key };
      this.#waiting.push(entry);
      this.#waitingBytes += bytes.length + ENTRY_BYTES;
      if (key !== undefined) this.#replaceable.set(key, entry);
    } else {
      this.#waitingBytes += bytes.length - earlier.bytes.length;
      earlier.bytes = bytes;
    }
    if (this.#waitingBytes + this.#inFlightBytes > this.#options.limitBytes) this.#state = "overflowed";
    this.#flushAtEnd();
  }

  /** Ends the call after what was added so far, if its client reads that in time. */
  end(ending: Failure | "ok"): void {
    this.#ending ??= ending;
    resetIfLingering(http2StreamOf(this.#call), this.#options.lingerMs);
    this.#flushAtEnd();
  }

  /** Ends the call without what was not sent yet. */
  cutOff(ending: Failure): void {
    this.discard();
    resetIfLingering(http2StreamOf(this.#call), this.#options.lingerMs);
    this.#endCall(ending);
  }

  /** The call is gone. */
  discard(): void {
    this.#state = "ended";
    this.#drop();
  }

  #flushAtEnd(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#options.turn.atEnd(this);
  }

  /** Sends what may be sent. */
  flush(): void {
    this.#asked = false;
    if (this.#state === "overflowed") {
      const events = this.#waiting.length - this.#sent;
      this.#drop();
      this.#state = "ended";
      this.#options.overflowed(events);
    }
    if (this.#state === "ended") return;
    while (this.#sent < this.#waiting.length && this.#inFlightBytes < WINDOW_BYTES) this.#sendFrame();
    if (this.#sent < this.#waiting.length) return;
    this.#drop();
    if (this.#ending === undefined) return;
    this.#state = "ended";
    this.#endCall(this.#ending);
  }

  #sendFrame(): void {
    const parts: Uint8Array[] = [];
    let size = 0;
    for (let entry = this.#waiting[this.#sent]; entry !== undefined; entry = this.#waiting[this.#sent]) {
      if (parts.length > 0 && size + entry.bytes.length > FRAME_BYTES) break;
      parts.push(entry.bytes);
      size += entry.bytes.length;
      this.#waitingBytes -= entry.bytes.length + ENTRY_BYTES;
      if (entry.key !== undefined) this.#replaceable.delete(entry.key);
      this.#sent++;
    }
    this.#inFlightBytes += size;
    this.#call.write(Buffer.concat(parts, size), () => {
      this.#inFlightBytes -= size;
      if (this.#sent < this.#waiting.length) this.#flushAtEnd();
    });
  }

  #drop(): void {
    this.#waiting = [];
    this.#sent = 0;
    this.#waitingBytes = 0;
    this.#replaceable.clear();
  }

  #endCall(ending: Failure | "ok"): void {
    if (ending === "ok") this.#call.end();
    else this.#call.emit("error", ending);
  }
}
