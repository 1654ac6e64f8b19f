import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

const COMMAND_LINE = new URL("../../clients/cli/main.ts", import.meta.url).pathname;
const POLL_MS = 20;

export interface ServerOptions {
  /** "127.0.0.1:port" of the etcd that it is to use. */
  readonly etcd: string;
  /** Flags besides, as the command line takes them. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A server as a process of its own. Disposing of it kills it if it still runs. */
export interface ServerProcess extends AsyncDisposable {
  /** "127.0.0.1:port". */
  readonly grpcAddress: string;
  readonly httpAddress: string;
  readonly pid: number;
  /** Resolves with its exit code when it is gone, however that comes about. */
  readonly exited: Promise<number>;
  /** What it has written to its standard error: its log. */
  readonly log: string;
  /** Ends it as a crash does, and resolves when it is gone. */
  kill9(): Promise<void>;
  /** Sends SIGTERM and resolves with its exit code when it is gone. */
  stop(): Promise<number>;
  /** Stops it in its tracks (SIGSTOP): its sockets stay open and fill. */
  pause(): void;
  resume(): void;
  /** What `/readyz` says now: "serving", or why not. */
  readiness(): Promise<string>;
  /** What `/metrics` says of one series, with its labels: its number, or `undefined` if it is not there. */
  metric(series: string): Promise<number | undefined>;
  /** Resolves with what `/readyz` says once that matches; rejects after 20 s. */
  untilReadiness(pattern: RegExp): Promise<string>;
  /** Resolves with the first line of its log that matches, which comes a little after what it tells of; rejects after 20 s. */
  untilLogged(pattern: RegExp): Promise<string>;
}

/** Starts `holdfast server` on free ports, and resolves when it serves. */
export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const ports = ["--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"];
  const child = spawn(
    process.execPath,
    [COMMAND_LINE, "server", "--etcd-endpoints", options.etcd, ...ports, ...(options.flags ?? [])],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...options.env } },
  );
  const server = new Running(child);
  try {
    await server.started();
    await server.untilReadiness(/^serving$/);
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

class Running implements ServerProcess {
  grpcAddress = "";
  httpAddress = "";
  log = "";
  readonly #child: ChildProcess;
  readonly #exited: Promise<number>;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#exited = once(child, "close").then(([code]) => code ?? -1);
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.log += text;
    });
  }

  get exited(): Promise<number> {
    return this.#exited;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Resolves when it has printed where it listens. */
  async started(): Promise<void> {
    for await (const line of createInterface(this.#child.stdout!)) {
      const [, what, address] = /^(gRPC|HTTP) {2}(?:http:\/\/)?(\S+)/.exec(line) ?? [];
      if (what === "gRPC") this.grpcAddress = address!;
      if (what !== "HTTP") continue;
      this.httpAddress = address!;
      this.#child.stdout!.resume();
      return;
    }
    // All of what it said is there when it has ended.
    await this.#exited;
    throw new Error(`the server did not start: ${this.log}`);
  }

  async kill9(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  stop(): Promise<number> {
    this.#child.kill("SIGTERM");
    return this.#exited;
  }

  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  async readiness(): Promise<string> {
    const response = await fetch(`http://${this.httpAddress}/readyz`);
    return (await response.text()).trim();
  }

  async metric(series: string): Promise<number | undefined> {
    const response = await fetch(`http://${this.httpAddress}/metrics`);
    const line = (await response.text()).split("\n").find((each) => each.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length));
  }

  async untilReadiness(pattern: RegExp): Promise<string> {
    const startedMs = performance.now();
    for (;;) {
      const readiness = await this.readiness();
      if (pattern.test(readiness)) return readiness;
      if (performance.now() - startedMs > 20_000) throw new Error(`/readyz still says "${readiness}"`);
      await delay(POLL_MS);
    }
  }

  async untilLogged(pattern: RegExp): Promise<string> {
    const startedMs = performance.now();
    for (;;) {
      // What follows the last end of a line may be half a line.
      const line = this.log
        .split("\n")
        .slice(0, -1)
        .find((each) => pattern.test(each));
      if (line !== undefined) return line;
      if (performance.now() - startedMs > 20_000)
        throw new Error(`no line of the log matches ${pattern}:\n${this.log}`);
      await delay(POLL_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    // Also ends one that is paused.
    await this.kill9();
  }
}
