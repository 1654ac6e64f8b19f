import type { LockSpec } from "./frames.ts";
import type { ClaimRecord, ForcedEnd, Mode } from "./records.ts";

/**
 * One lock's queue: the claims on it in order of their place. Those that are held always come first, since a
 * claim is held only if every claim ahead of it is (DESIGN 4.3), so a queue is a run of holders and then a
 * run of waiters. A linked list: whatever happens to one claim costs the same, however many wait.
 */
export class Queue {
  readonly name: string;
  first: Seat | undefined;
  last: Seat | undefined;
  /** The next to be let in: the first that is not held. */
  firstWaiting: Seat | undefined;
  heldCount = 0;
  waitingCount = 0;
  readonly held = new Usage();
  /** What this server's clients have given up and etcd still has: it counts for tries alone (DESIGN 4.6). */
  readonly givenUp = new Usage();
  givenUpCount = 0;
  /** How many of those may be waiting, as etcd sees it: never let in here, or for another lock too. */
  givenUpUnsure = 0;
  /** How many of the holders hold other locks as well. */
  private heldElsewhere = 0;

  constructor(name: string) {
    this.name = name;
  }

  get size(): number {
    return this.heldCount + this.waitingCount;
  }

  /** Whether `seat` may hold the lock together with all who hold it now. */
  admits(seat: LockSpec): boolean {
    return this.heldCount === 0 || this.held.fits(seat);
  }

  /** What a claim that came now would find here, given-up claims counting as present. */
  outlook(spec: LockSpec): Outlook {
    if (this.waitingCount > 0 || !this.admits(spec)) return "taken";
    if (this.givenUpCount > 0 && !this.givenUp.fits(spec, this.held.permits))
      return this.givenUp.limit === -1 ? "unclear" : "taken";
    // With what was given up still there, whoever holds another lock as well may be waiting for that.
    return this.givenUpUnsure > 0 || this.heldElsewhere > 0 ? "unclear" : "free";
  }

  /** Whether a claim of this kind can never stand among those that are there: a semaphore among others, another limit. */
  contradicts(spec: LockSpec): boolean {
    const other = this.first?.spec;
    if (other === undefined) return false;
    if ((other.mode === "semaphore") !== (spec.mode === "semaphore")) return true;
    return other.limit !== spec.limit;
  }

  /** Puts a waiting seat at its place: nearly always the end, since places grow with etcd's revisions. */
  insert(seat: Seat): void {
    let before = this.last;
    while (before?.claim.comesAfter(seat.claim)) before = before.previous;
    seat.previous = before;
    seat.next = before === undefined ? this.first : before.next;
    if (before === undefined) this.first = seat;
    else before.next = seat;
    if (seat.next === undefined) this.last = seat;
    else seat.next.previous = seat;
    if (seat.next === this.firstWaiting) this.firstWaiting = seat;
    this.waitingCount++;
    seat.rankAtEntry = this.size;
  }

  /** Moves the first waiting seat to the holders. */
  hold(seat: Seat): void {
    this.firstWaiting = seat.next;
    this.waitingCount--;
    this.heldCount++;
    this.held.add(seat.spec);
    if (seat.claim.lockNames.length > 1) this.heldElsewhere++;
  }

  remove(seat: Seat): void {
    if (seat.claim.held) {
      this.heldCount--;
      this.held.subtract(seat.spec);
      if (seat.claim.lockNames.length > 1) this.heldElsewhere--;
    } else {
      this.waitingCount--;
      if (this.firstWaiting === seat) this.firstWaiting = seat.next;
    }
    if (seat.previous === undefined) this.first = seat.next;
    else seat.previous.next = seat.next;
    if (seat.next === undefined) this.last = seat.previous;
    else seat.next.previous = seat.previous;
    seat.previous = undefined;
    seat.next = undefined;
  }

  /** A waiting seat's place among the waiters: 1 is next. Costs as much as there are before it. */
  positionOf(seat: Seat): number {
    let position = 1;
    for (let each: Seat | undefined = seat; each !== undefined && each !== this.firstWaiting; each = each.previous)
      position++;
    return position;
  }
}

/** Whether a newcomer is let in: at once; not at once; or as etcd comes to see what was given up here. */
export type Outlook = "free" | "taken" | "unclear";

