import { parseArgs } from "node:util";
import type { Profile } from "./process/holdfast-server.ts";

/** What a run was asked for. */
export interface BenchOptions {
  /** Names of suites; empty: all. */
  readonly only: readonly string[];
  readonly quick: boolean;
  /** Where the report goes besides the terminal. */
  readonly out: string | undefined;
  readonly profile: Profile | undefined;
  readonly help: boolean;
}

/** Reads the command line. Throws with a line that says what is wrong with it. */
export function readOptions(args: readonly string[], suites: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string", multiple: true, default: [] },
      quick: { type: "boolean", default: false },
      out: { type: "string" },
      profile: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const { only, quick, out, profile, help } = values;
  const unknown = only.find((name) => !suites.includes(name));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: there are ${suites.join(", ")}`);
  if (profile !== undefined && profile !== "cpu" && profile !== "heap") {
    throw new Error(`--profile ${profile}: there are cpu and heap`);
  }
  return { only, quick, out, profile, help };
}

/** What `--help` prints. */
export const usage = (suites: readonly string[]): string => `\
Usage: node bench/main.ts [--only NAME]... [--quick] [--out FILE] [--profile cpu|heap]

Measures Holdfast beside etcd's own locks on one etcd, all in turn; prints a report and writes bench/RESULTS.md.
A full run takes a quarter of an hour. Needs Linux, for /proc.

  --only NAME     only ${suites.join(", ")}; may be given several times
  --quick         everything once with tiny numbers, in under 90 s: whether the bench works, not what is fast
  --out FILE      write the report there; with --only, --quick or --profile it is otherwise only printed
  --profile KIND  run Holdfast's servers under Node's own profiler, which makes them slower. The files are for
                  Chrome's developer tools; of CPU profiles the functions with the most own time are printed too

Exit codes: 0 all was measured; 1 something did not run, and the report says what (a slow machine is no failure);
2 an option is wrong.`;
