import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { LockEngine } from "../../engine/lock-engine.ts";
import type { StoreStatus } from "../../ports/store-status.ts";
import type { Telemetry } from "../../ports/telemetry.ts";
import { Access } from "./access.ts";
import type { AdminEdge, Edge, EdgeLog } from "./edge.ts";
import { Health } from "./health.ts";
import { defaultGrpcLimits, type GrpcLimits } from "./limits.ts";
import { type ListenAddress, ListenError, Listener } from "./listener.ts";
import { LocalCalls } from "./local-calls.ts";
import { OpenCalls } from "./open-calls.ts";
import { Pings } from "./pings.ts";
import { registerServices } from "./services.ts";
import { StoreMonitor } from "./store-monitor.ts";
import { Turn } from "./turn.ts";

/** What the server is to tell people on call, and by whom. */
export interface AdminOptions extends Pick<AdminEdge, "engine" | "self" | "drain" | "eventLoopDelayMs"> {
  /** What lets callers from other machines change things. `undefined`: nothing does. */
  readonly token: string | undefined;
  /** Asks the store's members how they are. Never rejects. */
  readonly storeStatus: () => Promise<StoreStatus>;
}

export interface GrpcServerOptions {
  readonly engine: LockEngine;
  readonly admin: AdminOptions;
  readonly address: ListenAddress;
  /** Both in PEM. `undefined`: plain text. */
  readonly tls?: { readonly certificate: Buffer; readonly key: Buffer } | undefined;
  /** Whether plain text may be reached from elsewhere than this machine. */
  readonly insecure?: boolean;
  /** What is left out has its default. */
  readonly limits?: Partial<GrpcLimits>;
  readonly log: EdgeLog;
  readonly telemetry: Telemetry;
}

export interface GrpcServer {
  /** The port it listens on. */
  readonly port: number;
  /** The same services for neighbours within this process. */
  readonly local: LocalCalls;
  /**
   * Says that it does not serve, and takes no further sessions, holds or watches; tells those there are that they have
   * `graceMs`, and waits as long for them to leave; has the engine close the rest with `draining`; then takes no further
   * connections and ends every one. Until then it goes on answering those who look, so that they are told why.
   * Resolves when that is done, and the engine has been told of every stream. The engine must run until then. A
   * further call may shorten the time, and resolves with the first.
   */
  stop(graceMs: number): Promise<void>;
}

/** How long clients are given to read that they were closed. */
const FAREWELL_MS = 500;

/**
 * Starts to serve the engine over gRPC: `LockService`, `AdminService`, health, reflection and channelz.
 *
 * Rejects with a `ListenError` when it cannot listen, or may not: only loopback is reached without TLS, unless
 * `insecure` says that this is meant.
 */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  refuseExposed(options);
  const { engine, log, telemetry, address } = options;
  const limits = { ...defaultGrpcLimits, ...options.limits };
  const admin = adminEdge(options.admin);
  const shared = { turn: new Turn(), pings: new Pings(engine), calls: new OpenCalls() };
  const edge = { engine, admin, limits, log, telemetry, ...shared };
  const health = new Health(engine);
  const server = new Server({
    "grpc.max_receive_message_length": limits.maxMessageBytes,
    "grpc.max_concurrent_streams": limits.maxStreamsPerConnection,
    "grpc.keepalive_time_ms": limits.keepaliveTimeMs,
    "grpc.keepalive_timeout_ms": limits.keepaliveTimeoutMs,
  });
  registerServices(server, edge, health);
  try {
    const injector = injectorOf(server, options);
    const listener = await Listener.open({ address, log, connected: (socket) => injector.injectConnection(socket) });
    return new RunningServer(server, listener, edge, health);
  } catch (error) {
    server.forceShutdown();
    throw error;
  }
}

function adminEdge({ token, storeStatus, ...given }: AdminOptions): AdminEdge {
  const store = new StoreMonitor({ status: storeStatus, check: (done) => given.engine.checkStore(done) });
  return { ...given, store, access: new Access(token) };
}

class RunningServer implements GrpcServer {
  readonly port: number;
  readonly local: LocalCalls;
  readonly #server: Server;
  readonly #listener: Listener;
  readonly #edge: Edge;
  readonly #health: Health;
  readonly #graceOver = Promise.withResolvers<void>();
  #endsAtMs = Number.POSITIVE_INFINITY;
  #stopped: Promise<void> | undefined;

  constructor(server: Server, listener: Listener, edge: Edge, health: Health) {
    this.port = listener.port;
    this.local = new LocalCalls(edge);
    this.#server = server;
    this.#listener = listener;
    this.#edge = edge;
    this.#health = health;
  }

  async stop(graceMs: number): Promise<void> {
    const endsAtMs = performance.now() + graceMs;
    if (endsAtMs < this.#endsAtMs) {
      this.#endsAtMs = endsAtMs;
      this.#edge.engine.drain(graceMs);
      this.#edge.calls.drain();
    }
    const timer = setTimeout(this.#graceOver.resolve, graceMs);
    this.#stopped ??= this.#stop();
    await this.#stopped;
    clearTimeout(timer);
  }

  async #stop(): Promise<void> {
    const { calls } = this.#edge;
    this.#health.stop();
    await Promise.race([calls.none(), this.#graceOver.promise]);
    const closed = this.#listener.close();
    calls.leave();
    // Its callback comes too early: Node's own `close` of the server, which it calls first, closes the connections too.
    this.#server.tryShutdown(() => undefined);
    const farewell = setTimeout(() => this.#endConnections(), FAREWELL_MS);
    await closed;
    clearTimeout(farewell);
    this.#endConnections();
    await calls.none();
  }

  #endConnections(): void {
    this.#server.forceShutdown();
    this.#listener.destroyConnections();
  }
}

function refuseExposed({ address: { host }, tls, insecure }: GrpcServerOptions): void {
  if (tls !== undefined || insecure || /^(localhost|127(\.\d{1,3}){3}|::1)$/i.test(host)) return;
  throw new ListenError("exposed", `${host} can be reached from elsewhere: give TLS certificate and key, or insecure`);
}

/** Gives grpc-js connections that a listener of ours has accepted. */
function injectorOf(server: Server, { tls }: GrpcServerOptions): ReturnType<Server["createConnectionInjector"]> {
  if (tls === undefined) return server.createConnectionInjector(ServerCredentials.createInsecure());
  const pair = { cert_chain: tls.certificate, private_key: tls.key };
  try {
    return server.createConnectionInjector(ServerCredentials.createSsl(null, [pair]));
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new ListenError("tls-refused", `certificate and key cannot be used: ${problem}`, error);
  }
}
