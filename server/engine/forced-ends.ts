import { CloseByForce, EndClaim, MarkClaim, MarkSession } from "../core/force-operations.ts";
import type { ClaimView } from "../core/frames.ts";
import type { PendingOperation } from "../core/group-commit.ts";
import type { LockTable, TableSession } from "../core/lock-table.ts";
import type { Settled } from "../core/operation.ts";
import type { Claim, Seat } from "../core/queue.ts";
import type { Reason } from "../core/reason.ts";
import type { Session } from "../core/session.ts";
import { viewClaim, viewHolders } from "../core/views.ts";
import type { Wake } from "../core/wake.ts";
import type { EngineNote } from "../ports/telemetry.ts";
import type { CloseSession, ForcedAnswer, ReleaseLock } from "./admin-engine.ts";
import { sweep } from "./sweep.ts";

export interface ForcedEndsHost {
  readonly table: LockTable;
  nowMs(): number;
  after(delayMs: number, then: () => void): Wake;
  submit(operation: PendingOperation): void;
  whenTable(revision: number, then: () => void): void;
  barrier(then: (current: boolean) => void): void;
  note(note: EngineNote): void;
  /** The session with this id, if this server has it. */
  ownSession(id: string): Session | undefined;
  revokeLease(lease: bigint): void;
}

/** How long an administrator waits to be told whether an end was committed. */
const PATIENCE_MS = 10_000;
const AGAIN_MS = 50;
/** How often a mark is tried again that was refused because the record had just been written by another. */
const MARK_TRIES = 5;
const HOLDERS = 10;

/** Ends claims and sessions for an administrator, and does not answer before it is known whether they have ended. */
export class ForcedEnds {
  private readonly host: ForcedEndsHost;

  constructor(host: ForcedEndsHost) {
    this.host = host;
  }

  /** Ends the claim that holds a lock with a token. From a table that is current. */
  releaseLock(request: ReleaseLock, done: (answer: ForcedAnswer<ClaimView>) => void): void {
    const { host } = this;
    const { table } = host;
    const seat = holderOf(table, request);
    const session = seat && table.sessions.get(seat.claim.sessionId);
    if (seat === undefined || session === undefined) return done(wrongToken(table, request));
    const { claim } = seat;
    const view = viewClaim(seat, table, false);
    const noted = notedClaim(claim, session);
    const { actor, justification } = request;
    new OneEnd(host, {
      mark: (then) => new MarkClaim(table, claim, { actor, justification }, then),
      end: (then) => new EndClaim(claim, then),
      isOver: () => claim.stage === "ended",
      done: (outcome) => {
        if (outcome === "ended-before") return done(wrongToken(table, request));
        const known = outcome === "ended";
        host.note({ kind: "claim.forced", ...noted, token: view.token, actor, justification, known });
        done(known ? { kind: "ok", value: view } : UNKNOWN);
      },
    }).start();
  }

  /** Closes a session, likewise. Answers with how many live claims it had. */
  closeSession(request: CloseSession, done: (answer: ForcedAnswer<number>) => void): void {
    const { host } = this;
    const { table } = host;
    const { sessionId, actor, justification } = request;
    const session = table.sessions.get(sessionId);
    if (session === undefined) return done(noSession(sessionId));
    const isOwn = host.ownSession(sessionId) !== undefined;
    let claims = 0;
    new OneEnd(host, {
      mark: (then) => new MarkSession(table, session, { actor, justification }, then),
      end: (then) => {
        claims = table.claimsOfSession(sessionId).length;
        return new CloseByForce(table, session, then);
      },
      isOver: () => table.sessions.get(sessionId)?.createRevision !== session.createRevision,
      done: (outcome) => {
        if (outcome === "ended-before") return done(noSession(sessionId));
        const known = outcome === "ended";
        host.note({ kind: "session.forced", session, claims, actor, justification, known });
        if (known && !isOwn) this.sweepUp(session);
        done(known ? { kind: "ok", value: claims } : UNKNOWN);
      },
    }).start();
  }

