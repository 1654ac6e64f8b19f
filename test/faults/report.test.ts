import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { EpisodeResult } from "./episode.ts";
import type { ClaimStory, ClientRun } from "./history.ts";
import { notTested, type RunResult, timesToNextGrant, writeReport } from "./report.ts";

const run: ClientRun = { name: "client", logFile: "", isGo: false, keeps: true, killedAtMs: undefined, answers: [] };

function story(askedAtMs: number, grantedAtMs: number, releasedAtMs: number): ClaimStory {
  return {
    run,
    op: 1,
    locks: [{ name: "a", mode: "exclusive", permits: 0, limit: 0 }],
    waitMs: null,
    askedAtMs,
    cancelledAtMs: undefined,
    refused: undefined,
    granted: { atMs: grantedAtMs, sessionId: "s", token: grantedAtMs },
    believed: undefined,
    lost: undefined,
    releases: { atMs: releasedAtMs, how: "release" },
    released: { atMs: releasedAtMs, outcome: "released" },
  };
}

const history = { claims: [story(0, 1, 10), story(5, 12, 20), story(30, 31, 40), story(35, 90, 99)], touches: [] };

const result: EpisodeResult = {
  seed: 7,
  findings: [{ what: "TWO-HOLDERS", detail: "a is held by 2" }],
  counts: new Map([
    ["fault: etcd killed", 3],
    ["claim granted", 4],
  ]),
  verdict: { operations: 8, objects: 1, illegal: [], unknown: [] },
  history,
};

const whole: RunResult = {
  shows: new Map(),
  episodes: [result],
  gaps: [3, 1, 2],
  situations: ["fault: etcd killed", "fault: etcd stopped", "claim granted"],
  seconds: 60,
  command: "the command",
};

it("the time to the next grant counts where somebody waited, from when the lock was free", () => {
  expect(timesToNextGrant(history)).toEqual([2, 50]);
});

it("what did not occur is named as not tested, and findings come first", () => {
  expect(notTested(whole)).toEqual(["fault: etcd stopped"]);
  const folder = mkdtempSync(join(tmpdir(), "holdfast-report-"));
  writeReport(join(folder, "REPORT.md"), whole);
  const text = readFileSync(join(folder, "REPORT.md"), "utf8");
  rmSync(folder, { recursive: true });
  expect(text).toContain("**1 findings**");
  expect(text).toContain("- seed 7: TWO-HOLDERS: a is held by 2");
  expect(text).toContain("| fault: etcd killed | 3 |");
  expect(text).toContain("- fault: etcd stopped");
  expect(text).toContain("| 3 | 2.0 ms | 3.0 ms | 3.0 ms | 3.0 ms | 3.0 ms |");
  expect(text).toContain("Longest stall: 0.1 s.");
  expect(text).toContain("| 7 | 3 | 8 | 0 | 0 | 0.1 | 1 |");
});
