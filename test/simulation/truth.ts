import type { ClaimEntry, SessionEntry } from "../../server/core/entry.ts";
import { isCompatible, type TrueClaim, trueClaims, trueHolders } from "./reference.ts";
import type { Revision, SimulatedEtcd } from "./simulated-etcd.ts";
import type { World } from "./world.ts";

/** What etcd's keys meant at one revision. */
export interface Moment {
  readonly revision: number;
  readonly atMs: number;
  /** In order of place. */
  readonly claims: readonly TrueClaim[];
  readonly held: ReadonlySet<TrueClaim>;
}

/**
 * Follows etcd's keys, revision by revision, with a judgement of its own about who holds what, and finds whatever
 * contradicts the promises: P1 to P3, and what was answered for good.
 */
export class Truth {
  /** Claims, as "<session>/<claim id>", and sessions whose end was forced: their holders are promised nothing. */
  readonly forced = new Set<string>();
  /** Told when the key of a session goes. */
  onSessionEnded: (sessionId: string) => void = () => undefined;
  /** When the key of a session went. */
  readonly endedAtMs = new Map<string, number>();
  private readonly world: World;
  private readonly etcd: SimulatedEtcd;
  private readonly moments: Moment[] = [];
  /** By claim and create revision: those who hold. */
  private readonly holding = new Map<string, { readonly claim: TrueClaim; readonly sinceMs: number }>();
  private readonly lastToken = new Map<string, bigint>();
  private readonly ordinals = new Map<string, number>();
  /** What clients gave up: its keys may come to be deleted after those of later claims are written. */
  private readonly released = new Set<string>();
  private readonly answered = new Map<string, string>();
  private readonly confirmedValues = new Map<string, number>();
  private readonly attempts = new Map<string, { attempt: bigint; serverId: string }>();

  constructor(etcd: SimulatedEtcd) {
    this.world = etcd.world;
    this.etcd = etcd;
    this.moments.push({ revision: etcd.revision, atMs: 0, claims: [], held: new Set() });
    etcd.onRevision = (revision) => this.follow(revision);
  }

  get now(): Moment {
    return this.moments.at(-1) as Moment;
  }

  /** What the keys meant at a revision, be it one of others. */
  at(revision: number): Moment {
    let i = this.moments.length - 1;
    while (i > 0 && (this.moments[i] as Moment).revision > revision) i--;
    return this.moments[i] as Moment;
  }

  /** Everything from a revision on, youngest first. */
  *since(revision: number): Iterable<Moment> {
    for (let i = this.moments.length - 1; i >= 0; i--) {
      const moment = this.moments[i] as Moment;
      yield moment;
      if (moment.revision <= revision) return;
    }
  }

  /** Those who have been holding for so long. */
  *heldFor(ms: number): Iterable<TrueClaim> {
    for (const { claim, sinceMs } of this.holding.values()) if (this.world.nowMs - sinceMs >= ms) yield claim;
  }

  isLive(id: string): boolean {
    return this.now.claims.some((claim) => claim.id === id);
  }

  find(id: string): TrueClaim | undefined {
    return this.now.claims.find((claim) => claim.id === id);
  }

  /** A server was told that a claim is given up. */
  isReleased(sessionId: string, claimId: bigint): void {
    this.released.add(asked({ sessionId, claimId }));
  }

  /** A claim's client was told that it is over: it may not exist from now on. */
  isAnswered(id: string, how: string): void {
    this.answered.set(id, how);
    if (this.isLive(id)) this.world.violation("ANSWERED-LIVES", `${id} was ${how}, and is in etcd`);
  }

  /** A claim's client was told that its value is in etcd. */
  isConfirmed(id: string, value: number): void {
    this.confirmedValues.set(id, Math.max(value, this.confirmedValues.get(id) ?? 0));
  }

  private follow({ revision, changes, tried }: Revision): void {
    for (const change of changes)
      if (change.kind === "delete") this.forget(change.key);
      else if (change.entry.kind === "claim") this.checkClaim(change.entry);
      else if (change.entry.kind === "session") this.checkSession(change.entry);
    const claims = trueClaims(this.etcd.entries.values());
    const held = trueHolders(claims);
    this.moments.push({ revision, atMs: this.world.nowMs, claims, held });
    this.checkHolders(claims, held);
    this.checkThreads(claims, revision);
    const waiting = new Set(claims.filter((claim) => !held.has(claim)).map((claim) => claim.id));
    for (const key of tried)
      if (waiting.has(key.slice(key.indexOf("//") + 2)))
        this.world.violation("TRY-WAITS", `${key} stands in the queue`);
  }

