import { constants, type Http2Session, type ServerHttp2Stream } from "node:http2";

/** A call of grpc-js, or a layer below it, by the fields that it keeps private. */
interface Layer {
  readonly call?: Layer;
  readonly nextCall?: Layer;
  readonly stream?: ServerHttp2Stream;
}

/**
 * The HTTP/2 stream under a call, and by its `session` the connection. grpc-js gives no public way to either
 * (neither `ServerInterceptingCallInterface` nor `getConnectionInfo` has it), and without them nobody can ping a
 * client or cut off one that does not read. In 1.14 a handler's call has the intercepting calls in `call` and
 * `nextCall`, and the innermost has the stream.
 *
 * Throws if a later grpc-js keeps it elsewhere: every Session then fails, and so does a test.
 */
export function http2StreamOf(call: object): ServerHttp2Stream {
  let layer: Layer | undefined = (call as Layer).call;
  while (layer !== undefined && layer.stream === undefined) layer = layer.nextCall;
  if (typeof layer?.stream?.close !== "function")
    throw new Error("this version of @grpc/grpc-js keeps the HTTP/2 stream of a call in another place");
  return layer.stream;
}

/** Whether a stream is over in both directions: its client reset it, or the connection is gone. */
export const isClosed = (stream: ServerHttp2Stream): boolean => stream.closed || stream.destroyed;

/** Whether a connection is there: of one that dies Node ends the streams first, when only its socket is known to be gone. */
export const isConnected = (session: Http2Session | undefined): boolean =>
  session !== undefined && !session.destroyed && !session.closed && !session.socket.destroyed;

/**
 * Resets a stream whose call has ended or is to end, if it is still there after `lingerMs`: its client does not read
 * what comes before the status, or has read everything and keeps its own side open.
 */
export function resetIfLingering(stream: ServerHttp2Stream, lingerMs: number): void {
  if (isClosed(stream)) return;
  const { NGHTTP2_NO_ERROR, NGHTTP2_ENHANCE_YOUR_CALM } = constants;
  const timer = setTimeout(() => {
    // gRPC clients take ENHANCE_YOUR_CALM for RESOURCE_EXHAUSTED.
    stream.close(stream.writableFinished ? NGHTTP2_NO_ERROR : NGHTTP2_ENHANCE_YOUR_CALM);
  }, lingerMs);
  stream.once("close", () => clearTimeout(timer));
}
