import { Bump, EndSession, EnterQueues, ExpelClaim, ReleaseClaim, UpdateValue } from "./claim-operations.ts";
import type { Acquire, Command, HolderEnd, LockSpec, SessionClaim, SessionEvent } from "./frames.ts";
import { sessionKey } from "./keys.ts";
import type { TableSession } from "./lock-table.ts";
import type { Guard, Settled } from "./operation.ts";
import { type Leaving, OwnClaim, sameAcquire, sameBytes } from "./own-claim.ts";
import type { Claim, Seat } from "./queue.ts";
import type { Reason } from "./reason.ts";
import type { ForcedEnd, SessionRecord } from "./records.ts";
import { findBase } from "./reentry.ts";
import type { SessionHost } from "./session-host.ts";
import { viewHolders } from "./views.ts";

/** How often a try whose guard failed is tried again before it enters the queue like any other claim. */
const MAX_TRIES = 5;
/** How long a try waits for what was given up here to be gone from etcd too. */
const TRY_AGAIN_MS = 5;

const NOBODY: ReadonlySet<OwnClaim> = new Set();
const NO_GRANT = { token: 0n };

/** Why a session is ending. */
export interface Ending {
  readonly reason: Reason;
  readonly message: string;
  /** Whether its client wanted it so. */
  readonly isAsked: boolean;
  /** Who ended it, if an administrator whose reason is known. */
  readonly actor?: string | undefined;
  /** When that was decided, in monotonic milliseconds. Absent: not here. */
  readonly sinceMs?: number | undefined;
}

type Refusal = { readonly reason: Reason; readonly message: string; readonly lock: string };

/**
 * A session on the server that has its stream, or had it last: what its client asked for, what was answered,
 * and what etcd is being asked. The table alone says what is held; this says who has been told.
 *
 * Phases: `open`, then `ending` (its key is being deleted: nothing is granted or answered any more), then
 * `over` (the key is gone, or another server or attempt has it).
 */
export class Session {
  readonly id: string;
  readonly lease: bigint;
  readonly record: SessionRecord;
  readonly host: SessionHost;
  /** The mod revision of its key as this object wrote it, seen in the table: it guards all that is decided here. */
  epoch: number;
  /** When nothing has proven the client alive for too long (DESIGN 4.7). Monotonic milliseconds. */
  deadlineMs: number;
  /** Who is told. `undefined`: nobody now, or `opened` has not been sent. */
  stream: unknown;
  readonly claims = new Map<bigint, OwnClaim>();
  /** Its claims by reentry id, those without one left out. */
  private readonly threads = new Map<string, Set<OwnClaim>>();
  /** Why it is ending, once it is. */
  ending: Ending | undefined;
  /** Why an administrator is about to close it, if one is. */
  forced: ForcedEnd | undefined;
  /** Whether it was let in somewhere, and not told, because its deadline had passed. */
  private isWithholding = false;
  private over = false;
  private lastClaimId = 0n;
  private claimCount = 0;
  private bumping = false;
  private unsettled: { readonly epoch: number; readonly then: () => void }[] = [];

  constructor(host: SessionHost, entry: TableSession, deadlineMs: number) {
    this.host = host;
    this.id = entry.id;
    this.lease = entry.lease;
    this.record = entry.record;
    this.epoch = entry.modRevision;
    this.deadlineMs = deadlineMs;
    this.forced = entry.record.forced;
    for (const claim of host.table.claimsOfSession(entry.id)) this.takeOver(claim);
  }

  get isOpen(): boolean {
    return !this.over && this.ending === undefined;
  }

  get isOver(): boolean {
    return this.over;
  }

  epochGuard(): Guard {
    return { kind: "modified", key: sessionKey(this.id), revision: this.epoch };
  }

  /** A claim that was there before this server had the session: it may be granted, but not denied, until it is asked for. */
  private takeOver(claim: Claim): void {
    const seat = claim.seats[0];
    if (seat === undefined) return;
    const own = new OwnClaim(
      {
        kind: "acquire",
        claimId: claim.id,
        locks: claim.seats.map((each) => each.spec),
        waitMs: undefined,
        reentryId: claim.reentryId,
        purpose: seat.record.purpose,
        value: seat.record.value,
      },
      false,
      this.host.nowMs(),
    );
    own.seen = claim;
    own.progress = "sent";
    if (claim.stage === "given-up") own.leaving = { by: "client" };
    this.add(own);
  }

