import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { pairTables } from "./pairs.ts";
import { SITUATIONS } from "./situations.ts";
import { type WalkResult, walk } from "./walk.ts";

const WALKS = 2000;
const CHUNK = 250;
const root = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

describe("seeded walks of the engine over a simulated etcd", () => {
  it("are the same to the last event when the seed is the same", () => {
    const [first, again, other] = [7, 7, 8].map((seed) => walk({ seed })) as [WalkResult, WalkResult, WalkResult];
    expect(again.traceHash).toBe(first.traceHash);
    expect([...again.counts]).toEqual([...first.counts]);
    expect(other.traceHash).not.toBe(first.traceHash);
  });

  it(`keep every promise in ${WALKS} walks, in which every event met every state that it can meet`, {
    timeout: 1_200_000,
  }, async () => {
    const counts = new Map<string, number>();
    const failures: string[] = [];
    const chunks = Array.from({ length: WALKS / CHUNK }, (_, i) => i * CHUNK + 1);
    const worker = async (): Promise<void> => {
      for (let from = chunks.shift(); from !== undefined; from = chunks.shift()) {
        const lines = await walksFrom(from);
        failures.push(...lines.filter((line) => /FAILED|replay:|shrunk/.test(line)));
        const counted = JSON.parse(lines.at(-1) ?? "{}") as Record<string, number>;
        for (const [situation, count] of Object.entries(counted))
          counts.set(situation, (counts.get(situation) ?? 0) + count);
        console.log(`seeds ${from} to ${from + CHUNK - 1}: ${lines.at(-2)}`);
      }
    };
    await Promise.all([worker(), worker()]);
    expect(failures).toEqual([]);
    const { lines, problems } = pairTables(counts);
    console.log(lines.join("\n"));
    expect(problems).toEqual([]);
    expect(SITUATIONS.filter((situation) => !counts.has(situation))).toEqual([]);
  });
});

/** What the walks say, line by line; they run in a process of their own, so that both cores have work. */
async function walksFrom(from: number): Promise<string[]> {
  const args = ["test/simulation/main.ts", String(from), String(from + CHUNK - 1), "json"];
  const { stdout } = await run(process.execPath, args, { cwd: root, maxBuffer: 1 << 26 }).catch((error) => {
    if (typeof error.stdout === "string" && error.stdout.includes("walks,")) return error as { stdout: string };
    throw error;
  });
  return stdout.trim().split("\n");
}
