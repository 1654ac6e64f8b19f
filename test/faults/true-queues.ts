import { ClaimRecord, Mode, SessionRecord } from "../../server/gen/holdfast/storage/v1/storage.ts";
import { isCompatible, type TrueClaim, trueHolders } from "../simulation/reference.ts";
import type { LockSpec } from "./client-log.ts";

/** What one revision did to a key, the prefix left out; of a deletion only the key is known. */
export interface KeyChange {
  readonly key: string;
  readonly put: { readonly value: Uint8Array; readonly createRevision: number; readonly lease: bigint } | undefined;
}

/** What was wrong, and where. */
export interface Finding {
  readonly what: string;
  readonly detail: string;
}

interface QueuedClaim extends TrueClaim {
  readonly value: string;
}

/** A claim as its keys told it, and when it began, was let in, and ended: revisions. */
export interface ClaimLife {
  readonly claim: QueuedClaim;
  readonly token: number;
  heldFrom: number | undefined;
  endedAt: number | undefined;
}

interface ClaimKey {
  readonly createRevision: number;
  readonly lease: bigint;
  readonly ordinal: number;
  readonly lockNames: readonly string[];
  readonly spec: LockSpec;
  readonly value: string;
}

interface SessionKey {
  readonly createRevision: number;
  readonly lease: bigint;
  readonly attempt: bigint;
  readonly serverId: string;
}

/**
 * The queues as etcd's keys say them, revision by revision, judged with code of its own that is written from DESIGN
 * 4.1 and 4.3 with no eye to speed: everything is worked out again each time.
 */
export class TrueQueues {
  readonly findings: Finding[] = [];
  /** All claims that there ever were, by lock, in the order in which they came. */
  readonly lives = new Map<string, ClaimLife[]>();
  readonly counts = { revisions: 0, sessions: 0, claims: 0, resumes: 0 };
  private readonly claims = new Map<string, ClaimKey>();
  private readonly sessions = new Map<string, SessionKey>();
  private readonly gone = new Set<string>();
  private readonly living = new Map<string, ClaimLife>();
  private readonly lastHeld = new Map<string, number>();

  found(what: string, detail: string): void {
    this.findings.push({ what, detail });
  }

  /** Whether no session and no claim is left. */
  get isEmpty(): boolean {
    return this.claims.size + this.sessions.size === 0;
  }

  /** Takes what one revision did. */
  follow(revision: number, changes: readonly KeyChange[]): void {
    this.counts.revisions++;
    for (const { key, put } of changes) {
      const kind = key.slice(0, key.indexOf("/"));
      if (kind === "session") this.sessionChanged(key, put);
      else if (kind === "claim") this.claimChanged(key, put);
    }
    for (const { key, put } of changes) if (put !== undefined && key.startsWith("claim/")) this.checkBinding(key);
    this.judge(revision);
  }

  private sessionChanged(key: string, put: KeyChange["put"]): void {
    if (put === undefined) {
      this.sessions.delete(key);
      this.gone.add(key);
      return;
    }
    const before = this.sessions.get(key);
    const { attempt, serverId } = SessionRecord.decode(put.value);
    if (this.gone.has(key)) this.found("SESSION-RETURNS", key);
    if (before === undefined) this.counts.sessions++;
    else if (attempt > before.attempt) this.counts.resumes++;
    else if (attempt < before.attempt || serverId !== before.serverId)
      this.found("ATTEMPT-BACK", `${key} went from attempt ${before.attempt} to ${attempt}`);
    this.sessions.set(key, { createRevision: put.createRevision, lease: put.lease, attempt, serverId });
  }

  private claimChanged(key: string, put: KeyChange["put"]): void {
    const before = this.claims.get(key);
    if (put === undefined) {
      this.claims.delete(key);
      return;
    }
    const { ordinal, lockNames, mode, permits, limit, value } = ClaimRecord.decode(put.value);
    const name = key.slice("claim/".length, key.indexOf("//"));
    if (before !== undefined && before.ordinal !== ordinal) this.found("ORDINAL", `${key} got another ordinal`);
    this.claims.set(key, {
      createRevision: put.createRevision,
      lease: put.lease,
      ordinal,
      lockNames: lockNames.length === 0 ? [name] : lockNames,
      spec: { name, mode: MODES.get(mode)!, permits, limit },
      value: Buffer.from(value).toString(),
    });
  }

