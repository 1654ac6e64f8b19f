import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Who has a data folder: written when it is taken, gone when it is given back. */
interface Owner {
  readonly server: number;
  /** Absent while etcd starts. */
  readonly etcd?: number;
}

/** A data folder that this process has to itself. */
export interface DataFolder extends Disposable {
  /** Says which etcd works in it, so that one that is left over can be found. */
  usedBy(etcdPid: number): void;
}

/**
 * Takes a data folder for this process, making it if it is not there. An etcd that a killed server left running in
 * it is ended first, and `onLeftOver` told; two of them would wait for each other's lock without a word.
 *
 * Rejects with an error of one line when another server runs on it.
 */
export async function takeDataFolder(path: string, onLeftOver: (etcdPid: number) => void): Promise<DataFolder> {
  const file = join(path, "owner.json");
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.W_OK);
  } catch (error) {
    throw new Error(`the data folder ${path} cannot be had (${(error as Error).message}): give another with --data`);
  }
  const owner = readOwner(file);
  if (owner !== undefined && owner.server !== process.pid && isAlive(owner.server))
    throw new Error(
      `${path} is in use by process ${owner.server}: end that server, or give another folder with --data ` +
        `(if it is no Holdfast server, delete ${file})`,
    );
  if (owner?.etcd !== undefined && isEtcdIn(owner.etcd, path)) {
    onLeftOver(owner.etcd);
    await end(owner.etcd, path);
  }
  const write = (next: Owner) => writeFileSync(file, `${JSON.stringify(next)}\n`);
  write({ server: process.pid });
  return {
    usedBy: (etcd) => write({ server: process.pid, etcd }),
    [Symbol.dispose]: () => rmSync(file, { force: true }),
  };
}

function readOwner(file: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    // Not there, or half written by a process that died over it.
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Whether a process is an etcd with its data in this folder: the number may be somebody else's by now. */
function isEtcdIn(pid: number, path: string): boolean {
  const ofLinux = `/proc/${pid}/cmdline`;
  const command = existsSync("/proc/self")
    ? existsSync(ofLinux) && readFileSync(ofLinux, "utf8")
    : spawnSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" }).stdout;
  return command !== false && command.includes(`--data-dir=${path}`);
}

async function end(pid: number, path: string): Promise<void> {
  const killAtMs = performance.now() + 5_000;
  // Not until the number is free: what nobody waits for keeps it, as a zombie.
  while (isEtcdIn(pid, path)) {
    process.kill(pid, performance.now() < killAtMs ? "SIGTERM" : "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
