import { type ChildProcess, fork, spawn } from "node:child_process";
import { join } from "node:path";

/** A process of the demo that talks by messages. */
export interface Talker<News, Orders> extends AsyncDisposable {
  readonly pid: number;
  tell(order: Orders): void;
  /** Resolves when it has ended, with its exit code; `null`: by a signal. */
  readonly ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
  /** Called with everything it says, in order. */
  onNews: (news: News) => void;
}

/** Starts one of the demo's own files. */
export function startTalker<News, Orders extends object>(file: string, args: readonly string[]): Talker<News, Orders> {
  const child = fork(join(import.meta.dirname, file), args);
  const ended = whenEnded(child);
  const talker: Talker<News, Orders> = {
    pid: child.pid!,
    tell: (order) => void child.send(order),
    ended,
    kill: (signal) => void child.kill(signal),
    onNews: () => undefined,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
  child.on("message", (news: News) => talker.onNews(news));
  return talker;
}

function whenEnded(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
}

/** A server of this project, as a process of its own. */
export interface ServerProcess extends AsyncDisposable {
  /** "127.0.0.1:port". */
  readonly address: string;
  /** Ends it in order, and resolves with its exit code. */
  stop(): Promise<number | null>;
}

/** Starts a server on a free port, in front of this etcd, and resolves when it is ready. */
export async function startServer(etcd: string): Promise<ServerProcess> {
  const main = join(import.meta.dirname, "../clients/cli/main.ts");
  const ports = ["--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"];
  const options = ["--etcd-endpoints", etcd, "--log-level", "warn", "--drain-time", "0s"];
  // A group of its own: Ctrl-C is for the demo, which then ends it.
  const child = spawn(process.execPath, [main, "server", ...ports, ...options], {
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  const ended = whenEnded(child);
  const address = await new Promise<string>((resolve, reject) => {
    let output = "";
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      const grpc = /^gRPC +(\S+)$/m.exec(output)?.[1];
      if (grpc !== undefined && output.includes("Ctrl-C ends it")) resolve(grpc);
    });
    ended.then((code) => reject(new Error(`the server ended with exit code ${code}`)), reject);
  });
  const stop = () => {
    child.kill("SIGTERM");
    return ended;
  };
  return {
    address,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

/** Builds the pinned etcd where that has not been done, and resolves with its path. */
export function buildEtcd(): Promise<string> {
  const script = join(import.meta.dirname, "../tools/build.sh");
  const child = spawn(script, ["etcd"], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return whenEnded(child).then((code) => {
    if (code !== 0) throw new Error("etcd could not be built: see above");
    return output.trimEnd().split("\n").at(-1)!;
  });
}
