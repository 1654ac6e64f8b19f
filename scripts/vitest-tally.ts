import { writeFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import type { Reporter, SerializedError, TestModule } from "vitest/node";
import type { Tally } from "./checks.ts";

/** What a run of vitest came to: tests, and what failed, in or outside of a test, with the head of what it said. */
export interface VitestTally extends Tally {
  readonly failures: readonly string[];
}

/** A reporter of vitest that leaves its tally, as JSON, in the file that `VITEST_TALLY` names. */
export default class implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const tests = modules.flatMap(({ children }) => [...children.allTests()]);
    const suites = modules.flatMap(({ children }) => [...children.allSuites()]);
    const count = (state: string) => tests.filter((test) => test.result().state === state).length;
    // Of hooks and of files that do not load there is no test that could have failed.
    const outside = [
      ...modules.map((module) => ({ of: module.relativeModuleId, errors: module.errors() })),
      ...suites.map((suite) => ({ of: `${suite.module.relativeModuleId}: ${suite.fullName}`, errors: suite.errors() })),
      { of: "outside of every test", errors: unhandled },
    ].filter(({ errors }) => errors.length > 0);
    const inside = tests
      .filter((test) => test.result().state === "failed")
      .map((test) => ({ of: `${test.module.relativeModuleId}: ${test.fullName}`, errors: test.result().errors ?? [] }));
    const tally: VitestTally = {
      passed: count("passed"),
      failed: inside.length + outside.length,
      skipped: count("skipped"),
      failures: [...outside, ...inside].map(({ of, errors }) => `${of}\n${errors.map(headOf).join("\n")}`),
    };
    writeFileSync(process.env.VITEST_TALLY!, JSON.stringify(tally));
  }
}

const LINES = 30;
const WIDTH = 300;

function headOf({ name, message, diff, stacks = [] }: SerializedError): string {
  const at = stacks.map(({ file, line, column }) => `    at ${file}:${line}:${column}`);
  const said = stripVTControlCharacters([`${name}: ${message}`, ...(diff ? [diff] : []), ...at].join("\n"));
  const lines = said.split("\n").slice(0, LINES);
  return lines.map((line) => `        ${line.slice(0, WIDTH)}`).join("\n");
}
