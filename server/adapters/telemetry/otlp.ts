import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { type MetricReader, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import type { SpanExporter } from "@opentelemetry/sdk-trace";

export interface OtlpTarget {
  /** The collector, such as "http://127.0.0.1:4318": metrics go to /v1/metrics below it, spans to /v1/traces. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  /** How often metrics are sent. */
  readonly intervalMs: number;
}

/** Sends metrics to a collector, by OTLP in JSON over HTTP. What it cannot deliver is lost, and nothing waits for it. */
export function otlpMetrics({ endpoint, headers, intervalMs }: OtlpTarget): MetricReader {
  const exporter = new OTLPMetricExporter({ url: `${endpoint}/v1/metrics`, headers: { ...headers } });
  return new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: Math.min(intervalMs, 10_000),
  });
}

/** Sends spans to a collector, likewise. */
export const otlpSpans = ({ endpoint, headers }: OtlpTarget): SpanExporter =>
  new OTLPTraceExporter({ url: `${endpoint}/v1/traces`, headers: { ...headers }, timeoutMillis: 10_000 });
