import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";

/**
 * A proxy that understands gRPC, as service meshes have them: it ends the connections of clients, and passes each call
 * on to the next server in turn, over one connection to each server for all clients. A server that it cannot reach or
 * that breaks is a failed call.
 */
export class GrpcProxy implements AsyncDisposable {
  /** "127.0.0.1:port". */
  endpoint = "";
  /** "host:port" each. */
  targets: readonly string[];
  /** How many calls each target was given. */
  readonly given = new Map<string, number>();
  readonly #server = createServer();
  readonly #clients = new Set<ServerHttp2Session>();
  readonly #upstream = new Map<string, ClientHttp2Session>();
  #next = 0;

  private constructor(targets: readonly string[]) {
    this.targets = targets;
    this.#server.on("session", (session) => {
      this.#clients.add(session);
      session.once("close", () => this.#clients.delete(session));
    });
    this.#server.on("stream", (stream, headers) => this.#pass(stream, headers));
  }

  /** Starts on a free port of loopback. */
  static async start(targets: readonly string[]): Promise<GrpcProxy> {
    const proxy = new GrpcProxy(targets);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    proxy.endpoint = `127.0.0.1:${(proxy.#server.address() as AddressInfo).port}`;
    return proxy;
  }

  /** Resets the calls that go on, as a proxy does with those that it finds too long or too quiet. */
  resetCalls(): void {
    for (const session of this.#upstream.values()) session.destroy();
  }

  #pass(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const target = this.targets[this.#next++ % this.targets.length]!;
    this.given.set(target, (this.given.get(target) ?? 0) + 1);
    const call = this.#connectionTo(target).request({ ...headers, ":authority": target }, { endStream: false });
    answer(stream, call);
    stream.pipe(call);
    stream.on("error", () => call.close(constants.NGHTTP2_CANCEL));
    stream.once("aborted", () => call.close(constants.NGHTTP2_CANCEL));
    call.on("error", () => fail(stream));
    call.once("close", () => fail(stream));
  }

  #connectionTo(target: string): ClientHttp2Session {
    const before = this.#upstream.get(target);
    if (before !== undefined && !before.closed && !before.destroyed) return before;
    const session = connect(`http://${target}`);
    session.on("error", () => session.destroy());
    this.#upstream.set(target, session);
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of [...this.#upstream.values(), ...this.#clients]) session.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** Ends a call that its server did not: with a status of the proxy's own, or without one where the answer has begun. */
function fail(stream: ServerHttp2Stream): void {
  if (stream.destroyed || stream.writableEnded) return;
  if (stream.headersSent) return stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  const unavailable = { "grpc-status": "14", "grpc-message": "no healthy upstream" };
  stream.respond({ ":status": 200, "content-type": "application/grpc", ...unavailable }, { endStream: true });
}

/** Passes on what the server answers: headers, messages, and at the end the trailers with the status. */
function answer(stream: ServerHttp2Stream, call: ClientHttp2Stream): void {
  let trailers: IncomingHttpHeaders = {};
  call.once("response", (headers, flags) => {
    if (stream.destroyed) return;
    const isAll = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    stream.respond(headers, { endStream: isAll, waitForTrailers: !isAll });
    if (isAll) return;
    stream.once("wantTrailers", () => stream.sendTrailers(trailers));
    call.pipe(stream);
  });
  call.once("trailers", (sent) => {
    trailers = sent;
  });
}