  /** A claim is written while its session is there, and goes with that one's lease. */
  private checkBinding(key: string): void {
    const claim = this.claims.get(key);
    const session = this.sessions.get(`session/${sessionOf(key)}`);
    if (session === undefined) this.found("ORPHAN", `${key} was written without its session`);
    else if (claim !== undefined && session.lease !== claim.lease)
      this.found("DETACHED", `${key} has not its session's lease`);
  }

  private judge(revision: number): void {
    const claims = this.liveClaims();
    const held = trueHolders(claims);
    const live = new Set<string>();
    for (const claim of claims) {
      live.add(placeOf(claim));
      const life = this.living.get(placeOf(claim)) ?? this.begin(claim);
      if (!held.has(claim)) {
        if (life.heldFrom !== undefined) this.found("MONOTONE", `${claim.id} was held and waits at ${revision}`);
      } else if (life.heldFrom === undefined) {
        life.heldFrom = revision;
        this.letIn(life);
      }
    }
    for (const [place, life] of this.living)
      if (!live.has(place)) {
        life.endedAt = revision;
        this.living.delete(place);
      }
    this.checkHolders();
  }

  private liveClaims(): QueuedClaim[] {
    const keysOf = new Map<string, [string, ClaimKey][]>();
    for (const [key, claim] of this.claims) {
      const id = key.slice(key.indexOf("//") + 2);
      if (!this.sessions.has(`session/${sessionOf(key)}`)) continue;
      const keys = keysOf.get(id);
      if (keys === undefined) keysOf.set(id, [[key, claim]]);
      else keys.push([key, claim]);
    }
    const claims: QueuedClaim[] = [];
    for (const [id, keys] of keysOf) {
      const [key, { createRevision, ordinal, lockNames, value }] = keys[0]!;
      if (keys.length !== lockNames.length) continue;
      const token = BigInt(createRevision) * 128n + BigInt(ordinal);
      const locks = keys.map(([, { spec }]) => spec);
      const sessionId = sessionOf(key);
      claims.push({ id, sessionId, claimId: 0n, createRevision, ordinal, token, reentryId: "", locks, value });
    }
    return claims.sort((a, b) => a.createRevision - b.createRevision || a.ordinal - b.ordinal);
  }

  private begin(claim: QueuedClaim): ClaimLife {
    this.counts.claims++;
    const life: ClaimLife = { claim, token: Number(claim.token), heldFrom: undefined, endedAt: undefined };
    this.living.set(placeOf(claim), life);
    for (const { name } of claim.locks) {
      const lives = this.lives.get(name);
      if (lives === undefined) this.lives.set(name, [life]);
      else {
        if (lives.at(-1)!.token >= life.token) this.found("PLACE-TAKEN", `${claim.id} stands before an older one`);
        lives.push(life);
      }
    }
    return life;
  }

  /** Tokens of one lock grow in the order in which claims are let in. */
  private letIn({ claim, token }: ClaimLife): void {
    for (const { name } of claim.locks) {
      if (token <= (this.lastHeld.get(name) ?? 0)) this.found("OVERTAKEN", `${claim.id} on ${name} was let in late`);
      this.lastHeld.set(name, token);
    }
  }

  private checkHolders(): void {
    const byLock = new Map<string, LockSpec[]>();
    for (const { claim, heldFrom } of this.living.values())
      if (heldFrom !== undefined)
        for (const spec of claim.locks) byLock.set(spec.name, [...(byLock.get(spec.name) ?? []), spec]);
    for (const [name, specs] of byLock)
      if (!isCompatible(specs)) this.found("TWO-HOLDERS", `${name} is held by ${specs.length} that exclude each other`);
  }
}

const MODES: ReadonlyMap<Mode, LockSpec["mode"]> = new Map([
  [Mode.EXCLUSIVE, "exclusive"],
  [Mode.SHARED, "shared"],
  [Mode.SEMAPHORE, "semaphore"],
]);

const sessionOf = (claimKey: string): string => claimKey.slice(claimKey.indexOf("//") + 2).split("/")[0]!;
const placeOf = (claim: TrueClaim): string => `${claim.id}@${claim.createRevision}`;
