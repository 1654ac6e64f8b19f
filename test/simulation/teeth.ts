/**
 * Breaks the service on purpose, one way at a time and in a copy of it, and has the walks find out:
 * `node test/simulation/teeth.ts [SEEDS] [part of a name]`. Prints which seed caught which breakage and by what, and
 * fails if one went unnoticed within the seeds (default: 2,000).
 */
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { MUTANTS, type Mutant } from "./mutants.ts";

const root = resolve(import.meta.dirname, "../..");

/** The first line that a walk said when it failed; `undefined`: no seed noticed. Rejects if the mutant does not fit. */
export async function catchMutant(mutant: Mutant, seeds: number): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-mutant-"));
  try {
    for (const part of [
      "server/core",
      "server/engine",
      "server/ports",
      "clients/typescript/src",
      "test/simulation",
      "package.json",
    ])
      cpSync(join(root, part), join(folder, part), { recursive: true, filter: (path) => !path.includes("/gen") });
    applyTo(join(folder, mutant.file), mutant);
    return await firstFailure(folder, seeds);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Why a mutant cannot be applied to the code as it is; `undefined`: it can. */
export function misfitOf({ name, file, find }: Mutant): string | undefined {
  const times = readFileSync(join(root, file), "utf8").split(find).length - 1;
  return times === 1
    ? undefined
    : `"${name}": its text occurs ${times} times in ${file}: mend test/simulation/mutants.ts`;
}

function applyTo(path: string, mutant: Mutant): void {
  const misfit = misfitOf(mutant);
  if (misfit !== undefined) throw new Error(misfit);
  writeFileSync(path, readFileSync(path, "utf8").split(mutant.find).join(mutant.replace));
}

function firstFailure(folder: string, seeds: number): Promise<string | undefined> {
  return new Promise((done, failed) => {
    const run = spawn(process.execPath, ["test/simulation/main.ts", "1", String(seeds), "stop"], { cwd: folder });
    let output = "";
    run.stdout.on("data", (chunk) => {
      output += chunk;
    });
    run.stderr.on("data", (chunk) => {
      output += chunk;
    });
    run.once("error", failed);
    run.once("close", (code) => {
      const line = /^seed .*FAILED.*$/m.exec(output)?.[0];
      if (code === 0) done(undefined);
      else if (line !== undefined) done(line);
      else failed(new Error(`the walks did not run: ${output.slice(0, 2000)}`));
    });
  });
}

async function main(): Promise<void> {
  const [seeds = "2000", name = ""] = process.argv.slice(2);
  const wanted = MUTANTS.filter((mutant) => mutant.name.includes(name));
  let missed = 0;
  for (const mutant of wanted) {
    const caught = await catchMutant(mutant, Number(seeds));
    if (caught === undefined) missed++;
    console.log(
      `${caught === undefined ? "MISSED" : "caught"}  ${mutant.name}: ${caught?.slice(0, 160) ?? `${seeds} seeds`}`,
    );
  }
  console.log(`${wanted.length - missed} of ${wanted.length} breakages caught`);
  if (missed > 0) process.exitCode = 1;
}

if (import.meta.main) await main();
