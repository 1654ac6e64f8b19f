import type { LockSpec } from "./frames.ts";
import type { OwnClaim } from "./own-claim.ts";
import type { Reason } from "./reason.ts";
import type { Session } from "./session.ts";

/** What a claim with a `reentryId` finds among those of its own thread of control. */
export type Reentry =
  /** Nothing on its locks: it queues like any other. */
  | { readonly kind: "none" }
  | { readonly kind: "refused"; readonly refusal: { reason: Reason; message: string; lock: string } }
  /** Such a claim as could be re-entered if it were held: behind it in the queue this one would wait for itself. */
  | { readonly kind: "awaited"; readonly base: OwnClaim }
  /** A held claim on all of its locks and no weaker: it is granted at once, with the same token. */
  | { readonly kind: "found"; readonly base: OwnClaim };

/**
 * Looks for the claim that a further one of the same thread of control re-enters (DESIGN 3). Only a session
 * that cannot resume re-enters here: the count lives with it alone, and after a resume two clients' counts
 * could differ. A claim that is given up takes no re-entry.
 */
export function findBase(session: Session, own: OwnClaim): Reentry {
  const mine = [...session.threadOf(own)].filter((other) => other !== own && takesReentry(other));
  const touching = mine.filter((other) => own.request.locks.some((spec) => specOn(other, spec.name) !== undefined));
  if (touching.length === 0) return { kind: "none" };
  const lock = own.request.locks[0]?.name ?? "";
  const who = `reentry_id "${own.request.reentryId}"`;
  if (session.record.onDisconnect === "keep")
    return refused(
      "invalid",
      `${who} has a live claim on "${lock}": with ON_DISCONNECT_KEEP the client counts re-entries itself`,
      lock,
    );
  const held = touching.filter((other) => other.seen?.held);
  // Only an earlier one is waited for, or two could wait for each other.
  const candidates = held.length > 0 ? held : touching.filter((other) => other.id < own.id);
  if (candidates.length === 0) return { kind: "none" };
  // A try does not wait for one that waits.
  if (held.length === 0 && own.isTry && candidates.some((other) => other.seen !== undefined)) return { kind: "none" };
  const base = candidates.find((other) =>
    own.request.locks.every((spec) => isNoWeaker(specOn(other, spec.name), spec)),
  );
  if (base === undefined)
    return refused(
      "conflicting-mode",
      `${who} has claimed ${own.lockNames} in part or more weakly than it asks for: release first`,
      lock,
    );
  if (held.length === 0) return { kind: "awaited", base };
  const depth = base.riders.size + (base.left ? 0 : 1);
  if (depth >= session.host.limits.maxReentryDepth)
    return refused("too-deep", `${who} has entered ${own.lockNames} ${depth} times, and no more are allowed`, lock);
  return { kind: "found", base };
}

const takesReentry = (own: OwnClaim): boolean => own.base === undefined && own.leaving === undefined;

const specOn = (own: OwnClaim, lock: string): LockSpec | undefined =>
  own.request.locks.find((spec) => spec.name === lock);

function isNoWeaker(has: LockSpec | undefined, wants: LockSpec): boolean {
  if (has === undefined) return false;
  if (has.mode === "exclusive") return wants.mode !== "semaphore";
  if (has.mode === "shared") return wants.mode === "shared";
  return wants.mode === "semaphore" && wants.limit === has.limit && wants.permits <= has.permits;
}

const refused = (reason: Reason, message: string, lock: string): Reentry => ({
  kind: "refused",
  refusal: { reason, message, lock },
});
