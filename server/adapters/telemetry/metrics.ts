import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Attributes, BatchObservableResult, Counter, Histogram, Meter, ObservableGauge } from "@opentelemetry/api";
import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { MeterProvider, type MetricReader } from "@opentelemetry/sdk-metrics";
import type { LockSpec } from "../../core/frames.ts";
import { type Distribution, quantileMs } from "../../engine/distribution.ts";
import type { EngineNote, Telemetry } from "../../ports/telemetry.ts";
import { lossReasons, type MetricEntry, type MetricName, metricList } from "./metric-list.ts";
import { resourceOf, type ServerIdentity, shutDown } from "./resource.ts";

/** What a server has at a moment. */
export interface Readings {
  readonly locks: number;
  /** Claims that are held, and that wait. */
  readonly held: number;
  readonly waiting: number;
  /** Sessions of the whole service, and those that this server has. */
  readonly sessions: number;
  readonly ownSessions: number;
  /** etcd's revision that the table has reached, and for how long a later one is known to exist. */
  readonly revision: number;
  readonly lagMs: number;
  readonly serving: boolean;
  /** Calls pending on the server's clock. */
  readonly timers: number;
  /** How long the claims granted in the last minute took. */
  readonly recentAcquireTime: Distribution;
}

export interface MetricsOptions extends ServerIdentity {
  readonly readings: () => Readings;
  /** The class of a lock, for labels; `undefined` of every one: they have no such label. */
  readonly classOf: (lock: string) => string | undefined;
  /** All that it can say. */
  readonly classes: readonly string[];
  /** Where else they go, besides `scrape`. */
  readonly readers?: readonly MetricReader[];
}

/** Counts and times what the engine tells. No label carries a lock's name, an id or a text of a client's. */
export interface Metrics extends Telemetry, AsyncDisposable {
  /** All metrics as they now are, in Prometheus' text format. */
  scrape(): Promise<string>;
}

/** The content type of what `scrape` gives. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const secondsBuckets = [
  ...[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
  ...[1, 2.5, 5, 10, 30, 60, 300, 1800],
];
const countBuckets = [1, 2, 5, 10, 20, 50, 100, 120];

export function startMetrics(options: MetricsOptions): Metrics {
  const reader = new PrometheusExporter({ preventServerStart: true });
  const serializer = new PrometheusSerializer("holdfast", false, undefined, false, true);
  const provider = new MeterProvider({ resource: resourceOf(options), readers: [reader, ...(options.readers ?? [])] });
  const instruments = new Instruments(provider.getMeter("holdfast"));
  observeReadings(instruments, options.readings);
  const stopMeasuring = observeEventLoop(instruments);
  return {
    note: recorder(instruments, options),
    async scrape() {
      const { resourceMetrics } = await reader.collect();
      return serializer.serialize(resourceMetrics);
    },
    async [Symbol.asyncDispose]() {
      stopMeasuring();
      await shutDown(provider);
    },
  };
}

/** Makes the instruments of the list, each by its name. */
class Instruments {
  readonly #meter: Meter;

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  counter(name: NameOf<"counter">): Counter {
    return this.#meter.createCounter(name, optionsOf(name));
  }

  histogram(name: NameOf<"histogram">): Histogram {
    const options = optionsOf(name);
    const explicitBucketBoundaries = options.unit === "s" ? secondsBuckets : countBuckets;
    return this.#meter.createHistogram(name, { ...options, advice: { explicitBucketBoundaries } });
  }

  gauge(name: NameOf<"gauge">): ObservableGauge {
    return this.#meter.createObservableGauge(name, optionsOf(name));
  }

  /** Has `read` called for these gauges together, whenever they are collected. */
  observe(gauges: ObservableGauge[], read: (result: BatchObservableResult) => void): void {
    this.#meter.addBatchObservableCallback(read, gauges);
  }
}

type NameOf<Kind extends MetricEntry["kind"]> = Extract<(typeof metricList)[number], { kind: Kind }>["name"];

function optionsOf(name: MetricName): { description: string; unit?: string } {
  const entry: MetricEntry = metricList.find((one) => one.name === name)!;
  return { description: entry.text, ...(entry.unit === undefined ? {} : { unit: entry.unit }) };
}

