import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import type { Reason } from "../../core/reason.ts";
import type { Asset } from "./assets.ts";
import type { Feed } from "./feed.ts";
import { isProxied, isTrustworthy, type Refusal, refuseStranger, refuseUnmarked, type Visit } from "./guard.ts";
import { PageStream } from "./page-stream.ts";
import type { Caller, ChangeName, Services } from "./services.ts";
import { Topics } from "./topics.ts";

export interface ConsoleOptions {
  readonly services: Services;
  /** The files of the page. Empty: it was not built. */
  readonly assets: ReadonlyMap<string, Asset>;
  /** Names besides those of this machine itself under which it may be reached, in lower case. */
  readonly hosts: ReadonlySet<string>;
  readonly version: string;
  readonly serverId: string;
}

/** Pages that may follow at a time. */
const MAX_PAGES = 32;
const MAX_URL_CHARACTERS = 8_192;
const MAX_TOPICS = 8;
const MAX_BODY_BYTES = 8_192;

/**
 * What every answer carries. Nothing inline is run or applied, nothing is fetched from or sent to elsewhere, nothing
 * becomes markup from text, and no page can frame it.
 */
const SAFE_HEADERS = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
  "cache-control": "no-store",
};

const changes: ReadonlyMap<string, ChangeName> = new Map<string, ChangeName>([
  ["/api/release-lock", "ReleaseLock"],
  ["/api/close-session", "CloseSession"],
]);

/** The web console: its files, what its pages follow, and the two things that they can change. */
export class Console {
  readonly #options: ConsoleOptions;
  readonly #topics: Topics;
  #pages = 0;

  constructor(options: ConsoleOptions) {
    this.#options = options;
    this.#topics = new Topics(options.services);
  }

  /** Answers a request. Rejects if the connection breaks meanwhile. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const visit = visitOf(request);
    const refusal = refuseStranger(visit, this.#options.hosts);
    if (refusal !== undefined) return refuse(response, refusal);
    const url = request.url ?? "/";
    if (url.length > MAX_URL_CHARACTERS) return refuse(response, { status: 414, message: "the URL is too long" });
    const [path = "/", query = ""] = url.split("?", 2);
    const change = changes.get(path);
    if (change !== undefined) return this.#change(request, response, visit, change);
    if (request.method !== "GET" && request.method !== "HEAD")
      return refuse(response, { status: 405, message: "only GET and HEAD" }, { allow: "GET, HEAD" });
    if (path === "/api/live") return this.#follow(request, response, visit, query);
    return this.#file(request, response, visit, path);
  }

  #file(request: IncomingMessage, response: ServerResponse, visit: Visit, path: string): void {
    const { assets } = this.#options;
    const asset = assets.get(path);
    if (asset === undefined && assets.size === 0 && path === "/")
      return refuse(response, { status: 503, message: "the console was not built: run `make console`" });
    if (asset === undefined) return refuse(response, { status: 404, message: "there is nothing here" });
    response.writeHead(200, {
      ...SAFE_HEADERS,
      // Elsewhere browsers ignore it, with an error on their console.
      ...(isTrustworthy(visit) ? { "cross-origin-opener-policy": "same-origin" } : {}),
      "content-type": asset.type,
      "content-length": asset.bytes.length,
      "cache-control": asset.immutable ? "public, max-age=31536000, immutable" : "no-cache",
    });
    response.end(request.method === "HEAD" ? undefined : asset.bytes);
  }

  #follow(request: IncomingMessage, response: ServerResponse, visit: Visit, query: string): void {
    const refusal = refuseUnmarked(visit.headers);
    if (refusal !== undefined) return refuse(response, refusal);
    if (request.method !== "GET") return refuse(response, { status: 405, message: "only GET" }, { allow: "GET" });
    const wishes = readWishes(query);
    if (wishes === undefined) return refuse(response, { status: 400, message: "watch is not a list of topics" });
    if (this.#pages >= MAX_PAGES)
      return refuse(response, { status: 503, message: `${MAX_PAGES} pages are open: close some` });
    const feeds = new Map<string, Feed>();
    for (const [topic, wish] of wishes) {
      const feed = this.#topics.open(topic, wish);
      if (feed !== undefined) feeds.set(topic, feed);
    }
    this.#pages++;
    response.once("close", () => this.#pages--);
    response.writeHead(200, { ...SAFE_HEADERS, "content-type": "text/event-stream; charset=utf-8" });
    const { version, serverId, services } = this.#options;
    new PageStream(response, feeds, { version, serverId, access: services.access(callerOf(visit)) });
  }

  async #change(request: IncomingMessage, response: ServerResponse, visit: Visit, name: ChangeName): Promise<void> {
    if (request.method !== "POST") return refuse(response, { status: 405, message: "only POST" }, { allow: "POST" });
    const refusal = refuseUnmarked(visit.headers);
    if (refusal !== undefined) return refuse(response, refusal);
    if (!/^application\/json(?:;|$)/i.test(visit.headers["content-type"] ?? ""))
      return refuse(response, { status: 415, message: "only application/json" });
    const body = await readBody(request);
    if (body === undefined)
      return refuse(response, { status: 413, message: `more than ${MAX_BODY_BYTES} bytes` }, { connection: "close" });
    const message = parseObject(body);
    if (message === undefined) return refuse(response, { status: 400, message: "the body is not a JSON object" });
    const answer = await this.#options.services.change(name, message, callerOf(visit));
    if (answer.kind === "ok") return json(response, 200, answer.json);
    json(response, statuses[answer.reason] ?? 500, { reason: answer.reason, message: answer.message });
  }
}

/** What is not here is a fault of ours. */
const statuses: Readonly<Partial<Record<Reason, number>>> = {
  invalid: 400,
  "not-permitted": 403,
  "not-found": 404,
  "wrong-token": 409,
  draining: 503,
  "store-unavailable": 503,
};

function visitOf({ headers, socket }: IncomingMessage): Visit {
  return {
    headers,
    localAddress: socket.localAddress ?? "",
    peer:
      socket.remoteFamily === "IPv6"
        ? `[${socket.remoteAddress}]:${socket.remotePort}`
        : `${socket.remoteAddress}:${socket.remotePort}`,
    encrypted: (socket as Partial<TLSSocket>).encrypted === true,
  };
}

function callerOf({ headers, peer }: Visit): Caller {
  return { peer, authorization: headers.authorization, isProxied: isProxied(headers) };
}

/** What a page wants to follow: `watch` is a JSON object of topics, each an object of texts. */
function readWishes(query: string): readonly (readonly [string, Record<string, string>])[] | undefined {
  const message = parseObject(new URLSearchParams(query).get("watch") ?? "");
  const wishes = message && Object.entries(message);
  if (wishes === undefined || wishes.length > MAX_TOPICS) return undefined;
  return wishes.every(isWish) ? (wishes as [string, Record<string, string>][]) : undefined;
}

function isWish([, wish]: [string, unknown]): boolean {
  return isObject(wish) && Object.values(wish).every((value) => typeof value === "string");
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The body as text; `undefined` if it is too large, of which the rest is not read. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_BODY_BYTES) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function refuse(response: ServerResponse, { status, message }: Refusal, headers: Record<string, string> = {}): void {
  response.writeHead(status, { ...SAFE_HEADERS, ...headers, "content-type": "text/plain; charset=utf-8" });
  response.end(`${message}\n`);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { ...SAFE_HEADERS, "content-type": "application/json; charset=utf-8" });
  response.end(JSON.stringify(body));
}
