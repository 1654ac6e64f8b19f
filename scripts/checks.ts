import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");

interface Check {
  readonly name: string;
  /** What bash runs. */
  readonly command: string;
  /** What puts right what it found. */
  readonly repair: string;
}

const checks: readonly Check[] = [
  {
    name: "types",
    command: "tsc -p . && tsc -p console && tsc -p test/console",
    repair: "correct the types named above",
  },
  { name: "lint and format", command: "biome check --error-on-warnings .", repair: "make format" },
  {
    name: "Go vet, format and modules",
    command: `for module in clients/go examples examples/stubs/go; do
      (cd $module && go vet ./... && go mod tidy -diff && if gofmt -l . | grep .; then exit 1; fi) || exit 1
    done`,
    repair: "gofmt -w and go mod tidy in the folder named above",
  },
  { name: "proto lint", command: "buf lint", repair: "correct the protos as named above" },
  { name: "proto format", command: "buf format proto --diff --exit-code", repair: "make format" },
  {
    name: "generated code",
    command: "node scripts/generate.ts --check && node scripts/metrics-page.ts --check",
    repair: "make generate",
  },
  {
    name: "proto compatibility",
    // As an archive, so that it works in a clone of one commit and in a linked worktree too.
    command: `git archive ${publishedCommit()} buf.yaml proto third_party | buf breaking --against '-#format=tar'`,
    repair: "take back the change of the protos; numbers, names and types of what was published stay",
  },
  {
    name: "unused code",
    command: "knip --no-progress",
    repair: "delete what nothing uses, or take the `export` away",
  },
  {
    name: "lock file",
    command: '! grep -nE \'"resolved": "https?:\' package-lock.json',
    repair: "npm install with the committed .npmrc, so that the lock names no registry",
  },
];

/** Counts of what was run. */
export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Runs every check, tells of each on stdout, and says for those that fail what repairs them. */
export function runChecks(): Tally {
  const failed = checks.filter((check) => !passes(check)).length;
  return { passed: checks.length - failed, failed, skipped: 0 };
}

function passes({ name, command, repair }: Check): boolean {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync("bash", ["-o", "pipefail", "-c", command], {
    cwd: root,
    encoding: "utf8",
  });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (status === 0) {
    console.log(`ok      ${name} (${seconds} s)`);
    return true;
  }
  console.log(`FAILED  ${name} (${seconds} s)\n${stdout}${stderr}\n  to repair: ${repair}\n`);
  return false;
}

/**
 * The commit whose protos others may already use: the last one on main, or, when that is the one checked out,
 * the one before it. A clone of a single commit has only itself.
 */
function publishedCommit(): string {
  const head = commit("HEAD");
  const candidates = ["refs/remotes/origin/main", "refs/heads/main", "HEAD^"].map(commit);
  return (
    candidates.find((candidate) => candidate !== undefined && candidate !== head && hasProtos(candidate)) ?? "HEAD"
  );
}

/** What came before the protos has published none. */
function hasProtos(id: string): boolean {
  return spawnSync("git", ["cat-file", "-e", `${id}:proto`], { cwd: root }).status === 0;
}

function commit(name: string): string | undefined {
  const { status, stdout } = spawnSync("git", ["rev-parse", "--verify", "--quiet", `${name}^{commit}`], {
    cwd: root,
    encoding: "utf8",
  });
  return status === 0 ? stdout.trim() : undefined;
}
