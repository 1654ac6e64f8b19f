/**
 * A driver that lies: the one for TypeScript, with one thing wrong in what it says. For the test that the suite notices:
 * `node lying-driver.ts <lie>`.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** What each lie makes of a line of the driver. */
export const lies: Readonly<Record<string, (line: string) => string>> = {
  "keeps tokens as doubles": (line) => line.replace(/"(\d{16,})"/g, (_, token) => `"${BigInt(Number(token))}"`),
  "forgets who held before": (line) => line.replace(/"previous":\{[^}]*\},?/, ""),
  "takes a timeout for a taken lock": (line) => line.replace('"reason":"timeout"', '"reason":"busy"'),
  "believes for too long": (line) =>
    line.replace(/"held":true,"remainingMs":(\d+)/, (_, ms) => `"held":true,"remainingMs":${Number(ms) + 60_000}`),
  "believes that a lost lock is held": (line) =>
    line.replace('"held":false,"remainingMs":0', '"held":true,"remainingMs":9'),
  "says nothing of its place": (line) => (line.includes('"event":"waiting"') ? "" : line),
  "takes every release for a good one": (line) => line.replace('"was":"lost"', '"was":"released"'),
};

if (import.meta.main) {
  const lie = lies[process.argv[2]!]!;
  const driver = new URL("../../clients/typescript/test/conformance-driver.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [driver], { stdio: ["inherit", "pipe", "inherit"] });
  for await (const line of createInterface(child.stdout)) {
    const told = lie(line);
    if (told !== "") process.stdout.write(`${told}\n`);
  }
}
