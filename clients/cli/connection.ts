import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { connectAdmin } from "../typescript/src/admin.ts";
import { type Client, connect, HoldfastError, type Reason } from "../typescript/src/index.ts";
import { exitCode } from "./exit-code.ts";
import { printable } from "./text.ts";
import { clientName } from "./views.ts";

/** The options of every command that talks to servers. */
export interface ConnectionOptions {
  readonly server: readonly string[];
  readonly tls?: true;
  readonly tlsCa?: Buffer;
}

/** Adds to a command the options that say where the servers are. */
export function addConnectionOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--server <list>", "host:port of a server, several with commas: they are tried in turn")
        .env("HOLDFAST_SERVER")
        .argParser(parseServers)
        .default(["127.0.0.1:7400"], "127.0.0.1:7400"),
    )
    .addOption(new Option("--tls", "use TLS, and trust the authorities that the system trusts").env("HOLDFAST_TLS"))
    .addOption(
      new Option("--tls-ca <file>", "use TLS, and trust the authorities in this file (PEM)")
        .env("HOLDFAST_TLS_CA")
        .argParser(readPem),
    );
}

/** A client of the servers that the options name. */
export function connectWith(options: ConnectionOptions, { ttlMs }: { readonly ttlMs?: number } = {}): Client {
  const tls = options.tlsCa === undefined ? options.tls === true : { ca: options.tlsCa };
  return connect(options.server, { tls, clientName: "holdfast", ...(ttlMs === undefined ? {} : { ttlMs }) });
}

function parseServers(text: string): readonly string[] {
  const servers = text.split(",").map((address) => address.trim());
  try {
    // The library knows what an address is. Nothing is sent, so that nothing is to be waited for.
    void connectAdmin(servers)[Symbol.asyncDispose]();
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    throw new InvalidArgumentError(`${error.message.replace(/^addresses: /, "")}.`);
  }
  return servers;
}

function readPem(path: string): Buffer {
  let pem: Buffer;
  try {
    pem = readFileSync(path);
  } catch (error) {
    throw new InvalidArgumentError(`It cannot be read: ${(error as Error).message}.`);
  }
  if (!pem.includes("-----BEGIN")) throw new InvalidArgumentError('It is no PEM, which has "-----BEGIN".');
  return pem;
}

/** What to say of a failure, and to exit with. Throws what is none of Holdfast's. */
export function explain(
  error: unknown,
  { server }: ConnectionOptions,
): { readonly message: string; readonly code: number } {
  if (!(error instanceof HoldfastError)) throw error;
  const code = codeOf(error.reason);
  const where = error.reason === "unreachable" ? `no server answers at ${server.join(", ")}: ` : "";
  const what = inWordsOfOptions(error.message, server);
  return { message: `${where}${printable(what)}${heldBy(error)}`, code };
}

/** A library's message in the words of the command line: its options, and an address once. */
function inWordsOfOptions(message: string, server: readonly string[]): string {
  const only = `${server[0]}: `;
  const rest = server.length === 1 && message.startsWith(only) ? message.slice(only.length) : message;
  return rest.replaceAll("`tls`", "--tls");
}

function heldBy({ holders, holderCount }: HoldfastError): string {
  if (holders.length === 0) return "";
  const others = holderCount - 1;
  return `; held by ${clientName(holders[0]!)}${others > 0 ? ` and ${others} more` : ""}`;
}

function codeOf(reason: Reason): number {
  switch (reason) {
    case "invalid":
      return exitCode.usage;
    case "unreachable":
    case "connection-lost":
    case "store-unavailable":
    case "draining":
    case "internal":
    case "unknown":
      return exitCode.unavailable;
    default:
      return exitCode.notAcquired;
  }
}
