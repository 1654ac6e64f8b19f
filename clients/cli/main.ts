#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { VERSION } from "../typescript/src/index.ts";
import { addAdminLookCommands } from "./admin-look-commands.ts";
import { complain } from "./complain.ts";
import { addCompletionCommands } from "./completion-command.ts";
import { addConfirmRestoreCommand } from "./confirm-restore-command.ts";
import { addDoctorCommand } from "./doctor-command.ts";
import { addElectCommands } from "./elect-command.ts";
import { addEventsCommand } from "./events-command.ts";
import { type ExitCode, exitCode } from "./exit-code.ts";
import { addForceCommands } from "./force-commands.ts";
import { addLockCommand } from "./lock-command.ts";
import { addLookCommands } from "./look-commands.ts";
import { formatManual, setManual } from "./manual.ts";
import { addServerCommand } from "./server-command.ts";
import { addTopCommand } from "./top-command.ts";

const program = new Command("holdfast")
  .description("Locks for programs on many machines: take them, see who has them, or run the server.")
  .version(VERSION)
  .configureOutput({ outputError: (text) => complain(text.replace(/^error: /, "")) })
  .configureHelp({ formatHelp: formatManual })
  .exitOverride()
  .showSuggestionAfterError();

setManual(program, {
  description: [
    "Takes locks from a Holdfast service and runs commands under them, tells who holds what, or runs a server of the service. `holdfast <command> --help` is the manual of a command.",
    "Where the servers are is said by --server or HOLDFAST_SERVER, for every command but server, confirm-restore and completion.",
  ],
  exits: Object.keys(exitCode) as ExitCode[],
  passesOn: true,
  examples: [
    ["holdfast lock nightly -- ./job.sh", "Run a job on one of many hosts at a time."],
    ["holdfast ls", "See who holds what."],
  ],
});
addLockCommand(program);
addElectCommands(program);
addLookCommands(program);
addTopCommand(program);
addAdminLookCommands(program);
addEventsCommand(program);
addForceCommands(program);
addDoctorCommand(program);
addServerCommand(program);
addConfirmRestoreCommand(program);
addCompletionCommands(program);

try {
  await program.parseAsync();
} catch (error) {
  // Commander has said what is wrong; help and version are not errors.
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? exitCode.ok : exitCode.usage;
}
