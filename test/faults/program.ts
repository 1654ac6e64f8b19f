import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import type { Machine } from "./network.ts";

export interface ProgramOptions {
  /** Where its output goes, all that there was before kept. */
  readonly logFile: string;
  /** Whether messages pass between it and this process. */
  readonly talks?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

/** A process on a machine of the network. */
export class Program {
  readonly pid: number;
  /** Resolves with its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  /** Called with each message that it sends. */
  onMessage: (message: unknown) => void = () => undefined;
  private readonly child: ChildProcess;

  constructor(machine: Machine, command: readonly string[], { logFile, talks = false, env = {} }: ProgramOptions) {
    const log = openSync(logFile, "a");
    const [file, ...args] = machine.command(command);
    this.child = spawn(file!, args, {
      stdio: talks ? ["ignore", log, log, "ipc"] : ["ignore", log, log],
      env: { ...process.env, ...env },
    });
    closeSync(log);
    this.pid = this.child.pid!;
    this.ended = once(this.child, "exit").then(([code, signal]) => code ?? signal);
    this.child.on("message", (message) => this.onMessage(message));
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  send(message: object): void {
    // It may have been killed a moment ago.
    if (this.child.connected) this.child.send(message, () => undefined);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.child.kill(signal);
  }

  async kill9(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended;
  }
}
