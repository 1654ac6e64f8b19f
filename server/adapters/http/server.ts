import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";

export interface HttpServerOptions {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Both in PEM. `undefined`: plain text. */
  readonly tls: { readonly certificate: Buffer; readonly key: Buffer } | undefined;
  /** Whether the server can do its work now, and if not, why. */
  readonly health: () => { readonly serving: boolean; readonly problem: string };
  /** `undefined`: none are kept. */
  readonly metrics: (() => Promise<string>) | undefined;
  readonly metricsContentType: string;
  /** Answers everything else. Rejects if the connection breaks meanwhile. */
  readonly rest: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
}

export interface HttpServer extends AsyncDisposable {
  /** The port it listens on. */
  readonly port: number;
}

/**
 * Starts what probes and Prometheus ask: `/healthz` answers 200 while the process runs; `/readyz` 200 while it serves,
 * else 503 and why; `/metrics`. Every other path is for `rest`. Disposing it ends every connection.
 *
 * Rejects with an error of one line when it cannot listen.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const handler = (request: IncomingMessage, response: ServerResponse) => {
    answer(request, response, options).catch(() => response.destroy());
  };
  const { tls, host, port } = options;
  // Nobody who asks these needs long, and nobody may hold many connections open.
  const limits = { requestTimeout: 5_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 };
  const server = tls
    ? createTlsServer({ ...limits, cert: tls.certificate, key: tls.key }, handler)
    : createServer(limits, handler);
  server.maxConnections = 256;
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const refused = (error: NodeJS.ErrnoException) => reject(listenError(host, port, error));
    server.once("error", refused);
    server.listen({ host, port }, () => {
      server.off("error", refused);
      // Later ones are of accepting, such as too many open files: that connection is lost, and no more.
      server.on("error", () => undefined);
      resolve();
    });
  });
}

function listenError(host: string, port: number, error: NodeJS.ErrnoException): Error {
  const where = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  if (error.code === "EADDRINUSE")
    return new Error(`${where} is in use: end what listens there, or give another address`);
  return new Error(`cannot listen on ${where}: ${error.message}`, { cause: error });
}

interface Page {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}

async function answer(request: IncomingMessage, response: ServerResponse, options: HttpServerOptions): Promise<void> {
  const make = pages.get(request.url?.split("?")[0] ?? "");
  if (make === undefined) return options.rest(request, response);
  const allowed = request.method === "GET" || request.method === "HEAD";
  const page = allowed ? await make(options) : { status: 405, body: "only GET and HEAD\n" };
  const { status, body, contentType = "text/plain; charset=utf-8" } = page;
  const length = Buffer.byteLength(body);
  response.writeHead(status, { "content-type": contentType, "content-length": length, "cache-control": "no-store" });
  response.end(request.method === "HEAD" ? undefined : body);
}

const pages: ReadonlyMap<string, (options: HttpServerOptions) => Page | Promise<Page>> = new Map<
  string,
  (options: HttpServerOptions) => Page | Promise<Page>
>([
  ["/healthz", () => ({ status: 200, body: "alive\n" })],
  ["/readyz", readiness],
  ["/metrics", scrape],
]);

async function scrape({ metrics, metricsContentType: contentType }: HttpServerOptions): Promise<Page> {
  if (metrics === undefined) return { status: 404, body: "this server keeps no metrics: start it with --metrics on\n" };
  return { status: 200, body: await metrics(), contentType };
}

function readiness({ health }: HttpServerOptions): Page {
  const { serving, problem } = health();
  return serving ? { status: 200, body: "serving\n" } : { status: 503, body: `${problem}\n` };
}
