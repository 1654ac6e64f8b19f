/**
 * Fault runs on real processes: `node test/faults/main.ts [options]`, as root on Linux.
 *
 * - `--episodes N` episodes by seed (default 20), `--from SEED` the first of them (default 1), `--chaos SECONDS` of
 *   faults in each (default 20);
 * - `--kills N` kill -9 of servers under load (default 50), after each of which clients are served `--within MS` later
 *   (default 2000); `--leaders N` kills of etcd's leader right after a grant (default 20); `--stops N` holders stopped
 *   for twice their TTL (default 2);
 * - `--report FILE` writes what was done and found; `--keep` keeps logs and data although nothing was found.
 *
 * Everything runs in namespaces that this makes for itself: network, processes, mounts. They go with it, whatever
 * happens, and so does all that was started. Prints what was found, with the command that does it again, and fails if
 * anything was; logs and data are then kept.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { toolPath } from "../support/etcd.ts";
import { Random } from "../support/random.ts";
import { addMachines, Episode, type EpisodeResult } from "./episode.ts";
import { faultNames } from "./faults.ts";
import { Network } from "./network.ts";
import { notTested, type RunResult, writeReport } from "./report.ts";
import { SITUATIONS } from "./situations.ts";
import { chaos, type Gaps, killLeaders, killServers, stopHolders } from "./torments.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const INSIDE = "FAULTS_INSIDE";
const STOPPED_TTL_MS = 8000;
/** How many findings of an episode are printed: one that is broken has hundreds. */
const SHOWN = 20;

