import type { PendingOperation } from "./group-commit.ts";
import { sessionKey } from "./keys.ts";
import type { LockTable, TableSession } from "./lock-table.ts";
import type { Guard, Operation, Settled, Write } from "./operation.ts";
import type { Claim } from "./queue.ts";
import type { ForcedEnd } from "./records.ts";

/**
 * What an administrator does to claims and sessions, through any server. Each end is two transactions: a mark with the
 * reason, so that the server which has the session can tell its client; and then the delete, which alone counts. A
 * mark decides nothing: without one, when etcd is full or the mark is refused, the delete goes ahead, and the client
 * is told the same without the reason.
 *
 * The delete is guarded by the creation that the administrator saw and by no epoch (DESIGN 4.4), so it may be repeated
 * until it is known, and one that lands late hits nobody who came later.
 */
abstract class ForceOperation {
  readonly sessionId: string;
  readonly keys: readonly string[];
  readonly locks: readonly string[];
  readonly lanes: readonly string[] = [];
  readonly bytes: number;
  protected readonly done: (outcome: Settled | undefined) => void;

  /** `done` is told what became of it once; `undefined`: there was nothing left to do. */
  constructor(about: ForcedTarget, bytes: number, done: (outcome: Settled | undefined) => void) {
    this.sessionId = about.sessionId;
    this.keys = about.keys;
    this.locks = about.locks;
    this.bytes = bytes * about.keys.length;
    this.done = done;
  }

  protected nothing(): undefined {
    this.done(undefined);
    return undefined;
  }

  settled(outcome: Settled): void {
    this.done(outcome);
  }
}

interface ForcedTarget {
  readonly sessionId: string;
  readonly keys: readonly string[];
  readonly locks: readonly string[];
}

type Done = (outcome: Settled | undefined) => void;

const targetOf = (claim: Claim): ForcedTarget => ({
  sessionId: claim.sessionId,
  keys: claim.seats.map((seat) => seat.key),
  locks: claim.lockNames,
});

const targetOfSession = ({ id }: TableSession): ForcedTarget => ({ sessionId: id, keys: [sessionKey(id)], locks: [] });

/** Writes into a claim why it is about to be ended. */
export class MarkClaim extends ForceOperation implements PendingOperation {
  readonly kind = "claim";
  private readonly table: LockTable;
  private readonly claim: Claim;
  private readonly forced: ForcedEnd;

  constructor(table: LockTable, claim: Claim, forced: ForcedEnd, done: Done) {
    super(targetOf(claim), 5_000, done);
    this.table = table;
    this.claim = claim;
    this.forced = forced;
  }

  build(): Operation | undefined {
    const { claim, forced } = this;
    const session = this.table.sessions.get(claim.sessionId);
    if (claim.stage !== "live" || session === undefined) return this.nothing();
    const { lease, createRevision } = session;
    // The revisions seen guard what is copied; the lease is named again, or the put would detach it. And a key that
    // its session's end has left behind stays as it is, for the sweep.
    const guards: Guard[] = [{ kind: "created", key: sessionKey(session.id), revision: createRevision }];
    const writes: Write[] = [];
    for (const { key, record, modRevision } of claim.seats) {
      guards.push({ kind: "modified", key, revision: modRevision });
      writes.push({ kind: "put", key, lease, value: { kind: "claim", record: { ...record, forced } } });
    }
    return { guards, writes };
  }
}

/** Deletes a claim, whoever has its session. */
export class EndClaim extends ForceOperation implements PendingOperation {
  readonly kind = "delete";
  private readonly claim: Claim;

  constructor(claim: Claim, done: Done) {
    super(targetOf(claim), 200, done);
    this.claim = claim;
  }

  build(): Operation | undefined {
    if (this.claim.stage === "ended") return this.nothing();
    // All keys of a claim are created in one transaction and deleted in one, so the first speaks for all of them.
    const guard: Guard = { kind: "created", key: this.keys[0] as string, revision: this.claim.createRevision };
    return { guards: [guard], writes: this.keys.map((key) => ({ kind: "delete", key })) };
  }
}

/**
 * Writes into a session why it is about to be closed. To the server that has it this is a bump that it did not ask for:
 * the record has its id and attempt, so it takes the new epoch and goes on (DESIGN 4.4).
 */
export class MarkSession extends ForceOperation implements PendingOperation {
  readonly kind = "life";
  private readonly table: LockTable;
  private readonly forced: ForcedEnd;

  constructor(table: LockTable, session: TableSession, forced: ForcedEnd, done: Done) {
    super(targetOfSession(session), 3_000, done);
    this.table = table;
    this.forced = forced;
  }

  build(): Operation | undefined {
    const session = this.table.sessions.get(this.sessionId);
    if (session === undefined) return this.nothing();
    const { modRevision, lease } = session;
    const [key] = this.keys as [string];
    const record = { ...session.record, forced: this.forced };
    return {
      guards: [{ kind: "modified", key, revision: modRevision }],
      writes: [{ kind: "put", key, lease, value: { kind: "session", record } }],
    };
  }
}

/** Deletes a session's key, whoever has it: with it gone, none of its claims is live. */
export class CloseByForce extends ForceOperation implements PendingOperation {
  readonly kind = "end";
  private readonly table: LockTable;
  private readonly createRevision: number;

  constructor(table: LockTable, session: TableSession, done: Done) {
    super(targetOfSession(session), 200, done);
    this.table = table;
    this.createRevision = session.createRevision;
  }

  build(): Operation | undefined {
    if (!this.table.sessions.has(this.sessionId)) return this.nothing();
    const [key] = this.keys as [string];
    return {
      guards: [{ kind: "created", key, revision: this.createRevision }],
      writes: [{ kind: "delete", key }],
    };
  }
}
