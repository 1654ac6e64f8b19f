/**
 * Breaks the service on purpose, one way at a time and in a copy of it, and has the walks and the tests of its parts
 * find out: `node test/simulation/teeth.ts [SEEDS] [part of a name]`. Prints which seed caught which breakage and by
 * what, and how many tests did, and fails if one went unnoticed by both within the seeds (default: 2,000).
 */
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { MUTANTS, type Mutant } from "./mutants.ts";

const root = resolve(import.meta.dirname, "../..");

/** What the walks and the tests of parts need of the project. */
const PARTS = [
  "server",
  "clients/typescript",
  "test/core",
  "test/engine",
  "test/server",
  "test/simulation",
  "test/support",
  "package.json",
  "tsconfig.json",
  "vitest.config.ts",
];

/** The tests of the part that a file belongs to; they need no etcd and no process. */
function testsOf({ file }: Mutant): readonly string[] {
  if (file.startsWith("clients/")) return ["clients/typescript/test/"];
  // Those of the adapters keep real time, which a busy machine does not.
  return file.startsWith("server/adapters/") ? ["test/server/adapters/etcd"] : ["test/core", "test/engine"];
}

/** What can be done with a copy of the project that is broken in one way. */
export interface Broken {
  /** The first line that a walk said when it failed; `undefined`: no seed noticed. */
  firstFailure(seeds: number): Promise<string | undefined>;
  /** What `main.ts` of the walks says with these arguments. */
  walks(...args: readonly string[]): Promise<string>;
  /** How many tests in these files and folders fail. */
  failingTests(tests: readonly string[]): Promise<number>;
}

/** Hands out a broken copy, which goes when `use` has ended. Rejects if the mutant does not fit. */
export async function withMutant<Result>(mutant: Mutant, use: (broken: Broken) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-mutant-"));
  try {
    const wanted = (path: string): boolean => !path.includes("node_modules");
    for (const part of PARTS) cpSync(join(root, part), join(folder, part), { recursive: true, filter: wanted });
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    applyTo(join(folder, mutant.file), mutant);
    return await use(brokenIn(folder));
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

function brokenIn(folder: string): Broken {
  const walks = async (...args: readonly string[]): Promise<string> =>
    (await run(folder, [join(folder, "test/simulation/main.ts"), ...args])).output;
  return {
    walks,
    async firstFailure(seeds) {
      const output = await walks("1", String(seeds), "stop");
      const line = /^seed .*FAILED.*$/m.exec(output)?.[0];
      if (line === undefined && !/^\d+ walks, 0 failed/m.test(output))
        throw new Error(`the walks did not run: ${output.slice(0, 2000)}`);
      return line;
    },
    async failingTests(tests) {
      const vitest = join(root, "node_modules/vitest/vitest.mjs");
      const report = join(folder, "report.json");
      const { output } = await run(folder, [vitest, "run", "--reporter=json", `--outputFile=${report}`, ...tests]);
      if (!existsSync(report)) throw new Error(`the tests did not run: ${output.slice(-2000)}`);
      const { numFailedTests, numFailedTestSuites } = JSON.parse(readFileSync(report, "utf8"));
      return Math.max(numFailedTests, numFailedTestSuites);
    },
  };
}

function run(folder: string, args: readonly string[]): Promise<{ readonly output: string }> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, args, { cwd: folder });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk) => {
        output += chunk;
      });
    child.once("error", failed);
    child.once("close", () => done({ output }));
  });
}

/** Tests that fail without any breakage notice none. */
async function checkUnbroken(mutants: readonly Mutant[]): Promise<void> {
  const suites = new Map(mutants.map((mutant) => [testsOf(mutant).join(), mutant]));
  for (const mutant of suites.values())
    await withMutant({ ...mutant, replace: mutant.find }, async (unbroken) => {
      const failing = await unbroken.failingTests(testsOf(mutant));
      if (failing > 0) throw new Error(`${failing} tests of ${testsOf(mutant).join(", ")} fail without any breakage`);
    });
}

async function main(): Promise<void> {
  const [seeds = "2000", name = ""] = process.argv.slice(2);
  const wanted = MUTANTS.filter((mutant) => mutant.name.includes(name));
  await checkUnbroken(wanted);
  let missed = 0;
  for (const mutant of wanted) {
    const [caught, tests] = await withMutant(mutant, async (broken) => [
      await broken.firstFailure(Number(seeds)),
      await broken.failingTests(testsOf(mutant)),
    ]);
    if (caught === undefined && tests === 0) missed++;
    const walks = caught?.slice(0, 140) ?? `no walk of ${seeds}`;
    console.log(
      `${caught === undefined && tests === 0 ? "MISSED" : "caught"}  ${mutant.name}: ${walks}; ${tests} tests`,
    );
  }
  console.log(`${wanted.length - missed} of ${wanted.length} breakages caught`);
  if (missed > 0) process.exitCode = 1;
}

if (import.meta.main) await main();
