import { type ChildProcess, spawn } from "node:child_process";
import { exitCode, exitCodeOf } from "./exit-code.ts";
import type { Signals } from "./signals.ts";

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
  signals: Signals,
): Promise<ChildEnd> {
  const child = spawn(command[0]!, command.slice(1), { env: environment, stdio: "inherit", detached: true });
  const supervision = new Supervision(child, lease, patience);
  signals.giveTo((name) => supervision.receive(name));
  return new Promise<ChildEnd>((resolve) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      if (child.pid === undefined) resolve(notStarted(command[0]!, error));
    });
    child.once("exit", (code, signal) => resolve(supervision.endedWith(code ?? exitCodeOf(signal!))));
  }).finally(() => {
    signals.giveTo(undefined);
    supervision.end();
  });
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
  private timer: NodeJS.Timeout | undefined;
  private isStopping = false;

  constructor(child: ChildProcess, lease: Lease, patience: Patience) {
    this.child = child;
    this.lease = lease;
    this.patience = patience;
    // Whatever ends us, if not SIGKILL, ends it.
    process.on("exit", this.kill);
    lease.lost.addEventListener("abort", this.stop);
    this.look();
  }

  /** A signal that we were sent is the child's, but for those of the keyboard's Ctrl-Z, which are ours too. */
  receive(name: NodeJS.Signals): void {
    if (name === "SIGTSTP") {
      this.signal("SIGSTOP");
      process.kill(process.pid, "SIGSTOP");
    } else if (name === "SIGCONT") {
      this.look();
      if (!this.isStopping) this.signal("SIGCONT");
    } else this.signal(name);
  }

  endedWith(code: number): ChildEnd {
    if (!this.isStopping) return { kind: "ended", exitCode: code };
    // What it started may be slower to go than it was.
    this.kill();
    return { kind: "stopped" };
  }

  end(): void {
    clearTimeout(this.timer);
    process.off("exit", this.kill);
    this.lease.lost.removeEventListener("abort", this.stop);
  }

  /** Stops the child if it is time to, or looks again when it could be: each heartbeat makes it later. */
  private look(): void {
    clearTimeout(this.timer);
    const remainingMs = this.lease.remainingMs() - this.patience.graceMs;
    if (this.lease.lost.aborted || remainingMs <= 0) this.stop();
    else this.timer = setTimeout(() => this.look(), remainingMs);
  }

  private readonly stop = (): void => {
    if (this.isStopping) return;
    this.isStopping = true;
    clearTimeout(this.timer);
    const { graceMs, marginMs } = this.patience;
    const killInMs = Math.min(graceMs, this.lease.remainingMs()) - marginMs;
    if (killInMs <= 0) {
      this.kill();
      return;
    }
    this.signal("SIGTERM");
    // One that is suspended could not answer.
    this.signal("SIGCONT");
    this.timer = setTimeout(this.kill, killInMs);
  };

  private readonly kill = (): void => this.signal("SIGKILL");

  private signal(name: NodeJS.Signals): void {
    try {
      process.kill(-this.child.pid!, name);
    } catch {
      // It is gone, or was never there.
    }
  }
}
