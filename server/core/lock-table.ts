import type { Change, ClaimEntry, Entry, SessionEntry, Snapshot } from "./entry.ts";
import type { LockSpec } from "./frames.ts";
import { type ParsedKey, parseKey } from "./keys.ts";
import { Claim, type Outlook, Queue, Seat } from "./queue.ts";
import type { SessionRecord } from "./records.ts";

/** A live session as etcd has it. */
export interface TableSession {
  readonly id: string;
  readonly record: SessionRecord;
  readonly createRevision: number;
  /** The revision that last wrote its key: the epoch of the server object that wrote it (DESIGN 4.4). */
  readonly modRevision: number;
  readonly lease: bigint;
}

/** What one step changed, each list in the order in which it is to be acted on. */
export interface TableDelta {
  /** Sessions that were written or, with `now` undefined, ended. */
  readonly sessions: { readonly id: string; readonly now: TableSession | undefined }[];
  /** Claims that ended: their own keys or their session's are gone. */
  readonly ended: Claim[];
  /** Claims that entered their queues, in order of place. */
  readonly entered: Claim[];
  /** Claims that became held, those of each lock in order of place. */
  readonly granted: Claim[];
  /** Claims whose value was written anew. */
  readonly updated: Claim[];
  /** Locks of which anything changed. */
  readonly locks: Set<string>;
}

type ParsedClaimKey = Extract<ParsedKey, { kind: "claim" }>;

/** All keys of one session's claims, the session's own key being there or not. */
interface Owner {
  readonly id: string;
  session: TableSession | undefined;
  readonly claims: Map<bigint, Claim>;
}

/**
 * The lock table: all claims in the order of etcd's revisions, and which of them are held. A pure function of
 * the live keys (DESIGN 4.1): a table that followed every revision and one made from a snapshot are alike,
 * at every revision. The one thing it knows besides is which claims this server's clients have given up
 * (`giveUp`), which changes no place and can only let in earlier what is let in anyway (DESIGN 4.9).
 *
 * The work of a step depends on the claims it changes, not on how many wait or how many locks there are.
 */
export class LockTable {
  /** The revision up to which all is known. */
  revision = 0;
  readonly queues = new Map<string, Queue>();
  readonly sessions = new Map<string, TableSession>();
  heldCount = 0;
  waitingCount = 0;
  /** Waiting claims with a reentry id: only where there are such can threads wait for each other in a circle. */
  readonly waitingThreads = new Set<Claim>();
  /** Claims that this server's clients have given up and etcd still has. */
  private givenUpCount = 0;
  private readonly owners = new Map<string, Owner>();
  private readonly queuesByWork: Queue[] = [];

  /** Everything changed by one revision, in one step: what a revision deletes and creates is never half seen. */
  apply(revision: number, changes: readonly Change[]): TableDelta {
    const delta = newDelta();
    // Deletes first: within a revision no key has both, and a newcomer's place is then counted among those that stay.
    for (const change of changes) if (change.kind === "delete") this.remove(change.key, delta);
    const complete: Claim[] = [];
    for (const change of changes) if (change.kind === "put") this.put(change.entry, delta, complete);
    this.enter(complete, delta);
    this.letIn(delta);
    this.revision = Math.max(this.revision, revision);
    return delta;
  }

  /**
   * Becomes what a snapshot says, by difference. A key that was created anew is an end and a beginning. What
   * the snapshot adds was created after everything that is here, so it comes behind it.
   */
  replace(revision: number, entries: readonly Entry[]): TableDelta {
    const delta = newDelta();
    const there = new Map(entries.map((entry) => [entry.key, entry]));
    for (const key of this.keys()) {
      const entry = there.get(key);
      if (entry === undefined || this.createRevisionOf(key) !== entry.createRevision) this.remove(key, delta);
    }
    const complete: Claim[] = [];
    for (const entry of entries)
      if (entry.kind === "session" && this.sessions.get(sessionIdOf(entry.key))?.modRevision !== entry.modRevision)
        this.put(entry, delta, complete);
    for (const entry of entries) if (entry.kind !== "session") this.put(entry, delta, complete);
    this.enter(complete, delta);
    this.letIn(delta);
    this.revision = revision;
    return delta;
  }

  /**
   * Takes a claim out of its queues although etcd still has it, because its client has given it up for good:
   * those behind it are let in at once. Safe because they were durable, in place, and behind nobody else.
   */
  giveUp(claim: Claim): TableDelta {
    const delta = newDelta();
    if (claim.stage !== "live") return delta;
    for (const seat of claim.seats) {
      seat.queue.givenUp.add(seat.spec);
      seat.queue.givenUpCount++;
      if (!claim.held || claim.lockNames.length > 1) seat.queue.givenUpUnsure++;
    }
    this.leave(claim, delta);
    claim.stage = "given-up";
    this.givenUpCount++;
    this.letIn(delta);
    return delta;
  }

