import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { EdgeLog } from "./edge.ts";

/** Where to listen. */
export interface ListenAddress {
  /** A host name or address; an IPv6 address without its brackets. */
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
}

/** Why a server could not begin to listen. */
export type ListenErrorReason =
  /** Something else listens there. */
  | "port-taken"
  /** The host is not this machine's, has no address, or the port is not for us. */
  | "address-refused"
  /** It can be reached from elsewhere, has no TLS, and nobody said that this is meant. */
  | "exposed"
  /** Certificate or key cannot be used. */
  | "tls-refused";

/** What keeps a server from listening, in one line that says what to do next. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly reason: ListenErrorReason;

  constructor(reason: ListenErrorReason, message: string, cause?: unknown) {
    super(message, { cause });
    this.reason = reason;
  }
}

export interface ListenerOptions {
  readonly address: ListenAddress;
  readonly log: EdgeLog;
  readonly connected: (socket: Socket) => void;
}

/**
 * Accepts connections, so many that files can still be opened. Of its own rather than grpc-js', which would have no
 * bound, and would throw an error that nobody can catch when accepting fails.
 */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Connections closed since that was last written to the log, and when that was. */
  #refused = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  private constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    const maxConnections = affordableConnections();
    if (maxConnections !== undefined) this.#server.maxConnections = maxConnections;
    this.#server.on("drop", () => this.#refuse(`${maxConnections} connections are open, and files must be left`));
  }

  /** Rejects with a `ListenError`. */
  static async open(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    await new Promise<void>((resolve, reject) => {
      const { host, port } = options.address;
      const refused = (error: NodeJS.ErrnoException) => reject(listenError(options.address, error));
      listener.#server.once("error", refused);
      listener.#server.listen({ host, port }, () => {
        listener.#server.off("error", refused);
        // From here on it is about one connection that could not be accepted.
        listener.#server.on("error", (error) => listener.#refuse(error.message));
        resolve();
      });
    });
    return listener;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Accepts no more. Resolves when all connections are gone. */
  close(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  /** Ends all connections, those too on which nothing has been said yet. */
  destroyConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    this.#options.connected(socket);
  }

  /** Says at most once a second that connections are refused: there may be thousands. */
  #refuse(problem: string): void {
    this.#refused++;
    const nowMs = performance.now();
    if (nowMs - this.#toldAtMs < 1_000) return;
    this.#options.log.event("warn", "connection.refused", { problem, count: this.#refused });
    this.#refused = 0;
    this.#toldAtMs = nowMs;
  }
}

function listenError({ host, port }: ListenAddress, error: NodeJS.ErrnoException): ListenError {
  const where = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  if (error.code === "EADDRINUSE")
    return new ListenError("port-taken", `${where} is in use: end what listens there, or give another address`, error);
  return new ListenError("address-refused", `cannot listen on ${where}: ${error.message}`, error);
}

/**
 * How many connections leave enough files to be opened for everything else; `undefined` if files have no limit here.
 * At that limit itself libuv closes new connections without a word, and calls to etcd fail.
 */
function affordableConnections(): number | undefined {
  const limit = openFilesLimit();
  return limit === undefined ? undefined : Math.max(1, limit - Math.min(1_000, Math.ceil(limit / 4)));
}

function openFilesLimit(): number | undefined {
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return limit === null ? undefined : Number(limit[1]);
  } catch {
    return undefined; // Not Linux. Node has raised the limit to the most allowed, so it is likely large.
  }
}
