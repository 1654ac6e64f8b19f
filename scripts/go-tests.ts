import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Tally } from "./checks.ts";

const root = resolve(import.meta.dirname, "..");
const module = join(root, "clients/go");

/** What `go test -json` says, a line each; only what is looked at here. */
interface TestEvent {
  readonly Action: string;
  readonly Package?: string;
  readonly Test?: string;
  readonly Output?: string;
}

/**
 * The Go client's own tests: first all of them with the race detector, then what is about time and memory, which that
 * would change, without.
 */
export async function runGo(): Promise<Tally> {
  spawnSync(join(root, "tools/c-compiler.sh"), { stdio: "inherit" });
  const races = await goTest(["-race", "./..."]);
  const load = await goTest(["-run", "^TestLoad", "."]);
  return {
    passed: races.passed + load.passed,
    failed: races.failed + load.failed,
    skipped: races.skipped + load.skipped,
  };
}

async function goTest(args: readonly string[]): Promise<Tally> {
  // Never from the cache: they are about servers that Go does not see.
  const child = spawn("go", ["test", "-json", "-count=1", "-timeout=15m", ...args], {
    cwd: module,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  const counts = { pass: 0, fail: 0, skip: 0 };
  const said = new Map<string, string>();
  for await (const line of createInterface(child.stdout)) {
    const event = parse(line);
    if (event === undefined) console.log(line);
    else hear(event, said, counts);
  }
  const [status] = await ended;
  const { pass: passed, skip: skipped } = counts;
  // What does not compile, or dies outside of every test, fails the run and no test.
  const failed = counts.fail === 0 && (status !== 0 || passed === 0) ? 1 : counts.fail;
  console.log(`go test ${args.join(" ")}: ${passed} passed, ${failed} failed`);
  return { passed, failed, skipped };
}

function parse(line: string): TestEvent | undefined {
  try {
    return JSON.parse(line);
  } catch {
    // What the compiler says comes as it is.
    return undefined;
  }
}

function hear(event: TestEvent, said: Map<string, string>, counts: Record<"pass" | "fail" | "skip", number>): void {
  const { Action: action, Output: output, Test: test } = event;
  const name = `${event.Package} ${test ?? ""}`;
  if (action === "build-output") console.log(output?.trimEnd());
  else if (output !== undefined) {
    said.set(name, (said.get(name) ?? "") + output);
  } else if (action === "pass" || action === "fail" || action === "skip") {
    if (test !== undefined) counts[action]++;
    const text = said.get(name) ?? "";
    // Of what went well, only the numbers that were measured.
    const measured = text.match(/^ +\w+_test\.go:\d+: .*$/gm) ?? [];
    if (action === "fail") console.log(`FAILED  ${name}\n${text}`);
    else for (const line of measured) console.log(`${test}: ${line.trim()}`);
    said.delete(name);
  }
}
