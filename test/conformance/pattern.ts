/** What scenarios remember from one answer to compare a later one with. */
export type Variables = Map<string, unknown>;

/**
 * What is wrong with a value by a pattern, as a text that begins with where; `undefined` if it fits. An object fits if
 * each of its keys does, a list if it has the same length and each item fits, everything else if it is equal (absent and
 * null are the same), but for texts that begin so:
 * - `$name`: equal to what was remembered under the name; remembered if nothing was.
 * - `>$name`, `>123`, `<...`: a number, as JSON or as text, larger or smaller than that.
 * - `*`: anything that is there.
 * - `~text`: a text that contains this.
 * - `#3`: a list of so many items.
 */
export function mismatch(value: unknown, pattern: unknown, variables: Variables, where = ""): string | undefined {
  const at = where || "it";
  if (typeof pattern === "string") return textMismatch(value, pattern, variables, at);
  if (Array.isArray(pattern)) {
    if (!Array.isArray(value) || value.length !== pattern.length)
      return `${at} is ${show(value)}, not a list of ${pattern.length}`;
    return firstOf(
      pattern.map((each, i) => [value[i], each, `${where}[${i}]`] as const),
      variables,
    );
  }
  if (typeof pattern === "object" && pattern !== null) {
    if (typeof value !== "object" || value === null) return `${at} is ${show(value)}`;
    const fields = Object.entries(pattern);
    const of = value as Readonly<Record<string, unknown>>;
    return firstOf(
      fields.map(([key, each]) => [of[key], each, where ? `${where}.${key}` : key] as const),
      variables,
    );
  }
  return Object.is(value ?? null, pattern ?? null) ? undefined : `${at} is ${show(value)}, not ${show(pattern)}`;
}

function firstOf(
  parts: readonly (readonly [value: unknown, pattern: unknown, where: string])[],
  variables: Variables,
): string | undefined {
  for (const [value, pattern, where] of parts) {
    const wrong = mismatch(value, pattern, variables, where);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function textMismatch(value: unknown, pattern: string, variables: Variables, at: string): string | undefined {
  const rest = pattern.slice(1);
  const wrong = `${at} is ${show(value)}, not ${pattern}`;
  switch (pattern[0]) {
    case "$":
      if (value === undefined || value === null) return wrong;
      if (!variables.has(rest)) variables.set(rest, value);
      return Object.is(variables.get(rest), value) ? undefined : `${wrong}, which is ${show(variables.get(rest))}`;
    case ">":
    case "<": {
      const bound = rest.startsWith("$") ? variables.get(rest.slice(1)) : rest;
      const difference = subtract(value, bound);
      const fits = difference !== undefined && (pattern[0] === ">" ? difference > 0 : difference < 0);
      return fits ? undefined : `${wrong}, which is ${show(bound)}`;
    }
    case "*":
      return value === undefined || value === null ? wrong : undefined;
    case "~":
      return typeof value === "string" && value.includes(rest) ? undefined : wrong;
    case "#":
      return Array.isArray(value) && value.length === Number(rest) ? undefined : wrong;
    default:
      return value === pattern ? undefined : wrong;
  }
}

/** The sign of a difference; `undefined` if one of them is no number. Exact for whole numbers of any size. */
function subtract(a: unknown, b: unknown): number | undefined {
  const [left, right] = [a, b].map(String) as [string, string];
  if (/^\d+$/.test(left) && /^\d+$/.test(right)) {
    const difference = BigInt(left) - BigInt(right);
    return difference > 0n ? 1 : difference < 0n ? -1 : 0;
  }
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? undefined : difference;
}

const show = (value: unknown): string => JSON.stringify(value) ?? "absent";
