import type { PendingOperation } from "./group-commit.ts";
import { claimKey, claimsOf, sessionKey } from "./keys.ts";
import type { Guard, Operation, Settled, Write } from "./operation.ts";
import type { OwnClaim } from "./own-claim.ts";
import type { Claim } from "./queue.ts";
import type { Session } from "./session.ts";

/**
 * Operations of one session that share a lock or a reentry id are applied in the order sent, unless the outcome of one
 * stays unknown (DESIGN 3).
 */
function lanesOf(sessionId: string, locks: readonly string[], reentryId: string): string[] {
  const lanes = locks.map((lock) => claimsOf(lock) + sessionId);
  if (reentryId !== "") lanes.push(`reentry/${sessionId}/${reentryId}`);
  return lanes;
}

/** Puts a claim at the end of each of its queues, or, as a try, only if it is then held. */
export class EnterQueues implements PendingOperation {
  readonly kind: "claim" | "try";
  readonly sessionId: string;
  readonly keys: readonly string[];
  readonly locks: readonly string[];
  readonly lanes: readonly string[];
  readonly bytes: number;
  private readonly session: Session;
  private readonly own: OwnClaim;
  private epoch = 0;

  constructor(session: Session, own: OwnClaim) {
    const { request } = own;
    this.session = session;
    this.own = own;
    this.kind = own.isTry ? "try" : "claim";
    this.sessionId = session.id;
    this.locks = request.locks.map((lock) => lock.name);
    this.keys = this.locks.map((lock) => claimKey(lock, session.id, own.id));
    this.lanes = lanesOf(session.id, this.locks, request.reentryId);
    this.bytes =
      this.locks.length * (300 + 3 * request.purpose.length + request.value.length) + this.locks.join().length * 3;
  }

  build(ordinal: number): Operation | undefined {
    const { session, own } = this;
    if (!session.stillWants(own)) return undefined;
    const { table } = session.host;
    // A try is written only if the table at this revision lets it in, and no key of its locks is newer (DESIGN 4.6).
    if (this.kind === "try" && table.outlook(own.request.locks) !== "free") {
      session.admit(own);
      return undefined;
    }
    own.progress = "sent";
    this.epoch = session.epoch;
    const guards: Guard[] = [session.epochGuard()];
    for (const key of this.keys) guards.push({ kind: "absent", key });
    if (this.kind === "try")
      for (const lock of this.locks) guards.push({ kind: "quiet", prefix: claimsOf(lock), revision: table.revision });
    return { guards, writes: this.writes(ordinal) };
  }

  private writes(ordinal: number): Write[] {
    const { request } = this.own;
    const claimedAtMs = this.session.host.wallMs();
    return request.locks.map(({ mode, permits, limit }, i) => ({
      kind: "put",
      key: this.keys[i] as string,
      lease: this.session.lease,
      value: {
        kind: "claim",
        record: {
          ordinal,
          mode,
          permits,
          limit,
          reentryId: request.reentryId,
          lockNames: this.locks,
          purpose: request.purpose,
          value: request.value,
          claimedAtMs,
        },
      },
    }));
  }

  settled(outcome: Settled): void {
    this.session.entered(this.own, outcome, this.epoch);
  }
}

/**
 * Deletes a claim that its client has released. Guarded by the claim's own creation alone, and by no epoch: a
 * release is for ever, so any server may repeat it, and this one does until the claim is seen gone.
 */
export class ReleaseClaim implements PendingOperation {
  readonly kind = "delete";
  readonly sessionId: string;
  readonly keys: readonly string[];
  readonly locks: readonly string[];
  readonly lanes: readonly string[];
  readonly bytes: number;
  private readonly session: Session;
  private readonly claim: Claim;

  constructor(session: Session, claim: Claim) {
    this.session = session;
    this.claim = claim;
    this.sessionId = session.id;
    this.keys = claim.seats.map((seat) => seat.key);
    this.locks = claim.lockNames;
    this.lanes = lanesOf(session.id, claim.lockNames, claim.reentryId);
    this.bytes = 200 * this.keys.length;
  }

