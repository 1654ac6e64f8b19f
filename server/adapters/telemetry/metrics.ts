import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Attributes, Meter } from "@opentelemetry/api";
import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import type { EngineNote, Telemetry } from "../../ports/telemetry.ts";

/** What a server has at a moment. */
export interface Counts {
  readonly locks: number;
  /** Claims that are held, and that wait. */
  readonly held: number;
  readonly waiting: number;
  /** Sessions of the whole service, and those that this server has. */
  readonly sessions: number;
  readonly ownSessions: number;
}

export interface MetricsOptions {
  readonly version: string;
  readonly serverId: string;
  readonly counts: () => Counts;
}

/** Counts and times what the engine tells. No label carries a lock's name, an id or a text of a client's. */
export interface Metrics extends Telemetry, AsyncDisposable {
  /** All metrics as they now are, in Prometheus' text format. */
  scrape(): Promise<string>;
}

/** The content type of what `scrape` gives. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const countBuckets = [1, 2, 5, 10, 20, 50, 100, 120];

export function startMetrics(options: MetricsOptions): Metrics {
  const reader = new PrometheusExporter({ preventServerStart: true });
  const serializer = new PrometheusSerializer("holdfast", false, undefined, false, true);
  const resource = resourceFromAttributes({
    "service.name": "holdfast",
    "service.version": options.version,
    "service.instance.id": options.serverId,
  });
  const provider = new MeterProvider({ resource, readers: [reader] });
  const meter = provider.getMeter("holdfast");
  const note = recorder(meter);
  observeCounts(meter, options.counts);
  const stopMeasuring = observeEventLoop(meter);
  return {
    note,
    async scrape() {
      const { resourceMetrics } = await reader.collect();
      return serializer.serialize(resourceMetrics);
    },
    async [Symbol.asyncDispose]() {
      stopMeasuring();
      await provider.shutdown();
    },
  };
}

function recorder(meter: Meter): (note: EngineNote) => void {
  const counter = (name: string, description: string) => meter.createCounter(name, { description });
  const seconds = (name: string, description: string) =>
    meter.createHistogram(name, { description, unit: "s", advice: { explicitBucketBoundaries: secondsBuckets } });

  const grants = counter("grants", "Claims granted, by mode");
  const denials = counter("denials", "Claims denied, by reason");
  const losses = counter("losses", "Held claims that ended without their client asking, by reason");
  const releases = counter("releases", "Claims given up by their clients");
  const forced = counter("forced", "Claims and sessions ended by an administrator through this server");
  const deadlocks = counter("deadlocks", "Circles of threads of control that were found");
  const acquireTime = seconds("acquire_seconds", "From the command to the grant");
  const opened = counter("sessions_opened", "Sessions opened here, new or resumed");
  const ended = counter("sessions_ended", "Sessions that ended here, by reason");
  const commitTime = seconds("commit_seconds", "From sending a transaction to its outcome");
  const commitSize = meter.createHistogram("commit_operations", {
    description: "Operations in a transaction",
    advice: { explicitBucketBoundaries: countBuckets },
  });
  const renewals = counter("lease_renewals", "Renewals of leases, by outcome");
  const renewalTime = seconds("lease_renewal_seconds", "From sending a renewal to its outcome");
  const registrations = counter(
    "registrations",
    "Times this server made itself known to the others; again: after it was forgotten",
  );
  const resyncs = counter("table_resyncs", "Times the table was read anew, by why");
  const pauses = seconds("engine_pause_seconds", "Times the event loop stood still for too long to judge deadlines");
  const failures = counter("engine_failures", "Times the server stopped serving for good");

  return (note) => {
    switch (note.kind) {
      case "claim.granted":
        grants.add(1, { mode: note.mode });
        if (!note.reentered) acquireTime.record(note.waitedMs / 1_000);
        return;
      case "claim.denied":
        return denials.add(1, { reason: note.reason });
      case "claim.waiting":
        return;
      case "claim.forced":
        return forced.add(1, { what: "claim" });
      case "session.forced":
        return forced.add(1, { what: "session" });
      case "deadlock.found":
        return deadlocks.add(1);
      case "claim.lost":
        return losses.add(1, { reason: note.reason });
      case "claim.released":
        return releases.add(1);
      case "session.opened":
        return opened.add(1, { resumed: String(note.resumed) });
      case "session.ended":
        return ended.add(1, { reason: note.reason });
      case "store.committed":
        commitTime.record(note.tookMs / 1_000, { outcome: note.outcome });
        return commitSize.record(note.operations);
      case "lease.renewed":
        renewals.add(1, { outcome: note.outcome });
        return renewalTime.record(note.tookMs / 1_000);
      case "server.registered":
        return registrations.add(1, { again: String(note.again) });
      case "table.resynced":
        return resyncs.add(1, { why: note.why });
      case "engine.paused":
        return pauses.record(note.forMs / 1_000);
      case "engine.failed":
        return failures.add(1);
      default:
        return note satisfies never;
    }
  };
}

function observeCounts(meter: Meter, counts: () => Counts): void {
  const gauge = (name: string, description: string, value: (counts: Counts) => [number, Attributes?][]) =>
    meter.createObservableGauge(name, { description }).addCallback((result) => {
      for (const [number, attributes] of value(counts())) result.observe(number, attributes);
    });
  gauge("locks", "Locks that something holds or waits for", ({ locks }) => [[locks]]);
  gauge("claims", "Claims of the whole service, by state", ({ held, waiting }) => [
    [held, { state: "held" }],
    [waiting, { state: "waiting" }],
  ]);
  gauge("sessions", "Sessions, of the whole service or with their stream here", ({ sessions, ownSessions }) => [
    [sessions, { of: "service" }],
    [ownSessions, { of: "server" }],
  ]);
}

const RESOLUTION_MS = 10;

/** Tells how late the event loop was since the last scrape. */
function observeEventLoop(meter: Meter): () => void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  // What it records is the time between two looks, the one that was asked for included.
  const seconds = (ns: number) => Math.max(0, ns / 1e9 - RESOLUTION_MS / 1e3);
  const description = "How late the event loop was since the last scrape";
  meter.createObservableGauge("event_loop_delay_seconds", { description, unit: "s" }).addCallback((result) => {
    if (delay.count === 0) return;
    for (const quantile of [0.5, 0.99])
      result.observe(seconds(delay.percentile(quantile * 100)), { quantile: String(quantile) });
    result.observe(seconds(delay.max), { quantile: "1" });
    delay.reset();
  });
  return () => delay.disable();
}
