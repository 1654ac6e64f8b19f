import { hostname } from "node:os";
import type { Command } from "commander";
import { Election, HoldfastError, type Leader } from "../typescript/src/index.ts";
import { complain } from "./complain.ts";
import { addConnectionOptions, type ConnectionOptions, connectWith, explain } from "./connection.ts";
import { exitCode } from "./exit-code.ts";
import { addHoldOptions, type HoldOptions, holdManual, runUnder, splitAtDashes, waitFor } from "./hold.ts";
import { setManual } from "./manual.ts";
import { Signals } from "./signals.ts";
import { printable } from "./text.ts";

interface ElectOptions extends HoldOptions {
  readonly value: string;
  readonly again?: true;
}

interface LeaderOptions extends ConnectionOptions {
  readonly watch?: true;
  readonly json?: true;
}

/** Adds `holdfast elect`, which runs a command while it leads, and `holdfast leader`, which tells who does. */
export function addElectCommands(program: Command): void {
  addElect(program);
  addLeader(program);
}

function addElect(program: Command): void {
  const command = program
    .command("elect")
    .description("Run a command while leading.")
    .usage("[options] <election> -- <command...>")
    .argument("<election...>", "its name, by the rules for names of locks; then -- and what to run")
    .option("--value <text>", "what to announce to those who look for the leader: at most 4 KiB", hostname())
    .option("--again", "after a loss stand again, and run the command again when elected");
  addHoldOptions(command).action(async (operands: readonly string[], options: ElectOptions) => {
    const { names, run } = splitAtDashes(command, operands);
    if (names.length > 1) command.error("error: one election at a time: give one name before --");
    process.exitCode = await elect(names[0]!, run, options);
  });
  setManual(command, {
    description: [
      "Stands for election, waits until it leads, and runs the command while it does. At most one candidate leads at a time; the others wait in the order in which they came. When the command ends, this candidate resigns.",
      "An election is the lock of its name: `holdfast lock` on the same name excludes it.",
      ...holdManual,
    ],
    gives: {
      HOLDFAST_ELECTION: "the name of the election",
      HOLDFAST_TOKEN:
        "the fencing token: larger than that of every earlier leader. What the leader writes to must refuse smaller ones.",
    },
    passesOn: true,
    exits: ["usage", "notExecutable", "notFound", "lost", "notAcquired", "unavailable"],
    examples: [
      ["holdfast elect scheduler -- ./scheduler.sh", "Run the scheduler on one of many hosts."],
      [
        "holdfast elect --again --value 10.0.0.7:8080 scheduler -- ./scheduler.sh",
        "Announce where the leader is, and stand again after a loss, until the program ends by itself.",
      ],
    ],
    seeAlso: ["leader", "lock"],
  });
}

async function elect(name: string, run: readonly string[], options: ElectOptions): Promise<number> {
  using signals = new Signals();
  let hasLed = false;
  for (;;) {
    const code = await leadOnce(name, run, options, signals);
    hasLed ||= code === exitCode.lost;
    const mayPass = code === exitCode.lost || (code === exitCode.unavailable && hasLed);
    if (!options.again || !mayPass) return code;
    complain(`standing for ${printable(name)} again`);
  }
}

async function leadOnce(
  name: string,
  run: readonly string[],
  options: ElectOptions,
  signals: Signals,
): Promise<number> {
  try {
    await using client = connectWith(options, { ttlMs: options.ttl });
    const waited = await waitFor(client, name, options, signals);
    if (typeof waited === "number") return waited;
    const environment = { HOLDFAST_ELECTION: name, HOLDFAST_TOKEN: String(waited.token) };
    return await runUnder(waited, run, environment, options.ttl, signals);
  } catch (error) {
    const { message, code } = explain(error, options);
    complain(message);
    return code;
  }
}

function addLeader(program: Command): void {
  const command = program
    .command("leader")
    .description("Tell who leads.")
    .argument("<election>", "its name")
    .option("--watch", "tell of each change, until Ctrl-C: an empty line while nobody leads")
    .option("--json", "write JSON, for programs: token, value (base64) and session, or null");
  addConnectionOptions(command).action(async (name: string, options: LeaderOptions) => {
    process.exitCode = await leader(name, options);
  });
  setManual(command, {
    description: [
      "Prints what the leader announces. Control characters in it are escaped, unless with --json. What is printed may be out of date when it is read: what a leader does to others must carry its token.",
    ],
    exits: ["ok", "usage", "unavailable", "noLeader"],
    examples: [
      ["holdfast leader scheduler", "Print what the leader of this election announces."],
      ["holdfast leader scheduler --watch --json", "Follow it, in a form for programs."],
    ],
    seeAlso: ["elect", "get"],
  });
}

async function leader(name: string, options: LeaderOptions): Promise<number> {
  // Whoever read this has read enough, as `head` does.
  process.stdout.once("error", () => process.exit());
  const show = options.json ? leaderJson : leaderText;
  const print = (one: Leader | undefined) => process.stdout.write(`${show(one)}\n`);
  try {
    await using client = connectWith(options);
    const election = new Election(client, name);
    if (options.watch) for await (const one of election.observe()) print(one);
    const now = await election.leader();
    if (now === undefined && !options.json) return exitCode.noLeader;
    print(now);
    return now === undefined ? exitCode.noLeader : exitCode.ok;
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const { message, code } = explain(error, options);
    complain(message);
    return code === exitCode.notAcquired ? exitCode.failed : code;
  }
}

const leaderText = (leader: Leader | undefined) =>
  leader === undefined ? "" : printable(new TextDecoder().decode(leader.value));

function leaderJson(leader: Leader | undefined): string {
  if (leader === undefined) return "null";
  const { token, value, sessionId } = leader;
  return JSON.stringify({ token: String(token), value: Buffer.from(value).toString("base64"), sessionId });
}
