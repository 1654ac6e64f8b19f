import { type ChildProcess, spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { get } from "node:http";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { StoreError } from "./store-error.ts";

/** How to start an etcd of our own. */
export interface EmbeddedEtcdOptions {
  /** Path of the etcd program. */
  readonly binary: string;
  /** Where it keeps its data; made if it is not there. What an earlier run left there is taken up. */
  readonly dataDir: string;
  /** The port on 127.0.0.1 for clients. Absent or 0: a free one. */
  readonly clientPort?: number;
  /** The port on 127.0.0.1 for other members, of which there are none. Absent or 0: a free one. */
  readonly peerPort?: number;
  /** The size that the database may reach before etcd refuses to write. Absent: 4 GiB. */
  readonly quotaBytes?: number;
  /** How much history etcd keeps at least, as etcd reads it ("30s", "10m"). Absent: 30 s. */
  readonly historyKept?: string;
  /** More of etcd's own flags, as it reads them. */
  readonly flags?: readonly string[];
  /** How long it may take until it answers. Absent: 30 s. */
  readonly startTimeoutMs?: number;
  /** Told each line of etcd's log from level `warn` up: JSON, as etcd writes it. */
  readonly onLog?: (line: string) => void;
  /** Told every 2 s what is being waited for. */
  readonly onProgress?: (text: string) => void;
  /** Told once how it ended, if that was after it answered and not by `stop`. */
  readonly onExit?: (how: string) => void;
}

/** An etcd that runs as our child. */
export interface EmbeddedEtcd extends AsyncDisposable {
  /** Where clients reach it, as "127.0.0.1:port". */
  readonly endpoint: string;
  readonly pid: number;
  /** Ends it: asks, and kills after 5 s. Resolves when it is gone. Harmless to repeat. */
  stop(): Promise<void>;
}

/**
 * Starts etcd on loopback as the only member of its cluster, and resolves when it answers.
 *
 * Rejects with `port-taken` when a port that was given is in use, and with `start-failed`, with etcd's own last
 * words, when it ends or does not answer in time; nothing runs then. It has a process group of its own, so that
 * Ctrl-C on a terminal reaches only us, who then end it in order. It outlives a kill -9 of this process.
 */
export async function startEmbeddedEtcd(options: EmbeddedEtcdOptions): Promise<EmbeddedEtcd> {
  const attempts = options.clientPort ? 1 : 5;
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(options, options.clientPort || (await freePort()));
    } catch (error) {
      // A port that was free a moment ago may be somebody's by now.
      if (attempt === attempts || !(error instanceof StoreError) || error.reason !== "port-taken") throw error;
    }
  }
}

