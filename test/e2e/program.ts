import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const root = join(import.meta.dirname, "../..");

export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process that a test has started: what it said, and how it ended. Disposing of it kills it. */
export class Program implements AsyncDisposable {
  stdout = "";
  stderr = "";
  readonly pid: number;
  readonly ended: Promise<ProgramEnd>;
  private readonly child: ChildProcess;
  private readonly watchers = new Set<() => void>();
  private isOver = false;

  /**
   * Runs a command in a process group of its own, so that a test can do to it what a terminal does. No setting of
   * whoever runs the tests reaches it.
   */
  constructor(
    command: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    cwd = root,
  ) {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("HOLDFAST_"));
    const env = { ...Object.fromEntries(inherited), ...environment };
    this.child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    this.pid = this.child.pid!;
    for (const name of ["stdout", "stderr"] as const)
      this.child[name]!.setEncoding("utf8").on("data", (text: string) => {
        this[name] += text;
        for (const watcher of this.watchers) watcher();
      });
    this.ended = new Promise((resolve) => {
      this.child.once("close", (code, signal) => {
        this.isOver = true;
        for (const watcher of this.watchers) watcher();
        resolve({ code, signal });
      });
    });
  }

  /** Resolves when it has written this to one of its outputs; rejects, with all it wrote, if it ends before. */
  saw(pattern: RegExp, output: "stdout" | "stderr" = "stdout"): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(this[output]);
        if (match === null && !this.isOver) return;
        this.watchers.delete(look);
        if (match !== null) resolve(match);
        else reject(new Error(`it ended without ${pattern} on ${output}\n${this.stdout}\n${this.stderr}`));
      };
      this.watchers.add(look);
      look();
    });
  }

  /** The end of what it wrote, for the message of a test that fails. */
  get lastWords(): string {
    const tail = (name: "stdout" | "stderr") => this[name].trimEnd().split("\n").slice(-12).join("\n");
    return `stdout:\n${tail("stdout")}\nstderr:\n${tail("stderr")}\n`;
  }

  /** Reads nothing more of what it says, as `head` does when it has enough: whoever writes on hears of it. */
  stopReading(): void {
    this.child.stdout!.destroy();
    this.child.stderr!.destroy();
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** What Ctrl-C and the like on a terminal do: the signal goes to the whole group. */
  killGroup(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isOver) return;
    // Asked first: it ends what it has started, which a kill would leave behind.
    this.killGroup("SIGTERM");
    this.killGroup("SIGCONT");
    const patience = setTimeout(() => this.killGroup("SIGKILL"), 5_000);
    await this.ended;
    clearTimeout(patience);
  }
}

/** The command line, run from the sources. */
export function holdfast(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Program {
  return new Program(process.execPath, [join(root, "clients/cli/main.ts"), ...args], environment);
}

/** A server that is ready, where it listens, and the process that it is. */
export interface RunningServer extends AsyncDisposable {
  readonly program: Program;
  /** "127.0.0.1:port". */
  readonly grpc: string;
  /** "http://127.0.0.1:port". */
  readonly http: string;
}

/** Starts `holdfast server` on free ports and waits until it says that it is ready. */
export async function startServer(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<RunningServer> {
  const ports = ["--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"];
  return whenReady(holdfast(["server", ...ports, ...args], environment));
}

/** Waits until a program that runs a server says that it is ready. */
export async function whenReady(program: Program): Promise<RunningServer> {
  try {
    await program.saw(/Ctrl-C ends it/);
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
  return {
    program,
    grpc: /^gRPC +(\S+)/m.exec(program.stdout)![1]!,
    http: /^HTTP +(\S+)/m.exec(program.stdout)![1]!,
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

/** A folder that goes when it is disposed of. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "holdfast-e2e-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Whether a process with this number runs. One that has ended, and that nobody has waited for, does not. */
export function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8") !== "";
  } catch {
    return false;
  }
}

/** The processes that have this in their environment, as "NAME=value": whatever a program has started has it too. */
export function processesWith(variable: string): string[] {
  const entries = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return entries.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(variable);
    } catch {
      // It has ended meanwhile.
      return false;
    }
  });
}
