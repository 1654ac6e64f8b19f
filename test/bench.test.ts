import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { quick } from "../bench/scale.ts";

const main = join(import.meta.dirname, "../bench/main.ts");

it("make bench measures everything, and no row of its report is empty", { timeout: 300_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-bench-"));
  try {
    const out = join(folder, "results.md");
    const { code, output } = await run("--quick", "--out", out);
    expect(code, output).toBe(0);
    const tables = tablesOf(await readFile(out, "utf8"));
    expect(Object.keys(tables)).toEqual([
      "Against the targets",
      "Uncontended: lock and unlock, pairs per second",
      "Uncontended: lock p50 / p99, unlock p50 / p99, in milliseconds",
      "Kinds of claims, 64 in flight: pairs per second, and against exclusive",
      "What watching costs, 64 in flight, by bare stubs",
      `One hot lock, ${quick.waiters} waiters: hand-offs per second`,
      `Idle sessions over ${quick.connections} connections, TTL 10 s, for ${quick.idleSeconds} s`,
      "Claims in the lock table, half of them waiting",
      "The holder is killed with -9: until the next one is granted, in milliseconds",
    ]);
    const [targets, ...measured] = Object.values(tables);
    expect(targets!.map((row) => row.at(-1))).toEqual(Array(targets!.length).fill(expect.stringMatching(/met/)));
    expect(measured.map((rows) => rows.length)).toEqual([6, 6, 6, 3, 5, 1, 1, 2]);
    const empty = measured.flat().filter((row) => row.slice(1).some((cell) => !/\d|FIFO/.test(cell)));
    // With 512 in flight that one would only show how fast etcd makes leases.
    expect(empty.map(([system]) => system)).toEqual(["npm `etcd3` `lock()`", "npm `etcd3` `lock()`"]);
    const orders = tables[`One hot lock, ${quick.waiters} waiters: hand-offs per second`]!.map((row) => row[2]);
    expect(orders).toEqual(Array(5).fill("FIFO"));
  } finally {
    await rm(folder, { recursive: true });
  }
});

function run(...flags: readonly string[]): Promise<{ readonly code: number | null; readonly output: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [main, ...flags], (_, stdout, stderr) =>
      resolve({ code: child.exitCode, output: stdout + stderr }),
    );
  });
}

/** The rows of each section's table, without its head. */
function tablesOf(text: string): Record<string, readonly (readonly string[])[]> {
  const sections = text.split(/^## /m).slice(1);
  return Object.fromEntries(
    sections.map((section) => {
      const [title, ...lines] = section.split("\n");
      const rows = lines.filter((line) => line.startsWith("|")).slice(2);
      return [
        title!,
        rows.map((row) =>
          row
            .split("|")
            .slice(1, -1)
            .map((cell) => cell.trim()),
        ),
      ];
    }),
  );
}