  /** The claim with these ids, unless it has ended. */
  claim(sessionId: string, claimId: bigint): Claim | undefined {
    const claim = this.owners.get(sessionId)?.claims.get(claimId);
    return claim !== undefined && (claim.stage === "live" || claim.stage === "given-up") ? claim : undefined;
  }

  /** All claims of a session that etcd still has, in order of claim id. */
  claimsOfSession(sessionId: string): Claim[] {
    const claims = [...(this.owners.get(sessionId)?.claims.values() ?? [])];
    return claims
      .filter((claim) => claim.stage === "live" || claim.stage === "given-up")
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** How many claims a session holds, and how many of its claims wait. */
  countClaims(sessionId: string): { held: number; waiting: number } {
    const counts = { held: 0, waiting: 0 };
    for (const claim of this.owners.get(sessionId)?.claims.values() ?? [])
      if (claim.stage === "live" || claim.stage === "given-up") counts[claim.held ? "held" : "waiting"]++;
    return counts;
  }

  /** The claim keys that a session's end has left behind. */
  garbageOfSession(sessionId: string): string[] {
    const keys: string[] = [];
    for (const claim of this.owners.get(sessionId)?.claims.values() ?? [])
      if (claim.stage === "ended" || claim.stage === "incomplete") for (const seat of claim.seats) keys.push(seat.key);
    return keys;
  }

  /** Whether a claim on these locks that came now would be held at once, given-up claims counting as present. */
  outlook(locks: readonly LockSpec[]): Outlook {
    const outlooks = locks.map((spec) => this.queues.get(spec.name)?.outlook(spec) ?? "free");
    if (outlooks.includes("taken")) return "taken";
    return this.givenUpCount > 0 && outlooks.includes("unclear") ? "unclear" : "free";
  }

  /**
   * The first key on which this table and a snapshot differ, leaving out those in `except`, which have changed
   * since the snapshot was asked for; `undefined`: they agree. Of servers it knows nothing: see `ServerTable`.
   */
  disagreement(snapshot: Snapshot, except: ReadonlySet<string>): string | undefined {
    const there = new Map(snapshot.entries.map((entry) => [entry.key, entry.modRevision]));
    for (const [key, modRevision] of there)
      if (!except.has(key) && !key.startsWith("server/") && this.modRevisionOf(key) !== modRevision) return key;
    for (const key of this.keys()) if (!except.has(key) && !there.has(key)) return key;
    return undefined;
  }

  private modRevisionOf(key: string): number | undefined {
    const parsed = parseKey(key);
    if (parsed?.kind === "session") return this.sessions.get(parsed.sessionId)?.modRevision;
    if (parsed?.kind !== "claim") return undefined;
    const claim = this.owners.get(parsed.sessionId)?.claims.get(parsed.claimId);
    return claim?.seats.find((seat) => seat.spec.name === parsed.lock)?.modRevision;
  }

  private *keys(): Iterable<string> {
    for (const id of this.sessions.keys()) yield `session/${id}`;
    for (const owner of this.owners.values())
      for (const claim of [...owner.claims.values()]) for (const seat of [...claim.seats]) yield seat.key;
  }

  private createRevisionOf(key: string): number | undefined {
    const parsed = parseKey(key);
    if (parsed?.kind === "session") return this.sessions.get(parsed.sessionId)?.createRevision;
    if (parsed?.kind === "claim") return this.owners.get(parsed.sessionId)?.claims.get(parsed.claimId)?.createRevision;
    return undefined;
  }

  private put(entry: Entry, delta: TableDelta, complete: Claim[]): void {
    const parsed = parseKey(entry.key);
    if (parsed?.kind === "session" && entry.kind === "session") this.putSession(parsed.sessionId, entry, delta);
    else if (parsed?.kind === "claim" && entry.kind === "claim") this.putClaim(parsed, entry, delta, complete);
  }

  private putSession(id: string, entry: SessionEntry, delta: TableDelta): void {
    const { record, createRevision, modRevision, lease } = entry;
    const session: TableSession = { id, record, createRevision, modRevision, lease };
    this.owner(id).session = session;
    this.sessions.set(id, session);
    delta.sessions.push({ id, now: session });
  }

  private putClaim(key: ParsedClaimKey, entry: ClaimEntry, delta: TableDelta, complete: Claim[]): void {
    const owner = this.owner(key.sessionId);
    let claim = owner.claims.get(key.claimId);
    if (claim === undefined || claim.createRevision !== entry.createRevision) {
      claim = new Claim(owner.id, key.claimId, entry.createRevision, entry.record);
      owner.claims.set(key.claimId, claim);
    }
    const seat = claim.seats.find((each) => each.spec.name === key.lock);
    if (seat === undefined) {
      // There may be a million claims, nearly all on one lock: they share a name with their record, and have a list of
      // one, where `push` would keep room for 17.
      const [first] = claim.lockNames;
      const lock = first === key.lock ? first : key.lock;
      const added = new Seat(claim, entry.key, lock, entry.record, entry.modRevision);
      if (claim.seats.length === 0) claim.seats = [added];
      else claim.seats.push(added);
      const whole = claim.seats.length === claim.lockNames.length;
      if (claim.stage === "incomplete" && whole && owner.session !== undefined) complete.push(claim);
    } else if (seat.modRevision !== entry.modRevision) {
      seat.record = entry.record;
      seat.modRevision = entry.modRevision;
      claim.forced = entry.record.forced;
      delta.locks.add(key.lock);
      if (!delta.updated.includes(claim)) delta.updated.push(claim);
    }
  }

  /** Seats the claims of one step, in order of place: two claims on one lock may share their revision. */
  private enter(complete: Claim[], delta: TableDelta): void {
    complete.sort((a, b) => (a.comesAfter(b) ? 1 : -1));
    for (const claim of complete) {
      if (claim.seats.length > 1)
        claim.seats.sort((a, b) => claim.lockNames.indexOf(a.spec.name) - claim.lockNames.indexOf(b.spec.name));
      claim.stage = "live";
      for (const seat of claim.seats) {
        seat.queue = this.queue(seat.spec.name);
        seat.queue.insert(seat);
        this.touch(seat.queue, delta);
      }
      this.waitingCount++;
      if (claim.reentryId !== "") this.waitingThreads.add(claim);
      delta.entered.push(claim);
    }
  }

  private remove(key: string, delta: TableDelta): void {
    const parsed = parseKey(key);
    if (parsed === undefined || parsed.kind === "server") return;
    const owner = this.owners.get(parsed.sessionId);
    if (owner === undefined) return;
    if (parsed.kind === "session") {
      if (owner.session === undefined) return;
      owner.session = undefined;
      this.sessions.delete(parsed.sessionId);
      delta.sessions.push({ id: parsed.sessionId, now: undefined });
      for (const claim of owner.claims.values()) this.end(claim, delta);
    } else {
      const claim = owner.claims.get(parsed.claimId);
      const at = claim?.seats.findIndex((seat) => seat.spec.name === parsed.lock) ?? -1;
      if (claim === undefined || at < 0) return;
      this.end(claim, delta);
      claim.seats.splice(at, 1);
      if (claim.seats.length === 0) owner.claims.delete(parsed.claimId);
    }
    if (owner.session === undefined && owner.claims.size === 0) this.owners.delete(parsed.sessionId);
  }

  /** Ends a claim on all of its locks at once, whichever of its keys went first. */
  private end(claim: Claim, delta: TableDelta): void {
    if (claim.stage === "live") this.leave(claim, delta);
    else if (claim.stage === "given-up") {
      this.givenUpCount--;
      for (const seat of claim.seats) {
        seat.queue.givenUp.subtract(seat.spec);
        seat.queue.givenUpCount--;
        if (!claim.held || claim.lockNames.length > 1) seat.queue.givenUpUnsure--;
        this.touch(seat.queue, delta);
      }
    } else return;
    claim.stage = "ended";
    delta.ended.push(claim);
  }

  private leave(claim: Claim, delta: TableDelta): void {
    for (const seat of claim.seats) {
      seat.queue.remove(seat);
      this.touch(seat.queue, delta);
    }
    if (claim.held) this.heldCount--;
    else this.waitingCount--;
    this.waitingThreads.delete(claim);
  }

  /** Lets in whoever is entitled, until nobody is. Letting one in can only make room for those right behind it. */
  private letIn(delta: TableDelta): void {
    const work = this.queuesByWork;
    for (let queue = work.pop(); queue !== undefined; queue = work.pop()) {
      for (let seat = queue.firstWaiting; seat?.claim.entitled; seat = queue.firstWaiting) {
        const claim = seat.claim;
        claim.held = true;
        this.waitingCount--;
        this.heldCount++;
        this.waitingThreads.delete(claim);
        for (const each of claim.seats) {
          each.queue.hold(each);
          delta.locks.add(each.queue.name);
          if (each.queue !== queue) work.push(each.queue);
        }
        delta.granted.push(claim);
      }
      this.dropIfEmpty(queue);
    }
  }

  private touch(queue: Queue, delta: TableDelta): void {
    delta.locks.add(queue.name);
    this.queuesByWork.push(queue);
  }

  private owner(sessionId: string): Owner {
    let owner = this.owners.get(sessionId);
    if (owner === undefined) {
      owner = { id: sessionId, session: undefined, claims: new Map() };
      this.owners.set(sessionId, owner);
    }
    return owner;
  }

  private queue(name: string): Queue {
    let queue = this.queues.get(name);
    if (queue === undefined) {
      queue = new Queue(name);
      this.queues.set(name, queue);
    }
    return queue;
  }

  private dropIfEmpty(queue: Queue): void {
    if (queue.first === undefined && queue.givenUpCount === 0 && this.queues.get(queue.name) === queue)
      this.queues.delete(queue.name);
  }
}

const newDelta = (): TableDelta => ({
  sessions: [],
  ended: [],
  entered: [],
  granted: [],
  updated: [],
  locks: new Set(),
});

const sessionIdOf = (key: string): string => key.slice("session/".length);
