import { type Command, InvalidArgumentError, Option } from "commander";
import type { LockView } from "../typescript/src/index.ts";
import {
  addChangeOptions,
  adminForChanges,
  type ChangeOptions,
  onCall,
  print,
  reachServers,
} from "./admin-connection.ts";
import { drainingText, sessionText } from "./admin-texts.ts";
import { complain } from "./complain.ts";
import { confirm } from "./confirm.ts";
import { addConnectionOptions, connectWith } from "./connection.ts";
import { parseDuration } from "./duration.ts";
import { exitCode } from "./exit-code.ts";
import { setManual } from "./manual.ts";
import { counted, printable, span } from "./text.ts";
import { clientName, lockTable } from "./views.ts";

interface ReleaseOptions extends ChangeOptions {
  readonly force?: true;
  readonly token?: bigint;
  readonly reason?: string;
}

const tokenManual =
  "A server lets itself be changed from its own machine; from another one only with its administration token: --admin-token-file, or HOLDFAST_ADMIN_TOKEN. Whoever does it, why, and to whom is in the server's log and in `holdfast events`.";

/** Adds `holdfast release`, `close-session` and `drain`, which take from others what they have. */
export function addForceCommands(program: Command): void {
  addReleaseCommand(program);
  addCloseSessionCommand(program);
  addDrainCommand(program);
}

function addReleaseCommand(program: Command): void {
  const command = addChangeOptions(addConnectionOptions(program.command("release")))
    .description("Free a lock that somebody else holds, by force.")
    .argument("<name>", "its name")
    .option("--force", "by force: there is no other way to release what another program holds")
    .addOption(new Option("--token <n>", "the fencing token of the grant to end").argParser(parseToken))
    .option("--reason <text>", "why, for the holder and for the log: at most 256 bytes")
    .action((name: string, options: ReleaseOptions) => onCall(options, () => release(name, options)));
  setManual(command, {
    description: [
      "Ends the claim that holds a lock, on all of its locks, so that the next one is let in. Its client is told why, and may go on working until it hears of it: only the fencing token protects what the lock guards. Look whether the holder is really stuck, and whether its work may be left half done.",
      "The token says which grant is meant, so that nobody is hit who came later; without it the holders are shown and nothing is done.",
      tokenManual,
    ],
    exits: ["ok", "failed", "usage", "unavailable"],
    examples: [
      ["holdfast release --force orders/42", "Show the holders and their tokens."],
      ['holdfast release --force orders/42 --token 13952 --reason "host db7 is gone"', "Free it."],
    ],
    seeAlso: ["get", "events", "close-session"],
  });
}

function parseToken(text: string): bigint {
  if (!/^[1-9]\d{0,18}$/.test(text))
    throw new InvalidArgumentError("It is a whole number, as `holdfast get` shows it.");
  return BigInt(text);
}

async function release(name: string, options: ReleaseOptions): Promise<void> {
  const { token, reason } = options;
  if (!options.force) return refuse("what another program holds is released only by --force");
  await using client = connectWith(options);
  const lock = await client.getLock(name);
  if (token === undefined || reason === undefined) {
    print(lockTable(lock, Date.now()));
    if (lock.holderCount === 0) return refuse("nobody holds it: there is nothing to release");
    return refuse("say which grant to end and why: --token N --reason TEXT");
  }
  if (!(await isMeant(options, holderText(lock, token), "Release it by force?"))) return;
  await using admin = adminForChanges(options);
  const { claim } = await admin.releaseLock(name, token, reason);
  const others = (claim?.lockCount ?? 1) - 1;
  const more = others > 0 ? `, and ${others} more that were claimed with it` : "";
  print(`released ${printable(name)}${more}; its holder is told why`);
}

function holderText(lock: LockView, token: bigint): string {
  const holder = lock.holders.find((each) => each.token === token);
  if (holder === undefined) return lockTable(lock, Date.now());
  const since = span(Date.now() - (holder.grantedAtMs ?? holder.claimedAtMs));
  const purpose = holder.purpose === "" ? "" : `, purpose: ${printable(holder.purpose)}`;
  const others = holder.lockCount > 1 ? `, with ${holder.lockCount - 1} other locks` : "";
  return (
    `${printable(lock.name)} is held by ${clientName(holder)} in session ${printable(holder.sessionId)} ` +
    `for ${since}${others}${purpose}; ${lock.waiterCount} wait for it`
  );
}