  private add(own: OwnClaim): void {
    this.claims.set(own.id, own);
    this.claimCount += own.request.locks.length;
    const { reentryId } = own.request;
    if (reentryId === "") return;
    const thread = this.threads.get(reentryId);
    if (thread === undefined) this.threads.set(reentryId, new Set([own]));
    else thread.add(own);
  }

  /** The claims of the same thread of control, this one too; none, if it has no reentry id. */
  threadOf(own: OwnClaim): ReadonlySet<OwnClaim> {
    return this.threads.get(own.request.reentryId) ?? NOBODY;
  }

  /** From here on the client is told what happens; `opened` has just told it of `listClaims()`. */
  attach(stream: unknown): void {
    this.stream = stream;
    for (const own of this.claims.values()) if (own.seen?.held && own.leaving === undefined) own.toldGranted();
  }

  /** All its live claims, in order of claim id, as `opened` lists them. */
  listClaims(): SessionClaim[] {
    return this.host.table.claimsOfSession(this.id).map((claim) => ({
      claimId: claim.id,
      held: claim.held,
      locks: claim.seats.map(({ spec }) => ({ name: spec.name, token: claim.held ? claim.token : 0n })),
    }));
  }

  /** Applies a command of an open session; heartbeats and opens are not for here. Returns what is wrong with it, if so. */
  command(command: Exclude<Command, { kind: "open" | "resume" | "heartbeat" }>): string | undefined {
    if (!this.isOpen) return undefined;
    switch (command.kind) {
      case "acquire":
        return this.acquire(command);
      case "refused":
        return this.refuse(command.claimId, command);
      case "release":
        this.release(command.claimId);
        return undefined;
      case "update":
        this.update(command.claimId, command.value);
        return undefined;
      case "close":
        this.end("closed-by-client", "the client closed the session", true);
        return undefined;
      default:
        return command satisfies never;
    }
  }

  // -- Acquire ---------------------------------------------------------------------------------------

  private acquire(command: Acquire): string | undefined {
    const known = this.claims.get(command.claimId);
    if (known !== undefined) return this.askAgain(known, command);
    const misplaced = this.useClaimId(command.claimId);
    if (misplaced !== undefined) return misplaced;
    const own = new OwnClaim(command, true, this.host.nowMs());
    const { maxClaimsPerSession } = this.host.limits;
    if (this.claimCount + command.locks.length > maxClaimsPerSession) {
      const message = `the session has ${this.claimCount} live claims and may have ${maxClaimsPerSession}: release some first`;
      this.deny(own, { reason: "too-many-claims", message, lock: "" });
      return undefined;
    }
    this.add(own);
    this.limitWait(own, command.waitMs);
    if (command.reentryId !== "" && this.reenter(own)) return undefined;
    this.admit(own);
    return undefined;
  }

  private refuse(claimId: bigint, refusal: Refusal): string | undefined {
    if (this.claims.has(claimId)) return `acquire.claim_id ${claimId} is a live claim, and this is another request`;
    const misplaced = this.useClaimId(claimId);
    if (misplaced !== undefined) return misplaced;
    const { reason, message, lock } = refusal;
    const locks = lock === "" ? [] : [{ name: lock, mode: "exclusive", permits: 0, limit: 0 } as const];
    const claim = { id: claimId, request: { locks, reentryId: "", purpose: "" } };
    this.host.note({ kind: "claim.denied", session: this, claim, reason, message, waitedMs: 0 });
    this.send({ ...refusal, kind: "denied", claimId, holders: [], holderCount: 0 });
    return undefined;
  }

  private useClaimId(claimId: bigint): string | undefined {
    if (claimId <= this.lastClaimId)
      return `acquire.claim_id ${claimId} is not larger than ${this.lastClaimId}, which was used before: count upwards`;
    this.lastClaimId = claimId;
    return undefined;
  }