function recorder(
  instruments: Instruments,
  { classOf, classes }: Pick<MetricsOptions, "classOf" | "classes">,
): (note: EngineNote) => void {
  const [grants, denials] = [instruments.counter("grants"), instruments.counter("denials")];
  const [releases, losses] = [instruments.counter("releases"), instruments.counter("losses")];
  const [forced, deadlocks] = [instruments.counter("forced"), instruments.counter("deadlocks")];
  const [opened, ended] = [instruments.counter("sessions_opened"), instruments.counter("sessions_ended")];
  const lateHeartbeats = instruments.counter("heartbeats_late");
  const [cutOff, dropped] = [instruments.counter("streams_cut_off"), instruments.counter("events_dropped")];
  const [renewals, resyncs] = [instruments.counter("lease_renewals"), instruments.counter("table_resyncs")];
  const [failures, registrations] = [instruments.counter("engine_failures"), instruments.counter("registrations")];
  const acquireTime = instruments.histogram("acquire_seconds");
  const enterTime = instruments.histogram("enter_seconds");
  const handOffTime = instruments.histogram("hand_off_seconds");
  const holdTime = instruments.histogram("hold_seconds");
  const commitTime = instruments.histogram("commit_seconds");
  const commitSize = instruments.histogram("commit_operations");
  const renewalTime = instruments.histogram("lease_renewal_seconds");
  const pauses = instruments.histogram("engine_pause_seconds");
  const labels = new Labels(classOf);
  // A series that is born by its first event hides that one from `rate` and `increase`, and so from alerts.
  for (const counter of [releases, deadlocks, lateHeartbeats, cutOff, dropped, failures, registrations]) counter.add(0);
  for (const what of ["claim", "session"]) forced.add(0, { what });
  for (const resumed of ["true", "false"]) opened.add(0, { resumed });
  for (const why of ["gap", "disagreement"]) resyncs.add(0, { why });
  for (const reason of lossReasons)
    for (const each of classes.length === 0 ? [{}] : classes.map((name) => ({ class: name })))
      losses.add(0, { reason, ...each });

  const held = (locks: readonly LockSpec[], heldMs: number | undefined) => {
    if (heldMs !== undefined) holdTime.record(heldMs / 1_000, labels.of(locks, "mode"));
  };

  return (note) => {
    switch (note.kind) {
      case "claim.waiting":
        return;
      case "claim.forced":
        return forced.add(1, { what: "claim" });
      case "session.forced":
        return forced.add(1, { what: "session" });
      case "claim.granted": {
        const { locks } = note.claim.request;
        grants.add(1, labels.of(locks, "mode"));
        if (note.reentered) return;
        acquireTime.record(note.waitedMs / 1_000, labels.of(locks, "outcome", "granted"));
        enterTime.record(note.enteredMs / 1_000);
        if (note.handOffMs !== undefined) handOffTime.record(note.handOffMs / 1_000);
        return;
      }
      case "claim.denied": {
        const { locks } = note.claim.request;
        denials.add(1, labels.of(locks, "reason", note.reason));
        acquireTime.record(note.waitedMs / 1_000, labels.of(locks, "outcome", note.reason));
        return;
      }
      case "claim.lost":
        losses.add(1, labels.of(note.claim.request.locks, "reason", note.reason));
        return held(note.claim.request.locks, note.heldMs);
      case "claim.released":
        releases.add(1);
        if (note.waitedMs !== undefined)
          acquireTime.record(note.waitedMs / 1_000, labels.of(note.claim.request.locks, "outcome", "cancelled"));
        return held(note.claim.request.locks, note.heldMs);
      case "deadlock.found":
        return deadlocks.add(1);
      case "session.opened":
        return opened.add(1, { resumed: String(note.resumed) });
      case "session.ended":
        return ended.add(1, { reason: note.reason });
      case "heartbeat.late":
        return lateHeartbeats.add(1);
      case "stream.cut-off":
        cutOff.add(1);
        return dropped.add(note.droppedEvents);
      case "store.committed":
        commitTime.record(note.tookMs / 1_000, { outcome: note.outcome });
        return commitSize.record(note.operations);
      case "lease.renewed":
        renewals.add(1, { outcome: note.outcome });
        return renewalTime.record(note.tookMs / 1_000);
      case "table.resynced":
        return resyncs.add(1, { why: note.why });
      case "server.registered":
        return registrations.add(1);
      case "server.draining":
      case "servers.told":
        return;
      case "engine.paused":
        return pauses.record(note.forMs / 1_000);
      case "engine.failed":
        return failures.add(1);
      default:
        return note satisfies never;
    }
  };
}

