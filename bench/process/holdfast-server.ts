import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Which of Node's own profilers to run in the server. */
export type Profile = "cpu" | "heap";

export const root = join(import.meta.dirname, "../..");

/** Where the server's profiles go, one file for each server of a run. */
export const profileFolder = join(root, ".cache/bench-profile");

/** A server of its own process, started as a user starts it. */
export interface HoldfastServer extends AsyncDisposable {
  /** "host:port" for clients. */
  readonly address: string;
  /** "host:port" of the console and of /metrics. */
  readonly httpAddress: string;
  readonly pid: number;
}

export interface HoldfastOptions {
  readonly etcdEndpoint: string;
  readonly profile: Profile | undefined;
  readonly flags?: readonly string[];
}

/** Starts a server in front of an etcd; its log goes to a file. Rejects with the end of the log if it does not start. */
export async function startHoldfast({ etcdEndpoint, profile, flags = [] }: HoldfastOptions): Promise<HoldfastServer> {
  const logFile = join(tmpdir(), `holdfast-bench-${process.pid}-${Date.now()}.log`);
  const log = openSync(logFile, "w");
  const child = spawn(
    process.execPath,
    [
      ...profileFlags(profile),
      ...["clients/cli/main.ts", "server", "--etcd-endpoints", etcdEndpoint],
      ...["--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"],
      ...flags,
    ],
    { cwd: root, stdio: ["ignore", "pipe", log] },
  );
  closeSync(log);
  const addresses = await addressesOf(child);
  if (addresses === undefined)
    throw new Error(`the server did not start: ${readFileSync(logFile, "utf8").slice(-2000)}`);
  return {
    ...addresses,
    pid: child.pid!,
    async [Symbol.asyncDispose]() {
      await stop(child);
      await rm(logFile);
    },
  };
}

function profileFlags(profile: Profile | undefined): readonly string[] {
  if (profile === undefined) return [];
  mkdirSync(profileFolder, { recursive: true });
  return profile === "cpu"
    ? ["--cpu-prof", `--cpu-prof-dir=${profileFolder}`]
    : ["--heap-prof", `--heap-prof-dir=${profileFolder}`];
}

/** What it says in its first words; `undefined` if it ends without. */
function addressesOf(child: ChildProcess): Promise<Pick<HoldfastServer, "address" | "httpAddress"> | undefined> {
  return new Promise((resolve) => {
    let address = "";
    createInterface({ input: child.stdout! })
      .on("line", (line) => {
        address = /^gRPC\s+(\S+)/.exec(line)?.[1] ?? address;
        const httpAddress = /^HTTP\s+http:\/\/(\S+)/.exec(line)?.[1];
        if (httpAddress !== undefined) resolve({ address, httpAddress });
      })
      .once("close", () => resolve(undefined));
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const patience = setTimeout(() => child.kill("SIGKILL"), 20_000);
  await exited;
  clearTimeout(patience);
}