  /** Its own server sweeps too, if it still runs: what both delete is deleted once. */
  private sweepUp(session: TableSession): void {
    this.host.barrier((current) => {
      if (current) sweep(this.host, session);
    });
  }
}

interface Steps {
  mark(then: (outcome: Settled | undefined) => void): PendingOperation;
  end(then: (outcome: Settled | undefined) => void): PendingOperation;
  /** Whether the table shows that it has ended. */
  isOver(): boolean;
  done(outcome: "ended" | "ended-before" | "unknown"): void;
}

/** One end by force, from the mark to the answer. */
class OneEnd {
  private readonly host: ForcedEndsHost;
  private readonly steps: Steps;
  private readonly untilMs: number;
  private markTries = 0;
  /** Whether a delete was sent that may have landed without our hearing of it. */
  private mayHaveEnded = false;

  constructor(host: ForcedEndsHost, steps: Steps) {
    this.host = host;
    this.steps = steps;
    this.untilMs = host.nowMs() + PATIENCE_MS;
  }

  start(): void {
    this.mark();
  }

  private mark(): void {
    this.markTries++;
    this.host.submit(
      this.steps.mark((outcome) => {
        // Refused: the session's server wrote a value or a new epoch just then, or it has ended.
        if (outcome?.kind === "refused" && this.markTries < MARK_TRIES)
          this.host.whenTable(outcome.revision, () => (this.steps.isOver() ? this.end() : this.mark()));
        // One of unknown outcome may land yet, but not after the delete: its guards are on what that deletes.
        else this.end();
      }),
    );
  }

  private end(): void {
    this.host.submit(this.steps.end((outcome) => this.ended(outcome)));
  }

  private ended(outcome: Settled | undefined): void {
    const { host } = this;
    switch (outcome?.kind) {
      case undefined:
        return this.finish();
      case "applied":
        return this.steps.done("ended");
      case "refused":
        return host.whenTable(outcome.revision, () => this.again());
      case "unknown":
        this.mayHaveEnded = true;
        return host.barrier(() => this.again());
      default:
        // Nothing was written, because of what travelled with it.
        return this.again();
    }
  }

  private again(): void {
    if (this.steps.isOver()) return this.finish();
    if (this.host.nowMs() > this.untilMs) return this.steps.done("unknown");
    this.host.after(AGAIN_MS, () => this.end());
  }

  private finish(): void {
    this.steps.done(this.mayHaveEnded ? "ended" : "ended-before");
  }
}

/** The holder of a lock whose grant has a token. */
function holderOf(table: LockTable, { name, token }: ReleaseLock): Seat | undefined {
  const queue = table.queues.get(name);
  for (let seat = queue?.first; seat?.claim.held; seat = seat.next) if (seat.claim.token === token) return seat;
  return undefined;
}

const notedClaim = ({ id, reentryId, seats }: Claim, session: TableSession) => ({
  session,
  claim: {
    id,
    request: { locks: seats.map(({ spec }) => spec), reentryId, purpose: seats[0]?.record.purpose ?? "" },
  },
});

function wrongToken(table: LockTable, { name, token }: ReleaseLock): ForcedAnswer<never> {
  const queue = table.queues.get(name);
  const holders = viewHolders(queue, table, HOLDERS, false);
  const now = queue === undefined || queue.heldCount === 0 ? "nobody holds it now" : "look who holds it now";
  const message = `no holder of "${name}" has fencing token ${token}: ${now}`;
  return { kind: "failed", reason: "wrong-token", message, holders, holderCount: queue?.heldCount ?? 0 };
}

const noSession = (id: string): ForcedAnswer<never> => ({
  kind: "failed",
  reason: "not-found",
  message: `there is no session "${id}": it has ended, or never was`,
});

const UNKNOWN: ForcedAnswer<never> = {
  kind: "failed",
  reason: "store-unavailable" satisfies Reason,
  message: "the store does not answer, so nobody knows whether it has ended: look, and try again if it has not",
};