/** The labels of what is told of claims: few, and made once each, since they are asked for at every claim. */
class Labels {
  readonly #classOf: MetricsOptions["classOf"];
  readonly #made = new Map<string, Attributes>();

  constructor(classOf: MetricsOptions["classOf"]) {
    this.#classOf = classOf;
  }

  /**
   * Mode and class of the first lock (of a claim on several, the others count with it): with `mode` these alone, with
   * `outcome` and that, with `reason` that and the class.
   */
  of(locks: readonly LockSpec[], kind: "mode" | "outcome" | "reason", value = ""): Attributes {
    const [first] = locks;
    const mode = kind === "reason" ? "" : (first?.mode ?? "exclusive");
    const lockClass = first === undefined ? undefined : this.#classOf(first.name);
    const key = `${kind} ${value} ${mode} ${lockClass ?? ""}`;
    let attributes = this.#made.get(key);
    if (attributes === undefined) {
      attributes = {
        ...(mode === "" ? {} : { mode }),
        ...(kind === "mode" ? {} : { [kind]: value }),
        ...(lockClass === undefined ? {} : { class: lockClass }),
      };
      this.#made.set(key, attributes);
    }
    return attributes;
  }
}

/** Reads once for all of these gauges: what is recent is added up for each reading. */
function observeReadings(instruments: Instruments, readings: () => Readings): void {
  const [locks, claims, sessions] = [
    instruments.gauge("locks"),
    instruments.gauge("claims"),
    instruments.gauge("sessions"),
  ];
  const [serving, timers, revision, lag] = [
    instruments.gauge("serving"),
    instruments.gauge("timers"),
    instruments.gauge("table_revision"),
    instruments.gauge("table_lag_seconds"),
  ];
  const recent = instruments.gauge("acquire_recent_seconds");
  const average = instruments.gauge("acquire_recent_average_seconds");
  instruments.observe([locks, claims, sessions, serving, timers, revision, lag, recent, average], (result) => {
    const now = readings();
    result.observe(locks, now.locks);
    result.observe(claims, now.held, { state: "held" });
    result.observe(claims, now.waiting, { state: "waiting" });
    result.observe(sessions, now.sessions, { of: "service" });
    result.observe(sessions, now.ownSessions, { of: "server" });
    result.observe(serving, Number(now.serving));
    result.observe(timers, now.timers);
    result.observe(revision, now.revision);
    result.observe(lag, now.lagMs / 1_000);
    const { recentAcquireTime: times } = now;
    if (times.count === 0) return;
    for (const quantile of [0.5, 0.9, 0.99])
      result.observe(recent, quantileMs(times, quantile) / 1_000, { quantile: String(quantile) });
    result.observe(recent, times.maxMs / 1_000, { quantile: "1" });
    result.observe(average, times.totalMs / times.count / 1_000);
  });
}

const RESOLUTION_MS = 10;

/** Tells how late the event loop was since the last scrape. */
function observeEventLoop(instruments: Instruments): () => void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  // What it records is the time between two looks, the one that was asked for included.
  const seconds = (ns: number) => Math.max(0, ns / 1e9 - RESOLUTION_MS / 1e3);
  instruments.gauge("event_loop_delay_seconds").addCallback((result) => {
    if (delay.count === 0) return;
    for (const quantile of [0.5, 0.99])
      result.observe(seconds(delay.percentile(quantile * 100)), { quantile: String(quantile) });
    result.observe(seconds(delay.max), { quantile: "1" });
    delay.reset();
  });
  return () => delay.disable();
}
