import { hostname } from "node:os";
import { basename } from "node:path";
import { addressProblem } from "./address.ts";
import type { ClientInfo, Liveness, OnDisconnect } from "./frames.ts";
import { HoldfastError } from "./holdfast-error.ts";
import { checkOptions } from "./known-options.ts";
import { utf8Length } from "./lock-name.ts";

/** This library's version, as its package.json has it. */
export const VERSION = "0.1.0";

// What the package needs, by what is new in it: on an older Node the first call would fail, and say nothing of this.
if (!("withResolvers" in Promise))
  throw new Error(`@holdfast/client needs Node 22.15 or newer, and this is ${process.version}`);

/** How to trust the servers, and to be trusted by them. Texts are PEM. */
export interface TlsOptions {
  /** Who may have signed the servers' certificates. Default: the authorities that Node knows. */
  readonly ca?: string | Uint8Array;
  /** This client's own certificate, and its key: both or neither. Default: none is shown. */
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  /** The name that the servers' certificates must have. Default: the host of the address. */
  readonly serverName?: string;
}

/** How a client behaves. Everything has a default that is safe. */
export interface ConnectOptions {
  /**
   * How long the locks outlive this client's last heartbeat, in milliseconds. Default 15,000; from 2,000 to
   * 600,000 unless the server allows more, rounded up to whole seconds. Short: a crashed holder's locks are free sooner, and a shorter hiccup of
   * network, store or event loop costs all locks. Below 5,000 a change of etcd's leader may do so.
   */
  readonly ttlMs?: number;
  /**
   * What a broken connection does. Default `keep`: claims and places are kept for a TTL, and the client resumes on
   * its own. `release`: they are free as soon as a server notices, perhaps before this client does; every break
   * loses every lock, so use it only where a fencing token guards.
   */
  readonly onDisconnect?: OnDisconnect;
  /**
   * What proves that this client lives. Default `heartbeat`: the program itself, each third of the TTL.
   * `transport`: the connection; a program that hangs keeps its locks, and there is no validity deadline.
   */
  readonly liveness?: Liveness;
  /** `true`, or how. Default: no TLS, which is for loopback and networks that you trust. */
  readonly tls?: boolean | TlsOptions;
  /** The program's name, shown to those who look. At most 128 bytes. Default: the name of its main file. */
  readonly clientName?: string;
  /**
   * Shown with the session, to be found by. At most 16; keys of 1 to 63 bytes, values of at most 255. Default: none.
   */
  readonly labels?: Readonly<Record<string, string>>;
  /**
   * How long to go without a server before an acquire fails, in milliseconds. Default 10,000; from 100. The
   * failure says `unreachable`, or what the last server said. Short: a restart of all servers shows as errors.
   */
  readonly connectTimeoutMs?: number;
  /** How long one look at locks (`getLock` and so on) may take, in milliseconds. Default 5,000; from 100. */
  readonly callTimeoutMs?: number;
  /**
   * How long `close` may take to tell a server, in milliseconds. Default 2,000; from 0. When it has passed the
   * locks go at the TTL instead of at once.
   */
  readonly closeTimeoutMs?: number;
  /**
   * Asked at each acquire for the caller's place in a trace, as W3C Trace Context writes it; the server's spans are then
   * part of that trace. With OpenTelemetry: `() => { const to = {}; propagation.inject(context.active(), to);
   * return to.traceparent; }`. Default: none. It must not throw.
   */
  readonly traceparent?: () => string | undefined;
}

/** Options with nothing left open. */
export interface Settings {
  readonly addresses: readonly string[];
  readonly ttlMs: number;
  readonly onDisconnect: OnDisconnect;
  readonly liveness: Liveness;
  readonly tls: TlsOptions | undefined;
  readonly client: ClientInfo;
  readonly labels: Readonly<Record<string, string>>;
  readonly connectTimeoutMs: number;
  readonly callTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly traceparent: (() => string | undefined) | undefined;
}