  private askAgain(own: OwnClaim, command: Acquire): string | undefined {
    if (!sameAcquire(own.request, command, own.asked && own.updates.length === 0))
      return `acquire.claim_id ${own.id} is a live claim, and this acquire is not the same`;
    own.asked = true;
    if (own.leaving !== undefined) return undefined;
    if (own.granted) {
      this.sendGranted(own);
      return undefined;
    }
    const wasTry = own.isTry;
    own.waitMs = command.waitMs;
    own.mustHold = command.waitMs === 0 && !wasTry;
    this.limitWait(own, command.waitMs);
    if (command.waitMs === 0) this.expelUnlessHeld(own);
    else {
      this.announce(own, (seat) => seat.queue.positionOf(seat));
      // Only now may it be denied here, so a circle may be waiting for it to be the victim.
      this.lookForDeadlock(own);
    }
    return undefined;
  }

  private limitWait(own: OwnClaim, waitMs: number | undefined): void {
    own.limitWait(undefined);
    if (waitMs === undefined || waitMs === 0) return;
    const timeIsUp = () => {
      const message = `waited ${waitMs} ms for ${own.lockNames} without being granted: try again, or wait longer`;
      this.giveNotice(own, { by: "server", reason: "timeout", message, lock: own.request.locks[0]?.name ?? "" });
    };
    own.limitWait(this.host.after(waitMs, timeIsUp));
  }

  private reenter(own: OwnClaim): boolean {
    const found = findBase(this, own);
    if (found.kind === "none") return false;
    if (found.kind === "awaited") {
      found.base.followers = [...found.base.followers, own];
      if (found.base.seen !== undefined) this.sendWaiting(own, furthest(found.base.seen));
      return true;
    }
    if (found.kind === "refused") {
      this.drop(own);
      this.deny(own, found.refusal);
      return true;
    }
    const { base } = found;
    own.base = base;
    base.riders = new Set([...base.riders, own]);
    this.tellGranted(own, true);
    if (own.updates.length > 0) {
      // Asked for while it waited: there is one value for all of them.
      base.updates.push(...own.updates.splice(0));
      base.newValue = own.newValue;
      this.nextUpdate(base, base.updating);
    }
    return true;
  }

  /** What became of a claim is known: those that wait for that look again, at re-entry first. */
  private letFollowersLook(own: OwnClaim): void {
    const { followers } = own;
    own.followers = [];
    for (const follower of followers)
      if (this.stillWants(follower) && !(follower.request.reentryId !== "" && this.reenter(follower)))
        this.admit(follower);
  }

  /**
   * Writes a claim, or refuses it. A refusal never comes from an old table: it is looked at again from behind a
   * barrier (DESIGN 4.10), and then by what the table says there.
   */
  admit(own: OwnClaim): void {
    own.progress = "resting";
    const refusal = this.refusalOf(own);
    if (refusal === undefined && own.isTry && this.host.table.outlook(own.request.locks) === "unclear") {
      this.countRefusal(own);
      this.host.after(TRY_AGAIN_MS, () => this.admitIfWanted(own));
    } else if (refusal === undefined) {
      own.progress = "queued";
      this.host.submit(new EnterQueues(this, own));
    } else if (refusal.reason === "busy" && this.waitForOwnRelease(own)) {
      // Its turn comes when that release is seen.
    } else if (own.checked) {
      this.drop(own);
      this.deny(own, refusal);
      this.letFollowersLook(own);
    } else {
      own.progress = "checking";
      this.host.barrier((current) => this.afterBarrier(own, current));
    }
  }

  private admitIfWanted(own: OwnClaim): void {
    if (this.stillWants(own)) this.admit(own);
  }

  private afterBarrier(own: OwnClaim, current: boolean): void {
    if (!this.stillWants(own)) return;
    if (current) {
      own.checked = true;
      this.admit(own);
      return;
    }
    this.drop(own);
    this.deny(own, {
      reason: "store-unavailable",
      message: `the store does not answer, so nobody can tell whether ${own.lockNames} is free: try again later`,
      lock: own.request.locks[0]?.name ?? "",
    });
    this.letFollowersLook(own);
  }

