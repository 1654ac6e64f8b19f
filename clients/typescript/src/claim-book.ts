import type { Effect } from "./effect.ts";
import type {
  ClaimRequest,
  Command,
  Denied,
  Granted,
  GrantedLock,
  Lost,
  SessionClaim,
  Updated,
  Waiting,
} from "./frames.ts";
import type { Failure } from "./reason.ts";

/** How long past its wait a claim is left to the server, which can tell who holds the lock. */
const ANSWER_GRACE_MS = 1000;

/** Where a claim stands between the program and the session. */
type Stage =
  /** Wanted; the present session has not been asked for it. */
  | { readonly kind: "unsent"; readonly sinceMs: number }
  /** Wanted; the session has been asked for it, on this stream or an earlier one. */
  | { readonly kind: "asked"; readonly waiting: Waiting | undefined }
  | { readonly kind: "held"; readonly locks: readonly GrantedLock[]; readonly updates: PendingUpdate[] }
  /** Given up for good; its release is repeated until it is known to be gone. Denied: the program was told so before. */
  | { readonly kind: "leaving"; readonly by: "release" | "denial" };

interface PendingUpdate {
  readonly value: Uint8Array;
  /** How many updates it answers for: after a resume only the last value is sent. */
  readonly count: number;
}

interface Claim {
  readonly id: bigint;
  readonly request: ClaimRequest;
  /** When its wait has passed. Infinity: it waits for ever, or is a try. */
  readonly limitMs: number;
  stage: Stage;
}

/** Where the book says what is to be done. Commands are dropped while no session is open on a stream. */
export interface Desk {
  tell(effect: Effect): void;
  say(command: Command): void;
}

/**
 * The claims of a client, whichever session they are in: what is wanted, held and given up, and what follows from
 * what a server says about it (DESIGN 3, Rules, and 4.8).
 */
export class ClaimBook {
  readonly #desk: Desk;
  readonly #connectTimeoutMs: number;
  /** In order of claim id, which is the order in which they were asked for. */
  readonly #claims = new Map<bigint, Claim>();
  #lastId = 0n;
  #heldCount = 0;
  #nextLimitMs = Number.POSITIVE_INFINITY;

  constructor(desk: Desk, connectTimeoutMs: number) {
    this.#desk = desk;
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  /** How many are wanted, held or being given up. */
  get size(): number {
    return this.#claims.size;
  }

  get heldCount(): number {
    return this.#heldCount;
  }

  /** No wanted claim runs out of time before this. Monotonic milliseconds. */
  get nextLimitMs(): number {
    return this.#nextLimitMs;
  }

  /** Those that are held. */
  held(): { readonly claimId: bigint; readonly locks: readonly GrantedLock[] }[] {
    return [...this.#claims.values()].flatMap(({ id, stage }) =>
      stage.kind === "held" ? [{ claimId: id, locks: stage.locks }] : [],
    );
  }

  // -- What the program wants ------------------------------------------------------------------------

  /** A new wanted claim, not yet sent. Its id is larger than every one before, in this session and others. */
  add(request: ClaimRequest, nowMs: number): bigint {
    this.#lastId += 1n;
    const limitMs = request.waitMs ? nowMs + request.waitMs : Number.POSITIVE_INFINITY;
    const claim: Claim = { id: this.#lastId, request, limitMs, stage: { kind: "unsent", sinceMs: nowMs } };
    this.#claims.set(claim.id, claim);
    this.#watchLimit(claim);
    return claim.id;
  }

  /** Asks the open session for an unsent claim, with what is left of its wait. */
  ask(claimId: bigint, nowMs: number): void {
    const claim = this.#claims.get(claimId);
    if (claim !== undefined) this.#ask(claim, nowMs);
  }

  #ask(claim: Claim, nowMs: number): void {
    if (claim.stage.kind === "unsent") claim.stage = { kind: "asked", waiting: undefined };
    this.#watchLimit(claim);
    const { request, limitMs } = claim;
    const waitMs = request.waitMs && leftOf(request.waitMs, limitMs - nowMs);
    this.#desk.say({ ...request, kind: "acquire", claimId: claim.id, waitMs });
  }

  /** Gives a claim up for good, held or wanted. */
  release(claimId: bigint): void {
    const claim = this.#claims.get(claimId);
    if (claim === undefined || claim.stage.kind === "leaving") return;
    const { kind } = claim.stage;
    this.#leave(claim, "release");
    if (kind === "unsent") this.#gone(claim);
  }

  #leave(claim: Claim, by: "release" | "denial"): void {
    if (claim.stage.kind === "held") this.#heldCount--;
    claim.stage = { kind: "leaving", by };
    this.#desk.say({ kind: "release", claimId: claim.id });
  }

