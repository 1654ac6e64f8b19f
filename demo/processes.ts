import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A process of the demo, in whatever language, that talks by lines of JSON. */
export interface Talker<News, Orders> extends AsyncDisposable {
  readonly pid: number;
  tell(order: Orders): void;
  /** Resolves when it has ended, with its exit code; `null`: by a signal. */
  readonly ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
  /** Called with everything it says, in order. */
  onNews: (news: News) => void;
}

/** Starts a program. It goes when its input ends, as it does when the demo has gone, however that went. */
export function startTalker<News, Orders extends object>(
  command: readonly [string, ...string[]],
): Talker<News, Orders> {
  const [program, ...args] = command;
  // A group of its own: Ctrl-C is for the demo, which then ends it.
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], detached: true });
  const ended = whenEnded(child);
  child.stdin!.on("error", () => undefined);
  const talker: Talker<News, Orders> = {
    pid: child.pid!,
    tell: (order) => void child.stdin!.write(`${JSON.stringify(order)}\n`),
    ended,
    kill: (signal) => void child.kill(signal),
    onNews: () => undefined,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
  createInterface(child.stdout!).on("line", (line) => talker.onNews(JSON.parse(line)));
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
export async function buildEtcd(): Promise<string> {
  return (await build("tools/build.sh", ["etcd"])).trimEnd().split("\n").at(-1)!;
}

/** Runs what builds a part of the demo, in the root of the repository; resolves with what it printed. */
export async function build(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { cwd: join(import.meta.dirname, ".."), stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const code = await whenEnded(child);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} failed: see above`);
  return output;
}
