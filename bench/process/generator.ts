import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { LoadResult } from "../load/result.ts";
import type { Figures } from "../report/book.ts";

/** A load that takes longer hangs: every one is meant to end within a minute. */
const PATIENCE_MS = 300_000;

/** A load generator that runs: a process that prints lines of JSON, and is told by its input. */
export class Generator {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #output: Interface;
  readonly #closed: Promise<[number | null, string | null]>;
  readonly #patience: NodeJS.Timeout;
  readonly #name: string;
  #complaint = "";

  private constructor(name: string, program: string, args: readonly string[]) {
    this.#name = name;
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.#closed = once(this.#child, "close") as Promise<[number | null, string | null]>;
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-2000);
    });
    this.#output = createInterface({ input: this.#child.stdout! });
    this.#lines = this.#output[Symbol.asyncIterator]();
    this.#patience = setTimeout(() => this.#child.kill("SIGKILL"), PATIENCE_MS);
  }

  /** A generator of this folder, by its file: "load.ts". */
  static node(file: string, ...args: readonly string[]): Generator {
    return new Generator(file, process.execPath, [join(import.meta.dirname, "..", file), ...args]);
  }

  /** A program elsewhere. */
  static program(path: string, ...args: readonly string[]): Generator {
    return new Generator(args[0] ?? path, path, args);
  }

  /** The next line that it prints. Rejects with its last words if it ends without. */
  async line<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (!done) return JSON.parse(value) as T;
    const [code, signal] = await this.#closed;
    clearTimeout(this.#patience);
    throw new Error(`${this.#name} ended with ${signal ?? `exit code ${code}`}: ${this.#complaint.trim()}`);
  }

  /** Sends it a line. */
  tell(text: string): void {
    this.#child.stdin!.write(`${text}\n`);
  }

  /** Ends its input, and resolves with its last line when it has ended well. */
  async end<T>(): Promise<T> {
    this.#child.stdin!.end();
    const last = await this.line<T>();
    const [code] = await this.#closed;
    clearTimeout(this.#patience);
    if (code !== 0) throw new Error(`${this.#name} ended with exit code ${code}: ${this.#complaint.trim()}`);
    return last;
  }
}

/** Runs a generator that prints one result, and flattens it into figures. */
export async function measured(generator: Generator): Promise<Figures> {
  const { perSecond, latencies = {}, fifo } = await generator.end<LoadResult>();
  if (!(perSecond > 0)) throw new Error("nothing was done within the time");
  const figures: Record<string, number> = { perSecond };
  for (const [step, { p50Ms, p99Ms }] of Object.entries(latencies)) {
    figures[`${step}P50Ms`] = p50Ms;
    figures[`${step}P99Ms`] = p99Ms;
  }
  return fifo === undefined ? figures : { ...figures, fifo: Number(fifo) };
}