  build(): Operation | undefined {
    return this.claim.stage === "ended" ? undefined : deleteClaim(this.claim, this.keys, []);
  }

  settled(outcome: Settled): void {
    const { host } = this.session;
    if (outcome.kind === "applied") return;
    const again = (): void => {
      if (this.claim.stage !== "ended") host.submit(this);
    };
    if (outcome.kind === "refused") host.whenTable(outcome.revision, () => host.after(5, again));
    else host.after(20, again);
  }
}

/** Deletes a claim because this server decided so: guarded by the session's epoch besides. */
export class ExpelClaim implements PendingOperation {
  readonly kind = "delete";
  readonly sessionId: string;
  readonly keys: readonly string[];
  readonly locks: readonly string[];
  readonly lanes: readonly string[];
  readonly bytes: number;
  private readonly session: Session;
  private readonly own: OwnClaim;
  private readonly claim: Claim;
  private epoch = 0;

  constructor(session: Session, own: OwnClaim, claim: Claim) {
    this.session = session;
    this.own = own;
    this.claim = claim;
    this.sessionId = session.id;
    this.keys = claim.seats.map((seat) => seat.key);
    this.locks = claim.lockNames;
    this.lanes = lanesOf(session.id, claim.lockNames, claim.reentryId);
    this.bytes = 200 * this.keys.length;
  }

  build(): Operation | undefined {
    const unwanted = this.claim.stage === "ended" || !this.session.isOpen || this.own.leaving?.by !== "server";
    if (unwanted) {
      this.own.deleting = false;
      return undefined;
    }
    this.epoch = this.session.epoch;
    return deleteClaim(this.claim, this.keys, [this.session.epochGuard()]);
  }

  settled(outcome: Settled): void {
    if (outcome.kind === "applied") return;
    const again = (): void => {
      this.own.deleting = false;
      this.session.expel(this.own);
    };
    if (outcome.kind === "refused") this.session.host.whenTable(outcome.revision, again);
    else if (outcome.kind === "unknown") this.session.whenDead(this.epoch, again);
    // Nothing was written, because of what travelled with it: deletes pass where no bump would (DESIGN 4.5).
    else again();
  }
}

function deleteClaim(claim: Claim, keys: readonly string[], guards: readonly Guard[]): Operation {
  // All keys of a claim are created in one transaction and deleted in one, so the first speaks for all of them.
  const first: Guard = { kind: "created", key: keys[0] as string, revision: claim.createRevision };
  return { guards: [first, ...guards], writes: keys.map((key) => ({ kind: "delete", key })) };
}

/** Replaces the value of a claim by the last of those that wait: they are answered together. */
export class UpdateValue implements PendingOperation {
  readonly kind = "claim";
  readonly sessionId: string;
  readonly keys: readonly string[];
  readonly locks: readonly string[];
  readonly lanes: readonly string[];
  readonly bytes: number;
  private readonly session: Session;
  private readonly own: OwnClaim;
  private readonly claim: Claim;
  private count = 0;
  private value: Uint8Array = new Uint8Array();
  private epoch = 0;

  constructor(session: Session, own: OwnClaim, claim: Claim) {
    this.session = session;
    this.own = own;
    this.claim = claim;
    this.sessionId = session.id;
    this.keys = claim.seats.map((seat) => seat.key);
    this.locks = claim.lockNames;
    this.lanes = lanesOf(session.id, claim.lockNames, claim.reentryId);
    this.bytes = 5000 * this.keys.length;
  }

  build(): Operation | undefined {
    const { session, own, claim } = this;
    if (!session.isOpen || own.leaving !== undefined || claim.stage !== "live") {
      session.updateFailed(own, own.updates.length, "not-found");
      return undefined;
    }
    this.count = own.updates.length;
    this.value = own.newValue;
    this.epoch = session.epoch;
    // The revisions seen guard what is copied; the lease is named again, or the put would detach it.
    const guards: Guard[] = [session.epochGuard()];
    const writes: Write[] = [];
    for (const { key, record, modRevision } of claim.seats) {
      guards.push({ kind: "modified", key, revision: modRevision });
      const value = { kind: "claim", record: { ...record, value: this.value } } as const;
      writes.push({ kind: "put", key, lease: session.lease, value });
    }
    return { guards, writes };
  }

