import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A frame of HTTP/2 as RFC 9113 has it. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export const DATA = 0;
export const HEADERS = 1;
export const RST_STREAM = 3;
export const PING = 6;
export const GOAWAY = 7;
export const END_STREAM = 1;
const SETTINGS = 4;
const ACK = 1;
const END_HEADERS = 4;

/** A client that speaks HTTP/2 by hand, to say what no library would. Answers settings and, unless told not to, pings. */
export class RawClient implements AsyncDisposable {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  answersPings = true;
  #rest: Buffer = Buffer.alloc(0);
  #waiting: { readonly wanted: (frame: Frame) => boolean; readonly resolve: (frame: Frame) => void }[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    const client = new RawClient(socket);
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send({ type: SETTINGS, flags: 0, streamId: 0, payload: Buffer.alloc(0) });
    return client;
  }

  send(...frames: readonly Frame[]): void {
    this.socket.write(Buffer.concat(frames.map(encodeFrame)));
  }

  /** Resolves with the first frame, of those that came or will come, that is wanted. */
  async frame(wanted: (frame: Frame) => boolean): Promise<Frame> {
    const found = this.frames.find(wanted);
    return found ?? (await new Promise<Frame>((resolve) => this.#waiting.push({ wanted, resolve })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.closed) return;
    const closed = once(this.socket, "close");
    this.socket.destroy();
    await closed;
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 9 && this.#rest.length >= 9 + this.#rest.readUIntBE(0, 3)) {
      const end = 9 + this.#rest.readUIntBE(0, 3);
      const [type, flags] = [this.#rest[3]!, this.#rest[4]!];
      const streamId = this.#rest.readUInt32BE(5) & 0x7fff_ffff;
      this.#take({ type, flags, streamId, payload: this.#rest.subarray(9, end) });
      this.#rest = this.#rest.subarray(end);
    }
  }

  #take(frame: Frame): void {
    this.frames.push(frame);
    const { type, flags, payload } = frame;
    const wantsAck = type === SETTINGS || (type === PING && this.answersPings);
    if (wantsAck && (flags & ACK) === 0)
      this.send({ type, flags: ACK, streamId: 0, payload: type === PING ? payload : Buffer.alloc(0) });
    this.#waiting = this.#waiting.filter(({ wanted, resolve }) => {
      const came = wanted(frame);
      if (came) resolve(frame);
      return !came;
    });
  }
}

function encodeFrame({ type, flags, streamId, payload }: Frame): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** The frame that begins a call. `extra` headers come as they are, whatever is in them. */
export function callFrame(streamId: number, path: string, extra: readonly (readonly [string, string])[] = []): Frame {
  const headers: (readonly [string, string])[] = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "localhost"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...extra,
  ];
  const payload = Buffer.concat(headers.flatMap((pair) => [Buffer.of(0), ...pair.map(hpackText)]));
  return { type: HEADERS, flags: END_HEADERS, streamId, payload };
}

/** A text of HPACK, not compressed: a byte per character. */
function hpackText(text: string): Buffer {
  const length = text.length < 127 ? Buffer.of(text.length) : Buffer.of(127, ...varint(text.length - 127));
  return Buffer.concat([length, Buffer.from(text, "latin1")]);
}

const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))];

/** A message of gRPC as a frame of data. `claimed` is what its length is said to be. */
export function messageFrame(streamId: number, message: Uint8Array, flags = 0, claimed = message.length): Frame {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(claimed, 1);
  return { type: DATA, flags, streamId, payload: Buffer.concat([head, message]) };
}

export function resetFrame(streamId: number, code: number): Frame {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(code);
  return { type: RST_STREAM, flags: 0, streamId, payload };
}
