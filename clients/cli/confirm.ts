import { createInterface } from "node:readline/promises";

/**
 * Asks on the terminal whether something is meant, and resolves with the answer. Without a terminal there is nobody to
 * ask, and it resolves with "nobody".
 */
export async function confirm(question: string): Promise<"yes" | "no" | "nobody"> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return "nobody";
  // Not on standard output, which may be somebody else's input.
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim()) ? "yes" : "no";
  } finally {
    terminal.close();
  }
}
