import { execFileSync } from "node:child_process";
import { cpus, release, totalmem, type } from "node:os";

/** What the numbers were taken on and with: pairs of a name and its value. */
export function machine(etcdBinary: string, root: string): readonly (readonly [string, string])[] {
  const processors = cpus();
  const commit = output("git", "-C", root, "rev-parse", "--short", "HEAD");
  const isChanged = output("git", "-C", root, "status", "--porcelain", "--", ".", ":!bench/RESULTS.md") !== "";
  return [
    ["CPU", `${processors[0]?.model.trim() || "unknown"}, ${processors.length} cores`],
    ["memory", `${Math.round(totalmem() / 1024 ** 3)} GiB`],
    ["kernel", `${type()} ${release()}`],
    ["Node", process.version.slice(1)],
    ["Go", output("go", "env", "GOVERSION").replace(/^go/, "")],
    ["etcd", /etcd Version: (\S+)/.exec(output(etcdBinary, "--version"))?.[1] ?? "unknown"],
    ["Holdfast", `${commit}${isChanged ? " and uncommitted changes" : ""}`],
  ];
}

/** What a program prints; "unknown" if it cannot be run, for a report may lack what a benchmark does not need. */
function output(program: string, ...args: readonly string[]): string {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "unknown";
  }
}