  private refusalOf(own: OwnClaim): Refusal | undefined {
    const { table, limits } = this.host;
    for (const spec of own.request.locks) {
      const queue = table.queues.get(spec.name);
      if (queue === undefined) continue;
      const lock = spec.name;
      if (queue.contradicts(spec))
        return { reason: "conflicting-mode", message: conflictOf(spec, queue.first?.spec), lock };
      if (own.isTry && queue.outlook(spec) === "taken")
        return { reason: "busy", message: `"${lock}" is taken: try again when it is free`, lock };
      if (queue.waitingCount >= limits.maxWaitersPerLock)
        return {
          reason: "queue-full",
          message: `${queue.waitingCount} claims wait for "${lock}", and no more are allowed: try again later`,
          lock,
        };
    }
    return undefined;
  }

  /** A try behind a release of its own session on its locks waits until that release is seen (DESIGN 4.6). */
  private waitForOwnRelease(own: OwnClaim): boolean {
    for (const other of this.claims.values()) {
      const going = other.leaving?.by === "client" && other.seen !== undefined && other.seen.stage !== "ended";
      if (going && other.request.locks.some((a) => own.request.locks.some((b) => a.name === b.name))) {
        other.followers = [...other.followers, own];
        return true;
      }
    }
    return false;
  }

  /** Whether a claim is still to be written; if it was given up meanwhile, says so to the client. */
  stillWants(own: OwnClaim): boolean {
    if (!this.isOpen || this.claims.get(own.id) !== own) return false;
    if (own.leaving === undefined) return true;
    this.answerGone(own);
    return false;
  }

  /** What became of the attempt to write a claim, sent under an epoch. The table decides; this only says when to look. */
  entered(own: OwnClaim, outcome: Settled, epoch: number): void {
    switch (outcome.kind) {
      case "applied":
      case "refused":
        return this.host.whenTable(outcome.revision, () => this.lookFor(own, outcome.kind === "applied"));
      case "unknown":
        return this.whenDead(epoch, () => this.lookFor(own, false));
      case "lease-not-found":
        // The session ends with its lease; the table will show it.
        return this.host.barrier(() => this.lookFor(own, false));
      case "no-space":
        if (!this.stillWants(own)) return;
        this.drop(own);
        this.deny(own, {
          reason: "store-unavailable",
          message: `the store is full, so ${own.lockNames} cannot be claimed: an operator must free space`,
          lock: "",
        });
        return this.letFollowersLook(own);
      default:
        return outcome satisfies never;
    }
  }

  private lookFor(own: OwnClaim, wasWritten: boolean): void {
    if (own.seen !== undefined || !this.isOpen || this.claims.get(own.id) !== own) return;
    if (own.leaving === undefined && !wasWritten) {
      own.checked = false;
      this.countRefusal(own);
      if (own.refusals <= MAX_TRIES) this.admit(own);
      else this.host.after(10, () => this.admitIfWanted(own));
    } else if (own.leaving !== undefined) this.answerGone(own);
    else this.answerLost(own); // Written, and gone again before it was seen.
  }

  private countRefusal(own: OwnClaim): void {
    own.refusals++;
    if (own.waitMs === 0 && own.refusals >= MAX_TRIES) own.mustHold = true;
  }

  // -- What the table shows --------------------------------------------------------------------------

  /** Its claim stands in the table. */
  saw(claim: Claim): void {
    const own = this.claims.get(claim.id);
    if (own === undefined) {
      // Nobody here asked for it, so nobody here may end it: it is the session's all the same.
      this.takeOver(claim);
      return;
    }
    own.seen = claim;
    own.enteredAtMs = this.host.nowMs();
    if (own.leaving?.by === "server") this.expel(own);
    else if (own.mustHold && !claim.held) this.expelUnlessHeld(own);
    else if (own.leaving === undefined && !claim.held) {
      own.waited = true;
      this.host.note({ kind: "claim.waiting", session: this, claim: own });
      this.announce(own, (seat) => seat.rankAtEntry - seat.queue.heldCount);
      this.lookForDeadlock(own);
      // Tries of its thread do not wait with it.
      if (own.followers.length > 0) this.letFollowersLook(own);
    }
    this.nextUpdate(own);
  }

