import type { Snapshot } from "../../server/core/entry.ts";
import type { CommitOutcome, Operation } from "../../server/core/operation.ts";
import { WRITE_WITHOUT_EFFECT } from "../../server/engine/write-proof.ts";
import type { Clock } from "../../server/ports/clock.ts";
import type { Feed, LeaseOutcome, RenewOutcome, RevisionOutcome, Store } from "../../server/ports/store.ts";
import { KeyHistory } from "../support/key-history.ts";

/** A call that waits for the test to say what becomes of it. */
export interface Held<Outcome> {
  answer(outcome: Outcome): void;
}
export interface HeldCommit extends Held<CommitOutcome> {
  readonly operations: readonly Operation[];
  /** Applies it without an answer. */
  land(): boolean[];
}
export interface HeldRenewal extends Held<RenewOutcome> {
  readonly lease: bigint;
}

/** etcd as the test wants it: answers by itself, at the end of the turn, except for calls that are held back. */
export class ScriptedStore implements Store {
  readonly keys = new KeyHistory();
  /** Kinds of calls that are held back. */
  readonly held = new Set<"commit" | "proof" | "grant" | "renew" | "read" | "readAll">();
  readonly commits: HeldCommit[] = [];
  /** The writes that only prove that the store commits. */
  readonly proofs: Held<CommitOutcome>[] = [];
  readonly grants: Held<LeaseOutcome>[] = [];
  readonly renewals: HeldRenewal[] = [];
  readonly reads: Held<RevisionOutcome>[] = [];
  readonly readAlls: Held<Snapshot | undefined>[] = [];
  readonly revoked: bigint[] = [];
  /** How often each was called. */
  readonly calls = { commit: 0, read: 0, renew: 0, progress: 0, readAll: 0 };
  /** While `true`, what is written does not reach the feed. */
  watchIsSilent = false;
  /** Writes below other prefixes: revisions that the feed never shows. */
  othersRevisions = 0;
  private readonly clock: Clock;
  private feed: Feed | undefined;
  private delivered = 0;
  private lastLease = 100n;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get revision(): number {
    return this.keys.revision + this.othersRevisions;
  }

  follow(feed: Feed): void {
    this.feed = feed;
    this.later(() => this.resync());
  }

  /** Sends the feed a snapshot of what there is, as at the start and after a gap. */
  resync(): void {
    this.delivered = this.keys.log.length;
    this.feed?.snapshot(this.snapshot());
  }

  snapshot(): Snapshot {
    return { revision: this.keys.revision, entries: [...this.keys.entries.values()] };
  }

  /** Sends the feed what it has not seen. */
  deliver(): void {
    if (this.watchIsSilent) return;
    for (; this.delivered < this.keys.log.length; this.delivered++) {
      const { revision, changes } = this.keys.log[this.delivered]!;
      this.feed?.changes(revision, changes);
    }
  }

  /** Writes to etcd as somebody else does, and delivers it. */
  write(write: (keys: KeyHistory) => void): void {
    write(this.keys);
    this.deliver();
  }

  commit(operations: readonly Operation[], done: (outcome: CommitOutcome) => void): void {
    if (operations[0] === WRITE_WITHOUT_EFFECT) {
      this.ask("proof", this.proofs, { answer: done }, () =>
        done({ kind: "decided", revision: this.keys.revision, applied: [true] }),
      );
      return;
    }
    this.calls.commit++;
    const land = (): boolean[] => {
      const applied = this.keys.commit(operations);
      this.deliver();
      return applied;
    };
    const answer = (): void => {
      const applied = land();
      done({ kind: "decided", revision: this.keys.revision, applied });
    };
    this.ask("commit", this.commits, { operations, land, answer: done }, answer);
  }

  grantLease(ttlSeconds: number, done: (outcome: LeaseOutcome) => void): void {
    const lease = ++this.lastLease;
    this.ask("grant", this.grants, { answer: done }, () => done({ kind: "granted", lease, ttlSeconds }));
  }

  renewLease(lease: bigint, done: (outcome: RenewOutcome) => void): void {
    this.calls.renew++;
    this.ask("renew", this.renewals, { lease, answer: done }, () => done({ kind: "renewed", ttlSeconds: 20 }));
  }

  revokeLease(lease: bigint, done: (known: boolean) => void): void {
    this.revoked.push(lease);
    this.later(() => done(true));
  }

  readRevision(done: (outcome: RevisionOutcome) => void): void {
    this.calls.read++;
    this.ask("read", this.reads, { answer: done }, () => done({ kind: "revision", revision: this.revision }));
  }

  requestProgress(): void {
    this.calls.progress++;
    this.later(() => {
      if (!this.watchIsSilent) this.feed?.progress(this.revision);
    });
  }

  readAll(done: (snapshot: Snapshot | undefined) => void): void {
    this.calls.readAll++;
    this.ask("readAll", this.readAlls, { answer: done }, () => done(this.snapshot()));
  }

  private ask<Call>(
    kind: "commit" | "proof" | "grant" | "renew" | "read" | "readAll",
    calls: Call[],
    call: Call,
    answer: () => void,
  ) {
    if (this.held.has(kind)) calls.push(call);
    else this.later(answer);
  }

  private later(fn: () => void): void {
    this.clock.endOfTurn(fn);
  }
}
