import { type Command, InvalidArgumentError, Option } from "commander";
import { GetSessionResponse, GetStatusResponse, GetWaitGraphResponse, Session } from "../typescript/src/admin.ts";
import { adminOf, onCall, print } from "./admin-connection.ts";
import { graphText, sessionsTable, sessionText, statusText } from "./admin-texts.ts";
import { complain } from "./complain.ts";
import { addConnectionOptions, type ConnectionOptions } from "./connection.ts";
import { setManual } from "./manual.ts";

export type JsonOptions = ConnectionOptions & { readonly json?: true };

/** What the manual of each command that can write JSON says. */
export const jsonManual =
  "With --json answers are those of holdfast.v1.AdminService in the JSON of protobuf, as grpcurl writes them: 64-bit numbers as strings. Without it texts that clients chose are shown with control and bidirectional characters escaped.";

/** Adds `holdfast sessions`, `status` and `graph`. */
export function addAdminLookCommands(program: Command): void {
  addSessionsCommand(program);
  addStatusCommand(program);
  addGraphCommand(program);
}

function addSessionsCommand(program: Command): void {
  const command = addConnectionOptions(program.command("sessions"))
    .description("List who is connected, or show one session and its claims.")
    .argument("[session]", "the id of one")
    .option("--json", "write JSON, for programs")
    .action((id: string | undefined, options: JsonOptions) =>
      onCall(options, () => (id === undefined ? listSessions(options) : showSession(id, options))),
    );
  setManual(command, {
    description: [
      "Lists the live sessions of the whole service: who, where, in which language, with how many claims, and how much of its TTL is left (only the server that has a session knows).",
      jsonManual,
    ],
    exits: ["ok", "failed", "usage", "unavailable"],
    examples: [
      ["holdfast sessions", "All of them."],
      ["holdfast sessions 4nG7cXv0QkO2tq7rJm8yAA", "One, with its claims."],
    ],
    seeAlso: ["close-session", "ls"],
  });
}

async function listSessions(options: JsonOptions): Promise<void> {
  await using admin = adminOf(options);
  if (options.json) {
    for await (const session of admin.listSessions()) print(JSON.stringify(Session.toJSON(session)));
    return;
  }
  const sessions: Session[] = [];
  for await (const session of admin.listSessions()) sessions.push(session);
  if (sessions.length === 0) complain("nobody is connected");
  else print(sessionsTable(sessions, Date.now()));
}

async function showSession(id: string, options: JsonOptions): Promise<void> {
  await using admin = adminOf(options);
  const session = await admin.getSession(id);
  print(options.json ? JSON.stringify(GetSessionResponse.toJSON(session)) : sessionText(session, Date.now()));
}

function addStatusCommand(program: Command): void {
  const command = addConnectionOptions(program.command("status"))
    .description("Show the servers, the members of etcd and the table of locks.")
    .option("--json", "write JSON, for programs")
    .action((options: JsonOptions) =>
      onCall(options, async () => {
        await using admin = adminOf(options);
        const status = await admin.getStatus();
        print(options.json ? JSON.stringify(GetStatusResponse.toJSON(status)) : statusText(status, Date.now()));
      }),
    );
  setManual(command, {
    description: [
      "Shows the state of the service as one server sees it. It answers when etcd does not, with what it knew last. `holdfast doctor` judges it.",
      jsonManual,
    ],
    exits: ["ok", "failed", "usage", "unavailable"],
    examples: [["holdfast status", ""]],
    seeAlso: ["doctor", "drain"],
  });
}

function addGraphCommand(program: Command): void {
  const command = addConnectionOptions(program.command("graph"))
    .description("Show who waits for whom, deadlocks first.")
    .argument("[prefix]", "only locks whose names begin so, byte for byte", "")
    .addOption(new Option("--nodes <n>", "how many to show at most, up to 1000").argParser(parseNodes).default(200))
    .option("--json", "write JSON, for programs")
    .action((prefix: string, options: JsonOptions & { readonly nodes: number }) =>
      onCall(options, async () => {
        await using admin = adminOf(options);
        const graph = await admin.getWaitGraph(prefix, options.nodes);
        print(options.json ? JSON.stringify(GetWaitGraphResponse.toJSON(graph)) : graphText(graph));
      }),
    );
  setManual(command, {
    description: [
      "Shows for each waiting claim whom it waits for: the holders of its lock, or the claim ahead of it. Circles of threads of control (reentry_id) are marked; the service breaks them by denying the youngest claim, so one that stays is of a client that is away.",
      jsonManual,
    ],
    exits: ["ok", "failed", "usage", "unavailable"],
    examples: [["holdfast graph orders/", ""]],
    seeAlso: ["ls", "get"],
  });
}

function parseNodes(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > 1_000) throw new InvalidArgumentError("Give a whole number from 1 to 1000.");
  return number;
}