  /** No thread of control waits for itself: its claims that exclude each other are never live together. */
  private checkThreads(claims: readonly TrueClaim[], revision: number): void {
    const wanted = claims.filter((claim) => claim.reentryId !== "" && !this.released.has(asked(claim)));
    for (const own of wanted.filter(({ createRevision }) => createRevision === revision))
      for (const other of wanted)
        if (other !== own && other.sessionId === own.sessionId && other.reentryId === own.reentryId)
          for (const spec of own.locks) {
            const its = other.locks.find(({ name }) => name === spec.name);
            if (its !== undefined && !isCompatible([its, spec]))
              this.world.violation("THREAD-TWICE", `${own.id} and ${other.id}, one thread, are both on ${spec.name}`);
          }
  }

  private forget(key: string): void {
    if (key.startsWith("session/")) {
      this.endedAtMs.set(key.slice(8), this.world.nowMs);
      this.onSessionEnded(key.slice(8));
    }
    this.ordinals.delete(key);
  }

  private checkClaim(entry: ClaimEntry): void {
    const id = entry.key.slice(entry.key.indexOf("//") + 2);
    const session = this.etcd.entries.get(`session/${id.split("/")[0]}`);
    if (session === undefined) this.world.violation("ORPHAN", `${entry.key} was written without its session`);
    else if (session.lease !== entry.lease)
      this.world.violation("DETACHED", `${entry.key} has not its session's lease`);
    const ordinal = this.ordinals.get(entry.key) ?? entry.record.ordinal;
    if (ordinal !== entry.record.ordinal) this.world.violation("ORDINAL", `${entry.key} got another ordinal`);
    this.ordinals.set(entry.key, ordinal);
    const answer = this.answered.get(id);
    if (answer !== undefined) this.world.violation("ANSWERED-RETURNS", `${entry.key} was ${answer} before`);
    if (numberIn(entry.record.value) < (this.confirmedValues.get(id) ?? 0))
      this.world.violation("UPDATE-BACK", `${entry.key} has an older value than was confirmed`);
  }

  /** The largest attempt wins, and only a larger one changes who serves a session (C7). */
  private checkSession(entry: SessionEntry): void {
    const { attempt, serverId } = entry.record;
    const before = this.attempts.get(entry.key);
    this.attempts.set(entry.key, { attempt, serverId });
    if (this.endedAtMs.has(entry.key.slice(8))) this.world.violation("SESSION-RETURNS", entry.key);
    if (before === undefined) {
      if (entry.createRevision !== entry.modRevision) this.world.violation("SESSION-SPLIT", entry.key);
    } else if (attempt < before.attempt || (attempt === before.attempt && serverId !== before.serverId))
      this.world.violation("ATTEMPT-BACK", `${entry.key} went from attempt ${before.attempt} to ${attempt}`);
  }

  private checkHolders(claims: readonly TrueClaim[], held: ReadonlySet<TrueClaim>): void {
    const live = new Set(claims.map(placeOf));
    for (const place of this.holding.keys()) if (!live.has(place)) this.holding.delete(place);
    for (const claim of claims) {
      const place = placeOf(claim);
      if (held.has(claim)) {
        if (!this.holding.has(place)) this.checkTokens(claim);
        this.holding.set(place, { claim, sinceMs: this.holding.get(place)?.sinceMs ?? this.world.nowMs });
      } else if (this.holding.has(place)) this.world.violation("MONOTONE", `${claim.id} was held and waits now`);
    }
    const byLock = new Map<string, TrueClaim[]>();
    for (const { claim } of this.holding.values())
      for (const { name } of claim.locks) byLock.set(name, [...(byLock.get(name) ?? []), claim]);
    for (const [name, holders] of byLock)
      if (!isCompatible(holders.map((claim) => claim.locks.find((spec) => spec.name === name)!)))
        this.world.violation("P1-TRUTH", `${name} is held by ${holders.map((claim) => claim.id).join(" and ")}`);
  }

  /** Tokens of one lock grow in the order of entitlement (P2, P3). */
  private checkTokens(claim: TrueClaim): void {
    this.world.count("truth: entitled");
    if (claim.locks.length > 1) this.world.count("truth: entitled on several locks");
    for (const { name } of claim.locks) {
      if (claim.token <= (this.lastToken.get(name) ?? 0n))
        this.world.violation("P2P3-ORDER", `${claim.id} on ${name} was let in after a younger one`);
      this.lastToken.set(name, claim.token);
    }
  }
}

const asked = ({ sessionId, claimId }: Pick<TrueClaim, "sessionId" | "claimId">): string => `${sessionId}/${claimId}`;

const placeOf = (claim: TrueClaim): string => `${claim.id}@${claim.createRevision}`;

/** The number that a walk's client has written into a claim. */
export const numberIn = (value: Uint8Array): number => ((value[0] ?? 0) << 8) + (value[1] ?? 0);

export const valueFor = (number: number): Uint8Array => Uint8Array.of(number >> 8, number & 255);
