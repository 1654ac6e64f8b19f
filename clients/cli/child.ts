import { type ChildProcess, spawn } from "node:child_process";
import { exitCode, exitCodeOf } from "./exit-code.ts";

/** What a child may run under. */
export interface Lease {
  /** How much longer it is certain that nobody else is let in, in milliseconds; not above zero: it is not. */
  remainingMs(): number;
  /** Aborted when it is lost. */
  readonly lost: AbortSignal;
}

export interface Patience {
  /** How long before the lease's end the child is asked to stop. */
  readonly graceMs: number;
  /** How long before the lease's end it is killed: time for the system to do so. */
  readonly marginMs: number;
}

export type ChildEnd =
  /** By itself, or by a signal that was not ours. */
  | { readonly kind: "ended"; readonly exitCode: number }
  /** We stopped it, since its lease was running out or lost. It is gone. */
  | { readonly kind: "stopped" }
  | { readonly kind: "not-started"; readonly exitCode: number; readonly message: string };

/** Signals that are the child's to answer. */
const forwarded: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"];

/**
 * Runs a command under a lease, with our own input and output, and resolves when it has ended.
 *
 * It has a process group of its own. The group is sent SIGTERM when the lease was lost or has less than `graceMs`
 * left, as when nothing has been heard of the server for long; and SIGKILL when `marginMs` are left. So it is gone
 * before anyone else can be let in. Signals that we are sent go to the group; when we are suspended from the
 * keyboard, so is the group, which goes on only if its lease is still good.
 *
 * Not promised: a process that leaves the group is not stopped, nor is any if we ourselves are killed with SIGKILL
 * or stopped with SIGSTOP.
 */
export function runChild(
  command: readonly string[],
  environment: NodeJS.ProcessEnv,
  lease: Lease,
  patience: Patience,
): Promise<ChildEnd> {
  const child = spawn(command[0]!, command.slice(1), { env: environment, stdio: "inherit", detached: true });
  const supervision = new Supervision(child, lease, patience);
  return new Promise<ChildEnd>((resolve) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      if (child.pid === undefined) resolve(notStarted(command[0]!, error));
    });
    child.once("exit", (code, signal) => resolve(supervision.endedWith(code ?? exitCodeOf(signal!))));
  }).finally(() => supervision.end());
}

function notStarted(command: string, error: NodeJS.ErrnoException): ChildEnd {
  return error.code === "ENOENT"
    ? { kind: "not-started", exitCode: exitCode.notFound, message: `${command}: not found` }
    : { kind: "not-started", exitCode: exitCode.notExecutable, message: `${command}: cannot be run: ${error.message}` };
}

class Supervision {
  private readonly child: ChildProcess;
  private readonly lease: Lease;
  private readonly patience: Patience;
  private readonly cleanUps: (() => void)[] = [];
  private timer: NodeJS.Timeout | undefined;
  private isStopping = false;

  constructor(child: ChildProcess, lease: Lease, patience: Patience) {
    this.child = child;
    this.lease = lease;
    this.patience = patience;
    for (const name of forwarded) this.on(name, () => this.signal(name));
    this.on("SIGTSTP", () => this.suspend());
    this.on("SIGCONT", () => this.resume());
    // Whatever ends us, if not SIGKILL, ends it.
    this.on("exit", () => this.signal("SIGKILL"));
    const lost = () => this.stop();
    lease.lost.addEventListener("abort", lost);
    this.cleanUps.push(() => lease.lost.removeEventListener("abort", lost));
    this.look();
  }

  endedWith(code: number): ChildEnd {
    if (!this.isStopping) return { kind: "ended", exitCode: code };
    // What it started may be slower to go than it was.
    this.signal("SIGKILL");
    return { kind: "stopped" };
  }

  end(): void {
    clearTimeout(this.timer);
    for (const cleanUp of this.cleanUps) cleanUp();
  }

  /** Stops the child if it is time to, or looks again when it could be: each heartbeat makes it later. */
  private look(): void {
    clearTimeout(this.timer);
    const remainingMs = this.lease.remainingMs() - this.patience.graceMs;
    if (this.lease.lost.aborted || remainingMs <= 0) this.stop();
    else this.timer = setTimeout(() => this.look(), remainingMs);
  }

  private stop(): void {
    if (this.isStopping) return;
    this.isStopping = true;
    clearTimeout(this.timer);
    const { graceMs, marginMs } = this.patience;
    const killInMs = Math.min(graceMs, this.lease.remainingMs()) - marginMs;
    if (killInMs <= 0) {
      this.signal("SIGKILL");
      return;
    }
    this.signal("SIGTERM");
    // One that is suspended could not answer.
    this.signal("SIGCONT");
    this.timer = setTimeout(() => this.signal("SIGKILL"), killInMs);
  }

  private suspend(): void {
    this.signal("SIGSTOP");
    process.kill(process.pid, "SIGSTOP");
  }

  private resume(): void {
    this.look();
    if (!this.isStopping) this.signal("SIGCONT");
  }

  private signal(name: NodeJS.Signals): void {
    try {
      process.kill(-this.child.pid!, name);
    } catch {
      // It is gone, or was never there.
    }
  }

  private on(event: NodeJS.Signals | "exit", listener: () => void): void {
    process.on(event, listener);
    this.cleanUps.push(() => process.off(event, listener));
  }
}
