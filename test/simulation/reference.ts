import type { ClaimEntry, Entry } from "../../server/core/entry.ts";
import type { LockSpec } from "../../server/core/frames.ts";

/** A live claim as its keys say it, apart from all code of the service. */
export interface TrueClaim {
  /** "<session>/<claim id in hexadecimal>" */
  readonly id: string;
  readonly sessionId: string;
  readonly claimId: bigint;
  readonly createRevision: number;
  readonly ordinal: number;
  readonly token: bigint;
  readonly reentryId: string;
  readonly locks: readonly LockSpec[];
}

/**
 * The live claims in order of place, written from DESIGN 4.1 and 4.3 with no eye to speed: a claim is live while all of
 * its own keys and its session's key exist.
 */
export function trueClaims(entries: Iterable<Entry>): TrueClaim[] {
  const sessions = new Set<string>();
  const keysOf = new Map<string, ClaimEntry[]>();
  for (const entry of entries) {
    if (entry.kind === "session") sessions.add(entry.key.slice("session/".length));
    if (entry.kind !== "claim") continue;
    const id = entry.key.slice(entry.key.indexOf("//") + 2);
    const keys = keysOf.get(id);
    if (keys === undefined) keysOf.set(id, [entry]);
    else keys.push(entry);
  }
  const claims: TrueClaim[] = [];
  for (const [id, keys] of keysOf) {
    const [sessionId = "", digits = ""] = id.split("/");
    const first = keys[0]!;
    const { lockNames, ordinal, reentryId } = first.record;
    if (!sessions.has(sessionId) || keys.length !== lockNames.length) continue;
    claims.push({
      id,
      sessionId,
      claimId: BigInt(`0x${digits}`),
      createRevision: first.createRevision,
      ordinal,
      token: BigInt(first.createRevision) * 128n + BigInt(ordinal),
      reentryId,
      locks: keys.map(({ key, record }) => ({
        name: key.slice("claim/".length, key.indexOf("//")),
        mode: record.mode,
        permits: record.permits,
        limit: record.limit,
      })),
    });
  }
  return claims.sort((a, b) => a.createRevision - b.createRevision || a.ordinal - b.ordinal);
}

/** Which of the claims, given in order of place, are held: those behind nobody who waits, and compatible with all ahead. */
export function trueHolders(claims: readonly TrueClaim[]): Set<TrueClaim> {
  const held = new Set<TrueClaim>();
  const ahead = new Map<string, { spec: LockSpec; held: boolean }[]>();
  for (const claim of claims) {
    const isHeld = claim.locks.every((spec) => {
      const before = ahead.get(spec.name) ?? [];
      return before.every((each) => each.held) && isCompatible([...before.map((each) => each.spec), spec]);
    });
    for (const spec of claim.locks) {
      const queue = ahead.get(spec.name);
      if (queue === undefined) ahead.set(spec.name, [{ spec, held: isHeld }]);
      else queue.push({ spec, held: isHeld });
    }
    if (isHeld) held.add(claim);
  }
  return held;
}

/** Whether claims on one lock may hold it together. */
export function isCompatible(specs: readonly LockSpec[]): boolean {
  if (specs.length < 2) return true;
  const { mode, limit } = specs[0]!;
  if (mode === "exclusive" || specs.some((spec) => spec.mode !== mode || spec.limit !== limit)) return false;
  return mode === "shared" || specs.reduce((sum, spec) => sum + spec.permits, 0) <= limit;
}

/** Whether a claim on these locks, coming after all that are there, would be held at once. */
export function wouldHold(claims: readonly TrueClaim[], locks: readonly LockSpec[]): boolean {
  const newcomer: TrueClaim = {
    id: "",
    sessionId: "",
    claimId: 0n,
    createRevision: Number.MAX_SAFE_INTEGER,
    ordinal: 0,
    token: 0n,
    reentryId: "",
    locks,
  };
  return trueHolders([...claims, newcomer]).has(newcomer);
}