  settled(outcome: Settled): void {
    const { session, own, count, value } = this;
    if (outcome.kind === "applied") session.host.whenTable(outcome.revision, () => session.updated(own, count));
    else if (outcome.kind === "refused") session.host.whenTable(outcome.revision, () => session.nextUpdate(own));
    else if (outcome.kind === "no-space") session.updateFailed(own, count, "store-unavailable");
    else session.whenDead(this.epoch, () => session.updateKnown(own, count, value));
  }
}

/** Makes everything sent under earlier epochs void, by writing the session's key anew (DESIGN 4.4). */
export class Bump implements PendingOperation {
  readonly kind = "life";
  readonly sessionId: string;
  readonly keys: readonly string[];
  readonly locks: readonly string[] = [];
  readonly lanes: readonly string[] = [];
  readonly bytes = 1000;
  private readonly session: Session;

  constructor(session: Session) {
    this.session = session;
    this.sessionId = session.id;
    this.keys = [sessionKey(session.id)];
  }

  build(): Operation | undefined {
    const { session } = this;
    if (!session.isOpen) return undefined;
    const value = { kind: "session", record: session.record } as const;
    return {
      guards: [session.epochGuard()],
      writes: [{ kind: "put", key: sessionKey(session.id), value, lease: session.lease }],
    };
  }

  settled(outcome: Settled): void {
    const { host } = this.session;
    const known = outcome.kind === "applied" || outcome.kind === "refused";
    if (known) host.whenTable(outcome.revision, () => this.session.bumped());
    else host.after(100, () => this.session.bumped());
  }
}

/** Ends a session: with its key gone, none of its claims is live. Only for the server with the current epoch. */
export class EndSession implements PendingOperation {
  readonly kind = "end";
  readonly sessionId: string;
  readonly keys: readonly string[];
  readonly locks: readonly string[] = [];
  readonly lanes: readonly string[] = [];
  readonly bytes = 200;
  private readonly session: Session;

  constructor(session: Session) {
    this.session = session;
    this.sessionId = session.id;
    this.keys = [sessionKey(session.id)];
  }

  build(): Operation | undefined {
    if (this.session.isOver) return undefined;
    return { guards: [this.session.epochGuard()], writes: [{ kind: "delete", key: sessionKey(this.session.id) }] };
  }

  settled(outcome: Settled): void {
    const { host } = this.session;
    if (outcome.kind === "applied") return;
    const again = (): void => {
      if (!this.session.isOver) host.submit(this);
    };
    if (outcome.kind === "refused") host.whenTable(outcome.revision, () => host.after(5, again));
    // It may have landed: the table shows it, once it is as new as etcd.
    else host.barrier((current) => host.after(current ? 5 : 200, again));
  }
}

/** Deletes what a session's end has left behind; guarded by the session's absence. */
export class SweepClaims implements PendingOperation {
  readonly kind = "delete";
  readonly sessionId = "";
  readonly keys: readonly string[];
  readonly locks: readonly string[] = [];
  readonly lanes: readonly string[] = [];
  readonly bytes: number;
  private readonly ended: string;
  private readonly swept: (known: boolean) => void;

  constructor(sessionId: string, keys: readonly string[], swept: (known: boolean) => void) {
    this.ended = sessionId;
    this.keys = keys;
    this.bytes = 200 * keys.length;
    this.swept = swept;
  }

  build(): Operation {
    return {
      guards: [{ kind: "absent", key: sessionKey(this.ended) }],
      writes: this.keys.map((key) => ({ kind: "delete", key })),
    };
  }

  settled(outcome: Settled): void {
    this.swept(outcome.kind === "applied" || outcome.kind === "refused");
  }
}
