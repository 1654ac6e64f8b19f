import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Admin, connectAdmin, type GetStatusResponse } from "../typescript/src/admin.ts";
import { HoldfastError } from "../typescript/src/index.ts";
import { complain } from "./complain.ts";
import { type ConnectionOptions, explain } from "./connection.ts";
import { exitCode } from "./exit-code.ts";

/** The options of the commands that change something. */
export interface ChangeOptions extends ConnectionOptions {
  readonly adminTokenFile?: string;
  readonly yes?: true;
}

/** Adds to a command what changing something on another machine takes. */
export function addChangeOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--admin-token-file <file>", "file whose first line is the servers' administration token")
        .env("HOLDFAST_ADMIN_TOKEN_FILE")
        .argParser(readToken),
    )
    .option("--yes", "do not ask whether it is meant");
}

function readToken(path: string): string {
  try {
    return readFileSync(path, "utf8").split(/\r?\n/)[0]!;
  } catch (error) {
    throw new InvalidArgumentError(`It cannot be read: ${(error as Error).message}.`);
  }
}

const tlsOf = (options: ConnectionOptions) =>
  options.tlsCa === undefined ? options.tls === true : { ca: options.tlsCa };

/** `AdminService` of the servers that the options name, the first that answers. */
export function adminOf(options: ConnectionOptions, addresses: readonly string[] = options.server): Admin {
  return connectAdmin(addresses, { tls: tlsOf(options) });
}

/** Likewise, for changes. */
export function adminForChanges(options: ChangeOptions, addresses: readonly string[] = options.server): Admin {
  // Whoever passes the token itself does it by a variable: everybody on the machine can read arguments.
  const token = options.adminTokenFile ?? (process.env.HOLDFAST_ADMIN_TOKEN || undefined);
  return connectAdmin(addresses, { tls: tlsOf(options), ...(token === undefined ? {} : { token }) });
}

/** A server that answers. */
export interface ReachedServer {
  readonly serverId: string;
  readonly address: string;
  readonly status: GetStatusResponse;
  readonly admin: Admin;
}

export interface ReachedServers extends AsyncDisposable {
  /** In order of their ids, each once. At least one. */
  readonly list: readonly ReachedServer[];
  /** The addresses where nobody answers, and why. */
  readonly silent: readonly { readonly address: string; readonly why: string }[];
}

/**
 * All servers of the service: those that the options name, and those that these tell of. What a server saw or counted
 * only it can tell. Rejects if none of them answers.
 */
export async function reachServers(options: ConnectionOptions): Promise<ReachedServers> {
  const found = new Map<string, ReachedServer>();
  const silent: { address: string; why: string }[] = [];
  const asked = new Set<string>();
  let failure: unknown;
  const reach = async (address: string): Promise<void> => {
    asked.add(address);
    let admin: Admin | undefined;
    try {
      // A server may tell of an address that is none.
      admin = adminOf(options, [address]);
      const status = await admin.getStatus();
      const { serverId } = status;
      if (found.has(serverId)) await admin[Symbol.asyncDispose]();
      else found.set(serverId, { serverId, address, status, admin });
    } catch (error) {
      await admin?.[Symbol.asyncDispose]();
      if (!(error instanceof HoldfastError)) throw error;
      failure ??= error;
      silent.push({ address, why: error.message });
    }
  };
  await Promise.all(options.server.map(reach));
  if (found.size === 0) throw failure;
  const told = [...found.values()].flatMap(({ status }) => status.servers);
  const others = new Set(
    told.filter(({ serverId, address }) => !found.has(serverId) && address !== "" && !asked.has(address)),
  );
  await Promise.all([...new Set([...others].map(({ address }) => address))].map(reach));
  const list = [...found.values()].sort((a, b) => (a.serverId < b.serverId ? -1 : 1));
  return {
    list,
    silent,
    async [Symbol.asyncDispose]() {
      await Promise.all(list.map(({ admin }) => admin[Symbol.asyncDispose]()));
    },
  };
}

/** Says which servers are missing from what is shown. */
export function complainOfSilent({ silent }: ReachedServers): void {
  for (const { address } of silent) complain(`nobody answers at ${address}: what that server knows is missing here`);
}

/** Runs a command of the people on call: says what goes wrong, and has the process exit with the code for it. */
export async function onCall(options: ConnectionOptions, run: () => Promise<void>): Promise<void> {
  // Whoever read this has read enough, as `head` does.
  process.stdout.once("error", () => process.exit());
  try {
    await run();
  } catch (error) {
    const { message, code } = explain(error, options);
    complain(message);
    process.exitCode = code === exitCode.notAcquired ? exitCode.failed : code;
  }
}

/** Writes a line. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