async function startOnce(options: EmbeddedEtcdOptions, port: number): Promise<EmbeddedEtcd> {
  await refuseTaken(port);
  if (options.peerPort) await refuseTaken(options.peerPort);
  await makeFolder(options.dataDir);
  const child = spawn(options.binary, flagsOf(options, port), {
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  const running = new Running(child, `127.0.0.1:${port}`, options);
  try {
    await running.answering(options.startTimeoutMs ?? 30_000);
  } catch (error) {
    await running.stop();
    throw error;
  }
  return running;
}

function flagsOf(options: EmbeddedEtcdOptions, port: number): readonly string[] {
  const client = `http://127.0.0.1:${port}`;
  // Told to no one, but etcd wants one that it could tell: with a port of its choosing it is only a name.
  const peer = `http://127.0.0.1:${options.peerPort || 1}`;
  return [
    "--name=holdfast",
    `--data-dir=${options.dataDir}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=http://127.0.0.1:${options.peerPort ?? 0}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=holdfast=${peer}`,
    `--quota-backend-bytes=${options.quotaBytes ?? 4 * 1024 ** 3}`,
    "--auto-compaction-mode=periodic",
    `--auto-compaction-retention=${options.historyKept ?? "30s"}`,
    "--max-concurrent-streams=1000",
    "--log-level=warn",
    ...(options.flags ?? []),
  ];
}

class Running implements EmbeddedEtcd {
  readonly endpoint: string;
  private readonly child: ChildProcess;
  private readonly complaints: string[] = [];
  private readonly exited: Promise<string>;
  private how: string | undefined;
  private state: "starting" | "answering" | "stopping" = "starting";
  private readonly onProgress: ((text: string) => void) | undefined;

  constructor(child: ChildProcess, endpoint: string, options: EmbeddedEtcdOptions) {
    this.endpoint = endpoint;
    this.child = child;
    this.onProgress = options.onProgress;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.exited = promise;
    const ended = (how: string) => {
      if (this.how !== undefined) return;
      this.how = how;
      resolve(how);
      if (this.state === "answering") options.onExit?.(`${how}${said(this.complaints.at(-1))}`);
    };
    child.once("error", (error) => ended(`could not be run: ${error.message}`));
    // Not "exit": what it wrote last is read to the end first.
    child.once("close", (code, signal) => ended(signal ? `was ended by ${signal}` : `ended with exit code ${code}`));
    createInterface({ input: child.stderr! }).on("line", (line) => {
      this.remember(line);
      options.onLog?.(line);
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  async answering(timeoutMs: number): Promise<void> {
    const startedMs = performance.now();
    for (let reportedMs = startedMs; ; await delay(25)) {
      if (this.how !== undefined) throw this.failed(`etcd ${this.how}`);
      if (await isReady(this.endpoint)) break;
      const nowMs = performance.now();
      if (nowMs - startedMs > timeoutMs) throw this.failed(`etcd did not answer within ${timeoutMs / 1000} s`);
      if (nowMs - reportedMs < 2_000) continue;
      reportedMs = nowMs;
      this.onProgress?.(`waiting for etcd on ${this.endpoint} for ${Math.round((nowMs - startedMs) / 1000)} s`);
    }
    // Another process may have answered on this port, while ours found it taken.
    if (this.how !== undefined) throw this.failed(`etcd ${this.how}`);
    this.state = "answering";
    // What it complained of while it started has passed.
    this.complaints.length = 0;
  }

  async stop(): Promise<void> {
    this.state = "stopping";
    if (this.how !== undefined) return;
    this.child.kill("SIGTERM");
    const patience = setTimeout(() => this.child.kill("SIGKILL"), 5_000);
    await this.exited;
    clearTimeout(patience);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  private failed(what: string): StoreError {
    if (this.complaints.some((text) => text.includes("address already in use"))) return portTaken(this.endpoint);
    return new StoreError("start-failed", `${what}${said(this.complaints[0])}`);
  }

  private remember(line: string): void {
    const complaint = complaintIn(line);
    if (complaint === undefined) return;
    // The first explains why it does not start, what follows are consequences; later it is the last that counts.
    if (this.complaints.length === 2) this.complaints.pop();
    this.complaints.push(complaint);
  }
}

const said = (complaint: string | undefined) => (complaint === undefined ? "" : `; it said: ${complaint}`);

/** What a line of etcd's log complains of, if it does. */
function complaintIn(line: string): string | undefined {
  try {
    const entry = JSON.parse(line) as { level: string; msg: string; error?: string };
    if (entry.error !== undefined) return `${entry.msg}: ${entry.error}`;
    return entry.level === "warn" ? undefined : entry.msg;
  } catch {
    // Flags that it cannot read are answered in plain text.
    return line.trim() || undefined;
  }
}

/** Whether etcd says that it is ready: it has a leader and answers a linearizable read. */
function isReady(endpoint: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(`http://${endpoint}/readyz`, { agent: false, timeout: 1_000 }, (response) => {
      response.resume();
      response.once("close", () => resolve(response.statusCode === 200));
    });
    request.once("timeout", () => request.destroy());
    request.once("error", () => resolve(false));
  });
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const message = `the folder ${path} for etcd's data cannot be made: ${(error as Error).message}`;
    throw new StoreError("start-failed", message, error);
  }
}

async function refuseTaken(port: number): Promise<void> {
  if (!(await isFree(port))) throw portTaken(`127.0.0.1:${port}`);
}

const portTaken = (endpoint: string) =>
  new StoreError(
    "port-taken",
    `${endpoint} is in use by another program; end that one or choose another port for etcd`,
  );

/**
 * A port of 127.0.0.1 that nobody listens on, below those that systems give to outgoing connections: so nobody gets
 * it by chance while etcd restarts.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (await isFree(port)) return port;
  }
}

/** Whether nobody listens on a port of 127.0.0.1. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(false);
      else reject(error);
    });
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
