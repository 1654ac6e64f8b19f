/**
 * Writes the table of docs/operations/metrics.md from the list of metrics: `node scripts/metrics-page.ts`; with
 * `--check` it writes nothing, and fails if the table is another.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { type MetricEntry, metricList, prometheusNames } from "../server/adapters/telemetry/metric-list.ts";

const page = resolve(import.meta.dirname, "../docs/operations/metrics.md");
const [begin, end] = ["<!-- The table is made by scripts/metrics-page.ts. -->", "<!-- End of the table. -->"];

function row(metric: MetricEntry): string {
  const labels = Object.entries(metric.labels).map(([name, values]) => `\`${name}\`: ${values}`);
  const [name] = prometheusNames(metric).map((full) => full.replace(/_bucket$/, ""));
  return `| \`${name}\` | ${metric.kind} | ${metric.text} | ${labels.join("; ")} |`;
}

const old = readFileSync(page, "utf8");
const table = ["| name | kind | what | labels |", "|---|---|---|---|", ...metricList.map(row)].join("\n");
const [before, after] = [old.slice(0, old.indexOf(begin) + begin.length), old.slice(old.indexOf(end))];
const fresh = `${before}\n\n${table}\n\n${after}`;

if (fresh === old) process.exitCode = 0;
else if (process.argv[2] === "--check") {
  console.error("the table of docs/operations/metrics.md is not what server/adapters/telemetry/metric-list.ts says");
  process.exitCode = 1;
} else writeFileSync(page, fresh);
