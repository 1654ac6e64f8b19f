import { writeFileSync } from "node:fs";
import type { EpisodeResult } from "./episode.ts";
import { endOfBelief, type History } from "./history.ts";
import type { Gaps } from "./torments.ts";

/** All that a run of `make faults` has found. */
export interface RunResult {
  /** What else was shown, beside the episodes by seed, by title. */
  readonly shows: ReadonlyMap<string, EpisodeResult>;
  readonly episodes: readonly EpisodeResult[];
  /** How long clients were not served after a server was killed. */
  readonly gaps: Gaps;
  /** What should have occurred. */
  readonly situations: readonly string[];
  readonly seconds: number;
  /** The command that does it again. */
  readonly command: string;
}

/** Milliseconds from when a lock on which somebody waited was free to when that one was told, over a history. */
export function timesToNextGrant({ claims }: History): number[] {
  const byLock = new Map<string, { freeFromMs: number; askedAtMs: number; grantedAtMs: number }[]>();
  for (const story of claims) {
    const { granted, locks, askedAtMs } = story;
    if (granted === undefined || locks.length > 1 || locks[0]!.mode !== "exclusive") continue;
    const grants = byLock.get(locks[0]!.name) ?? [];
    grants.push({ askedAtMs, grantedAtMs: granted.atMs, freeFromMs: endOfBelief(story).fromMs });
    byLock.set(locks[0]!.name, grants);
  }
  const times: number[] = [];
  for (const grants of byLock.values()) {
    grants.sort((a, b) => a.grantedAtMs - b.grantedAtMs);
    for (const [i, { freeFromMs }] of grants.entries()) {
      const next = grants[i + 1];
      if (next !== undefined && next.askedAtMs <= freeFromMs) times.push(Math.max(0, next.grantedAtMs - freeFromMs));
    }
  }
  return times;
}

/** The situations that did not occur. */
export function notTested({ situations, episodes, shows }: RunResult): string[] {
  const counts = total([...shows.values(), ...episodes]);
  return situations.filter((situation) => !counts.get(situation));
}

function total(results: readonly EpisodeResult[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const result of results) for (const [what, by] of result.counts) counts.set(what, (counts.get(what) ?? 0) + by);
  return counts;
}

/** Writes what was done and what was seen, for people. */
export function writeReport(path: string, run: RunResult): void {
  writeFileSync(path, render(run));
}

function render(run: RunResult): string {
  const { shows, episodes, gaps, seconds, command } = run;
  const all = [...shows.values(), ...episodes];
  const counts = total(all);
  const times = all.flatMap(({ history }) => timesToNextGrant(history));
  const findings = all.flatMap((result) => result.findings.map((finding) => ({ seed: result.seed, ...finding })));
  const untested = notTested(run);
  const sum = (of: (result: EpisodeResult) => number): number => all.reduce((n, result) => n + of(result), 0);
  return `${[
    "# Fault runs on real processes",
    "",
    `Written by \`${command}\`, which took ${Math.round(seconds / 60)} minutes. Three members of etcd, three servers`,
    "and four client processes on a network of their own; see [main.ts](main.ts).",
    "",
    `**${findings.length === 0 ? "Nothing was found wrong" : `${findings.length} findings`}** in ${episodes.length} episodes by seed and ${shows.size} shows: ` +
      `${sum(({ verdict }) => verdict.operations)} operations on ${sum(({ verdict }) => verdict.objects)} locks and registers judged by Porcupine, ` +
      `${counts.get("grants audited") ?? 0} grants held against ${counts.get("etcd: revisions") ?? 0} revisions of etcd.`,
    "",
    ...findings.slice(0, 100).map(({ seed, what, detail }) => `- seed ${seed}: ${what}: ${detail}`),
    ...(findings.length > 0 ? [""] : []),
    "## What was done, and how often",
    "",
    ...table(["what", "times"], [...counts].filter(([what]) => /^(fault|show|monotonic)/.test(what)).sort()),
    "## What occurred",
    "",
    ...table(["what", "times"], [...counts].filter(([what]) => !/^(fault|show|monotonic)/.test(what)).sort()),
    "## What did not occur, so was not tested",
    "",
    ...(untested.length === 0
      ? ["Nothing: every situation in the list occurred."]
      : untested.map((each) => `- ${each}`)),
    "",
    "## Time to the next grant",
    "",
    "From when a holder gave an exclusive lock up, was killed, or had to believe that it lost it, to when the next who",
    "waited was told, faults or not. An outage of etcd counts in full, and so do dead holders' TTLs of 5 to 8 s.",
    "",
    ...distribution(times),
    `Longest stall: ${(longest(times) / 1000).toFixed(1)} s.`,
    "",
    "## After a server was killed",
    "",
    "From the kill to the next answer to each client, its own server or not.",
    "",
    ...distribution(gaps),
    "## Episodes",
    "",
    ...table(
      ["seed", "faults", "operations", "grants", "refused late", "longest stall (s)", "findings"],
      [
        ...[...shows].map(([title, result]) => [title, result] as const),
        ...episodes.map((e) => [String(e.seed), e] as const),
      ].map(([title, { counts: of, verdict, history, findings: found }]) => [
        title,
        [...of].filter(([what]) => /^(fault|show: (server|leader|holder))/.test(what)).reduce((n, [, by]) => n + by, 0),
        verdict.operations,
        of.get("grants audited") ?? 0,
        of.get("late touch refused by the register") ?? 0,
        (longest(timesToNextGrant(history)) / 1000).toFixed(1),
        found.length,
      ]),
    ),
  ].join("\n")}`;
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line), ""];
}

function distribution(times: readonly number[]): string[] {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (part: number): string =>
    sorted.length === 0
      ? "-"
      : `${sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!.toFixed(1)} ms`;
  const parts = [0.5, 0.9, 0.99, 0.999];
  return table(
    ["measured", ...parts.map((part) => `p${part * 100}`), "longest"],
    [[sorted.length, ...parts.map(at), at(1)]],
  );
}

const longest = (times: readonly number[]): number => times.reduce((most, each) => Math.max(most, each), 0);
