import type { ClaimRequest, LockSpec } from "./frames.ts";
import { HoldfastError } from "./holdfast-error.ts";
import { checkOptions } from "./known-options.ts";
import { lockNameProblem, utf8Length } from "./lock-name.ts";

/** What to take: a name alone means the exclusive lock. */
export type LockTarget = string | LockSpec;

/** How to wait for a lock, and what to tell others about the claim. */
export interface ClaimOptions {
  /** Why, in words, for those who wait behind it or look. At most 256 bytes. Default: nothing. */
  readonly purpose?: string;
  /** What the holder announces to those who look, such as a leader's address. At most 4 KiB. Default: nothing. */
  readonly value?: string | Uint8Array;
}

/** A lock that is held together with others that take it `shared`, and by nobody who takes it exclusively. */
export function shared(name: string): LockSpec {
  return { name, mode: "shared", permits: 0, limit: 0 };
}

/**
 * `permits` (default 1) of the `limit` permits of a semaphore. Everybody who takes it must say the same `limit`;
 * another one is refused, `conflicting-mode`. Throws `HoldfastError` with reason `invalid` without a `limit`.
 */
export function semaphore(name: string, options: { limit: number; permits?: number }): LockSpec {
  if (typeof options?.limit !== "number")
    throw invalid(
      `semaphore ${JSON.stringify(name)}: say how many permits it has, as in semaphore("gpu", { limit: 4 })`,
    );
  checkOptions("semaphore", options, { limit: true, permits: true });
  const { limit, permits = 1 } = options;
  return { name, mode: "semaphore", permits, limit };
}

/**
 * The claim that these options ask for. `waitMs`: `undefined` or Infinity for ever, 0 try.
 *
 * Throws `HoldfastError` with reason `invalid`, naming what is wrong, so that a mistake in one call does not end
 * the session of all others.
 */
export function claimRequest(
  target: LockTarget | readonly LockTarget[],
  waitMs: number | undefined,
  { purpose = "", value = "" }: ClaimOptions,
): ClaimRequest {
  const targets = isList(target) ? target : [target];
  if (targets.length < 1 || targets.length > 16) throw invalid(`a claim is on 1 to 16 locks, not ${targets.length}`);
  const locks = targets.map(lockSpec);
  if (new Set(locks.map(({ name }) => name)).size < locks.length) throw invalid("a claim names each lock once");
  if (waitMs !== undefined && !(typeof waitMs === "number" && waitMs >= 0))
    throw invalid(`waitMs is ${waitMs}: say 0 for a try, or more to wait`);
  if (utf8Length(purpose) > 256) throw invalid("purpose is longer than 256 bytes of UTF-8");
  const longest = 1e12; // Thirty years; more does not fit into a duration, and means for ever.
  return {
    locks,
    waitMs: waitMs !== undefined && waitMs < longest ? waitMs : undefined,
    reentryId: "",
    purpose,
    value: claimValue(value),
  };
}

/** The bytes of a value; throws as `claimRequest` does. */
export function claimValue(value: string | Uint8Array): Uint8Array {
  if (value === "") return noValue;
  // A copy: the caller's bytes may change before they are sent.
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value.slice();
  if (bytes.length > 4096) throw invalid(`value has ${bytes.length} bytes, and may have 4096`);
  return bytes;
}

const noValue = new Uint8Array();

function lockSpec(target: LockTarget): LockSpec {
  // Programs in JavaScript give anything, and what the encoder chokes on would end the stream of all claims.
  const given: Partial<LockSpec> | undefined =
    typeof target === "string" ? { name: target, mode: "exclusive" } : (target ?? undefined);
  const { name, mode, permits = 0, limit = 0 } = given ?? {};
  if (typeof name !== "string") throw invalid("a lock is a name, or what shared() or semaphore() makes");
  const problem = lockNameProblem(name);
  if (problem !== undefined) throw invalid(`lock name ${JSON.stringify(name)} ${problem}`);
  if (mode === "semaphore") {
    if (!(isCount(limit) && isCount(permits) && permits <= limit))
      throw invalid(`permits ${permits} of limit ${limit}: say 1 <= permits <= limit < 2^32`);
  } else if (mode !== "exclusive" && mode !== "shared") throw invalid(`there is no mode ${JSON.stringify(mode)}`);
  else if (permits !== 0 || limit !== 0) throw invalid(`permits and limit are a semaphore's, not of mode ${mode}`);
  return { name, mode, permits, limit };
}

const isCount = (n: number) => Number.isInteger(n) && n >= 1 && n < 2 ** 32;

/** `Array.isArray` does not narrow a readonly array. */
const isList = (target: LockTarget | readonly LockTarget[]): target is readonly LockTarget[] => Array.isArray(target);

const invalid = (message: string) => new HoldfastError("invalid", message);
