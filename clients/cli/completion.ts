import type { Command, Option } from "commander";

/** Something that a word on the command line can be completed to. */
export interface Candidate {
  readonly word: string;
  /** What it means; empty: nothing to say. */
  readonly text: string;
}

/** Finds the names of locks that begin with a prefix. */
export type FindLocks = (prefix: string) => Promise<readonly string[]>;

/** The arguments of commands that are names of locks, or beginnings of them. */
const lockArguments: ReadonlySet<string> = new Set(["name", "prefix", "election", "lock"]);

/**
 * What the last of `words` can be: `words` is the command line without the program's own name, the last one being
 * typed, perhaps empty. Nothing for what only the shell knows: files, and the command after "--".
 */
export async function complete(
  program: Command,
  words: readonly string[],
  findLocks: FindLocks,
): Promise<readonly Candidate[]> {
  const current = words.at(-1) ?? "";
  const typed = read(program, words.slice(0, -1));
  if (typed === undefined) return [];
  const { command, wanting, given, argumentCount } = typed;
  if (wanting !== undefined) return matching((wanting.argChoices ?? []).map(wordOnly), current);
  if (current.startsWith("-")) return matching(optionsOf(command, given), current);
  if (command.commands.length > 0) return matching(commandsOf(command), current);
  const { registeredArguments: wanted } = command;
  const argument = wanted[argumentCount] ?? (wanted.at(-1)?.variadic ? wanted.at(-1) : undefined);
  if (argument?.argChoices !== undefined) return matching(argument.argChoices.map(wordOnly), current);
  return argument !== undefined && lockArguments.has(argument.name()) ? (await findLocks(current)).map(wordOnly) : [];
}

interface Typed {
  readonly command: Command;
  /** The option whose value comes next. */
  readonly wanting: Option | undefined;
  readonly given: ReadonlySet<Option>;
  readonly argumentCount: number;
}

/** What the words so far mean; `undefined`: nothing that this program knows, or another program's command line. */
function read(program: Command, words: readonly string[]): Typed | undefined {
  let command = program;
  let wanting: Option | undefined;
  let argumentCount = 0;
  const given = new Set<Option>();
  for (const word of words) {
    if (wanting !== undefined) wanting = undefined;
    else if (word === "--") return undefined;
    else if (word.startsWith("-")) {
      const option = command.options.find(({ long, short }) => long === word || short === word);
      if (option !== undefined) given.add(option);
      if (option?.required) wanting = option;
    } else if (command.commands.length > 0) {
      const next = command.commands.find((one) => one.name() === word);
      if (next === undefined) return undefined;
      command = next;
    } else argumentCount++;
  }
  return { command, wanting, given, argumentCount };
}

const wordOnly = (word: string): Candidate => ({ word, text: "" });

const matching = (candidates: readonly Candidate[], prefix: string) =>
  candidates.filter(({ word }) => word.startsWith(prefix));

const commandsOf = (command: Command): readonly Candidate[] =>
  command
    .createHelp()
    .visibleCommands(command)
    .map((one) => ({ word: one.name(), text: one.description() }));

const optionsOf = (command: Command, given: ReadonlySet<Option>): readonly Candidate[] =>
  command
    .createHelp()
    .visibleOptions(command)
    .filter((option) => !given.has(option) && option.long !== undefined)
    .map((option) => ({ word: option.long!, text: option.description }));

const bash = `# Completion of holdfast for bash. In ~/.bashrc: source <(holdfast completion bash)
_holdfast() {
  COMPREPLY=()
  local word text
  while IFS=$'\\t' read -r word text; do
    COMPREPLY+=("$(printf %q "$word")")
  done < <(holdfast complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -o nosort -F _holdfast holdfast`;

const zsh = `#compdef holdfast
# Completion of holdfast for zsh. In ~/.zshrc, after compinit: source <(holdfast completion zsh)
_holdfast() {
  local -a words_so_far candidates
  local word text
  words_so_far=("\${(@Q)words[2,CURRENT]}")
  while IFS=$'\\t' read -r word text; do
    candidates+=("\${word//:/\\\\:}:$text")
  done < <(holdfast complete -- "\${words_so_far[@]}" 2>/dev/null)
  if (( \${#candidates} )); then _describe -V holdfast candidates; else _default; fi
}
compdef _holdfast holdfast`;

const fish = `# Completion of holdfast for fish. holdfast completion fish > ~/.config/fish/completions/holdfast.fish
function __holdfast_complete
  set -l words (commandline -opc)
  holdfast complete -- $words[2..] (commandline -ct) 2>/dev/null
end
complete -c holdfast -f -n 'not contains -- -- (commandline -opc)' -a '(__holdfast_complete)'`;

/** What makes a shell complete the words of `holdfast`; each asks `holdfast complete`. */
export const completionScripts: Readonly<Record<string, string>> = { bash, zsh, fish };
