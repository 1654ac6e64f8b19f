import { type ChildProcess, spawn } from "node:child_process";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { Inbox } from "../support/inbox.ts";
import type { Language } from "./languages.ts";

const root = resolve(import.meta.dirname, "../..");

/** What a driver said to a command: exactly one of the three is there. */
export interface Answer {
  readonly ok?: Readonly<Record<string, unknown>>;
  readonly error?: Readonly<Record<string, unknown>> & { readonly reason: string };
  readonly fault?: string;
}

export type DriverEvent = Readonly<Record<string, unknown>> & { readonly event: string };

/** A command that was sent to a driver, and what comes of it. */
export interface Sent {
  readonly id: number;
  /** When, by the clock that all processes share. */
  readonly sentNs: bigint;
  readonly answer: Promise<Answer>;
  /** Set as soon as it is answered. */
  answered: Answer | undefined;
}

/** A driver as a process. */
export class Driver {
  /** What it has told by itself, in order. */
  readonly events = new Inbox<DriverEvent>();
  readonly #child: ChildProcess;
  readonly #ended: Promise<string>;
  readonly #unanswered = new Map<number, (answer: Answer) => void>();
  #lastId = 0;
  #complaints = "";

  private constructor({ start: [program, ...args] }: Language) {
    this.#child = spawn(program === "node" ? process.execPath : program, args, {
      cwd: root,
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stdin!.on("error", () => undefined);
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#complaints = (this.#complaints + text).slice(-20_000);
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(`it could not be started: ${error.message}`));
      this.#child.once("close", (code, signal) => resolve(`it ended: ${signal ?? code}`));
    });
    void this.#ended.then((how) => this.#gone(how));
    createInterface(this.#child.stdout!).on("line", (line) => this.#heard(line));
  }

  /** Starts one that was built. Rejects if it does not speak this protocol. */
  static async start(language: Language): Promise<Driver> {
    const driver = new Driver(language);
    const { ok, error, fault } = await driver.send("hello", {}).answer;
    if (ok?.protocol === 1 && ok.language === language.name) return driver;
    await driver.kill();
    throw new Error(`${language.name}: hello was answered ${JSON.stringify(ok ?? error ?? fault)}`);
  }

  send(op: string, fields: Readonly<Record<string, unknown>>): Sent {
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const sent: Sent = { id, sentNs: process.hrtime.bigint(), answer: promise, answered: undefined };
    this.#unanswered.set(id, (answer) => {
      sent.answered = answer;
      resolve(answer);
    });
    if (this.#child.stdin!.writable) this.#child.stdin!.write(`${JSON.stringify({ id, op, ...fields })}\n`);
    return sent;
  }

  /** Stops it in its tracks, until `resume`. */
  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  /** Ends its input; resolves with how it ended, "it ended: 0" if it did so in order. Kills it after 20 s. */
  async end(): Promise<string> {
    this.resume();
    this.#child.stdin!.end();
    const patience = setTimeout(() => this.#child.kill("SIGKILL"), 20_000);
    const how = await this.#ended;
    clearTimeout(patience);
    return how === "it ended: 0" ? how : `${how}\n${this.#complaints}`;
  }

  #heard(line: string): void {
    let heard: Record<string, unknown>;
    try {
      heard = JSON.parse(line);
    } catch {
      this.#complaints += `(on standard output, and no JSON) ${line}\n`;
      return;
    }
    if (typeof heard.event === "string") return this.events.add(heard as DriverEvent);
    const id = heard.id as number;
    this.#unanswered.get(id)?.(heard as Answer);
    this.#unanswered.delete(id);
  }

  #gone(how: string): void {
    const fault = `the driver is gone, ${how}\n${this.#complaints}`;
    for (const answer of this.#unanswered.values()) answer({ fault });
    this.#unanswered.clear();
    this.events.end(fault);
  }
}

/** Until when a program may believe by what it answered to `state`, at the earliest; `undefined` if it does not say. */
export function believesUntilNs({ sentNs }: Sent, { ok }: Answer): bigint | undefined {
  const remainingMs = ok?.remainingMs;
  return typeof remainingMs === "number" ? sentNs + BigInt(Math.floor(remainingMs * 1e6)) : undefined;
}

/** Builds a language's driver. Rejects with what the build said. */
export async function build({ name, build }: Language): Promise<void> {
  if (build === undefined) return;
  const child = spawn("bash", ["-c", build], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const output of [child.stdout, child.stderr])
    output.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`the driver of ${name} was not built: ${build}\n${said}`);
}
