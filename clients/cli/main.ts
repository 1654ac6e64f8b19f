#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { VERSION } from "../typescript/src/index.ts";
import { complain } from "./complain.ts";
import { exitCode } from "./exit-code.ts";
import { addLockCommand } from "./lock-command.ts";
import { addLookCommands } from "./look-commands.ts";
import { addServerCommand } from "./server-command.ts";

const program = new Command("holdfast")
  .description("Locks for programs on many machines: take them, see who has them, or run the server.")
  .version(VERSION)
  .configureOutput({ outputError: (text) => complain(text.replace(/^error: /, "")) })
  .exitOverride()
  .showSuggestionAfterError();

addLockCommand(program);
addLookCommands(program);
addServerCommand(program);

try {
  await program.parseAsync();
} catch (error) {
  // Commander has said what is wrong; help and version are not errors.
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? exitCode.ok : exitCode.usage;
}
