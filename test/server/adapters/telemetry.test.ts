import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { classifier, parseLockClasses } from "../../../server/adapters/telemetry/lock-classes.ts";
import { Log, type LogLevel } from "../../../server/adapters/telemetry/log.ts";
import { logNotes } from "../../../server/adapters/telemetry/log-notes.ts";
import { metricList, prometheusNames } from "../../../server/adapters/telemetry/metric-list.ts";
import { type Metrics, type Readings, startMetrics } from "../../../server/adapters/telemetry/metrics.ts";
import type { EngineNote } from "../../../server/ports/telemetry.ts";
import { distributionOf } from "../../support/distribution.ts";
import { eventually } from "../../support/eventually.ts";
import { noted } from "../../support/notes.ts";

function logTo(lines: string[], level: LogLevel = "debug", format: "text" | "json" = "text"): Log {
  return new Log({ level, format, write: (line) => lines.push(line), wallMs: () => Date.UTC(2026, 0, 2, 3, 4, 5, 6) });
}

describe("the log", () => {
  it("writes an event on a line, for people", () => {
    const lines: string[] = [];
    logTo(lines).event("info", "claim.granted", { lock: "orders/42", waitedMs: 12, token: 2n ** 60n, gone: undefined });
    expect(lines).toEqual([
      "2026-01-02T03:04:05.006Z info  claim.granted lock=orders/42 waited_ms=12 token=1152921504606846976\n",
    ]);
  });

  it("writes an event on a line, for machines, without rounding tokens", () => {
    const lines: string[] = [];
    logTo(lines, "debug", "json").event("warn", "x", { token: 2n ** 60n, resumed: true, text: "a\nb" });
    expect(lines[0]?.endsWith("\n")).toBe(true);
    expect(JSON.parse(lines[0]!)).toEqual({
      time: "2026-01-02T03:04:05.006Z",
      level: "warn",
      event: "x",
      token: "1152921504606846976",
      resumed: true,
      text: "a\nb",
    });
  });

  it("lets nobody write a second line or speak to the terminal", () => {
    const lines: string[] = [];
    logTo(lines).event("info", "x", { lock: "a\nerror engine.failed \u001b[2J\u202e\u009b", other: "two words" });
    expect(lines[0]).toMatch(/ lock="a\\nerror engine.failed \\u001b\[2J\\u\{202e\}\\u\{9b\}" other="two words"\n$/);
  });

  it("lets nobody speak to the terminal through JSON, which means the same all the same", () => {
    const lines: string[] = [];
    const lock = 'a"\u202e\u009b\u2028\u{e0001}\ud800é😀';
    logTo(lines, "debug", "json").event("info", "x", { lock });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
    expect(lines[0]).not.toMatch(/[\u0000-\u0009\u007f-\u009f\p{Cf}\p{Zl}]/u);
    expect(lines[0]).toContain("é😀");
    expect(JSON.parse(lines[0]!)).toMatchObject({ lock });
  });

  it("names lock, claim, session and trace of what happened to a claim, and no payload", () => {
    const traceparent = `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`;
    const lines: string[] = [];
    logNotes(logTo(lines), () => 0).note(
      noted.granted({ locks: ["a", "b c"], waitedMs: 3, purpose: "secret", traceparent }),
    );
    expect(lines[0]?.slice(31).trim()).toBe(
      `claim.granted lock="a b c" claim=1 session=session1 trace=${"ab".repeat(16)} token=7 mode=exclusive waited_ms=3 entered_ms=0 reentered=false`,
    );
  });

  it("leaves out what is below its level", () => {
    const lines: string[] = [];
    const log = logTo(lines, "warn");
    for (const level of ["debug", "info", "warn", "error"] as const) log.event(level, "x");
    expect(lines.map((line) => line.split(" ")[1])).toEqual(["warn", "error"]);
  });

  it("warns once a second of what goes on and on, and says how often it did not", () => {
    const lines: string[] = [];
    let nowMs = 0;
    const telemetry = logNotes(logTo(lines), () => nowMs);
    const failed: EngineNote = { kind: "store.committed", operations: 1, tookMs: 5_000, outcome: "unknown" };
    for (nowMs = 0; nowMs <= 1_000; nowMs += 100) telemetry.note(failed);
    expect(lines.map((line) => line.slice(31).trim())).toEqual([
      "store.committed operations=1 took_ms=5000 outcome=unknown",
      "store.committed operations=1 took_ms=5000 outcome=unknown left_out=9",
    ]);
  });
});