function addCloseSessionCommand(program: Command): void {
  const command = addChangeOptions(addConnectionOptions(program.command("close-session")))
    .description("End somebody's session with all its claims, by force.")
    .argument("<session>", "its id")
    .requiredOption("--reason <text>", "why, for its client and for the log: at most 256 bytes")
    .action((id: string, options: ChangeOptions & { readonly reason: string }) =>
      onCall(options, async () => {
        await using admin = adminForChanges(options);
        const session = await admin.getSession(id);
        if (!(await isMeant(options, sessionText(session, Date.now()), "Close it by force?"))) return;
        const { releasedClaims } = await admin.closeSession(id, options.reason);
        print(`closed session ${printable(id)} with ${counted(releasedClaims, "claim")}; its client is told why`);
      }),
    );
  setManual(command, {
    description: [
      "Frees all that a session holds and takes its places in queues, in one step. Its client is told why, and may go on working until it hears of it; a client that runs on opens another session.",
      tokenManual,
    ],
    exits: ["ok", "failed", "usage", "unavailable"],
    examples: [['holdfast close-session 4nG7cXv0QkO2tq7rJm8yAA --reason "left over from a test"', ""]],
    seeAlso: ["sessions", "release"],
  });
}

function addDrainCommand(program: Command): void {
  const command = addChangeOptions(addConnectionOptions(program.command("drain")))
    .description("Have a server send its clients to others and end.")
    .argument("<server>", "its id or its address, as `holdfast status` shows them")
    .addOption(
      new Option("--within <duration>", "how long its clients have to leave")
        .argParser(parseDuration)
        .default(30_000, "30s"),
    )
    .action((server: string, options: ChangeOptions & { readonly within: number }) =>
      onCall(options, () => drain(server, options)),
    );
  setManual(command, {
    description: [
      "The server takes no more sessions, tells those it has where the others are, and ends when they have gone or the time is up. Clients that can resume lose nothing. Does what SIGTERM does; repeated, it may shorten the time.",
      tokenManual,
    ],
    exits: ["ok", "failed", "usage", "unavailable"],
    examples: [["holdfast drain 10.0.0.7:7400 --within 1m", ""]],
    seeAlso: ["status"],
  });
}

async function drain(which: string, options: ChangeOptions & { readonly within: number }): Promise<void> {
  await using servers = await reachServers(options);
  const meant = servers.list.find(
    ({ serverId, address, status }) =>
      serverId === which ||
      address === which ||
      status.servers.some((each) => each.serverId === serverId && each.address === which),
  );
  if (meant === undefined) {
    const known = servers.list.map(({ serverId, address }) => `${serverId} at ${printable(address)}`).join(", ");
    return refuse(`no server ${printable(which)} answers; there are ${known}`);
  }
  const left = servers.list.length - 1;
  const others =
    left === 0 ? "It is the only one that answers: its clients have nowhere to go" : `${left} others answer`;
  const about = `server ${meant.serverId} at ${printable(meant.address)}. ${others}`;
  if (!(await isMeant(options, about, "Drain it?"))) return;
  await using admin = adminForChanges(options, [meant.address]);
  const { sessionCount } = await admin.drainServer(meant.serverId, options.within);
  print(drainingText(sessionCount, options.within));
}

/** Whether to go on, as --yes says, or somebody who is shown what it is about. */
async function isMeant(options: ChangeOptions, about: string, question: string): Promise<boolean> {
  if (options.yes) return true;
  process.stderr.write(`${about}\n`);
  const answer = await confirm(question);
  if (answer === "nobody") refuse("there is no terminal to ask on: give --yes if it is meant");
  if (answer === "no") refuse("nothing was done", exitCode.failed);
  return answer === "yes";
}

function refuse(why: string, code: number = exitCode.usage): void {
  complain(why);
  process.exitCode = code;
}
