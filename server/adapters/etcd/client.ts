import { checkServerIdentity, type PeerCertificate } from "node:tls";
import {
  type ChannelCredentials,
  type ClientDuplexStream,
  credentials,
  experimental,
  Metadata,
  status,
} from "@grpc/grpc-js";
import { AuthService } from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import { type Answered, type CallFailure, type DuplexMethod, EtcdConnection, type UnaryMethod } from "./connection.ts";
import { Members, type MembersOptions } from "./members.ts";
import { askMember, type Position } from "./position.ts";
import { StoreError } from "./store-error.ts";

/** Where an etcd is, and how it lets us in. */
export interface EtcdAddress {
  /** "host:port" each, of one cluster, one for each member. Hosts may be names. */
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

/** What etcd answers with before it does anything, when a token has run out or the users have changed. */
const STALE_TOKEN = ["etcdserver: invalid auth token", "etcdserver: revision of auth store is old"];

const NO_WORD: CallFailure = { code: status.PERMISSION_DENIED, details: "etcd lets us read no key of the prefix" };

/** What else a client does that goes on for long. */
export type WatchMembersOptions = Pick<MembersOptions, "key" | "onMoved" | "onPosition">;

/**
 * Calls to etcd, each to one member, the same for all as long as that is well, and each saying that this member must
 * have a leader. Renews its token by itself; a call that was refused for an old one, which proves that it did
 * nothing, is sent once more.
 */
export class EtcdClient {
  private readonly connections: readonly EtcdConnection[];
  private readonly user: EtcdAddress["user"];
  /** Says which connection to use; `undefined`: always the first. */
  private members: Members | undefined;
  private metadata = metadataWith(undefined);
  /** Who waits for the new token that has been asked for. */
  private awaitingToken: ((failure: CallFailure | null) => void)[] = [];
  private closed = false;

  constructor(address: EtcdAddress) {
    this.connections = address.endpoints.map((endpoint) => connectionTo(endpoint, address));
    this.user = address.user;
  }

  /** Begins to look which member is well, and to use that. Once. */
  watchMembers(options: WatchMembersOptions): void {
    this.members = new Members({ ...options, connections: this.connections, metadata: () => this.metadata });
  }

  /** The connection that is used now, for whoever wants to notice that it is another. */
  get connection(): EtcdConnection {
    return this.members?.current ?? this.connections[0]!;
  }

  /** The furthest in etcd's history that any member has told. */
  get position(): Position | undefined {
    return this.members?.latest;
  }

  /** Asks the member in use where in etcd's history it is, after a linearizable read of a key that may be read. */
  askPosition(key: Buffer, done: (failure: CallFailure, position: Position | undefined) => void): void {
    const question = { key, metadata: this.metadata, deadlineMs: Date.now() + 2_000 };
    askMember(this.connection, question, (failure, word) => done(failure ?? NO_WORD, word?.position));
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
    return this.connection.stream(method, this.metadata);
  }

  /** Cancels a stream, a moment later: for the reason, see the end of a connection. */
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

  /** Ends all calls and streams, with failures, and the connections. Nothing can be called after. */
  async close(): Promise<void> {
    this.closed = true;
    this.members?.close();
    await Promise.all(this.connections.map((connection) => connection.close()));
  }

  private send<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    deadlineMs: number,
    done: Answered<Response>,
  ): void {
    const { connection, metadata } = this;
    connection.call(method, request, { metadata, deadlineMs }, (failure, response) => {
      if (failure?.code === status.UNAVAILABLE) this.members?.suspect(connection);
      done(failure, response);
    });
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

function connectionTo(endpoint: string, { tls }: EtcdAddress): EtcdConnection {
  const { host, port } = experimental.splitHostPort(endpoint) ?? {};
  if (host === undefined || port === undefined)
    throw new StoreError("unreachable", `"${endpoint}" is not "host:port"; correct the endpoints of etcd`);
  if (tls === undefined) return new EtcdConnection(endpoint, credentials.createInsecure(), {});
  return new EtcdConnection(endpoint, credentialsOf(tls, host), {
    // What TLS asks for by name, since an address is not allowed there.
    "grpc.ssl_target_name_override": /^[\d.]+$|:/.test(host) ? "etcd" : host,
  });
}

function credentialsOf({ ca, client }: NonNullable<EtcdAddress["tls"]>, host: string): ChannelCredentials {
  return credentials.createSsl(ca ?? null, client?.key ?? null, client?.certificate ?? null, {
    checkServerIdentity: (_name: string, certificate: PeerCertificate) => checkServerIdentity(host, certificate),
  });
}
