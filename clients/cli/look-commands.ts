import type { Command } from "commander";
import type { Client, LockView } from "../typescript/src/index.ts";
import { complain } from "./complain.ts";
import { addConnectionOptions, type ConnectionOptions, connectWith, explain } from "./connection.ts";
import { exitCode } from "./exit-code.ts";
import { type Manual, setManual } from "./manual.ts";
import { changeLine, lockJson, locksTable, lockTable } from "./views.ts";

type LookOptions = ConnectionOptions & { readonly json?: true };

const jsonManual =
  "With --json each lock is a JSON object on a line of its own: what the table shows and more, 64-bit numbers as strings, times in ISO 8601. Without it texts that clients chose are shown with control and bidirectional characters escaped.";

const manual = (description: readonly string[], examples: Manual["examples"]): Manual => ({
  description: [...description, jsonManual],
  exits: ["ok", "failed", "usage", "unavailable"],
  examples,
  seeAlso: ["lock", "leader"],
});

/** Adds `holdfast ls`, `get` and `watch`, which look and change nothing. */
export function addLookCommands(program: Command): void {
  const ls = addLook(program, "ls", "List the locks that somebody holds or waits for.")
    .argument("[prefix]", "what their names begin with, byte for byte; without it: all")
    .action((prefix: string | undefined, options: LookOptions) =>
      look(options, (client) => list(client, prefix ?? "", options)),
    );
  setManual(
    ls,
    manual(
      ["Lists locks in order of their names: who holds each, since when, how many wait, and why."],
      [
        ["holdfast ls", "All of them."],
        ["holdfast ls orders/ --json", "Those whose names begin so, for programs."],
      ],
    ),
  );

  const getCommand = addLook(program, "get", "Show one lock: its holders, and who waits, in order.")
    .argument("<name>", "its name")
    .action((name: string, options: LookOptions) => look(options, (client) => get(client, name, options)));
  setManual(
    getCommand,
    manual(["A lock that nobody holds or waits for is free, and not an error."], [["holdfast get orders/42", ""]]),
  );

  const watchCommand = addLook(program, "watch", "Show the locks that exist, and then each change, until Ctrl-C.")
    .argument("[prefix]", "what their names begin with, byte for byte; without it: all")
    .action((prefix: string | undefined, options: LookOptions) =>
      look(options, (client) => watch(client, prefix ?? "", options)),
    );
  setManual(
    watchCommand,
    manual(
      ["Of changes in quick succession the last is shown for certain."],
      [["holdfast watch orders/", "Follow the locks whose names begin so."]],
    ),
  );
}

function addLook(program: Command, name: string, description: string): Command {
  const command = addConnectionOptions(program.command(name).description(description));
  return command.option("--json", "write JSON, for programs");
}

async function look(options: ConnectionOptions, show: (client: Client) => Promise<void>): Promise<void> {
  // Whoever read this has read enough, as `head` does.
  process.stdout.once("error", () => process.exit());
  try {
    await using client = connectWith(options);
    await show(client);
  } catch (error) {
    const { message, code } = explain(error, options);
    complain(message);
    process.exitCode = code === exitCode.notAcquired ? exitCode.failed : code;
  }
}

async function list(client: Client, prefix: string, { json }: LookOptions): Promise<void> {
  if (json) {
    for await (const lock of client.listLocks(prefix)) print(lockJson(lock));
    return;
  }
  const locks: LockView[] = [];
  for await (const lock of client.listLocks(prefix)) locks.push(lock);
  if (locks.length === 0) complain(prefix === "" ? "nobody holds a lock" : "nobody holds a lock with that prefix");
  else print(locksTable(locks, Date.now()));
}

async function get(client: Client, name: string, { json }: LookOptions): Promise<void> {
  const lock = await client.getLock(name);
  print(json ? lockJson(lock) : lockTable(lock, Date.now()));
}

async function watch(client: Client, prefix: string, { json }: LookOptions): Promise<void> {
  for await (const { locks } of client.watchLocks({ prefix })) {
    for (const lock of locks) print(json ? lockJson(lock) : changeLine(lock, Date.now()));
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
