import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type MetricEntry, metricList, prometheusNames } from "../../server/adapters/telemetry/metric-list.ts";

const deploy = join(import.meta.dirname, "../../deploy");
const known: ReadonlyMap<string, MetricEntry> = new Map(
  metricList.flatMap((metric: MetricEntry) => prometheusNames(metric).map((name) => [name, metric] as const)),
);

/** What is wrong with an expression of PromQL, as far as our metrics are concerned. */
function problems(expression: string): readonly string[] {
  return [...expression.matchAll(/\b(holdfast_\w+)(\{[^}]*\})?/g)].flatMap(([, name = "", matchers = ""]) => {
    const metric = known.get(name);
    if (metric === undefined) return [`${name} does not exist: ${expression}`];
    const used = [...matchers.matchAll(/(\w+)\s*[=!]~?/g)].map(([, label]) => label as string);
    const strange = used.filter((label) => !["job", "instance", "le", ...Object.keys(metric.labels)].includes(label));
    return strange.map((label) => `${name} has no label ${label}: ${expression}`);
  });
}

describe("the Grafana dashboard", () => {
  const dashboard = JSON.parse(readFileSync(join(deploy, "grafana/holdfast.json"), "utf8"));
  const panels: readonly { title: string; gridPos: object; targets: readonly { expr: string }[] }[] = dashboard.panels;

  it("asks for nothing but what exists", () => {
    const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    expect(expressions.length).toBeGreaterThan(20);
    expect(expressions.flatMap(problems)).toEqual([]);
  });

  it("has its panels side by side, none above another", () => {
    const places = new Set(panels.map(({ gridPos }) => JSON.stringify(gridPos)));
    expect(places.size).toBe(panels.length);
  });
});

describe("the alert rules", () => {
  const text = readFileSync(join(deploy, "prometheus/alerts.yaml"), "utf8");
  const rules = text.split(/^ {6}- alert: /m).slice(1);

  it("ask for nothing but what exists", () => {
    expect(rules.length).toBeGreaterThan(8);
    expect(rules.flatMap(problems)).toEqual([]);
  });

  it("say each what is wrong, how bad it is, and what to do", () => {
    for (const rule of rules) {
      expect(rule).toMatch(/^Holdfast\w+\n {8}expr: /);
      expect(rule).toMatch(/severity: (page|ticket) /);
      expect(rule).toMatch(/summary: ".+"\n {10}action: ".+"/);
    }
  });
});

describe("what looks for wrong metrics", () => {
  it("finds a metric and a label that do not exist", () => {
    expect(problems('rate(holdfast_grants_total{mode="shared"}[5m])')).toEqual([]);
    expect(problems("rate(holdfast_grants[5m])")).toHaveLength(1);
    expect(problems('holdfast_claims{status="held"}')).toHaveLength(1);
  });
});
