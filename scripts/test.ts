/**
 * Runs the checks and every test of every part: `node scripts/test.ts`. What fails does not keep the rest from
 * running. The last line counts all of it together.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { runChecks, type Tally } from "./checks.ts";
import { runGo } from "./go-tests.ts";
import type { VitestTally } from "./vitest-tally.ts";

const root = resolve(import.meta.dirname, "..");
const oneFailure: Tally = { passed: 0, failed: 1, skipped: 0 };

/** Builds what the tests start: minutes in a fresh clone, nothing afterwards. */
function buildTools(): Tally {
  const builds: readonly (readonly [command: string, ...what: string[]])[] = [
    ["tools/build.sh", "etcd"],
    ["tools/build.sh", "etcdutl"],
    ["tools/build.sh", "grpcurl"],
    ["make", "console"],
    ["clients/java/conformance-driver.sh"],
  ];
  const failed = builds.filter(([command, ...what]) => run(command, what) !== 0);
  for (const build of failed) console.log(`FAILED  ${build.join(" ")}`);
  return { passed: 0, failed: failed.length, skipped: 0 };
}

/** Everything that vitest.config.ts includes: server, TypeScript client, command line, end to end. */
function runVitest(): Tally {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-test-"));
  try {
    const report = join(folder, "vitest.json");
    process.env.VITEST_TALLY = report;
    const status = run("vitest", ["run", "--reporter=default", `--reporter=${root}/scripts/vitest-tally.ts`]);
    const { failures, ...tally }: VitestTally = JSON.parse(readFileSync(report, "utf8"));
    // Named at the end, where a log that was cut still has them.
    for (const failure of failures) console.log(`FAILED  ${failure}`);
    return tally.failed === 0 && (status !== 0 || tally.passed === 0) ? { ...tally, failed: 1 } : tally;
  } catch (error) {
    console.log(`FAILED  vitest left no report: ${error}`);
    return oneFailure;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The Java client's own tests. */
function runMaven(): Tally {
  const reports = join(root, "clients/java/target/surefire-reports");
  rmSync(reports, { recursive: true, force: true });
  // Beforehand, so that nothing compiles it while the conformance suite runs it.
  run("clients/java/conformance-driver.sh", []);
  const status = run("tools/maven.sh", ["-q", "test"]);
  try {
    const names = readdirSync(reports).filter((name) => /^TEST-.*\.xml$/.test(name));
    const tallies = names.map((name) => readSurefire(join(reports, name)));
    const [passed, failed, skipped] = [sum(tallies, "passed"), sum(tallies, "failed"), sum(tallies, "skipped")];
    // What does not compile, or a test process that dies, fails the run and no test.
    return { passed, failed: failed === 0 && (status !== 0 || passed === 0) ? 1 : failed, skipped };
  } catch (error) {
    console.log(`FAILED  Maven left no reports: ${error}`);
    return oneFailure;
  }
}

function readSurefire(path: string): Tally {
  // What tests print may look like anything. The counts at the top leave nested classes out.
  const report = readFileSync(path, "utf8").replaceAll(/<!\[CDATA\[[\s\S]*?\]\]>/g, "");
  const count = (element: string) => report.match(new RegExp(`<${element}[ >/]`, "g"))?.length ?? 0;
  const [failed, skipped] = [count("failure") + count("error"), count("skipped")];
  return { passed: count("testcase") - failed - skipped, failed, skipped };
}

function run(command: string, args: readonly string[]): number | null {
  // What a suite says goes out as it says it; it reads nothing.
  return spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] }).status;
}

function sum(tallies: readonly Tally[], what: keyof Tally): number {
  return tallies.reduce((total, tally) => total + tally[what], 0);
}

const tallies = [runChecks(), buildTools(), runMaven(), await runGo(), runVitest()];
const skipped = sum(tallies, "skipped");
const failed = sum(tallies, "failed");
console.log(`\n${sum(tallies, "passed")} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
if (failed > 0) process.exitCode = 1;
