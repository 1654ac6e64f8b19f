import { execFileSync, spawn } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { reservePort } from "./ports.ts";

/** A PostgreSQL for one test file, in a folder of its own, on a free port of loopback. */
export interface TestPostgres extends AsyncDisposable {
  connect(): Promise<pg.Client>;
}

/** Starts it, installing Debian's package first where it is missing and this is root. */
export async function startPostgres(): Promise<TestPostgres> {
  const bin = binaries();
  const folder = await mkdtemp(join(tmpdir(), "holdfast-postgres-"));
  // PostgreSQL refuses to run as root.
  const user = process.getuid?.() === 0 ? idOf("postgres") : undefined;
  if (user !== undefined) await chown(folder, user.uid, user.gid);
  const data = join(folder, "data");
  execFileSync(join(bin, "initdb"), ["-D", data, "-U", "test", "-A", "trust", "--no-sync"], {
    ...user,
    stdio: "ignore",
  });
  const port = await reservePort();
  const flags = ["-D", data, "-p", String(port), "-c", "listen_addresses=127.0.0.1", "-k", folder, "-F"];
  const child = spawn(join(bin, "postgres"), flags, { ...user, stdio: "ignore" });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const connect = async () => {
    const client = new pg.Client({ host: "127.0.0.1", port, user: "test", database: "postgres" });
    await client.connect();
    return client;
  };
  for (let attempt = 0; ; attempt++) {
    try {
      await (await connect()).end();
      break;
    } catch (error) {
      if (attempt === 100 || child.exitCode !== null) throw error;
      await delay(100);
    }
  }
  return {
    connect,
    async [Symbol.asyncDispose]() {
      child.kill("SIGINT");
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}

function binaries(): string {
  const find = () => globSync("/usr/lib/postgresql/*/bin").find((folder) => existsSync(join(folder, "postgres")));
  const found = find();
  if (found !== undefined) return found;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  execFileSync("apt-get", ["update"], { stdio: "ignore", env });
  execFileSync("apt-get", ["install", "-y", "--no-install-recommends", "postgresql"], { stdio: "ignore", env });
  const installed = find();
  if (installed === undefined) throw new Error("PostgreSQL is needed: apt-get install postgresql");
  return installed;
}

const idOf = (name: string) => ({
  uid: Number(execFileSync("id", ["-u", name], { encoding: "utf8" })),
  gid: Number(execFileSync("id", ["-g", name], { encoding: "utf8" })),
});
