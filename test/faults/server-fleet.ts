import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Machine } from "./network.ts";
import { Program } from "./program.ts";

const GRPC_PORT = 7400;
const HTTP_PORT = 7401;
const COMMAND_LINE = new URL("../../clients/cli/main.ts", import.meta.url).pathname;
const BLOCKABLE = new URL("./blockable.ts", import.meta.url).href;
const START_AGAIN_AFTER_MS = 300;

/** A server of the service on a machine of its own, started again whenever it ends without being asked to. */
export class FleetServer {
  readonly machine: Machine;
  /** "host:port" for clients. */
  readonly address: string;
  readonly logFile: string;
  /** How often it ended by itself, which is what one does that finds no etcd when it starts. */
  gaveUp = 0;
  private readonly command: readonly string[];
  private program: Program | undefined;
  private isWanted = false;

  /** `etcd`: where it finds that. `clockAheadS`: by how much its monotonic clock is ahead of the machine's. */
  constructor(machine: Machine, etcd: readonly string[], folder: string, clockAheadS: number) {
    this.machine = machine;
    this.address = `${machine.address}:${GRPC_PORT}`;
    this.logFile = join(folder, `${machine.name}.log`);
    const ports = ["--grpc-address", this.address, "--http-address", `${machine.address}:${HTTP_PORT}`, "--insecure"];
    this.command = [
      ...withClock(clockAheadS),
      process.execPath,
      `--import=${BLOCKABLE}`,
      COMMAND_LINE,
      "server",
      "--etcd-endpoints",
      etcd.join(","),
      ...ports,
      "--log-format",
      "json",
    ];
  }

  get isRunning(): boolean {
    return this.program?.isRunning === true;
  }

  /** The connections that it has taken, each by the address at its other end. */
  get connections(): string[] {
    const port = GRPC_PORT.toString(16).toUpperCase();
    const lines = readFileSync(`/proc/${this.program!.pid}/net/tcp`, "utf8").split("\n");
    // Columns: number, local address:port, remote address:port, state; 01 is established.
    const established = new RegExp(`^\\s*\\d+: \\w+:${port} (\\w+):\\w+ 01 `);
    return lines.flatMap((line) => {
      const [, remote] = established.exec(line) ?? [];
      return remote === undefined ? [] : [`${this.machine.name} from ${addressFrom(remote)}`];
    });
  }

  /** How many calls are pending on its clock. */
  async timers(): Promise<number> {
    const response = await fetch(`http://${this.machine.address}:${HTTP_PORT}/metrics`);
    const [, timers] = /^holdfast_timers (\d+)$/m.exec(await response.text()) ?? [];
    return Number(timers);
  }

  start(): void {
    this.isWanted = true;
    if (this.isRunning) return;
    const program = new Program(this.machine, this.command, { logFile: this.logFile });
    this.program = program;
    void program.ended.then(async () => {
      if (!this.isWanted || this.program !== program) return;
      this.gaveUp++;
      await delay(START_AGAIN_AFTER_MS);
      if (this.isWanted && this.program === program) this.start();
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.program?.signal(signal);
  }

  async kill9(): Promise<void> {
    this.isWanted = false;
    await this.program?.kill9();
  }

  /** Asks it to end, and resolves with its exit code. */
  async stop(): Promise<number | string> {
    this.isWanted = false;
    this.signal("SIGTERM");
    return this.program!.ended;
  }

  /** Resolves when it serves; rejects with what it says instead when that takes too long. */
  async serves(withinMs: number): Promise<void> {
    const untilMs = performance.now() + withinMs;
    for (;;) {
      const said = await fetch(`http://${this.machine.address}:${HTTP_PORT}/readyz`, {
        signal: AbortSignal.timeout(1000),
      })
        .then((response) => response.text())
        .catch((error: Error) => error.message);
      if (said.trim() === "serving") return;
      if (performance.now() > untilMs) throw new Error(`${this.machine.name} does not serve: ${said.trim()}`);
      await delay(50);
    }
  }
}

/** An address as the kernel writes it: hexadecimal, and backwards. */
const addressFrom = (hex: string): string => [...Buffer.from(hex, "hex")].reverse().join(".");

/** The beginning of a command that runs with its monotonic clock ahead. */
export const withClock = (aheadS: number): string[] =>
  aheadS === 0 ? [] : ["unshare", "--time", "--monotonic", String(aheadS)];
