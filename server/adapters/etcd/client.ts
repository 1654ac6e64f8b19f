import { checkServerIdentity, type PeerCertificate } from "node:tls";
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientUnaryCall,
  credentials,
  Metadata,
  status,
} from "@grpc/grpc-js";
import { AuthService } from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import { hostOf, targetOf } from "./endpoints.ts";

/** Where an etcd is, and how it lets us in. */
export interface EtcdAddress {
  /** "host:port" each, of one cluster; tried in this order. Hosts may be names. */
  readonly endpoints: readonly string[];
  /** Absent: plain text. All in PEM; without `ca` the system's authorities are trusted. */
  readonly tls?:
    | {
        readonly ca: Buffer | undefined;
        readonly client: { readonly certificate: Buffer; readonly key: Buffer } | undefined;
      }
    | undefined;
  /** Absent: etcd has no users, or knows us by our certificate. */
  readonly user?: { readonly name: string; readonly password: string } | undefined;
}

/** A call that failed, as gRPC tells it. */
export interface CallFailure {
  readonly code: status;
  readonly details: string;
}

export type Answered<Response> = (failure: CallFailure | null, response?: Response) => void;

export interface UnaryMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: false;
  readonly responseStream: false;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

interface DuplexMethod<Request, Response> {
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
  "grpc.max_reconnect_backoff_ms": 2_000,
  // A lease with 100,000 keys goes in one revision: 5.6 MB, and grpc-js stops at 4 MiB.
  "grpc.max_receive_message_length": 16 * 1024 * 1024,
  // Ours alone, so that closing the store closes the connection.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
};

/** What etcd answers with before it does anything, when a token has run out or the users have changed. */
const STALE_TOKEN = ["etcdserver: invalid auth token", "etcdserver: revision of auth store is old"];

const CLOSED: CallFailure = { code: status.CANCELLED, details: "the store is closed" };

/**
 * One channel to etcd, over all endpoints: each call goes to the member that the channel is connected to, and says
 * that this member must have a leader. Renews its token by itself; a call that was refused for an old one, which
 * proves that it did nothing, is sent once more.
 */
export class EtcdClient {
  private readonly client: Client;
  private readonly user: EtcdAddress["user"];
  private readonly open = new Set<{ cancel(): void }>();
  private metadata = metadataWith(undefined);
  /** Who waits for the new token that has been asked for. */
  private awaitingToken: ((failure: CallFailure | null) => void)[] = [];
  private closed = false;

  constructor(address: EtcdAddress) {
    this.client = new Client(targetOf(address.endpoints), credentialsOf(address), {
      ...CHANNEL,
      ...(address.tls === undefined ? {} : { "grpc.ssl_target_name_override": serverNameOf(address.endpoints) }),
    });
    this.user = address.user;
  }

  /** Calls once. `done` is called exactly once, and never from within this call. */
  call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    timeoutMs: number,
    done: Answered<Response>,
  ): void {
    const deadlineMs = Date.now() + timeoutMs;
    this.send(method, request, deadlineMs, (failure, response) => {
      if (failure === null || this.user === undefined || !isStaleToken(failure)) done(failure, response);
      else {
        this.renewToken((refused) => {
          if (refused === null) this.send(method, request, deadlineMs, done);
          else done(failure);
        });
      }
    });
  }

  /** Opens a stream. Its owner listens to "error", ends it by `cancel`, and tells `streamFailed`. */
  stream<Request, Response>(method: DuplexMethod<Request, Response>): ClientDuplexStream<Request, Response> {
    const stream = this.client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      this.metadata,
    );
    this.open.add(stream);
    stream.once("status", () => this.open.delete(stream));
    return stream;
  }

  /**
   * Cancels a stream, a moment later. One cancelled in the turn in which it was opened is opened all the same, and then
   * never closed: grpc-js 1.14.7 starts the call after a promise, without asking whether it has ended meanwhile
   * (`getConfig` in its resolving-call.ts).
   */
  cancel(stream: { cancel(): void }): void {
    setImmediate(() => stream.cancel());
  }

  /** Gets a new token if that is what a stream failed for: the next one is opened with it. */
  streamFailed(failure: Pick<CallFailure, "details">): void {
    if (this.user !== undefined && isStaleToken(failure)) this.renewToken(() => {});
  }

  /** Asks for a token, if there is a user; the calls that follow carry it. */
  authenticate(done: (failure: CallFailure | null) => void): void {
    if (this.user === undefined) setImmediate(done, null);
    else this.renewToken(done);
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Ends all calls and streams, with failures, and the connection. Nothing can be called after. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    // For the reason that `cancel` gives.
    await new Promise((resolve) => setImmediate(resolve));
    for (const call of this.open) call.cancel();
    this.client.close();
  }

  private send<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    deadlineMs: number,
    done: Answered<Response>,
  ): void {
    if (this.closed) {
      setImmediate(done, CLOSED);
      return;
    }
    const call: ClientUnaryCall = this.client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      this.metadata,
      { deadline: deadlineMs },
      (error, response) => {
        this.open.delete(call);
        done(error, response);
      },
    );
    this.open.add(call);
  }

  private renewToken(done: (failure: CallFailure | null) => void): void {
    this.awaitingToken.push(done);
    if (this.awaitingToken.length > 1) return;
    const { name, password } = this.user ?? { name: "", password: "" };
    this.send(AuthService.authenticate, { name, password }, Date.now() + 5_000, (failure, response) => {
      // As etcd's own client does: a user is no mistake where etcd asks for none.
      const settled = failure?.details.includes("authentication is not enabled") ? null : failure;
      if (response !== undefined) this.metadata = metadataWith(response.token);
      const waiting = this.awaitingToken;
      this.awaitingToken = [];
      for (const answer of waiting) answer(settled);
    });
  }
}

const isStaleToken = ({ details }: Pick<CallFailure, "details">) => STALE_TOKEN.some((text) => details.includes(text));

function metadataWith(token: string | undefined): Metadata {
  const metadata = new Metadata();
  metadata.set("hasleader", "true");
  if (token !== undefined) metadata.set("token", token);
  return metadata;
}

function credentialsOf({ tls, endpoints }: EtcdAddress): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const hosts = endpoints.map(hostOf);
  return credentials.createSsl(tls.ca ?? null, tls.client?.key ?? null, tls.client?.certificate ?? null, {
    // The channel has one name for all endpoints, but each member has a certificate of its own.
    checkServerIdentity: (_name: string, certificate: PeerCertificate) => {
      const problems = hosts.map((host) => checkServerIdentity(host, certificate));
      return problems.includes(undefined) ? undefined : problems[0];
    },
  });
}

/** What TLS asks for by name: the first host that is one, since an address is not allowed there. */
const serverNameOf = (endpoints: readonly string[]) =>
  endpoints.map(hostOf).find((host) => !/^[\d.]+$|:/.test(host)) ?? "etcd";