  /** Replaces the value of a held claim. */
  update(claimId: bigint, value: Uint8Array): void {
    const stage = this.#claims.get(claimId)?.stage;
    if (stage?.kind !== "held") return;
    stage.updates.push({ value, count: 1 });
    this.#desk.say({ kind: "update", claimId, value });
  }

  // -- What the server says --------------------------------------------------------------------------

  waiting(event: Waiting): void {
    const claim = this.#claims.get(event.claimId);
    // A held claim never lets itself be demoted.
    if (claim?.stage.kind !== "asked") return;
    claim.stage = { kind: "asked", waiting: event };
    this.#desk.tell(event);
  }

  granted(event: Granted): void {
    const claim = this.#claims.get(event.claimId);
    if (claim === undefined || claim.stage.kind === "leaving") {
      this.#desk.say({ kind: "release", claimId: event.claimId });
    } else if (claim.stage.kind === "asked") this.#hold(claim, event.locks);
  }

  #hold(claim: Claim, locks: readonly GrantedLock[]): void {
    claim.stage = { kind: "held", locks, updates: [] };
    this.#heldCount++;
    this.#desk.tell({ kind: "granted", claimId: claim.id, locks });
  }

  /** The claim is gone at the server, whatever the program thought it had. */
  ended(event: Denied | Lost | { readonly kind: "released"; readonly claimId: bigint }): void {
    const claim = this.#claims.get(event.claimId);
    if (claim === undefined) return;
    if (event.kind === "released") this.#gone(claim, unasked);
    else this.#gone(claim, event);
  }

  updated(event: Updated): void {
    const stage = this.#claims.get(event.claimId)?.stage;
    const answered = stage?.kind === "held" ? stage.updates.shift() : undefined;
    if (answered !== undefined) this.#desk.tell({ ...event, count: answered.count });
  }

  /**
   * A session was opened or resumed, with these live claims. Releases go first, for they are for ever; then the
   * acquires that were not granted yet; then the updates that were not answered.
   */
  reconcile(listed: readonly SessionClaim[], nowMs: number): void {
    const live = new Map(listed.map((claim) => [claim.claimId, claim]));
    for (const claim of [...this.#claims.values()]) {
      if (claim.stage.kind === "leaving" && !live.has(claim.id)) this.#gone(claim);
      else if (claim.stage.kind === "held" && !live.has(claim.id)) this.#gone(claim, missing);
      else if (claim.stage.kind === "asked" && live.get(claim.id)?.held) this.#hold(claim, live.get(claim.id)!.locks);
    }
    for (const id of live.keys()) if (!this.#isWanted(id)) this.#desk.say({ kind: "release", claimId: id });
    this.#expire(nowMs, 0, undefined);
    for (const claim of this.#claims.values())
      if (claim.stage.kind === "unsent" || claim.stage.kind === "asked") this.#ask(claim, nowMs);
    for (const claim of this.#claims.values()) this.#updateAgain(claim);
  }

  #isWanted(claimId: bigint): boolean {
    const stage = this.#claims.get(claimId)?.stage;
    return stage !== undefined && stage.kind !== "leaving";
  }

  #updateAgain({ id, stage }: Claim): void {
    if (stage.kind !== "held") return;
    const last = stage.updates.at(-1);
    if (last === undefined) return;
    const count = stage.updates.reduce((sum, update) => sum + update.count, 0);
    stage.updates.splice(0, stage.updates.length, { value: last.value, count });
    this.#desk.say({ kind: "update", claimId: id, value: last.value });
  }

  // -- Ends ------------------------------------------------------------------------------------------

  /** The session ended: what was held is lost, and what is wanted has to be asked for again, as new claims. */
  endSession(why: Failure, nowMs: number): void {
    for (const claim of [...this.#claims.values()]) {
      if (claim.stage.kind === "held" || claim.stage.kind === "leaving") this.#gone(claim, why);
      else if (claim.stage.kind === "asked") {
        claim.stage = { kind: "unsent", sinceMs: nowMs };
        this.#watchLimit(claim);
      }
    }
  }

  /** Denies every wanted claim. For when there is no session in which they are asked for. */
  refuseAll(why: Failure): void {
    for (const claim of [...this.#claims.values()]) this.#gone(claim, why);
  }

  /** Gives up what has waited long enough: for a grant, or for a session, of which `why` was the last failure. */
  expire(nowMs: number, why: Failure | undefined): void {
    if (nowMs >= this.#nextLimitMs) this.#expire(nowMs, ANSWER_GRACE_MS, why);
  }

  #expire(nowMs: number, graceMs: number, why: Failure | undefined): void {
    this.#nextLimitMs = Number.POSITIVE_INFINITY;
    for (const claim of [...this.#claims.values()]) {
      if (this.#limitOf(claim, graceMs) > nowMs) this.#watchLimit(claim);
      else if (claim.stage.kind === "asked") {
        const { waiting } = claim.stage;
        this.#leave(claim, "denial");
        this.#deny(claim, timedOut(claim), waiting);
      } else this.#gone(claim, why ?? unreachable);
    }
  }

  #limitOf({ stage, limitMs }: Claim, graceMs: number): number {
    if (stage.kind === "unsent") return Math.min(limitMs, stage.sinceMs + this.#connectTimeoutMs);
    return stage.kind === "asked" ? limitMs + graceMs : Number.POSITIVE_INFINITY;
  }

  #watchLimit(claim: Claim): void {
    this.#nextLimitMs = Math.min(this.#nextLimitMs, this.#limitOf(claim, ANSWER_GRACE_MS));
  }

  /** A claim is no more; the program is told what that means for what it had. */
  #gone(claim: Claim, why: Failure | Denied = unasked): void {
    this.#claims.delete(claim.id);
    if (this.#claims.size === 0) this.#nextLimitMs = Number.POSITIVE_INFINITY;
    switch (claim.stage.kind) {
      case "held":
        this.#heldCount--;
        return this.#desk.tell({ kind: "lost", claimId: claim.id, reason: why.reason, message: why.message });
      case "leaving":
        if (claim.stage.by === "release") this.#desk.tell({ kind: "released", claimId: claim.id });
        return;
      case "unsent":
      case "asked":
        return this.#deny(claim, why, "holders" in why ? why : undefined);
      default:
        return claim.stage satisfies never;
    }
  }

  #deny({ id, request }: Claim, { reason, message }: Failure, seen: Denied | Waiting | undefined): void {
    const { lock, holders, holderCount } = seen ?? { lock: request.locks[0]!.name, holders: [], holderCount: 0 };
    this.#desk.tell({ kind: "denied", claimId: id, reason, message, lock, holders, holderCount });
  }
}

/** Whole milliseconds, at least one: with none it would be a try. */
const leftOf = (waitMs: number, leftMs: number) => Math.min(waitMs, Math.max(1, Math.ceil(leftMs)));

const unasked: Failure = { reason: "unknown", message: "the server released a claim that was not given up" };

const missing: Failure = {
  reason: "released-by-force",
  message: "the claim was gone when the session was resumed: somebody ended it meanwhile",
};

const unreachable: Failure = { reason: "unreachable", message: "no server could be reached in time" };

function timedOut({ request }: Claim): Failure {
  const names = request.locks.map(({ name }) => `"${name}"`).join(", ");
  return { reason: "timeout", message: `waited ${request.waitMs} ms for ${names} without being granted` };
}