  /**
   * To be called when all of the table's step has been shown: gives up a claim that its client released before it
   * was seen. That lets in others, which must have been seen by then.
   */
  leave(claim: Claim): void {
    const own = this.claims.get(claim.id);
    if (own?.seen === claim && own.leaving?.by === "client") this.giveUp(claim);
  }

  /** Its claim is held. */
  sawGranted(claim: Claim): void {
    const own = this.claims.get(claim.id);
    if (own === undefined || own.seen !== claim) return;
    this.tellGranted(own, false);
  }

  private tellGranted(own: OwnClaim, reentered: boolean): void {
    if (own.leaving !== undefined || own.granted || !this.isOpen) return;
    const nowMs = this.host.nowMs();
    if (nowMs > this.deadlineMs) {
      // The client believes nothing now. Either the next step ends the session, or `prolong` tells of the grant.
      this.isWithholding = true;
      return;
    }
    // Who has no stream now hears of it when the session is resumed; it is granted all the same.
    own.grantedAtMs = nowMs;
    const { token } = own.base?.seen ?? own.seen ?? NO_GRANT;
    const mode = own.request.locks[0]?.mode ?? "exclusive";
    this.host.note({
      kind: "claim.granted",
      session: this,
      claim: own,
      token,
      mode,
      waitedMs: nowMs - own.askedAtMs,
      enteredMs: reentered ? 0 : own.enteredAtMs - own.askedAtMs,
      handOffMs: own.waited ? this.handOffMs(own, token, nowMs) : undefined,
      reentered,
    });
    if (this.stream === undefined) return;
    own.toldGranted();
    this.sendGranted(own);
    if (own.followers.length > 0) this.letFollowersLook(own);
  }

  /** How long ago the last holder in the way of a claim ended. */
  private handOffMs(own: OwnClaim, token: bigint, nowMs: number): number | undefined {
    let last: number | undefined;
    for (const { name } of own.request.locks) {
      const endedAtMs = this.host.previousHolder(name, token)?.endedAtMs;
      if (endedAtMs !== undefined && (last === undefined || endedAtMs > last)) last = endedAtMs;
    }
    return last === undefined ? undefined : Math.max(0, nowMs - last);
  }

  private sendGranted(own: OwnClaim): void {
    const token = (own.base ?? own).seen?.token ?? 0n;
    const locks = own.request.locks.map(({ name }) => ({
      name,
      token,
      previous: own.base === undefined ? this.host.previousHolder(name, token) : undefined,
    }));
    this.send({ kind: "granted", claimId: own.id, locks });
  }

  /** How a claim of this session ended that the table shows no more. */
  endOf(claim: Claim): HolderEnd {
    if (this.ending !== undefined) return this.ending.reason === "session-expired" ? "expired" : "closed";
    if (!this.host.table.sessions.has(this.id)) return this.forced === undefined ? "expired" : "forced";
    return this.claims.get(claim.id)?.leaving?.by === "client" ? "released" : "forced";
  }

  /** Its claim has ended while the session lives. */
  sawEnded(claim: Claim): void {
    const own = this.claims.get(claim.id);
    if (own === undefined || own.seen !== claim) return;
    if (own.leaving !== undefined) this.answerGone(own);
    else this.answerLost(own);
  }

  // -- Release, denial, loss -------------------------------------------------------------------------

  private release(claimId: bigint): void {
    const own = this.claims.get(claimId);
    if (own === undefined || own.left) return this.send({ kind: "released", claimId });
    const base = own.base ?? own;
    if (own.base !== undefined) {
      base.riders = new Set([...base.riders].filter((rider) => rider !== own));
      this.drop(own);
    }
    if (base.riders.size > 0 || (own.base !== undefined && !base.left)) {
      // Others of its thread are still in: the lock goes with the last of them.
      own.left = true;
      return this.send({ kind: "released", claimId });
    }
    base.answersTo = claimId;
    if (base.leaving?.by !== "client") this.giveNotice(base, { by: "client" });
  }

