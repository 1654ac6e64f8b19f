import { HoldfastError } from "./holdfast-error.ts";

/**
 * Throws `HoldfastError` with reason `invalid` for what are no options, or have one that `known` does not: a word that
 * was mistyped must not mean the default.
 */
export function checkOptions(what: string, given: unknown, known: Readonly<Record<string, true>>): void {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw new HoldfastError("invalid", `${what}: the options are an object, not ${describe(given)}`);
  // One that is undefined is as good as none.
  const strange = Object.entries(given).find(
    ([name, value]) => value !== undefined && !Object.hasOwn(known, name),
  )?.[0];
  if (strange === undefined) return;
  const names = Object.keys(known).join(", ");
  throw new HoldfastError("invalid", `${what}: there is no option ${JSON.stringify(strange)}; there are ${names}`);
}

const describe = (given: unknown): string =>
  given === null ? "null" : Array.isArray(given) ? "a list" : `a ${typeof given}`;
