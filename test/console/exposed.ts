import { type ServerProcess, startServer } from "../support/server.ts";

/** A server whose console is reached from other machines too. */
export interface ExposedServer extends ServerProcess {
  /** "address:port" of its console, as another machine and as this one know it. */
  readonly fromElsewhere: string;
  readonly fromHere: string;
}

interface ExposedOptions {
  readonly etcd: string;
  /** An address of this machine that is not a loopback one. */
  readonly host: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Starts a server that listens on all addresses, with keys of its own in etcd. */
export async function startExposed({ etcd, host, env }: ExposedOptions): Promise<ExposedServer> {
  const flags = ["--http-address", "0.0.0.0:0", "--insecure", "--log-format", "json", "--prefix", "elsewhere/"];
  const server = await startServer({ etcd, flags, env });
  const port = server.httpAddress.split(":")[1];
  return Object.assign(server, { fromElsewhere: `${host}:${port}`, fromHere: `127.0.0.1:${port}` });
}
