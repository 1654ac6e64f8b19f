import { type Command, Option } from "commander";
import { type Client, type HeldLock, HoldfastError, type QueuePlace } from "../typescript/src/index.ts";
import { type ChildEnd, type Patience, runChild } from "./child.ts";
import { complain } from "./complain.ts";
import { addConnectionOptions, type ConnectionOptions, connectWith, explain } from "./connection.ts";
import { parseDuration } from "./duration.ts";
import { exitCode, exitCodeOf } from "./exit-code.ts";
import { Signals } from "./signals.ts";
import { printable } from "./text.ts";
import { clientName } from "./views.ts";

interface LockOptions extends ConnectionOptions {
  readonly wait?: number;
  readonly try?: true;
  readonly ttl: number;
  readonly purpose?: string;
}

const help = `
Waits for the lock, runs the command while it holds it, and gives it back when the command has ended. The command has
in its environment:
  HOLDFAST_LOCK   the name of the lock
  HOLDFAST_TOKEN  the fencing token: larger than that of every earlier holder. Give it to what the lock protects,
                  and let that refuse smaller ones.

If the lock is lost, or nothing has been heard of the servers for so long that it might be, the command is sent
SIGTERM a quarter of the TTL (at most 10 s) before anybody else can get the lock, and SIGKILL shortly before that
moment: so it is gone by then. Both go to its process group. A process that leaves the group is not stopped, and
neither is anything if holdfast itself is killed with SIGKILL: that is what the token is for.

SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the command; while still waiting for the lock
they end the waiting. Ctrl-Z suspends the command too, and it goes on only if the lock is still held.

Exit codes: that of the command, or 128 + n if signal n ended it, and
  2    a flag or an argument is wrong; nothing was run
  126  the command cannot be run
  127  the command was not found
  200  the lock was lost while the command ran, and the command was stopped
  201  the lock was not acquired: taken (--try), not free in time (--wait), or refused; nothing was run
  202  no server could be reached within 10 s, or it has no store; nothing was run

Examples:
  holdfast lock nightly -- ./job.sh
  holdfast lock --try deploy --purpose "release 1.2" -- make deploy
  holdfast lock --wait 30s db/migrate -- sh -c 'migrate --fencing-token "$HOLDFAST_TOKEN"'`;

/** Adds `holdfast lock`, which runs a command while it holds a lock. */
export function addLockCommand(program: Command): void {
  const command = program
    .command("lock")
    .description("Run a command while holding a lock.")
    .usage("[options] <name> -- <command...>")
    .argument("<name>", 'name of the lock: 1 to 512 bytes, segments separated by "/"')
    .argument("<command...>", "what to run, after --")
    .addOption(new Option("--wait <duration>", "wait at most so long; without it: for ever").argParser(parseDuration))
    .addOption(new Option("--try", "do not wait: run the command at once or not at all").conflicts("wait"))
    .addOption(
      new Option("--ttl <duration>", "how long the lock outlives this process, at least 2s")
        .argParser(parseDuration)
        .default(15_000, "15s"),
    )
    .option("--purpose <text>", "why, for those who wait or look")
    .addHelpText("after", help);
  addConnectionOptions(command).action(async (name: string, args: readonly string[], options: LockOptions) => {
    process.exitCode = await lock(name, args, options);
  });
}

async function lock(name: string, command: readonly string[], options: LockOptions): Promise<number> {
  try {
    using signals = new Signals();
    await using client = connectWith(options, { ttlMs: options.ttl });
    const waited = await waitFor(client, name, options, signals);
    return typeof waited === "number" ? waited : await runUnder(waited, command, options.ttl, signals);
  } catch (error) {
    const { message, code } = explain(error, options);
    complain(message);
    return code;
  }
}

/** The lock, or what to exit with if a signal came first. */
async function waitFor(
  client: Client,
  name: string,
  options: LockOptions,
  signals: Signals,
): Promise<HeldLock | number> {
  const waiting = new AbortController();
  signals.giveTo((signal) => {
    if (stopSignals.has(signal)) waiting.abort(signal);
    else if (signal === "SIGTSTP") process.kill(process.pid, "SIGSTOP");
  });
  try {
    return await client.acquire(name, {
      signal: waiting.signal,
      ...(options.try ? { waitMs: 0 } : options.wait === undefined ? {} : { waitMs: options.wait }),
      ...(options.purpose === undefined ? {} : { purpose: options.purpose }),
      ...(process.stderr.isTTY ? { onWaiting: tellPlace } : {}),
    });
  } catch (error) {
    if (error instanceof HoldfastError && error.reason === "aborted") return exitCodeOf(waiting.signal.reason);
    throw error;
  } finally {
    signals.giveTo(undefined);
  }
}

const stopSignals: ReadonlySet<NodeJS.Signals> = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);

function tellPlace({ lock, position, holders }: QueuePlace): void {
  const holder = holders[0] === undefined ? "" : `, held by ${clientName(holders[0])}`;
  complain(`waiting for ${printable(lock)}: place ${position}${holder}`);
}

async function runUnder(lock: HeldLock, command: readonly string[], ttlMs: number, signals: Signals): Promise<number> {
  const environment = { ...process.env, HOLDFAST_LOCK: lock.name, HOLDFAST_TOKEN: String(lock.token) };
  const lease = { remainingMs: () => remainingMs(lock), lost: lock.signal };
  const end = await runChild(command, environment, lease, patienceOf(ttlMs), signals);
  // A command that ended by itself after the loss ran without the lock all the same.
  const loss = lock.loss;
  await lock.release();
  return report(end, loss?.message);
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
