import type { Engine } from "../../server/engine/engine.ts";

/** The outside; what may be under way at any time; and what is remembered on purpose, within a limit. */
const NOT_LOOKED_AT = new Set([
  "store",
  "clock",
  "entropy",
  "telemetry",
  "limits",
  "tableBarrier",
  "watches",
  "previous",
  "servers",
  "others",
  "history",
  "samples",
]);

/** What an engine still keeps when nobody uses it any more: each is a leak. */
export function remainsOf(engine: Engine): string[] {
  const found: string[] = [];
  look(engine, "engine", new Set(), found);
  return found;
}

function look(about: object, name: string, seen: Set<object>, found: string[]): void {
  if (seen.has(about)) return;
  seen.add(about);
  for (const [key, value] of Object.entries(about)) {
    if (NOT_LOOKED_AT.has(key) || typeof value !== "object" || value === null) continue;
    const size = value instanceof Map || value instanceof Set ? value.size : Array.isArray(value) ? value.length : 0;
    if (size > 0) found.push(`${size} in ${name}.${key}`);
    else look(value, `${name}.${key}`, seen, found);
  }
}
