import { Argument, type Command } from "commander";
import { complete, completionScripts } from "./completion.ts";
import { addConnectionOptions, type ConnectionOptions, connectWith } from "./connection.ts";
import { setManual } from "./manual.ts";

/** Whoever presses Tab does not wait longer for the names of locks. */
const PATIENCE_MS = 1_000;
const MOST_LOCKS = 100;

/** Adds `holdfast completion`, and `holdfast complete`, which the scripts that it prints run. */
export function addCompletionCommands(program: Command): void {
  const shells = Object.keys(completionScripts);
  const command = program
    .command("completion")
    .description("Print what makes a shell complete the words of holdfast.")
    .addArgument(new Argument("<shell>", "which shell").choices(shells))
    .action((shell: string) => {
      process.stdout.write(`${completionScripts[shell]}\n`);
    });
  setManual(command, {
    description: [
      "Prints a script for the shell: commands, options and their values are completed, and the names of locks that somebody holds or waits for, if a server answers within a second (say where with HOLDFAST_SERVER).",
    ],
    exits: ["ok", "usage"],
    examples: [
      ["source <(holdfast completion bash)", "In ~/.bashrc."],
      ["source <(holdfast completion zsh)", "In ~/.zshrc, after compinit."],
      ["holdfast completion fish > ~/.config/fish/completions/holdfast.fish", "Once."],
    ],
  });
  const completing = program.command("complete", { hidden: true }).argument("[words...]");
  addConnectionOptions(completing).action(async (words: readonly string[], options: ConnectionOptions) => {
    const candidates = await complete(program, words, (prefix) => lockNames(prefix, options));
    for (const { word, text } of candidates) process.stdout.write(`${word}\t${text}\n`);
  });
}

async function lockNames(prefix: string, options: ConnectionOptions): Promise<readonly string[]> {
  await using client = connectWith(options);
  const names: string[] = [];
  try {
    for await (const { name } of client.listLocks(prefix, { signal: AbortSignal.timeout(PATIENCE_MS) })) {
      names.push(name);
      if (names.length === MOST_LOCKS) break;
    }
  } catch {
    // Nobody wants to read an error in the middle of a word.
  }
  return names;
}
