/**
 * Runs seeded walks: `node test/simulation/main.ts FROM TO`, the seeds from FROM to TO inclusive. A failing seed is
 * printed with the command that replays it.
 *
 * - `trace=N` prints the last N lines of the first walk that fails, and ends there.
 * - `stop` ends at the first failure.
 * - `counts` prints how often each situation occurred, and fails if one never did.
 * - `json` prints the counts as the last line, for programs.
 */
import { SITUATIONS } from "./situations.ts";
import { walk } from "./walk.ts";

const [from = "1", to = from, ...flags] = process.argv.slice(2);
const traceLines = Number(flags.find((flag) => flag.startsWith("trace="))?.slice("trace=".length) ?? 0);
const counts = new Map<string, number>();
const startedAtMs = performance.now();
let walks = 0;
let failed = 0;

for (let seed = Number(from); seed <= Number(to); seed++) {
  const result = walk(seed, traceLines > 0);
  walks++;
  for (const [situation, count] of result.counts) counts.set(situation, (counts.get(situation) ?? 0) + count);
  if (walks % 1000 === 0) console.log(`${walks} walks done, ${failed} failed so far`);
  const [first] = result.violations;
  if (first === undefined) continue;
  failed++;
  console.log(`seed ${seed} FAILED at ${first.atMs.toFixed(1)} ms: ${first.what}: ${first.detail}`);
  console.log(`  replay: node test/simulation/main.ts ${seed} ${seed} trace=400`);
  if (traceLines > 0) console.log(result.trace.slice(-traceLines).join("\n"));
  if (traceLines > 0 || flags.includes("stop")) break;
}

if (flags.includes("counts")) {
  for (const [situation, count] of [...counts].sort()) console.log(`${String(count).padStart(10)}  ${situation}`);
  const missing = SITUATIONS.filter((situation) => !counts.has(situation));
  for (const situation of missing) console.log(`NEVER OCCURRED, so not tested: ${situation}`);
  if (missing.length > 0) process.exitCode = 1;
}
const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
console.log(`${walks} walks, ${failed} failed, in ${seconds} s`);
if (flags.includes("json")) console.log(JSON.stringify(Object.fromEntries(counts)));
if (failed > 0) process.exitCode = 1;
