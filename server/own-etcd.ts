import { spawn } from "node:child_process";
import { join, resolve } from "node:path";
import { startEmbeddedEtcd } from "./adapters/etcd/embedded.ts";
import type { Log } from "./adapters/telemetry/log.ts";
import type { EmbeddedEtcdConfig } from "./config.ts";
import { takeDataFolder } from "./data-folder.ts";

/** An etcd that runs as our child on a data folder that is ours alone. Disposing of it ends it in order. */
export interface OwnEtcd extends AsyncDisposable {
  /** "host:port". */
  readonly endpoint: string;
  readonly dataFolder: string;
  /** Ends it at once. It keeps what it has confirmed. */
  kill(): void;
}

/**
 * Starts it, and builds it before if nobody has done so. `onExit` is told how it ended, if nobody asked it to.
 *
 * Rejects with an error of one line when the folder is in use, or etcd cannot be built or started; nothing runs then.
 */
export async function startOwnEtcd(
  config: EmbeddedEtcdConfig,
  log: Log,
  onExit: (how: string) => void,
): Promise<OwnEtcd> {
  const dataFolder = resolve(config.dataFolder);
  const binary = config.binary ?? (await buildEtcd());
  await using parts = new AsyncDisposableStack();
  const folder = await takeDataFolder(dataFolder, (pid) => log.event("warn", "etcd.left_over", { pid }));
  parts.use(folder);
  const etcd = await startEmbeddedEtcd({
    binary,
    dataDir: join(dataFolder, "etcd"),
    onExit,
    onProgress: (text) => log.event("info", "etcd.awaited", { text }),
    onLog: (line) => log.event("debug", "etcd.logged", { line }),
  });
  parts.use(etcd);
  folder.usedBy(etcd.pid);
  const kept = parts.move();
  return {
    endpoint: etcd.endpoint,
    dataFolder,
    kill: () => process.kill(etcd.pid, "SIGKILL"),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** The path of the pinned etcd. Its build takes under a minute the first time, and tells of itself on stderr. */
function buildEtcd(): Promise<string> {
  const script = join(import.meta.dirname, "../tools/build.sh");
  const child = spawn(script, ["etcd"], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return new Promise((resolve, reject) => {
    const failed = (why: string) =>
      reject(
        new Error(`etcd could not be built (${why}): see above, or name one with --etcd-binary or --etcd-endpoints`),
      );
    child.once("error", (error) => failed(error.message));
    child.once("close", (code, signal) => {
      if (code === 0) resolve(output.trimEnd().split("\n").at(-1)!);
      else failed(signal === null ? `exit code ${code}` : signal);
    });
  });
}
