import { type Command, Option } from "commander";
import { type HeldLock, type LockTarget, semaphore, shared } from "../typescript/src/index.ts";
import { complain } from "./complain.ts";
import { connectWith, explain } from "./connection.ts";
import { addHoldOptions, type HoldOptions, holdManual, parseCount, runUnder, splitAtDashes, waitFor } from "./hold.ts";
import { setManual } from "./manual.ts";
import { Signals } from "./signals.ts";

interface LockOptions extends HoldOptions {
  readonly shared?: true;
  readonly semaphore?: number;
  readonly permits: number;
}

/** Adds `holdfast lock`, which runs a command while it holds a lock, or several. */
export function addLockCommand(program: Command): void {
  const command = program
    .command("lock")
    .description("Run a command while holding a lock.")
    .usage("[options] <name...> -- <command...>")
    .argument("<name...>", 'names of locks: 1 to 512 bytes each, segments separated by "/"; then -- and what to run')
    .addOption(new Option("--shared", "hold it together with others who say --shared").conflicts("semaphore"))
    .addOption(
      new Option("--semaphore <n>", "at most n hold it at a time; all must say the same n").argParser(parseCount),
    )
    .addOption(new Option("--permits <k>", "take k of the n of --semaphore").argParser(parseCount).default(1));
  addHoldOptions(command).action(async (operands: readonly string[], options: LockOptions) => {
    if (options.semaphore === undefined && command.getOptionValueSource("permits") === "cli")
      command.error("error: option '--permits <k>' is of a semaphore: give --semaphore <n> too");
    const { names, run } = splitAtDashes(command, operands);
    process.exitCode = await lock(names, run, options);
  });
  setManual(command, {
    description: [
      "Waits for the lock, runs the command while it holds it, and gives it back when the command has ended. Those who wait are let in in the order in which they came.",
      "Of several locks it takes all or none, in one step: two commands that name them in different orders do not block each other.",
      ...holdManual,
    ],
    gives: {
      HOLDFAST_LOCK: "the name of the lock; of several, of the first",
      HOLDFAST_TOKEN:
        "the fencing token: larger than that of every earlier holder. Give it to what the lock protects, and let that refuse smaller ones.",
      HOLDFAST_LOCKS: "all names, one a line",
      HOLDFAST_TOKENS: "the tokens of all, one a line in the same order",
    },
    passesOn: true,
    exits: ["usage", "notExecutable", "notFound", "lost", "notAcquired", "unavailable"],
    examples: [
      [
        "holdfast lock nightly -- ./job.sh",
        "Run the job on one of many hosts at a time; the others wait for their turn.",
      ],
      ['holdfast lock --try deploy --purpose "release 1.2" -- make deploy', "Deploy, unless somebody else does."],
      [
        `holdfast lock --wait 30s db/migrate -- sh -c 'migrate --fencing-token "$HOLDFAST_TOKEN"'`,
        "Wait half a minute, and let the database refuse a holder of the past.",
      ],
      ["holdfast lock --shared report -- ./read.sh", "Read beside other readers, never beside a writer."],
      ["holdfast lock --semaphore 4 gpu -- ./train.sh", "One of at most four at a time."],
      ["holdfast lock account/1 account/2 -- ./transfer.sh", "Both accounts or neither, and no deadlock."],
    ],
    seeAlso: ["elect", "get", "watch"],
  });
}

async function lock(names: readonly string[], run: readonly string[], options: LockOptions): Promise<number> {
  try {
    using signals = new Signals();
    await using client = connectWith(options, { ttlMs: options.ttl });
    const targets = names.map((name) => targetOf(name, options));
    const waited = await waitFor(client, targets, options, signals);
    if (typeof waited === "number") return waited;
    return await runUnder(waited, run, environmentOf(waited), options.ttl, signals);
  } catch (error) {
    const { message, code } = explain(error, options);
    complain(message);
    return code;
  }
}

function targetOf(name: string, { shared: isShared, semaphore: limit, permits }: LockOptions): LockTarget {
  if (isShared) return shared(name);
  return limit === undefined ? name : semaphore(name, { limit, permits });
}

function environmentOf({ name, token, locks }: HeldLock): Record<string, string> {
  return {
    HOLDFAST_LOCK: name,
    HOLDFAST_TOKEN: String(token),
    HOLDFAST_LOCKS: locks.map((lock) => lock.name).join("\n"),
    HOLDFAST_TOKENS: locks.map((lock) => lock.token).join("\n"),
  };
}
