import type { Acquire, LockSpec, SessionEvent } from "../../server/core/frames.ts";
import { GroupCommit, type PendingOperation } from "../../server/core/group-commit.ts";
import { LockTable, type TableDelta } from "../../server/core/lock-table.ts";
import type { CommitOutcome, Operation } from "../../server/core/operation.ts";
import type { Claim } from "../../server/core/queue.ts";
import type { OnDisconnect } from "../../server/core/records.ts";
import { Session } from "../../server/core/session.ts";
import type { SessionHost, SessionNote } from "../../server/core/session-host.ts";
import type { Wake } from "../../server/core/wake.ts";
import { KeyHistory } from "../support/key-history.ts";
import { TurnedClock } from "../support/turned-clock.ts";

type EventOf<Kind extends SessionEvent["kind"]> = Extract<SessionEvent, { kind: Kind }>;

/** A transaction that was taken to be sent: the test says what becomes of it, and when. */
export interface Flight {
  readonly operations: readonly Operation[];
  /** Applies it, if its guards hold, without an answer; `false`: none of its operations was. */
  land(): boolean;
  answer(outcome: CommitOutcome): void;
}

/** Sessions on a server whose store, watch, clock and barrier are in the hands of the test. */
export class SessionBench implements SessionHost {
  readonly serverId = "server-1";
  readonly table = new LockTable();
  readonly limits = { maxTtlMs: 600_000, maxClaimsPerSession: 5, maxWaitersPerLock: 3, maxReentryDepth: 3 };
  /** What is in etcd. */
  readonly keys = new KeyHistory();
  readonly clock = new TurnedClock();
  readonly sessions = new Map<string, Session>();
  /** By session: what its client was sent since it was last asked for. */
  private readonly sent = new Map<unknown, SessionEvent[]>();
  readonly notes: SessionNote[] = [];
  /** Claims around which a deadlock was looked for. */
  readonly looks: Claim[] = [];
  readonly barriers: ((current: boolean) => void)[] = [];
  /** While `true`, revisions do not reach the table. */
  watchIsSilent = false;
  readonly group = new GroupCommit();
  private delivered = 0;
  private awaited: { readonly revision: number; readonly then: () => void }[] = [];

  /** A session of this server with an attached stream; with claims that are in etcd already, if it has any. */
  open(id: string, onDisconnect: OnDisconnect = "release"): Session {
    this.keys.session(id, this.serverId);
    this.deliver();
    const entry = this.table.sessions.get(id);
    if (entry === undefined) throw new Error("the watch is silent");
    const record = { ...entry.record, onDisconnect };
    const session = new Session(this, { ...entry, record }, 15_200);
    this.sessions.set(id, session);
    session.attach(id);
    return session;
  }

  // -- The client ------------------------------------------------------------------------------------

  /** What a client was sent since this was last asked. */
  events(session: Session): SessionEvent[] {
    const events = this.sent.get(session.id) ?? [];
    this.sent.delete(session.id);
    return events;
  }

  /** The same in short: kind, claim id and reason. */
  told(session: Session): string[] {
    return this.events(session).map((event) => {
      const parts: unknown[] = [event.kind];
      if ("claimId" in event) parts.push(event.claimId);
      if ("reason" in event && event.reason !== undefined) parts.push(event.reason);
      if (event.kind === "waiting") parts.push(event.position);
      return parts.join(" ");
    });
  }

  lastEvent<Kind extends SessionEvent["kind"]>(session: Session, kind: Kind): EventOf<Kind> {
    const event = this.events(session).findLast((each): each is EventOf<Kind> => each.kind === kind);
    if (event === undefined) throw new Error(`${session.id} was sent no ${kind}`);
    return event;
  }

  // -- etcd ------------------------------------------------------------------------------------------

  /** Takes what is ready to be sent as one transaction; `undefined`: nothing is. */
  takeOff(): Flight | undefined {
    const batch = this.group.take();
    if (batch === undefined) return undefined;
    let applied: boolean[] = [];
    return {
      operations: batch.operations,
      land: () => {
        applied = this.apply(batch.operations);
        return applied.includes(true);
      },
      answer: (outcome) => this.group.settle(batch, outcome),
    };
  }