/** How much of a lock some claims take together. */
export class Usage {
  exclusive = 0;
  shared = 0;
  semaphores = 0;
  permits = 0;
  /** That of the semaphore claims counted; -1 if they differ, which only claims given up one after another can. */
  limit = 0;

  /** Whether one more fits beside all counted here, and `morePermits` besides. */
  fits(spec: LockSpec, morePermits = 0): boolean {
    switch (spec.mode) {
      case "exclusive":
        return this.exclusive + this.shared + this.semaphores === 0;
      case "shared":
        return this.exclusive + this.semaphores === 0;
      case "semaphore": {
        const others = this.exclusive + this.shared;
        const sameLimit = this.semaphores === 0 || this.limit === spec.limit;
        return others === 0 && sameLimit && this.permits + morePermits + spec.permits <= spec.limit;
      }
      default:
        return spec.mode satisfies never;
    }
  }

  add(spec: LockSpec): void {
    if (spec.mode === "semaphore") this.limit = this.semaphores === 0 || this.limit === spec.limit ? spec.limit : -1;
    this.count(spec.mode, 1);
    this.permits += spec.permits;
  }

  subtract(spec: LockSpec): void {
    this.count(spec.mode, -1);
    this.permits -= spec.permits;
  }

  private count(mode: Mode, by: 1 | -1): void {
    if (mode === "exclusive") this.exclusive += by;
    else if (mode === "shared") this.shared += by;
    else this.semaphores += by;
  }
}

/** A claim's place in the queue of one of its locks. */
export class Seat {
  readonly claim: Claim;
  readonly key: string;
  readonly spec: LockSpec;
  /** Set when the claim enters its queues, all at once. */
  declare queue: Queue;
  record: ClaimRecord;
  /** The revision that last wrote its key. */
  modRevision: number;
  previous: Seat | undefined;
  next: Seat | undefined;
  /** How many were in the queue when it came, itself counted. */
  rankAtEntry = 0;
  /** Its place among the waiters when they were last counted: 1 is next. It may be smaller by now. */
  position = 0;

  constructor(claim: Claim, key: string, lock: string, record: ClaimRecord, modRevision: number) {
    this.claim = claim;
    this.key = key;
    this.spec = { name: lock, mode: record.mode, permits: record.permits, limit: record.limit };
    this.record = record;
    this.modRevision = modRevision;
  }
}

/** What became of a claim in the table; each goes only forward. */
export type ClaimStage =
  /** Not all of its keys have been seen. */
  | "incomplete"
  /** In its queues: waiting or held. */
  | "live"
  /** Its client gave it up through this server; etcd still has it. */
  | "given-up"
  /** It is over: one of its keys, or its session's, is gone. Keys that are left are garbage. */
  | "ended";

/** A claim as etcd has it: its keys, one for each of its locks. */
export class Claim {
  readonly sessionId: string;
  readonly id: bigint;
  readonly createRevision: number;
  readonly ordinal: number;
  readonly reentryId: string;
  readonly lockNames: readonly string[];
  /** In the order of `lockNames` once it is complete. */
  seats: Seat[] = [];
  stage: ClaimStage = "incomplete";
  /** Whether it is held: entitled on all of its locks. Once true, true until its end. */
  held = false;
  /** When this server saw it granted, in milliseconds since 1970. For people; set by the engine. */
  grantedAtMs: number | undefined;
  /** Why an administrator is about to end it, if one is. */
  forced: ForcedEnd | undefined;

  constructor(sessionId: string, id: bigint, createRevision: number, record: ClaimRecord) {
    this.sessionId = sessionId;
    this.id = id;
    this.createRevision = createRevision;
    this.ordinal = record.ordinal;
    this.reentryId = record.reentryId;
    this.lockNames = record.lockNames;
    this.forced = record.forced;
  }

  /** The fencing token of its grant on each of its locks (DESIGN 4.3). Fits 63 bits. */
  get token(): bigint {
    return BigInt(this.createRevision) * 128n + BigInt(this.ordinal);
  }

  comesAfter(other: Claim): boolean {
    return this.createRevision === other.createRevision
      ? this.ordinal > other.ordinal
      : this.createRevision > other.createRevision;
  }

  /** Whether it may be held now: next in each of its queues, and admitted by each. */
  get entitled(): boolean {
    for (const seat of this.seats) if (seat.queue.firstWaiting !== seat || !seat.queue.admits(seat.spec)) return false;
    return true;
  }
}
