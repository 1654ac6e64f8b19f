import { InvalidArgumentError } from "commander";

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a duration such as "500ms", "15s", "10m" or "1h"; commander is told if it is none. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("Give a number and its unit: 500ms, 15s, 10m or 1h.");
  return Number(match[1]) * unitMs[match[2]!]!;
}
