/**
 * Runs seeded walks: `node test/simulation/main.ts FROM TO`, the seeds from FROM to TO inclusive. A failing seed is
 * printed with the command that replays it, and the first of them is shrunk: to a walk that breaks the same promise with
 * as little in it as could be found.
 *
 * - `trace=N` prints the last N lines of the first walk that fails, and ends there.
 * - `stop` ends at the first failure, without shrinking it.
 * - `counts` prints how often each event came in each state, and how often each situation occurred, and fails if one
 *   never did.
 * - `json` prints the counts as the last line, for programs.
 * - `salt=N`, `servers=N`, `clients=N`, `chaos=MS` and `without=WHAT,WHAT` are of a walk that was shrunk: see
 *   `WalkPlan`.
 */
import { pairTables } from "./pairs.ts";
import { argumentsOf, shrink } from "./shrink.ts";
import { SITUATIONS } from "./situations.ts";
import { type WalkPlan, type WalkResult, walk } from "./walk.ts";
import { INGREDIENTS } from "./world.ts";

const [from = "1", to = from, ...flags] = process.argv.slice(2);
const textOf = (name: string): string | undefined =>
  flags.find((flag) => flag.startsWith(`${name}=`))?.slice(name.length + 1);
const numberOf = (name: string): number | undefined => {
  const value = textOf(name);
  return value === undefined ? undefined : Number(value);
};
const traceLines = numberOf("trace") ?? 0;
const command = "node test/simulation/main.ts";

function planOf(seed: number): WalkPlan {
  const given = { salt: numberOf("salt"), servers: numberOf("servers"), clients: numberOf("clients") };
  const named = (textOf("without") ?? "").split(",");
  return {
    seed,
    ...Object.fromEntries(Object.entries({ ...given, chaosMs: numberOf("chaos") }).filter(([, n]) => n !== undefined)),
    without: INGREDIENTS.filter((each) => named.includes(each)),
  };
}

const counts = new Map<string, number>();
const startedAtMs = performance.now();
let walks = 0;
let failed = 0;

for (let seed = Number(from); seed <= Number(to); seed++) {
  const result = walk(planOf(seed), traceLines > 0);
  walks++;
  for (const [situation, count] of result.counts) counts.set(situation, (counts.get(situation) ?? 0) + count);
  if (walks % 1000 === 0) console.log(`${walks} walks done, ${failed} failed so far`);
  const [first] = result.violations;
  if (first === undefined) continue;
  failed++;
  console.log(`seed ${seed} FAILED at ${first.atMs.toFixed(1)} ms: ${first.what}: ${first.detail}`);
  console.log(`  replay: ${command} ${argumentsOf(planOf(seed))} trace=400`);
  if (failed === 1 && traceLines === 0 && !flags.includes("stop")) showShrunk(planOf(seed), result);
  if (traceLines > 0) console.log(result.trace.slice(-traceLines).join("\n"));
  if (traceLines > 0 || flags.includes("stop")) break;
}

function showShrunk(plan: WalkPlan, result: WalkResult): void {
  const smallest = shrink(plan, result);
  const { what, atMs } = smallest.result.violations[0]!;
  console.log(`  shrunk in ${smallest.walks} walks to ${what} at ${atMs.toFixed(1)} ms, replay:`);
  console.log(`  ${command} ${argumentsOf(smallest.plan)} trace=400`);
}

if (flags.includes("counts")) {
  const { lines, problems } = pairTables(counts);
  console.log(lines.join("\n"));
  for (const problem of problems) console.log(problem);
  if (problems.length > 0) process.exitCode = 1;
  for (const [situation, count] of [...counts].filter(([name]) => !name.startsWith("pair: ")).sort())
    console.log(`${String(count).padStart(10)}  ${situation}`);
  const missing = SITUATIONS.filter((situation) => !counts.has(situation));
  for (const situation of missing) console.log(`NEVER OCCURRED, so not tested: ${situation}`);
  if (missing.length > 0) process.exitCode = 1;
}
const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
console.log(`${walks} walks, ${failed} failed, in ${seconds} s`);
if (flags.includes("json")) console.log(JSON.stringify(Object.fromEntries(counts)));
if (failed > 0) process.exitCode = 1;
