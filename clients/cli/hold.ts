import { type Command, InvalidArgumentError, Option } from "commander";
import {
  type Client,
  type HeldLock,
  HoldfastError,
  type LockTarget,
  type QueuePlace,
} from "../typescript/src/index.ts";
import { type ChildEnd, type Patience, runChild } from "./child.ts";
import { complain } from "./complain.ts";
import { addConnectionOptions, type ConnectionOptions } from "./connection.ts";
import { parseDuration } from "./duration.ts";
import { exitCode, exitCodeOf } from "./exit-code.ts";
import type { Signals } from "./signals.ts";
import { printable } from "./text.ts";
import { clientName } from "./views.ts";

/** The options of every command that runs another one while it holds something. */
export interface HoldOptions extends ConnectionOptions {
  readonly wait?: number;
  readonly try?: true;
  readonly ttl: number;
  readonly purpose?: string;
}

/** Adds these options. */
export function addHoldOptions(command: Command): Command {
  command
    .addOption(new Option("--wait <duration>", "wait at most so long; without it: for ever").argParser(parseDuration))
    .addOption(new Option("--try", "do not wait: run the command at once or not at all").conflicts("wait"))
    .addOption(
      new Option("--ttl <duration>", "how long the lock outlives this process if it is killed or cut off, at least 2s")
        .argParser(parseTtl)
        .default(15_000, "15s"),
    )
    .option("--purpose <text>", "why, for those who wait or look: at most 256 bytes");
  return addConnectionOptions(command);
}

/** What the manual says of how a command under a lock is watched over. */
export const holdManual: readonly string[] = [
  "If the lock is lost, or nothing has been heard of the servers for so long that it might be, the command is sent SIGTERM a quarter of the TTL (at most 10 s) before anybody else can get the lock, and SIGKILL shortly before that moment: so it is gone by then. Both go to its process group. A process that leaves the group is not stopped, and neither is anything if holdfast itself is killed with SIGKILL: that is what the token is for.",
  "SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the command; while still waiting they end the waiting. Ctrl-Z suspends the command too, and it goes on only if the lock is still held.",
  "The command is in a session of its own, so that all that it starts can be stopped. It has no controlling terminal: what asks for a password at /dev/tty cannot.",
  "Durations are a number and its unit: 500ms, 15s, 10m, 1h.",
];

function parseTtl(text: string): number {
  const ms = parseDuration(text);
  if (ms < 2_000 || ms >= 2 ** 31) throw new InvalidArgumentError("Give a duration from 2s to 596h, such as 15s.");
  return ms;
}

/** A whole number from 1 up; commander is told if it is none. */
export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text) || Number(text) >= 2 ** 32)
    throw new InvalidArgumentError("Give a whole number from 1 to 4294967295.");
  return Number(text);
}

/** Takes operands apart: those before "--", and the command after it. Ends the process if there is none. */
export function splitAtDashes(
  command: Command,
  operands: readonly string[],
): { readonly names: readonly string[]; readonly run: readonly string[] } {
  const at = process.argv.indexOf("--");
  const run = at < 0 ? [] : process.argv.slice(at + 1);
  const names = operands.slice(0, operands.length - run.length);
  if (run.length === 0) command.error("error: give the command to run, after --");
  if (names.length === 0) command.error("error: missing required argument 'name', before --");
  return { names, run };
}

/** Waits for what `acquire` asks for. Resolves with it, or with what to exit with if a signal came first. */
export async function waitFor(
  client: Client,
  target: LockTarget | readonly LockTarget[],
  { value, ...options }: HoldOptions & { readonly value?: string },
  signals: Signals,
): Promise<HeldLock | number> {
  const waiting = new AbortController();
  signals.giveTo((signal) => {
    if (signal === "SIGTSTP") process.kill(process.pid, "SIGSTOP");
    else if (signal !== "SIGCONT") waiting.abort(signal);
  });
  try {
    return await client.acquire(target, {
      signal: waiting.signal,
      ...(options.try ? { waitMs: 0 } : options.wait === undefined ? {} : { waitMs: options.wait }),
      ...(options.purpose === undefined ? {} : { purpose: options.purpose }),
      ...(value === undefined ? {} : { value }),
      ...(process.stderr.isTTY ? { onWaiting: tellPlace } : {}),
    });
  } catch (error) {
    if (error instanceof HoldfastError && error.reason === "aborted") return exitCodeOf(waiting.signal.reason);
    throw error;
  } finally {
    signals.giveTo(undefined);
  }
}

function tellPlace({ lock, position, holders }: QueuePlace): void {
  const holder = holders[0] === undefined ? "" : `, held by ${clientName(holders[0])}`;
  complain(`waiting for ${printable(lock)}: place ${position}${holder}`);
}

/** Runs a command while it holds, and releases. Resolves with what to exit with; says why if that is not the command's. */
export async function runUnder(
  lock: HeldLock,
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
  ttlMs: number,
  signals: Signals,
): Promise<number> {
  const lease = { remainingMs: () => remainingMs(lock), lost: lock.signal };
  const end = await runChild(command, { ...process.env, ...environment }, lease, patienceOf(ttlMs), signals);
  // A command that ended by itself after the loss ran without the lock all the same.
  const loss = lock.loss;
  await lock.release();
  return report(end, loss && printable(loss.message));
}

/** What is left for the command: also after a loss that was told, as by force, where the deadline is not the matter. */
function remainingMs(lock: HeldLock): number {
  return lock.held || lock.loss?.reason === "session-expired" ? lock.remainingMs : GRACE_AFTER_LOSS_MS;
}

const GRACE_AFTER_LOSS_MS = 2_000;

function report(end: ChildEnd, loss: string | undefined): number {
  if (end.kind === "not-started") {
    complain(end.message);
    return end.exitCode;
  }
  if (loss !== undefined || end.kind === "stopped") {
    complain(
      loss ?? "nothing was heard of the servers for so long that the lock could have been lost: command stopped",
    );
    return exitCode.lost;
  }
  return end.exitCode;
}

function patienceOf(ttlMs: number): Patience {
  // Heartbeats go each third of the TTL: at a quarter left two in a row were not confirmed.
  return { graceMs: Math.min(ttlMs / 4, 10_000), marginMs: Math.max(ttlMs / 50, 100) };
}