  /** Marks a claim as leaving and does what its progress asks for. */
  private giveNotice(own: OwnClaim, leaving: Leaving): void {
    if (!this.isOpen || this.claims.get(own.id) !== own || own.leaving?.by === "client") return;
    if (leaving.by === "server" && (own.leaving !== undefined || !own.asked)) return;
    own.leaving = leaving;
    if (leaving.by === "client" && own.base === undefined) this.noteReleased(own);
    if (own.base !== undefined) this.answerGone(own);
    else if (own.seen === undefined) {
      // What was sent may exist: it is answered when that is known.
      if (own.progress !== "sent") this.answerGone(own);
    } else if (leaving.by === "client") this.giveUp(own.seen);
    else this.expel(own);
  }

  private giveUp(claim: Claim): void {
    if (claim.stage !== "live" && claim.stage !== "given-up") return;
    this.host.submit(new ReleaseClaim(this, claim));
    // Early hand-off (DESIGN 4.9): what is let in is durable, in place, and behind nobody but this claim.
    if (claim.held) this.host.holderEnded(claim, "released", this.host.nowMs());
    this.host.letIn(this.host.table.giveUp(claim));
  }

  /** Deletes a claim that is to be denied, if it still is. */
  expel(own: OwnClaim): void {
    const claim = own.seen;
    if (!this.isOpen || own.leaving?.by !== "server" || own.deleting) return;
    if (claim === undefined || claim.stage === "ended") return;
    own.deleting = true;
    this.host.submit(new ExpelClaim(this, own, claim));
  }

  private expelUnlessHeld(own: OwnClaim): void {
    const claim = own.seen;
    if (claim === undefined || claim.held) return;
    const lock = own.request.locks[0]?.name ?? "";
    this.giveNotice(own, {
      by: "server",
      reason: "busy",
      message: `${own.lockNames} is taken: try again when it is free`,
      lock,
    });
  }

  /** A waiting claim can be the youngest of a circle only if its thread has another claim for somebody to wait for. */
  private lookForDeadlock(own: OwnClaim): void {
    if (own.seen !== undefined && !own.seen.held && this.threadOf(own).size > 1) this.host.lookForDeadlock(own.seen);
  }

  /** Denies a waiting claim as the youngest of a circle. */
  breakDeadlock(claim: Claim, message: string): void {
    const own = this.claims.get(claim.id);
    if (own === undefined || own.seen !== claim || own.granted) return;
    if (own.leaving === undefined && own.asked)
      this.host.note({ kind: "deadlock.found", session: this, claim: own, message });
    this.giveNotice(own, { by: "server", reason: "deadlock", message, lock: own.request.locks[0]?.name ?? "" });
  }

  private answerGone(own: OwnClaim): void {
    const { leaving } = own;
    this.drop(own);
    if (leaving?.by === "server") this.deny(own, leaving);
    else this.send({ kind: "released", claimId: own.answersTo });
    this.letFollowersLook(own);
  }

  private noteReleased(own: OwnClaim): void {
    const held = own.seen?.held ? own.seen : undefined;
    const token = held?.token ?? 0n;
    const waitedMs = held === undefined ? this.host.nowMs() - own.askedAtMs : undefined;
    this.host.note({ kind: "claim.released", session: this, claim: own, token, heldMs: this.heldMs(own), waitedMs });
  }

  private noteLost(own: OwnClaim, { reason, message, actor = "" }: Omit<Ending, "isAsked">): void {
    const token = own.seen?.token ?? 0n;
    const heldMs = this.heldMs(own);
    this.host.note({ kind: "claim.lost", session: this, claim: own, actor, token, reason, message, heldMs });
  }

  private heldMs(own: OwnClaim): number | undefined {
    return own.grantedAtMs === undefined ? undefined : this.host.nowMs() - own.grantedAtMs;
  }

  private answerLost(own: OwnClaim): void {
    this.drop(own);
    const reason: Reason = "released-by-force";
    const forced = own.seen?.forced;
    const why = forced === undefined ? "" : `, who says: ${forced.justification}`;
    const message = `the claim on ${own.lockNames} was ended by an administrator${why}: stop using what it guards`;
    this.noteLost(own, { reason, message, actor: forced?.actor });
    if (!own.left) this.send({ kind: "lost", claimId: own.id, reason, message });
    for (const rider of own.riders) {
      this.drop(rider);
      this.send({ kind: "lost", claimId: rider.id, reason, message });
    }
    this.letFollowersLook(own);
  }