const { values: options } = parseArgs({
  options: {
    episodes: { type: "string", default: "20" },
    from: { type: "string", default: "1" },
    chaos: { type: "string", default: "20" },
    kills: { type: "string", default: "50" },
    within: { type: "string", default: "2000" },
    leaders: { type: "string", default: "20" },
    stops: { type: "string", default: "2" },
    report: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});

if (process.env[INSIDE] === undefined) process.exitCode = await enterNamespaces();
else process.exitCode = await run();

/** Installs what is missing, builds the tools, and does it all in namespaces of its own. */
async function enterNamespaces(): Promise<number> {
  if (process.platform !== "linux" || process.getuid?.() !== 0) {
    console.error("fault runs need network namespaces: run them as root on Linux");
    return 1;
  }
  installMissing({ ip: "iproute2", strace: "strace", unshare: "util-linux", nsenter: "util-linux" });
  const tools = [...(await Promise.all(["etcd", "porcupine"].map(toolPath))), buildGoClient()];
  const namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const { status } = spawnSync("unshare", [...namespaces, process.execPath, ...process.argv.slice(1)], {
    stdio: "inherit",
    env: { ...process.env, [INSIDE]: JSON.stringify(tools) },
  });
  return status ?? 1;
}

/** What does the same again; the report it writes is there by itself. */
function commandOf(args: readonly string[]): string {
  const at = args.indexOf("--report");
  const others = at < 0 ? args : args.toSpliced(at, 2);
  return others.length === 0 ? "make faults" : `make faults ARGS="${others.join(" ")}"`;
}

/** Builds the client program in Go, and returns its path. What has not changed is not built again. */
function buildGoClient(): string {
  const binary = join(ROOT, ".cache/bin/fault-client");
  const args = ["build", "-C", join(ROOT, "clients/go"), "-o", binary, "./cmd/fault-client"];
  if (spawnSync("go", args, { stdio: "inherit" }).status !== 0)
    throw new Error("the client program in Go is not built");
  return binary;
}

function installMissing(packageOf: Readonly<Record<string, string>>): void {
  const isThere = (command: string) => spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;
  const missing = Object.keys(packageOf).filter((command) => !isThere(command));
  if (missing.length === 0) return;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const packages = [...new Set(missing.map((command) => packageOf[command]!))];
  for (const args of [["update"], ["install", "-y", "--no-install-recommends", ...packages]])
    if (spawnSync("apt-get", args, { stdio: ["ignore", "ignore", "inherit"], env }).status !== 0)
      throw new Error(`fault runs need ${packages.join(" and ")}: apt-get install ${packages.join(" ")}`);
}

async function run(): Promise<number> {
  // The first process of a namespace is spared what it does not ask for; all others go with it.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
  const [etcd, porcupine, goClient] = JSON.parse(process.env[INSIDE]!) as [string, string, string];
  // A server refuses variables that it does not know, and takes those that it does from whoever runs this.
  delete process.env[INSIDE];
  const startedMs = performance.now();
  const network = new Network();
  await addMachines(network);
  await network.prove();
  const top = mkdtempSync(join(tmpdir(), "holdfast-faults-"));
  const shows = new Map<string, EpisodeResult>();
  const episodes: EpisodeResult[] = [];
  const gaps: Gaps = [];
  const mixed = { load: () => ({ kind: "mixed", workers: 8 }) as const };
  const calm = { load: (client: number) => ({ kind: "calm", name: `own/${client}`, workers: 8 }) as const };
  let names: readonly string[] = [];

  const one = async (
    title: string,
    seed: number,
    how: Pick<Parameters<typeof Episode.run>[0], "load" | "leastTtlMs" | "torment">,
  ): Promise<EpisodeResult> => {
    const folder = join(top, title.replaceAll(" ", "-"));
    const torment = (episode: Episode): Promise<void> => {
      names = faultNames(episode, new Random(1));
      return how.torment(episode);
    };
    const episodeMs = performance.now();
    const result = await Episode.run({ seed, network, folder, etcd, porcupine, goClient, ...how, torment });
    const { verdict, findings, counts } = result;
    const seconds = ((performance.now() - episodeMs) / 1000).toFixed();
    const grants = counts.get("grants audited") ?? 0;
    console.log(
      `${title}: ${verdict.operations} operations, ${grants} grants, ${findings.length} findings, ${seconds} s`,
    );
    for (const { what, detail } of findings.slice(0, SHOWN)) console.log(`  FAILED ${what}: ${detail}`);
    if (findings.length > SHOWN) console.log(`  and ${findings.length - SHOWN} more`);
    if (findings.length > 0) console.log(`  logs and data: ${folder}`);
    else if (!options.keep) rmSync(folder, { recursive: true });
    return result;
  };

  const wanted = (n: string): boolean => Number(n) > 0;
  const { kills, leaders, stops, within } = options;
  if (wanted(kills))
    shows.set(
      `${kills} kills of servers`,
      await one("kills of servers", 1, {
        ...calm,
        // A machine that is given longer is not to cost a session before.
        leastTtlMs: Math.max(5_000, Number(within)),
        torment: killServers(Number(kills), Number(within), gaps),
      }),
    );
  if (wanted(leaders))
    shows.set(
      `${leaders} kills of the leader`,
      await one("kills of the leader", 2, { ...mixed, torment: killLeaders(Number(leaders)) }),
    );
  if (wanted(stops))
    shows.set(
      `${stops} stopped holders`,
      await one("stopped holders", 3, { ...mixed, torment: stopHolders(Number(stops), STOPPED_TTL_MS) }),
    );
  for (let i = 0; i < Number(options.episodes); i++) {
    const seed = Number(options.from) + i;
    const result = await one(`episode of seed ${seed}`, seed, {
      ...mixed,
      torment: chaos(Number(options.chaos) * 1000),
    });
    if (result.findings.length > 0)
      console.log(`  again: make faults ARGS="--episodes 1 --from ${seed} --kills 0 --leaders 0 --stops 0"`);
    episodes.push(result);
  }
  const failed = [...shows.values(), ...episodes].filter(({ findings }) => findings.length > 0).length;
  const result: RunResult = {
    shows,
    episodes,
    gaps,
    situations: [...names.map((name) => `fault: ${name}`), ...SITUATIONS],
    seconds: (performance.now() - startedMs) / 1000,
    command: commandOf(process.argv.slice(2)),
  };
  if (options.report !== undefined) writeReport(options.report, result);
  for (const each of notTested(result)) console.log(`did not occur, so was not tested: ${each}`);
  console.log(`${shows.size + episodes.length} episodes, ${failed} failed, in ${Math.round(result.seconds)} s`);
  if (options.keep) console.log(`logs and data: ${top}`);
  else if (failed === 0) rmSync(top, { recursive: true });
  return failed === 0 ? 0 : 1;
}
