import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ConnectOptions } from "../../clients/typescript/src/index.ts";
import { GuardedRegister } from "../support/guarded-register.ts";
import { monotonicMs } from "../support/monotonic.ts";
import type { ClientOrder, ClientTask, Load, Touch } from "./client-log.ts";
import type { ClientRun } from "./history.ts";
import type { Machine } from "./network.ts";
import { Program } from "./program.ts";
import { withClock } from "./server-fleet.ts";

const PROGRAM = new URL("./client.ts", import.meta.url).pathname;

/** What the locks guard: one register each, in this process, reached over a pipe that no fault touches. */
export class Registers {
  refusals = 0;
  accepted = 0;
  private readonly registers = new Map<string, GuardedRegister>();
  private readonly awaited = new Set<(run: ClientRun) => void>();

  /** Resolves when a client, or any of some, has just been granted a lock and begun to use what that guards. */
  nextHolder(isMeant: (run: ClientRun) => boolean = () => true): Promise<ClientRun> {
    return new Promise((resolve) => {
      const tell = (run: ClientRun): void => {
        if (!isMeant(run)) return;
        this.awaited.delete(tell);
        resolve(run);
      };
      this.awaited.add(tell);
    });
  }

  /** A client has read, which is the first thing that a holder does. */
  hasRead(run: ClientRun): void {
    for (const tell of [...this.awaited]) tell(run);
  }

  touch({ lock, token, what, value }: Touch): { accepted: boolean; value: number } {
    const register = this.registers.get(lock) ?? new GuardedRegister();
    this.registers.set(lock, register);
    const last = Number(register.written.at(-1)?.value ?? 0);
    const accepted = register.write(BigInt(token), String(what === "write" ? value : last));
    if (accepted) this.accepted++;
    else this.refusals++;
    return { accepted, value: Number(register.written.at(-1)?.value ?? 0) };
  }
}

export interface FleetClientOptions {
  readonly addresses: readonly string[];
  readonly options: ConnectOptions;
  readonly load: Load;
  readonly clockAheadS: number;
  readonly folder: string;
  readonly seed: number;
  readonly registers: Registers;
  /** The program to run instead of the one in TypeScript: one that does the same. */
  readonly binary?: string | undefined;
}

/** A client on a machine of its own, which may be killed and started again. */
export class FleetClient {
  readonly machine: Machine;
  /** All processes that it was, in order. */
  readonly runs: (ClientRun & { readonly answers: object[] })[] = [];
  private readonly options: FleetClientOptions;
  private program: Program | undefined;

  constructor(machine: Machine, options: FleetClientOptions) {
    this.machine = machine;
    this.options = options;
  }

  get isGo(): boolean {
    return this.options.binary !== undefined;
  }

  get isRunning(): boolean {
    return this.program?.isRunning === true;
  }

  /** Whether its process has come so far as to ask for something. */
  get isAtWork(): boolean {
    return statSync(this.run.logFile).size > 0;
  }

  get run(): ClientRun {
    return this.runs.at(-1)!;
  }

  start(): void {
    if (this.isRunning) return;
    const { options, folder, registers, clockAheadS, seed } = this.options;
    const name = `${this.machine.name}.${this.runs.length + 1}`;
    const task: ClientTask = {
      name,
      addresses: this.options.addresses,
      options,
      load: this.options.load,
      seed: seed * 1000 + this.runs.length,
      logFile: join(folder, `${name}.jsonl`),
      clockAheadMs: clockAheadS * 1000,
    };
    const run = {
      name,
      logFile: task.logFile,
      keeps: options.onDisconnect !== "release",
      isGo: this.isGo,
      killedAtMs: undefined,
      answers: [] as { op: number; what: "read" | "write"; atMs: number; accepted: boolean; value: number }[],
    };
    // So that there is one whenever the process is killed.
    writeFileSync(run.logFile, "");
    this.runs.push(run);
    const { binary } = this.options;
    const start = binary === undefined ? [process.execPath, PROGRAM] : [binary];
    const command = [...withClock(clockAheadS), ...start, JSON.stringify(task)];
    const program = new Program(this.machine, command, { logFile: join(folder, `${name}.log`), talks: true });
    program.onMessage = (message) => {
      const touch = message as Touch;
      const answer = registers.touch(touch);
      run.answers.push({ op: touch.op, what: touch.what, atMs: monotonicMs(), ...answer });
      program.send({ kind: "answer", answer: { op: touch.op, ...answer } } satisfies ClientOrder);
      if (touch.what === "read") registers.hasRead(run);
    };
    this.program = program;
  }

  /** Resolves when it has just begun to use what a lock guards, or after so long. */
  async isInside(withinMs: number): Promise<void> {
    const inside = this.options.registers.nextHolder((run) => run === this.run);
    await Promise.race([inside, delay(withinMs)]);
  }

  order(order: ClientOrder): void {
    this.program?.send(order);
  }

  signal(signal: NodeJS.Signals): void {
    this.program?.signal(signal);
  }

  async kill9(): Promise<void> {
    if (!this.isRunning) return;
    this.run.killedAtMs = monotonicMs();
    await this.program!.kill9();
  }

  /** Resolves with how it ended; `undefined`: it has not after so long. */
  endsWithin(ms: number): Promise<number | string | undefined> {
    const patience = new Promise<undefined>((resolve) => setTimeout(resolve, ms, undefined).unref());
    return Promise.race([this.program!.ended, patience]);
  }
}