  private deny(own: OwnClaim, refusal: Refusal): void {
    const queue = this.host.table.queues.get(refusal.lock);
    const { reason, message, lock } = refusal;
    const waitedMs = this.host.nowMs() - own.askedAtMs;
    this.host.note({ kind: "claim.denied", session: this, claim: own, reason, message, waitedMs });
    this.send({
      kind: "denied",
      claimId: own.id,
      reason,
      message,
      lock,
      holders: viewHolders(queue, this.host.table, 10, false),
      holderCount: queue?.heldCount ?? 0,
    });
  }

  private drop(own: OwnClaim): void {
    if (this.claims.get(own.id) !== own) return;
    own.limitWait(undefined);
    this.claims.delete(own.id);
    this.claimCount -= own.request.locks.length;
    const thread = this.threads.get(own.request.reentryId);
    thread?.delete(own);
    if (thread?.size === 0) this.threads.delete(own.request.reentryId);
    this.updateFailed(own, own.updates.length, "not-found");
  }

  // -- Position --------------------------------------------------------------------------------------

  /** Tells a waiting claim its position: of its locks, on the one with the most before it. */
  private announce(own: OwnClaim, positionOf: (seat: Seat) => number): void {
    const claim = own.seen;
    if (claim === undefined || claim.held || own.leaving !== undefined) return;
    for (const seat of claim.seats) seat.position = positionOf(seat);
    this.sendWaiting(own, furthest(claim));
  }

  /**
   * Tells a claim that it has moved up, when its seats have been counted: each time its position has halved, and
   * at each of the last ten places, at most once a second. Returns `false` if that is due but too soon.
   */
  movedUp(claim: Claim): boolean {
    const own = this.claims.get(claim.id);
    if (own === undefined || own.seen !== claim || own.leaving !== undefined || this.stream === undefined) return true;
    const seat = furthest(claim);
    const { position } = seat;
    const worthIt = position <= 10 ? position < own.toldPosition : position * 2 <= own.toldPosition;
    if (!worthIt) return true;
    if (this.host.nowMs() - own.toldPositionAtMs < 1000) return false;
    this.sendWaiting(own, seat);
    return true;
  }

  private sendWaiting(own: OwnClaim, { spec, position, queue }: Seat): void {
    own.toldPosition = position;
    own.toldPositionAtMs = this.host.nowMs();
    const holders = viewHolders(queue, this.host.table, 10, false);
    const { heldCount: holderCount } = queue;
    this.send({ kind: "waiting", claimId: own.id, lock: spec.name, position, holders, holderCount });
  }

  // -- Update ----------------------------------------------------------------------------------------

  private update(claimId: bigint, value: Uint8Array): void {
    const own = this.claims.get(claimId);
    const target = own?.base ?? own;
    if (own === undefined || target === undefined || target.leaving !== undefined || own.left) {
      this.send({ kind: "updated", claimId, reason: "not-found", message: "the claim is gone" });
      return;
    }
    target.updates.push(claimId);
    target.newValue = value;
    this.nextUpdate(target, target.updating);
  }

  /** Writes what waits, after the earlier update of the same claim; nothing if none waits. */
  nextUpdate(own: OwnClaim, underWay = false): void {
    if (underWay || own.seen === undefined || own.updates.length === 0) return;
    own.updating = true;
    this.host.submit(new UpdateValue(this, own, own.seen));
  }

  updated(own: OwnClaim, count: number): void {
    this.finishUpdates(own, count, undefined, "");
  }

  updateFailed(own: OwnClaim, count: number, reason: Reason): void {
    const message =
      reason === "not-found" ? "the claim is gone" : "the store is full or does not answer: try again later";
    this.finishUpdates(own, count, reason, message);
  }

  /** After an update of unknown outcome that cannot land any more: the table says whether it did. */
  updateKnown(own: OwnClaim, count: number, value: Uint8Array): void {
    const landed = own.seen?.seats.every((seat) => sameBytes(seat.record.value, value)) ?? false;
    if (landed) this.updated(own, count);
    else this.nextUpdate(own);
  }

