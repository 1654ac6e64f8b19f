/**
 * `make bench`: measures Holdfast beside the locks that etcd itself offers, on one etcd in one run, and writes
 * bench/RESULTS.md. `node bench/main.ts --help` says what can be asked for.
 */
import { rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { startEtcd, toolPath } from "../test/support/etcd.ts";
import { type BenchOptions, readOptions, usage } from "./options.ts";
import { profileFolder, root, startHoldfast } from "./process/holdfast-server.ts";
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
import { kinds } from "./suites/kinds.ts";
import { uncontended } from "./suites/uncontended.ts";
import { watched } from "./suites/watched.ts";

const suites = [uncontended, kinds, watched, hotLock, idle, claims, handover];

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const names = suites.map(({ name }) => name);
  let options: BenchOptions;
  try {
    options = readOptions(args, names);
  } catch (error) {
    console.error((error as Error).message);
    return 2;
  }
  if (options.help) {
    console.log(usage(names));
    return 0;
  }
  const { markdown, isComplete } = await measure(options);
  console.log(`\n${markdown}`);
  if (options.profile !== undefined) showProfiles();
  const isWhole = !options.quick && options.only.length === 0 && options.profile === undefined;
  const out = options.out ?? (isWhole ? join(root, "bench/RESULTS.md") : undefined);
  if (out !== undefined) {
    await writeFile(out, markdown);
    console.log(`written to ${relative(process.cwd(), out)}`);
  }
  return isComplete ? 0 : 1;
}

async function measure(options: BenchOptions): Promise<{ readonly markdown: string; readonly isComplete: boolean }> {
  if (options.profile !== undefined) await rm(profileFolder, { recursive: true, force: true });
  const scale = options.quick ? quick : full;
  const chosen = options.only.length === 0 ? suites : suites.filter(({ name }) => options.only.includes(name));
  const [etcdBinary, peers] = [await toolPath("etcd"), await toolPath("peers")];
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());

  const takenAt = new Date();
  const fromMs = performance.now();
  await using etcd = await startEtcd();
  const { profile } = options;
  const startServer = (flags: readonly string[] = []) => startHoldfast({ etcdEndpoint: etcd.endpoint, profile, flags });
  await using server = await startServer();
  const book = new Book();
  const failures = await runSuites(chosen, { etcd, server, peers, scale, startServer }, book, stopping.signal);
  const tookSeconds = (performance.now() - fromMs) / 1000;
  const circumstances = { machine: machine(etcdBinary, root), scale, takenAt, tookSeconds, failures };
  return { markdown: report(book, circumstances), isComplete: failures.length === 0 };
}

/** The servers have ended, and with that written what they saw. */
function showProfiles(): void {
  for (const file of profilesIn(profileFolder)) {
    console.log(relative(process.cwd(), file));
    if (file.endsWith(".cpuprofile")) console.log(`\n${cpuTable(file, root, 25)}\n`);
  }
}