describe("the metrics", () => {
  const readings: Readings = {
    ...{
      locks: 2,
      held: 3,
      waiting: 4,
      sessions: 6,
      ownSessions: 5,
      revision: 77,
      lagMs: 1_500,
      serving: true,
      timers: 9,
    },
    recentAcquireTime: distributionOf([1, 2, 3, 100]),
  };

  async function withMetrics(
    run: (metrics: Metrics) => Promise<void>,
    options: Partial<Parameters<typeof startMetrics>[0]> = {},
  ): Promise<void> {
    await using metrics = startMetrics({
      version: "1.2.3",
      serverId: "s-1",
      readings: () => readings,
      classOf: () => undefined,
      classes: [],
      ...options,
    });
    await run(metrics);
  }

  it("have from the start what alerts ask for, so that the first event of each is an increase", async () => {
    await withMetrics(
      async (metrics) => {
        const lines = (await metrics.scrape()).split("\n");
        const rules = readFileSync(new URL("../../../deploy/prometheus/alerts.yaml", import.meta.url), "utf8");
        const counters = new Set([...rules.matchAll(/holdfast_\w+_total/g)].map(([name]) => name));
        expect(counters.size).toBeGreaterThan(4);
        for (const name of counters)
          expect(lines.some((line) => line.startsWith(name) && line.endsWith(" 0"))).toBe(true);
        expect(lines).toContain('holdfast_table_resyncs_total{why="disagreement"} 0');
        for (const each of ["orders", "other"])
          expect(lines).toContain(`holdfast_losses_total{reason="session-expired",class="${each}"} 0`);
      },
      { classOf: () => "orders", classes: ["orders", "other"] },
    );
  });

  it("count and time what happened", async () => {
    await withMetrics(async (metrics) => {
      const { session } = noted.lost();
      const notes: readonly EngineNote[] = [
        { kind: "session.opened", session, resumed: false },
        noted.granted({ waitedMs: 3, enteredMs: 2 }),
        noted.granted({ waitedMs: 30, enteredMs: 4, handOffMs: 7 }),
        { ...noted.granted(), reentered: true },
        noted.denied("busy", { waitedMs: 40 }),
        { kind: "deadlock.found", ...claimOf(noted.granted()), message: "" },
        { kind: "heartbeat.late", session, sinceMs: 9_000 },
        { kind: "stream.cut-off", droppedEvents: 12 },
        { kind: "server.registered", address: "", again: false },
        noted.released({ heldMs: 5 }),
        noted.released({ waitedMs: 60 }),
        noted.lost({ heldMs: 5 }),
        { kind: "session.ended", session, actor: "", reason: "closed-by-client", message: "" },
        { kind: "store.committed", operations: 7, tookMs: 4, outcome: "decided" },
        { kind: "lease.renewed", outcome: "renewed", tookMs: 2 },
        { kind: "table.resynced", revision: 9, why: "gap" },
        { kind: "engine.paused", forMs: 1_500 },
        { kind: "engine.failed", problem: "x" },
      ];
      for (const note of notes) metrics.note(note);
      const lines = (await metrics.scrape()).split("\n");
      expect(lines).toEqual(
        expect.arrayContaining([
          'holdfast_grants_total{mode="exclusive"} 3',
          'holdfast_denials_total{reason="busy"} 1',
          'holdfast_losses_total{reason="session-expired"} 1',
          "holdfast_releases_total 2",
          'holdfast_acquire_seconds_bucket{mode="exclusive",outcome="granted",le="0.005"} 1',
          'holdfast_acquire_seconds_bucket{mode="exclusive",outcome="granted",le="0.05"} 2',
          'holdfast_acquire_seconds_count{mode="exclusive",outcome="granted"} 2',
          'holdfast_acquire_seconds_sum{mode="exclusive",outcome="granted"} 0.033',
          'holdfast_acquire_seconds_sum{mode="exclusive",outcome="busy"} 0.04',
          'holdfast_acquire_seconds_sum{mode="exclusive",outcome="cancelled"} 0.06',
          "holdfast_enter_seconds_sum 0.006",
          "holdfast_hand_off_seconds_sum 0.007",
          "holdfast_hand_off_seconds_count 1",
          'holdfast_hold_seconds_sum{mode="exclusive"} 0.01',
          "holdfast_deadlocks_total 1",
          "holdfast_heartbeats_late_total 1",
          "holdfast_streams_cut_off_total 1",
          "holdfast_events_dropped_total 12",
          "holdfast_registrations_total 1",
          "holdfast_table_revision 77",
          "holdfast_table_lag_seconds 1.5",
          "holdfast_serving 1",
          "holdfast_timers 9",
          "holdfast_acquire_recent_average_seconds 0.0265",
          'holdfast_acquire_recent_seconds{quantile="1"} 0.1',
          'holdfast_sessions_opened_total{resumed="false"} 1',
          'holdfast_sessions_ended_total{reason="closed-by-client"} 1',
          'holdfast_commit_seconds_count{outcome="decided"} 1',
          "holdfast_commit_operations_sum 7",
          'holdfast_lease_renewals_total{outcome="renewed"} 1',
          'holdfast_table_resyncs_total{why="gap"} 1',
          "holdfast_engine_pause_seconds_sum 1.5",
          "holdfast_engine_failures_total 1",
          "holdfast_locks 2",
          'holdfast_claims{state="held"} 3',
          'holdfast_claims{state="waiting"} 4',
          'holdfast_sessions{of="service"} 6',
          'holdfast_sessions{of="server"} 5',
        ]),
      );
      expect(lines.some((line) => line.startsWith('target_info{service_name="holdfast",service_version="1.2.3"'))).toBe(
        true,
      );
    });
  });

  it("are those of the list, each of them, and no others", async () => {
    await withMetrics(async (metrics) => {
      for (const note of everyNote) metrics.note(note);
      const named = (await scrapeAll(metrics)).matchAll(/^# TYPE (holdfast_\w+) (\w+)$/gm);
      const listed = metricList.map((metric) => [prometheusNames(metric)[0]!.replace(/_bucket$/, ""), metric.kind]);
      expect([...named].map(([, name, kind]) => [name, kind]).sort()).toEqual(listed.sort());
    });
  });

  it("have no labels but those of the list", async () => {
    const options = { classOf: () => "orders" };
    await withMetrics(async (metrics) => {
      for (const note of everyNote) metrics.note(note);
      const lines = (await scrapeAll(metrics)).split("\n");
      for (const metric of metricList) {
        const own = lines.filter((line) => prometheusNames(metric).some((name) => line.startsWith(`${name}{`)));
        const labels = new Set(own.flatMap((line) => [...line.matchAll(/(\w+)="/g)].map(([, name]) => name)));
        labels.delete("le");
        expect([metric.name, [...labels].sort()]).toEqual([metric.name, Object.keys(metric.labels).sort()]);
      }
    }, options);
  });

  it("tell locks apart by class, and by nothing else", async () => {
    const options = { classOf: classifier(parseLockClasses("orders=orders/*")) };
    await withMetrics(async (metrics) => {
      for (const locks of [["orders/1"], ["orders/2", "jobs/1"], ["jobs/2"]]) metrics.note(noted.granted({ locks }));
      const text = await metrics.scrape();
      expect(text).toContain('holdfast_grants_total{mode="exclusive",class="orders"} 2\n');
      expect(text).toContain('holdfast_grants_total{mode="exclusive",class="other"} 1\n');
      expect(text).not.toMatch(/orders\/1|jobs/);
    }, options);
  });

  it("say nothing of recent times when there are none", async () => {
    const quiet = { ...readings, recentAcquireTime: distributionOf([]) };
    await withMetrics(async (metrics) => expect(await metrics.scrape()).not.toMatch(/^holdfast_acquire_recent/m), {
      readings: () => quiet,
    });
  });

  it("tell how late the event loop was", async () => {
    await withMetrics(async (metrics) => {
      const turnsOfMs = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
      await turnsOfMs(30);
      const end = performance.now() + 60;
      while (performance.now() < end);
      await turnsOfMs(30);
      const lines = (await metrics.scrape()).split("\n");
      const worst = lines.find((line) => line.startsWith('holdfast_event_loop_delay_seconds{quantile="1"}'));
      expect(Number(worst?.split(" ")[1])).toBeGreaterThan(0.04);
    });
  });
});

/** A scrape that tells of the event loop too, which it does when that has been looked at since the last one. */
async function scrapeAll(metrics: Metrics): Promise<string> {
  let text = "";
  await eventually(async () => {
    text = await metrics.scrape();
    return text.includes("event_loop_delay");
  }, true);
  return text;
}

const claimOf = ({ session, claim }: ReturnType<typeof noted.granted>) => ({ session, claim });

/** A note of each kind. */
const everyNote: readonly EngineNote[] = [
  { kind: "session.opened", session: noted.lost().session, resumed: true },
  { kind: "claim.waiting", ...claimOf(noted.granted()) },
  noted.granted({ waitedMs: 3, enteredMs: 2, handOffMs: 1 }),
  noted.denied("timeout"),
  noted.released({ heldMs: 5 }),
  noted.lost({ heldMs: 5 }),
  { kind: "deadlock.found", ...claimOf(noted.granted()), message: "" },
  { kind: "claim.forced", ...claimOf(noted.granted()), token: 7n, actor: "", justification: "", known: true },
  { kind: "session.forced", session: noted.lost().session, claims: 1, actor: "", justification: "", known: true },
  { kind: "session.ended", session: noted.lost().session, reason: "session-expired", message: "", actor: "" },
  { kind: "heartbeat.late", session: noted.lost().session, sinceMs: 9_000 },
  { kind: "stream.cut-off", droppedEvents: 12 },
  { kind: "store.committed", operations: 7, tookMs: 4, outcome: "unknown" },
  { kind: "lease.renewed", outcome: "gone", tookMs: 2 },
  { kind: "table.resynced", revision: 9, why: "disagreement" },
  { kind: "server.registered", address: "", again: true },
  { kind: "engine.paused", forMs: 1_500 },
  { kind: "engine.failed", problem: "x" },
];
