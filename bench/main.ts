/**
 * `make bench`: measures Holdfast beside the locks that etcd itself offers, on one etcd in one run, and writes
 * bench/RESULTS.md. `node bench/main.ts --help` says what can be asked for.
 */
import { rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { startEtcd, toolPath } from "../test/support/etcd.ts";
import { type Profile, profileFolder, root, startHoldfast } from "./process/holdfast-server.ts";
import { Book } from "./report/book.ts";
import { machine } from "./report/machine.ts";
import { cpuTable, profilesIn } from "./report/profile.ts";
import { report } from "./report/report.ts";
import { runSuites } from "./run.ts";
import { full, quick } from "./scale.ts";
import { claims } from "./suites/claims.ts";
import { handover } from "./suites/handover.ts";
import { hotLock } from "./suites/hot-lock.ts";
import { idle } from "./suites/idle.ts";
import { uncontended } from "./suites/uncontended.ts";

const suites = [uncontended, hotLock, idle, claims, handover];
const names = suites.map(({ name }) => name);

const usage = `Usage: node bench/main.ts [--only NAME]... [--quick] [--out FILE] [--profile cpu|heap]

Measures Holdfast beside etcd's own locks on one etcd, all in turn; prints a report and writes bench/RESULTS.md.
A full run takes up to ten minutes. Needs Linux, for /proc.

  --only NAME     only ${names.join(", ")}; may be given several times
  --quick         everything once with tiny numbers, in under 90 s: whether the bench works, not what is fast
  --out FILE      write the report there; with --only or --quick it is otherwise only printed
  --profile KIND  run Holdfast's servers under Node's own profiler, which makes them slower. The files are for
                  Chrome's developer tools; of CPU profiles the functions with the most own time are printed too

Exit code 1: something did not run, and the report says what. A slow machine is no failure.`;

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    quick: { type: "boolean", default: false },
    out: { type: "string" },
    profile: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

if (values.help) console.log(usage);
else process.exitCode = await main();

async function main(): Promise<number> {
  const unknown = values.only.find((name) => !names.includes(name));
  const isProfile = (kind: string | undefined): kind is Profile | undefined =>
    kind === undefined || kind === "cpu" || kind === "heap";
  if (unknown !== undefined || !isProfile(values.profile)) {
    console.error(unknown === undefined ? "--profile is cpu or heap" : `--only is one of ${names.join(", ")}`);
    return 2;
  }
  const scale = values.quick ? quick : full;
  const chosen = values.only.length === 0 ? suites : suites.filter(({ name }) => values.only.includes(name));
  const isWhole = !values.quick && values.only.length === 0 && values.profile === undefined;
  const out = values.out ?? (isWhole ? join(root, "bench/RESULTS.md") : undefined);
  const text = await measure(chosen, values.profile);
  console.log(`\n${text.markdown}`);
  if (values.profile !== undefined) showProfiles(values.profile);
  if (out !== undefined) {
    await writeFile(out, text.markdown);
    console.log(`written to ${relative(process.cwd(), out)}`);
  }
  return text.isComplete ? 0 : 1;

  async function measure(chosenSuites: typeof suites, profile: Profile | undefined) {
    if (profile !== undefined) await rm(profileFolder, { recursive: true, force: true });
    const stopping = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());
    const takenAt = new Date();
    const fromMs = performance.now();
    const peers = await toolPath("peers");
    const etcdBinary = await toolPath("etcd");
    await using etcd = await startEtcd();
    const startServer = () => startHoldfast(etcd.endpoint, profile);
    await using server = await startServer();
    const book = new Book();
    const failures = await runSuites(chosenSuites, { etcd, server, peers, scale, startServer }, book, stopping.signal);
    const tookSeconds = (performance.now() - fromMs) / 1000;
    const circumstances = { machine: machine(etcdBinary, root), scale, takenAt, tookSeconds, failures };
    return { markdown: report(book, circumstances), isComplete: failures.length === 0 };
  }
}

function showProfiles(profile: Profile): void {
  for (const file of profilesIn(profileFolder)) {
    console.log(relative(process.cwd(), file));
    if (profile === "cpu") console.log(`\n${cpuTable(file, root, 25)}\n`);
  }
}
