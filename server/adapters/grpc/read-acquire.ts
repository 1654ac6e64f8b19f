import type { Acquire, Command, LockSpec } from "../../core/frames.ts";
import { lockNameProblem, utf8Length } from "../../core/lock-name.ts";
import type { Mode } from "../../core/records.ts";
import type { Duration } from "../../gen/google/protobuf/duration.ts";
import { type LockSpec as WireLockSpec, Mode as WireMode } from "../../gen/holdfast/v1/lock_service.ts";
import { readDuration } from "./duration.ts";
import { readTraceparent } from "./trace-parent.ts";

const MAX_LOCKS = 16;
const MAX_REENTRY_ID_BYTES = 128;
const MAX_PURPOSE_BYTES = 256;
/** What a claim may announce, in bytes. */
export const MAX_VALUE_BYTES = 4096;

/** What `Acquire` and `HoldRequest` have in common. */
export interface WireClaim {
  readonly claimId: bigint;
  readonly locks: readonly WireLockSpec[];
  readonly wait: Duration | undefined;
  readonly reentryId: string;
  readonly purpose: string;
  readonly value: Uint8Array;
  readonly traceparent: string;
}

type Refused = Extract<Command, { kind: "refused" }>;

/** What is wrong with a claim; `lock` is empty unless it is about one lock whose name is right. */
interface Problem {
  readonly problem: string;
  readonly lock: string;
}

/**
 * A claim that may be asked for, or its refusal with the name of the field: `path` is what goes before that.
 * Whatever is wrong here is about this one claim and leaves the session alone. `inherited` is the call's own
 * `traceparent`, for a claim that brings none.
 */
export function readAcquire(claim: WireClaim, path: string, inherited: string | undefined): Acquire | Refused {
  const { claimId, reentryId, purpose, value } = claim;
  const locks = readLocks(claim.locks);
  if ("problem" in locks) return refusal(claimId, path, locks);
  const waitMs = claim.wait === undefined ? undefined : readWait(claim.wait);
  if (typeof waitMs === "object") return refusal(claimId, path, waitMs);
  const text = textProblem(claim);
  if (text !== undefined) return refusal(claimId, path, text);
  const traceparent = readTraceparent(claim.traceparent) ?? inherited;
  return { kind: "acquire", claimId, locks, waitMs, reentryId, purpose, value, traceparent };
}

function refusal(claimId: bigint, path: string, { problem, lock }: Problem): Refused {
  return { kind: "refused", claimId, reason: "invalid", message: path + problem, lock };
}

function readLocks(wire: readonly WireLockSpec[]): readonly LockSpec[] | Problem {
  if (wire.length === 0) return { problem: "locks is empty: name at least one lock", lock: "" };
  if (wire.length > MAX_LOCKS)
    return { problem: `locks has ${wire.length} entries: at most ${MAX_LOCKS} are allowed`, lock: "" };
  const locks: LockSpec[] = [];
  for (const [index, spec] of wire.entries()) {
    const { name } = spec;
    const wrong = lockNameProblem(name);
    if (wrong !== undefined) return { problem: `locks[${index}].name ${wrong}`, lock: "" };
    if (locks.some((earlier) => earlier.name === name))
      return { problem: `locks[${index}].name is there twice: name each lock once`, lock: name };
    const lock = readMode(spec);
    if (typeof lock === "string") return { problem: `locks[${index}].${lock}`, lock: name };
    locks.push(lock);
  }
  return locks;
}

/** How a lock is taken, or what is wrong with that. */
function readMode({ name, mode, permits, limit }: WireLockSpec): LockSpec | string {
  const read = modes.get(mode);
  if (read === undefined) return `mode ${mode} is unknown to this server`;
  if (read === "semaphore") {
    if (limit === 0) return "limit is missing: a semaphore needs the number of its permits";
    if (permits > limit) return `permits is ${permits}, more than the limit of ${limit}`;
    return { name, mode: read, permits: permits || 1, limit };
  }
  if (permits !== 0) return "permits is only for MODE_SEMAPHORE";
  if (limit !== 0) return "limit is only for MODE_SEMAPHORE";
  return { name, mode: read, permits: 0, limit: 0 };
}

const modes: ReadonlyMap<number, Mode> = new Map<number, Mode>([
  [WireMode.UNSPECIFIED, "exclusive"],
  [WireMode.EXCLUSIVE, "exclusive"],
  [WireMode.SHARED, "shared"],
  [WireMode.SEMAPHORE, "semaphore"],
]);

/** Whole milliseconds, rounded up: the least wait that is not zero is no try. */
function readWait(wait: Duration): number | Problem {
  const ms = readDuration(wait);
  if (ms === undefined) return { problem: "wait is no valid duration: seconds or nanos are out of range", lock: "" };
  if (ms < 0) return { problem: "wait is negative: leave it out to wait for ever, or give zero to try", lock: "" };
  return Math.ceil(ms);
}

function textProblem({ reentryId, purpose, value }: WireClaim): Problem | undefined {
  if (utf8Length(reentryId) > MAX_REENTRY_ID_BYTES) return tooLong("reentry_id", MAX_REENTRY_ID_BYTES);
  if (utf8Length(purpose) > MAX_PURPOSE_BYTES) return tooLong("purpose", MAX_PURPOSE_BYTES);
  if (value.length > MAX_VALUE_BYTES) return tooLong("value", MAX_VALUE_BYTES);
  return undefined;
}

const tooLong = (field: string, bytes: number): Problem => ({
  problem: `${field} is longer than ${bytes} bytes`,
  lock: "",
});
