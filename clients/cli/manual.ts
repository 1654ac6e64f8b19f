import type { Command, Help } from "commander";
import { type ExitCode, exitCode, exitCodeTexts } from "./exit-code.ts";

/** What the manual of a command says beside its arguments and options. */
export interface Manual {
  /** Paragraphs. */
  readonly description: readonly string[];
  /** The environment that the command it runs is given. */
  readonly gives?: Readonly<Record<string, string>>;
  /** What it exits with of its own, in order. */
  readonly exits: readonly ExitCode[];
  /** That of a command that it runs is passed on. */
  readonly passesOn?: true;
  /** Command lines, each with what it does. */
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** Other commands to read about. */
  readonly seeAlso?: readonly string[];
}

const manuals = new WeakMap<Command, Manual>();

/** Gives a command its manual, which `--help` shows. */
export function setManual(command: Command, manual: Manual): void {
  manuals.set(command, manual);
}

const MARGIN = "    ";

/** The help of a command in the order of a manual page: name, synopsis, description, options, and so on. */
export function formatManual(command: Command, help: Help): string {
  const manual = manuals.get(command);
  const width = Math.min(help.helpWidth ?? 80, 100);
  const indented = (text: string, margin = MARGIN) => wrap(text, width - margin.length, margin);
  const list = (entries: readonly (readonly [term: string, text: string])[]) =>
    entries.map(([term, text]) => `${MARGIN}${term}\n${indented(text, MARGIN + MARGIN)}`).join("\n");
  const options = (items: ReturnType<Help["visibleOptions"]>) =>
    list(items.map((option) => [help.optionTerm(option), help.optionDescription(option)]));
  const sections: readonly (readonly [heading: string, body: string])[] = [
    ["NAME", `${MARGIN}${nameOf(command)} - ${lowerFirst(help.commandDescription(command))}`],
    ["SYNOPSIS", `${MARGIN}${help.commandUsage(command)}`],
    ["DESCRIPTION", (manual?.description ?? []).map((paragraph) => indented(paragraph)).join("\n\n")],
    [
      "ARGUMENTS",
      list(help.visibleArguments(command).map((one) => [help.argumentTerm(one), help.argumentDescription(one)])),
    ],
    [
      "COMMANDS",
      list(help.visibleCommands(command).map((one) => [help.subcommandTerm(one), help.subcommandDescription(one)])),
    ],
    ["OPTIONS", options(help.visibleOptions(command))],
    ["ENVIRONMENT OF THE COMMAND", list(Object.entries(manual?.gives ?? {}))],
    ["EXIT STATUS", manual === undefined ? "" : exits(manual, width)],
    ["EXAMPLES", list(manual?.examples ?? [])],
    ["SEE ALSO", (manual?.seeAlso ?? []).map((one) => `${MARGIN}holdfast ${one} --help`).join("\n")],
  ];
  const shown = sections.filter(([, body]) => body !== "");
  return `${shown.map(([heading, body]) => `${heading}\n${body}`).join("\n\n")}\n`;
}

function exits({ exits, passesOn }: Manual, width: number): string {
  const margin = `${MARGIN}     `;
  const own = exits.map((name) => {
    const text = wrap(exitCodeTexts[name], width - margin.length, margin).trimStart();
    return `${MARGIN}${String(exitCode[name]).padEnd(5)}${text}`;
  });
  const passed = `${MARGIN}that of the command, or 128 + n if signal n ended it; and of its own:`;
  return [...(passesOn ? [passed] : []), ...own].join("\n");
}

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}

/** "Run a command." as the line under NAME has it. */
const lowerFirst = (text: string) => `${text.charAt(0).toLowerCase()}${text.slice(1).replace(/\.$/, "")}`;

/** Breaks a text into lines of at most `width`, each behind the margin. */
function wrap(text: string, width: number, margin: string): string {
  const lines: string[] = [""];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1)!;
    if (last !== "" && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines.map((line) => margin + line).join("\n");
}
