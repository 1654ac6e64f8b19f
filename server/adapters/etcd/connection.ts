import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientUnaryCall,
  type Metadata,
  status,
} from "@grpc/grpc-js";
import { closeChannel } from "../grpc-client/close-channel.ts";

/** A call that failed, as gRPC tells it. */
export interface CallFailure {
  readonly code: status;
  readonly details: string;
}

/** What went wrong, on one line: what grpc-js says may span several, and ends with a note that is empty for us. */
export const describeFailure = ({ details }: CallFailure): string =>
  details.replace(/\.?\s+Resolution note:\s*$/, "").replace(/\s+/g, " ");

export type Answered<Response> = (failure: CallFailure | null, response?: Response) => void;

export interface UnaryMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: false;
  readonly responseStream: false;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

export interface DuplexMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: true;
  readonly responseStream: true;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

const CHANNEL: ChannelOptions = {
  // A call that is sent twice may be applied twice. (What never left this machine, gRPC still sends again.)
  "grpc.enable_retries": 0,
  // etcd closes a connection that is pinged more often than every 5 s.
  "grpc.keepalive_time_ms": 6_000,
  "grpc.keepalive_timeout_ms": 3_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // A lease with 100,000 keys goes in one revision: 5.6 MB, and grpc-js stops at 4 MiB.
  "grpc.max_receive_message_length": 16 * 1024 * 1024,
  // A name is looked up again for each new connection, but not more often than this.
  "grpc.dns_min_time_between_resolutions_ms": 1_000,
  "grpc.service_config_disable_resolution": 1,
  // Ours alone, so that closing the store closes the connection.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
};

const CLOSED: CallFailure = { code: status.CANCELLED, details: "the store is closed" };

/** A connection to the member of etcd behind one endpoint. Its calls and streams end when it is made anew. */
export class EtcdConnection {
  readonly endpoint: string;
  private readonly credentials: ChannelCredentials;
  private readonly options: ChannelOptions;
  private client: Client;
  private open = new Set<{ cancel(): void }>();
  private closed = false;

  constructor(endpoint: string, credentials: ChannelCredentials, options: ChannelOptions) {
    this.endpoint = endpoint;
    this.credentials = credentials;
    this.options = { ...CHANNEL, ...options };
    this.client = this.connect();
  }

  /** Calls once. `done` is called exactly once, and never from within this call. `deadlineMs`: since 1970. */
  call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    { metadata, deadlineMs }: { readonly metadata: Metadata; readonly deadlineMs: number },
    done: Answered<Response>,
  ): void {
    if (this.closed) {
      setImmediate(done, CLOSED);
      return;
    }
    const { open } = this;
    const call: ClientUnaryCall = this.client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
      { deadline: deadlineMs },
      (error, response) => {
        open.delete(call);
        done(error, response);
      },
    );
    open.add(call);
  }

  /** Opens a stream. Its owner listens to "error", and ends it by `cancel`. */
  stream<Request, Response>(
    method: DuplexMethod<Request, Response>,
    metadata: Metadata,
  ): ClientDuplexStream<Request, Response> {
    const { open } = this;
    const stream = this.client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadata,
    );
    open.add(stream);
    stream.once("status", () => open.delete(stream));
    return stream;
  }

  /** Gives up the connection, with all calls and streams on it, which fail; those that follow have a new one. */
  reconnect(): void {
    if (this.closed) return;
    const { client, open } = this;
    this.open = new Set();
    this.client = this.connect();
    void end(client, open);
  }

  /** Ends it, with all calls and streams, which fail. Harmless to repeat. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await end(this.client, this.open);
  }

  private connect(): Client {
    return new Client(`dns:${this.endpoint}`, this.credentials, this.options);
  }
}

/**
 * Cancels what is open, a moment later. A stream that is cancelled in the turn in which it was opened is opened all the
 * same, and then never closed: grpc-js 1.14.7 starts the call after a promise, without asking whether it has ended
 * meanwhile (`getConfig` in its resolving-call.ts).
 */
async function end(client: Client, open: ReadonlySet<{ cancel(): void }>): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  for (const call of open) call.cancel();
  closeChannel(client);
}