  /** Sends all that is ready, one transaction after the other, until there is nothing more. */
  settle(): void {
    for (let flight = this.takeOff(); flight !== undefined; flight = this.takeOff()) {
      const { operations } = flight;
      const applied = this.apply(operations);
      flight.answer({ kind: "decided", revision: this.keys.revision, applied });
    }
  }

  /** Sends what is ready, and answers that nobody knows; it lands if `lands`. */
  loseAnswer(lands: boolean): void {
    const flight = this.takeOff();
    if (flight === undefined) throw new Error("nothing is ready");
    if (lands) flight.land();
    flight.answer({ kind: "unknown" });
  }

  /** Answers all barriers that are waited for. */
  pass(current = true): void {
    for (const then of this.barriers.splice(0)) then(current);
  }

  /** Settles all, passes barriers and lets a little time go by, until nothing more happens. */
  run(): void {
    for (let i = 0; i < 20; i++) {
      this.settle();
      this.pass();
      this.clock.turn(10);
    }
  }

  /** Lets the table follow what is in etcd. */
  deliver(): void {
    if (this.watchIsSilent) return;
    for (; this.delivered < this.keys.log.length; this.delivered++) {
      const { revision, changes } = this.keys.log[this.delivered]!;
      this.act(this.table.apply(revision, changes));
      const due = this.awaited.filter((each) => each.revision <= revision);
      this.awaited = this.awaited.filter((each) => each.revision > revision);
      for (const { then } of due) then();
    }
  }

  private apply(operations: readonly Operation[]): boolean[] {
    const applied = this.keys.commit(operations);
    this.deliver();
    return applied;
  }

  /** As the engine does. */
  private act(delta: TableDelta): void {
    for (const { id, now } of delta.sessions)
      if (now === undefined) this.sessions.get(id)?.isGone();
      else this.sessions.get(id)?.sawEpoch(now);
    for (const claim of delta.ended) this.sessions.get(claim.sessionId)?.sawEnded(claim);
    for (const claim of delta.entered) this.sessions.get(claim.sessionId)?.saw(claim);
    this.letIn(delta);
    for (const claim of delta.entered) this.sessions.get(claim.sessionId)?.leave(claim);
    for (const { id } of delta.sessions) this.sessions.get(id)?.settleDead();
  }

  // -- SessionHost -----------------------------------------------------------------------------------

  nowMs(): number {
    return this.clock.nowMs();
  }

  wallMs(): number {
    return this.clock.wallMs();
  }

  after(delayMs: number, then: () => void): Wake {
    return this.clock.at(this.clock.nowMs() + delayMs, then);
  }

  submit(operation: PendingOperation): void {
    this.group.add(operation);
  }

  barrier(then: (current: boolean) => void): void {
    this.barriers.push(then);
  }

  whenTable(revision: number, then: () => void): void {
    if (this.table.revision >= revision) then();
    else this.awaited.push({ revision, then });
  }

  letIn(delta: TableDelta): void {
    for (const claim of delta.granted) this.sessions.get(claim.sessionId)?.sawGranted(claim);
  }

  send(stream: unknown, event: SessionEvent): void {
    const events = this.sent.get(stream);
    if (events === undefined) this.sent.set(stream, [event]);
    else events.push(event);
  }

  revokeLease(): void {}

  holderEnded(): void {}

  previousHolder(): undefined {}

  lookForDeadlock(around: Claim): void {
    this.looks.push(around);
  }

  note(note: SessionNote): void {
    this.notes.push(note);
  }
}

export const acquire = (
  claimId: bigint,
  locks: LockSpec | readonly LockSpec[],
  options: Partial<Acquire> = {},
): Acquire => ({
  kind: "acquire",
  claimId,
  locks: Array.isArray(locks) ? locks : [locks as LockSpec],
  waitMs: undefined,
  reentryId: "",
  purpose: "",
  value: new Uint8Array(),
  ...options,
});

export const tryOf = (claimId: bigint, locks: LockSpec | readonly LockSpec[]): Acquire =>
  acquire(claimId, locks, { waitMs: 0 });
export const release = (claimId: bigint) => ({ kind: "release", claimId }) as const;
export const update = (claimId: bigint, value: string) =>
  ({ kind: "update", claimId, value: new TextEncoder().encode(value) }) as const;
