import { describe, expect, it } from "vitest";
import { Log, type LogLevel } from "../../../server/adapters/telemetry/log.ts";
import { logNotes } from "../../../server/adapters/telemetry/log-notes.ts";
import { type Metrics, startMetrics } from "../../../server/adapters/telemetry/metrics.ts";
import type { EngineNote } from "../../../server/ports/telemetry.ts";
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

  it("names lock, claim and session of what happened to a claim, and no payload", () => {
    const lines: string[] = [];
    logNotes(logTo(lines), () => 0).note(noted.granted({ locks: ["a", "b c"], waitedMs: 3, purpose: "secret" }));
    expect(lines[0]?.slice(31).trim()).toBe(
      'claim.granted lock="a b c" claim=1 session=session1 token=7 mode=exclusive waited_ms=3 reentered=false',
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
  const counts = { locks: 2, held: 3, waiting: 4, sessions: 6, ownSessions: 5 };

  async function withMetrics(run: (metrics: Metrics) => Promise<void>): Promise<void> {
    await using metrics = startMetrics({ version: "1.2.3", serverId: "s-1", counts: () => counts });
    await run(metrics);
  }

  it("count and time what happened", async () => {
    await withMetrics(async (metrics) => {
      const { session } = noted.lost();
      const notes: readonly EngineNote[] = [
        { kind: "session.opened", session, resumed: false },
        noted.granted({ waitedMs: 3 }),
        noted.granted({ waitedMs: 30 }),
        { ...noted.granted(), reentered: true },
        noted.denied("busy"),
        noted.released({ heldMs: 5 }),
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
          "holdfast_releases_total 1",
          'holdfast_acquire_seconds_bucket{le="0.005"} 1',
          'holdfast_acquire_seconds_bucket{le="0.05"} 2',
          "holdfast_acquire_seconds_count 2",
          "holdfast_acquire_seconds_sum 0.033",
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