  private finishUpdates(own: OwnClaim, count: number, reason: Reason | undefined, message: string): void {
    own.updating = false;
    // Fewer than `count`, if the claim ended meanwhile and they were answered then.
    for (const claimId of own.updates.splice(0, count)) this.send({ kind: "updated", claimId, reason, message });
    if (this.isOpen && own.leaving === undefined) this.nextUpdate(own);
  }

  // -- Deadline, epoch, end -------------------------------------------------------------------------

  /** Its client was proven alive: the deadline moves, and never back. */
  prolong(untilMs: number): void {
    if (untilMs <= this.deadlineMs) return;
    this.deadlineMs = untilMs;
    if (!this.isWithholding || this.host.nowMs() > untilMs) return;
    // This server stood still, and saw grants before the proof that was on its way.
    this.isWithholding = false;
    for (const own of this.claims.values())
      if (own.grantedAtMs === undefined && (own.base ?? own).seen?.held === true)
        this.tellGranted(own, own.base !== undefined);
  }

  /** Calls back when nothing that was sent under `epoch` can land any more. Never, if the session ends first. */
  whenDead(epoch: number, then: () => void): void {
    if (!this.isOpen) return;
    if (this.epoch > epoch) return then();
    this.unsettled.push({ epoch, then });
    this.bump();
  }

  private bump(): void {
    if (this.bumping || !this.isOpen) return;
    this.bumping = true;
    this.host.submit(new Bump(this));
  }

  bumped(): void {
    this.bumping = false;
    if (this.unsettled.length > 0) this.bump();
  }

  /** The table shows its key written anew with our id and attempt: a new epoch, whoever wrote it. */
  sawEpoch({ modRevision, record }: TableSession): void {
    this.epoch = modRevision;
    this.forced = record.forced;
  }

  /** To be called when all claims of the table's step have been shown: what earlier epochs left is settled by them. */
  settleDead(): void {
    const dead = this.unsettled.filter((each) => each.epoch < this.epoch);
    if (dead.length === 0) return;
    this.unsettled = this.unsettled.filter((each) => each.epoch >= this.epoch);
    for (const each of dead) each.then();
  }

  /**
   * Begins to end the session: all claims are free when its key is gone. Nothing is answered any more but `closed`.
   * `isAsked`: its client wants it so.
   */
  end(reason: Reason, message: string, isAsked = false): void {
    if (!this.isOpen) return;
    this.ending = { reason, message, isAsked, sinceMs: this.host.nowMs() };
    this.unsettled = [];
    this.host.submit(new EndSession(this));
  }

  /** The table shows that it has ended, and with it all its claims: tells of those that were there. */
  noteEnded(ending: Ending): void {
    const { reason, message, isAsked, actor = "" } = ending;
    for (const own of this.claims.values()) {
      if (own.leaving?.by === "client" || own.base !== undefined) continue;
      if (isAsked) this.noteReleased(own);
      else if (own.grantedAtMs !== undefined || own.seen?.held) this.noteLost(own, ending);
    }
    this.host.note({ kind: "session.ended", session: this, actor, reason, message });
  }

  /** The table shows that it has ended, or that another has it. */
  isGone(): void {
    this.over = true;
    this.unsettled = [];
    for (const own of this.claims.values()) own.limitWait(undefined);
    this.claims.clear();
    this.threads.clear();
  }

  private send(event: SessionEvent): void {
    if (this.stream !== undefined && this.isOpen) this.host.send(this.stream, event);
  }
}

/**
 * Of a claim's seats, the one with the most before it. Of equal ones that with the most holders: a free lock is
 * not what it waits for.
 */
function furthest(claim: Claim): Seat {
  return claim.seats.reduce((worst, seat) => {
    const isAsFar = seat.position === worst.position && seat.queue.heldCount > worst.queue.heldCount;
    return seat.position > worst.position || isAsFar ? seat : worst;
  });
}

function conflictOf(wanted: LockSpec, there: LockSpec | undefined): string {
  const words = (spec: LockSpec | undefined): string =>
    spec?.mode === "semaphore" ? `a semaphore of ${spec.limit}` : "an exclusive or shared lock";
  return `"${wanted.name}" is claimed as ${words(wanted)} but is ${words(there)} now: wait until those claims are gone`;
}
