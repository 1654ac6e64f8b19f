import type { LockTable } from "./lock-table.ts";
import { type Claim, type Queue, type Seat, Usage } from "./queue.ts";

/** A session's thread of control, as far as it was reached. */
export interface Thread {
  /** Its claims that wait: all of them, until some are let in. */
  readonly waiting: Set<Claim>;
  /** Its claims that are held, those that were reached. */
  readonly held: Claim[];
  /** How many live claims it has. */
  readonly size: number;
}

/** One lock's queue from its first claim to the last one reached. */
class Line {
  readonly seats: Seat[] = [];
  /** Where the first of those begins who wait. */
  next = 0;
  heldCount = 0;
  readonly held = new Usage();

  hold(seat: Seat): void {
    this.next++;
    this.heldCount++;
    this.held.add(seat.spec);
  }

  leave(seat: Seat): void {
    this.heldCount--;
    this.held.subtract(seat.spec);
  }

  admits(seat: Seat): boolean {
    return this.seats[this.next] === seat && (this.heldCount === 0 || this.held.fits(seat.spec));
  }
}

/**
 * The part of a lock table on which some waiting claims depend, without all that can still move (DESIGN 4.12):
 * a held claim goes if its thread waits for nothing, whoever is then entitled is let in, and so on until
 * nothing moves. What still waits then waits for ever. The table is not changed.
 *
 * The work is linear in the claims reached, and in those of their sessions.
 */
export class WaitReduction {
  private readonly table: LockTable;
  private readonly lines = new Map<Queue, Line>();
  private readonly reached = new Set<Claim>();
  private readonly reachedLast: Claim[] = [];
  private readonly letIn = new Set<Claim>();
  private readonly gone = new Set<Claim>();
  private readonly movable: Claim[] = [];
  /** By session, and then by reentry id. */
  private readonly threads = new Map<string, Map<string, Thread>>();

  constructor(table: LockTable, suspects: Iterable<Claim>) {
    this.table = table;
    // The youngest claim of a circle has nobody behind it there: the others can only wait for its thread's other claims.
    for (const claim of suspects)
      if (claim.stage === "live" && !claim.held && (this.threadOf(claim)?.size ?? 0) > 1) this.reach(claim);
    this.reachAll();
    this.reduce();
  }

  /** The claims that wait for ever. */
  *stuck(): Iterable<Claim> {
    for (const claim of this.reached) if (this.isWaiting(claim)) yield claim;
  }

  isWaiting(claim: Claim): boolean {
    return !claim.held && !this.letIn.has(claim);
  }

  /** The queues that are left: who is stuck, and whom they wait for, in order of place. */
  *queues(): Iterable<Seat[]> {
    for (const line of this.lines.values()) yield line.seats.filter((seat) => !this.gone.has(seat.claim));
  }

  threadOf(claim: Claim): Thread | undefined {
    if (claim.reentryId === "") return undefined;
    let ofSession = this.threads.get(claim.sessionId);
    if (ofSession === undefined) {
      ofSession = threadsIn(this.table.claimsOfSession(claim.sessionId));
      this.threads.set(claim.sessionId, ofSession);
    }
    return ofSession.get(claim.reentryId);
  }

  private reach(claim: Claim): void {
    if (this.reached.has(claim)) return;
    this.reached.add(claim);
    this.reachedLast.push(claim);
  }

  private reachAll(): void {
    for (let claim = this.reachedLast.pop(); claim !== undefined; claim = this.reachedLast.pop()) {
      const thread = this.threadOf(claim);
      for (const each of thread?.waiting ?? []) this.reach(each);
      if (claim.held) {
        thread?.held.push(claim);
        if (thread === undefined || thread.waiting.size === 0) this.movable.push(claim);
      } else for (const seat of claim.seats) this.reachUpTo(seat);
    }
  }

  /** Whoever is ahead of a waiting claim decides when it is let in. */
  private reachUpTo(seat: Seat): void {
    const line = this.lines.get(seat.queue) ?? new Line();
    this.lines.set(seat.queue, line);
    let last = line.seats.at(-1);
    if (last?.claim === seat.claim || last?.claim.comesAfter(seat.claim)) return;
    while (last !== seat) {
      last = (last === undefined ? seat.queue.first : last.next) as Seat;
      line.seats.push(last);
      if (last.claim.held) line.hold(last);
      this.reach(last.claim);
    }
  }

  private reduce(): void {
    for (let claim = this.movable.pop(); claim !== undefined; claim = this.movable.pop()) {
      this.gone.add(claim);
      for (const seat of claim.seats) {
        const line = this.lines.get(seat.queue);
        if (line === undefined) continue;
        line.leave(seat);
        this.letInOn(line);
      }
    }
  }

  private letInOn(first: Line): void {
    const work = [first];
    for (let line = work.pop(); line !== undefined; line = work.pop()) {
      for (let claim = line.seats[line.next]?.claim; claim && this.isEntitled(claim); ) {
        for (const seat of claim.seats) {
          const other = this.lineOf(seat);
          other.hold(seat);
          if (other !== line) work.push(other);
        }
        this.hold(claim);
        claim = line.seats[line.next]?.claim;
      }
    }
  }

  private isEntitled(claim: Claim): boolean {
    return claim.seats.every((seat) => this.lineOf(seat).admits(seat));
  }

  private hold(claim: Claim): void {
    this.letIn.add(claim);
    const thread = this.threadOf(claim);
    if (thread === undefined) {
      this.movable.push(claim);
      return;
    }
    thread.held.push(claim);
    thread.waiting.delete(claim);
    if (thread.waiting.size === 0) for (const each of thread.held) this.movable.push(each);
  }

  /** A waiting claim that was reached has a line for each of its seats. */
  private lineOf(seat: Seat): Line {
    return this.lines.get(seat.queue) as Line;
  }
}

function threadsIn(claims: readonly Claim[]): Map<string, Thread & { size: number }> {
  const threads = new Map<string, Thread & { size: number }>();
  for (const claim of claims) {
    if (claim.stage !== "live" || claim.reentryId === "") continue;
    let thread = threads.get(claim.reentryId);
    if (thread === undefined) {
      thread = { waiting: new Set(), held: [], size: 0 };
      threads.set(claim.reentryId, thread);
    }
    thread.size++;
    if (!claim.held) thread.waiting.add(claim);
  }
  return threads;
}
