import type { Reason } from "../../core/reason.ts";

/** Why held claims end that their clients have not given up. */
export const lossReasons = [
  "session-expired",
  "released-by-force",
  "closed-by-force",
  "closed-by-client",
  "client-too-slow",
  "invalid",
  "draining",
  "store-unavailable",
  "internal",
] as const satisfies readonly Reason[];

/** What is measured: the one list from which instruments, documentation and the checks of dashboards are made. */

export interface MetricEntry {
  /** Without the prefix `holdfast_`, and without the `_total` that a counter gets in Prometheus. */
  readonly name: string;
  readonly kind: "counter" | "histogram" | "gauge";
  /** `s`: seconds. Absent: a number. */
  readonly unit?: "s";
  readonly text: string;
  /** Its labels, with the values that they can have. */
  readonly labels: Readonly<Record<string, string>>;
}

const mode = "exclusive, shared, semaphore";
const reason = "a reason of the protocol, such as timeout";
const lockClass = "a class of --lock-classes, or other; left out if none is configured";

export const metricList = [
  {
    name: "acquire_seconds",
    kind: "histogram",
    unit: "s",
    text: "From an acquire's arrival to its answer, or until its client gave it up; re-entries left out",
    labels: { mode, outcome: "granted, cancelled, or the reason of the denial", class: lockClass },
  },
  {
    name: "acquire_recent_seconds",
    kind: "gauge",
    unit: "s",
    text: "The same of the claims granted in the last minute, right within 2.5 %; absent if there was none",
    labels: { quantile: "0.5, 0.9, 0.99, and 1 for the longest" },
  },
  {
    name: "acquire_recent_average_seconds",
    kind: "gauge",
    unit: "s",
    text: "The average time to acquire of the claims granted in the last minute; absent if there was none",
    labels: {},
  },
  {
    name: "enter_seconds",
    kind: "histogram",
    unit: "s",
    text: "From an acquire's arrival until its claim stood in the table: the way to etcd and back",
    labels: {},
  },
  {
    name: "hand_off_seconds",
    kind: "histogram",
    unit: "s",
    text: "From the end of the last holder in the way to the next grant, as this server saw or decided both",
    labels: {},
  },
  {
    name: "hold_seconds",
    kind: "histogram",
    unit: "s",
    text: "From the grant to the end of the claim, however it ended",
    labels: { mode, class: lockClass },
  },
  { name: "grants", kind: "counter", text: "Claims granted, re-entries included", labels: { mode, class: lockClass } },
  { name: "denials", kind: "counter", text: "Claims denied", labels: { reason, class: lockClass } },
  { name: "releases", kind: "counter", text: "Claims given up by their clients", labels: {} },
  {
    name: "losses",
    kind: "counter",
    text: "Held claims that ended without their client asking; closed-by-client: the connection of one with RELEASE broke",
    labels: { reason, class: lockClass },
  },
  {
    name: "forced",
    kind: "counter",
    text: "Claims and sessions ended by an administrator through this server",
    labels: { what: "claim, session" },
  },
  { name: "deadlocks", kind: "counter", text: "Circles of threads of control that were broken", labels: {} },
  { name: "sessions_opened", kind: "counter", text: "Sessions opened here", labels: { resumed: "true, false" } },
  { name: "sessions_ended", kind: "counter", text: "Sessions that ended here", labels: { reason } },
  {
    name: "heartbeats_late",
    kind: "counter",
    text: "Heartbeats that came more than half a TTL after the one before; a third is asked for",
    labels: {},
  },
  {
    name: "streams_cut_off",
    kind: "counter",
    text: "Streams cut off because their clients did not read",
    labels: {},
  },
  { name: "events_dropped", kind: "counter", text: "Events that were in the outboxes of those", labels: {} },
  {
    name: "commit_seconds",
    kind: "histogram",
    unit: "s",
    text: "From sending a transaction to its outcome",
    labels: { outcome: "decided, no-space, lease-not-found, unknown" },
  },
  { name: "commit_operations", kind: "histogram", text: "Operations in a transaction", labels: {} },
  {
    name: "lease_renewals",
    kind: "counter",
    text: "Renewals of sessions' leases",
    labels: { outcome: "renewed, gone, unavailable" },
  },
  {
    name: "lease_renewal_seconds",
    kind: "histogram",
    unit: "s",
    text: "From sending a renewal to its outcome",
    labels: {},
  },
  {
    name: "table_resyncs",
    kind: "counter",
    text: "Times the table was read anew",
    labels: { why: "gap, disagreement" },
  },
  {
    name: "table_lag_seconds",
    kind: "gauge",
    unit: "s",
    text: "How long the oldest revision known to exist has been missing from the table; 0 if none is",
    labels: {},
  },
  {
    name: "table_revision",
    kind: "gauge",
    text: "etcd's revision that the table has reached",
    labels: {},
  },
  {
    name: "engine_pause_seconds",
    kind: "histogram",
    unit: "s",
    text: "Times the event loop stood still for too long to judge deadlines",
    labels: {},
  },
  { name: "engine_failures", kind: "counter", text: "Times the server stopped serving for good", labels: {} },
  { name: "registrations", kind: "counter", text: "Times the server registered itself in etcd", labels: {} },
  {
    name: "serving",
    kind: "gauge",
    text: "1 while the server does its work, as /readyz says; else 0",
    labels: {},
  },
  { name: "locks", kind: "gauge", text: "Locks that something holds or waits for, of the whole service", labels: {} },
  { name: "claims", kind: "gauge", text: "Claims of the whole service", labels: { state: "held, waiting" } },
  {
    name: "sessions",
    kind: "gauge",
    text: "Sessions of the whole service, or with their stream here",
    labels: { of: "service, server" },
  },
  {
    name: "timers",
    kind: "gauge",
    text: "Calls pending on the server's clock: a few of its own, and some for each of its sessions and timed waits",
    labels: {},
  },
  {
    name: "event_loop_delay_seconds",
    kind: "gauge",
    unit: "s",
    text: "How late the event loop was since the last scrape",
    labels: { quantile: "0.5, 0.99, and 1 for the longest" },
  },
] as const satisfies readonly MetricEntry[];

export type MetricName = (typeof metricList)[number]["name"];

/** The names that Prometheus knows a metric by. */
export function prometheusNames({ name, kind }: MetricEntry): readonly string[] {
  const full = `holdfast_${name}`;
  if (kind === "counter") return [`${full}_total`];
  return kind === "gauge" ? [full] : [`${full}_bucket`, `${full}_sum`, `${full}_count`];
}