/** Fills in the defaults. Throws `HoldfastError` with reason `invalid`, naming the option that is wrong. */
export function settingsFrom(addresses: string | readonly string[], options: ConnectOptions): Settings {
  checkOptions("connect", options, connectOptions);
  const { tls, clientName, labels = {} } = options;
  if (clientName !== undefined && utf8Length(clientName) > 128) throw invalid("clientName", "at most 128 bytes");
  return {
    addresses: checkAddresses(addresses),
    ttlMs: milliseconds("ttlMs", options.ttlMs ?? 15_000, 2000),
    onDisconnect: oneOf("onDisconnect", options.onDisconnect ?? "keep", ["keep", "release"]),
    liveness: oneOf("liveness", options.liveness ?? "heartbeat", ["heartbeat", "transport"]),
    tls: tls === undefined ? undefined : checkTls(tls),
    client: describeClient(clientName),
    labels: checkLabels(labels),
    connectTimeoutMs: milliseconds("connectTimeoutMs", options.connectTimeoutMs ?? 10_000, 100),
    callTimeoutMs: milliseconds("callTimeoutMs", options.callTimeoutMs ?? 5000, 100),
    closeTimeoutMs: milliseconds("closeTimeoutMs", options.closeTimeoutMs ?? 2000, 0),
    traceparent: options.traceparent,
  };
}

const connectOptions: Readonly<Record<keyof ConnectOptions, true>> = {
  ttlMs: true,
  onDisconnect: true,
  liveness: true,
  tls: true,
  clientName: true,
  labels: true,
  connectTimeoutMs: true,
  callTimeoutMs: true,
  closeTimeoutMs: true,
  traceparent: true,
};

const tlsOptions: Readonly<Record<keyof TlsOptions, true>> = { ca: true, cert: true, key: true, serverName: true };

function checkAddresses(addresses: string | readonly string[]): readonly string[] {
  const list = Array.isArray(addresses) ? addresses : addresses === undefined ? [] : [addresses];
  if (list.length === 0) throw invalid("addresses", "give at least one, such as 127.0.0.1:7400");
  for (const address of list) {
    const problem = addressProblem(address);
    if (problem !== undefined) throw invalid("addresses", problem);
  }
  return [...list];
}

/** `undefined`: plain text. */
function checkTls(tls: boolean | TlsOptions): TlsOptions | undefined {
  if (typeof tls === "boolean") return tls ? {} : undefined;
  if (typeof tls !== "object" || tls === null)
    throw invalid("tls", `${JSON.stringify(tls)} is neither true, nor false, nor { ca, cert, key, serverName }`);
  checkOptions("tls", tls, tlsOptions);
  for (const name of ["ca", "cert", "key"] as const) {
    const pem = tls[name];
    if (pem === undefined) continue;
    const isText = typeof pem === "string" || pem instanceof Uint8Array;
    if (!isText || !Buffer.from(pem).includes("-----BEGIN"))
      throw invalid(`tls.${name}`, 'no PEM, which has "-----BEGIN": give what is in the file, not its path');
  }
  return tls;
}

function describeClient(name: string | undefined): ClientInfo {
  return {
    name: name ?? cut(basename(process.argv[1] ?? "node")),
    host: cut(hostname()),
    pid: process.pid,
    language: "typescript",
    version: VERSION,
  };
}

/** What was not chosen by the user must not be refused for its length. */
function cut(text: string): string {
  return utf8Length(text) <= 128 ? text : text.slice(0, 128 / 3);
}

function checkLabels(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = Object.entries(labels);
  if (entries.length > 16) throw invalid("labels", `at most 16, not ${entries.length}`);
  for (const [key, value] of entries) {
    if (key === "" || utf8Length(key) > 63) throw invalid("labels", `key ${JSON.stringify(key)}: 1 to 63 bytes`);
    if (utf8Length(value) > 255) throw invalid("labels", `value of ${JSON.stringify(key)}: at most 255 bytes`);
  }
  return { ...labels };
}

function oneOf<Word extends string>(name: string, value: Word, words: readonly Word[]): Word {
  if (words.includes(value)) return value;
  throw invalid(name, `${JSON.stringify(value)} is none of ${words.join(", ")}`);
}

function milliseconds(name: string, value: number, least: number): number {
  if (value >= least && value < 2 ** 31) return value;
  throw invalid(name, `${value} is not ${least} milliseconds or more, and less than 2^31`);
}

const invalid = (option: string, problem: string) => new HoldfastError("invalid", `${option}: ${problem}`);
