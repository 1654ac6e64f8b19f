import type { Command, HolderEnd, LockView, PreviousHolder, SessionEvent } from "../core/frames.ts";
import type { PendingOperation } from "../core/group-commit.ts";
import { LockTable, type TableDelta, type TableSession } from "../core/lock-table.ts";
import type { Claim } from "../core/queue.ts";
import type { Reason } from "../core/reason.ts";
import type { ForcedEnd } from "../core/records.ts";
import { ServerTable } from "../core/server-table.ts";
import type { Ending, Session } from "../core/session.ts";
import type { Limits } from "../core/session-host.ts";
import { viewLock } from "../core/views.ts";
import type { Wake } from "../core/wake.ts";
import type { Clock } from "../ports/clock.ts";
import type { Entropy } from "../ports/entropy.ts";
import type { Peers } from "../ports/peers.ts";
import type { SessionStream } from "../ports/session-stream.ts";
import type { Change, Feed, Snapshot, Store } from "../ports/store.ts";
import type { EngineNote, Telemetry } from "../ports/telemetry.ts";
import { Administration, type AdministrationHost } from "./administration.ts";
import { Audit } from "./audit.ts";
import { Barrier } from "./barrier.ts";
import { Committer } from "./committer.ts";
import { Deadlines } from "./deadlines.ts";
import { Deadlocks } from "./deadlocks.ts";
import type { Distribution } from "./distribution.ts";
import { Evacuation, type EvacuationHost } from "./evacuation.ts";
import { fanOut } from "./fan-out.ts";
import { History } from "./history.ts";
import { type Link, MAX_QUEUED_COMMANDS } from "./link.ts";
import type {
  Answer,
  LockEngine,
  LockPage,
  LockQuery,
  LockWatch,
  StreamEnd,
  TokenView,
  WatchQuery,
} from "./lock-engine.ts";
import { LockWatches, listLocks } from "./lock-watches.ts";
import { PositionNotices } from "./position-notices.ts";
import { PreviousHolders } from "./previous-holders.ts";
import { Readiness, type StoreSilence, storeProblem } from "./readiness.ts";
import { Registration, type ServerDescription } from "./registration.ts";
import { Renewals } from "./renewals.ts";
import { SessionOpener, type SessionOpenerHost } from "./session-opener.ts";
import type { Opening } from "./session-openings.ts";
import { Statistics } from "./statistics.ts";
import { sweep } from "./sweep.ts";
import { findToken } from "./tokens.ts";
import { WriteProof } from "./write-proof.ts";

/** How often the table is proven current while there are sessions; acks need a proof within the last 2 s. */
const PROVE_EVERY_MS = 500;
const AUDIT_EVERY_MS = 300_000;

const EXPIRED_IN_STORE: Ending = {
  reason: "session-expired",
  message: "the session's lease ran out in the store, or an operator ended it: open a new session",
  isAsked: false,
};

const closedByForce = ({ justification, actor }: ForcedEnd): Ending => ({
  reason: "closed-by-force",
  message: `an administrator closed the session, who says: ${justification}`,
  isAsked: false,
  actor,
});

/** How a holder ended whose session is another server's. */
const endSeenOf = ({ forced }: Claim): HolderEnd => (forced === undefined ? "unknown" : "forced");

export interface EngineOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly telemetry: Telemetry;
  readonly limits: Limits;
  /** Names this run of the server: random, never used before. */
  readonly serverId: string;
  /** The other servers, for when this one has lost its store. Absent: clients are not told to go elsewhere then. */
  readonly peers?: Peers;
  /** How often the table is compared with the store, in milliseconds. Default: 5 minutes. */
  readonly auditEveryMs?: number;
}

/**
 * The one loop and single writer: what clients and etcd say comes in, the core decides, and what it decides
 * goes out, all synchronously. Everything that decides a grant is in the table; losing this object loses no
 * claim, place or token (P6).
 */
export class Engine implements LockEngine, SessionOpenerHost, AdministrationHost, EvacuationHost, Feed {
  readonly serverId: string;
  /** For the people on call. */
  readonly administration: Administration;
  readonly limits: Limits;
  readonly table = new LockTable();
  /** All servers that are registered, this one among them once it is. */
  readonly servers = new ServerTable();
  /** Where else clients can go, in order; another list whenever the servers have changed. */
  private others: readonly string[] = [];
  private readonly store: Store;
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  private readonly statistics: Statistics;
  private readonly writes: WriteProof;
  private readonly committer: Committer;
  private readonly tableBarrier: Barrier;
  private readonly renewals: Renewals;
  private readonly deadlines: Deadlines;
  private readonly deadlocks: Deadlocks;
  private readonly notices: PositionNotices;
  private readonly watches: LockWatches;
  private readonly previous = new PreviousHolders();
  private readonly audit: Audit;
  private readonly registration: Registration;
  private readonly linksByStream = new Map<SessionStream, Link>();
  private readonly sessions = new Map<string, Session>();
  private readonly opener: SessionOpener;
  private readonly readiness = new Readiness();
  private readonly evacuation: Evacuation | undefined;
  /** Streams that were closed or have ended, for as long as anybody has them: nothing more is taken from them. */
  private readonly closed = new WeakSet<SessionStream>();
  private started: (() => void) | undefined;
  private halted = false;
  private whenEmpty: (() => void) | undefined;

  constructor(options: EngineOptions) {
    this.store = options.store;
    this.clock = options.clock;
    // Before the parts that take it over.
    this.serverId = options.serverId;
    const history = new History(() => options.clock.wallMs());
    this.statistics = new Statistics(options.clock, () => this.counts());
    this.telemetry = fanOut(options.telemetry, history, this.statistics);
    this.administration = new Administration(this, options.store, history, this.statistics);
    this.limits = options.limits;
    this.writes = new WriteProof(options.store, options.clock);
    this.committer = new Committer(options.store, options.clock, this.telemetry, (outcome, sentAtMs) =>
      this.writes.answered(outcome, sentAtMs),
    );
    this.tableBarrier = new Barrier(this.table, options.store, options.clock, (seen, answered) =>
      this.fail(
        `etcd is at revision ${answered}, but this server has seen ${seen}: it was restored from a backup or replaced. ` +
          "Fencing tokens may repeat; restart the servers once you know that no client relies on newer ones",
      ),
    );
    this.deadlines = new Deadlines(options.clock, this.telemetry);
    this.deadlocks = new Deadlocks({
      table: this.table,
      after: (delayMs, then) => this.after(delayMs, then),
      endOfTurn: (then) => this.endOfTurn(then),
      barrier: (then) => this.barrier(then),
      deny: ({ victim, message }) => this.sessions.get(victim.sessionId)?.breakDeadlock(victim, message),
    });
    this.opener = new SessionOpener(this, options.store, options.entropy);
    this.evacuation = options.peers && new Evacuation(this, options.peers);
    this.renewals = new Renewals(
      this,
      options.store,
      this.telemetry,
      () => this.tableBarrier.provenAtMs,
      (session) => this.tellOfServers(session),
    );
    this.notices = new PositionNotices(this.table, options.clock, (id) => this.sessions.get(id));
    this.watches = new LockWatches(this.table);
    this.registration = new Registration(this, options.store, options.clock);
    this.audit = new Audit(this.table, options.store, options.clock, this, options.auditEveryMs ?? AUDIT_EVERY_MS);
  }

  /** Begins to follow the store. `ready` is called once, when the table is there and commands are taken. */
  start(ready: () => void): void {
    this.started = ready;
    this.store.follow(this);
    this.proveRegularly();
    this.statistics.start(() => this.halted);
  }

  /** Tells the other servers of this one, for as long as it runs. To be called once, when clients can reach it. */
  register(about: ServerDescription): void {
    this.registration.begin(about);
    this.lookForServers();
  }

  /**
   * Asks to be sent nobody any more: says that it does not serve, and that it drains. Whoever comes is still served,
   * until `drain`: what sends clients here needs time to notice.
   */
  withdraw(): void {
    if (this.readiness.leaving === "no") this.readiness.leaving = "withdrawn";
    this.registration.drain();
  }

  /**
   * Stops taking commands. Sessions that end with their stream are ended; those that can be resumed are told to
   * go elsewhere, and keep their claims. `stopped` is called once, when etcd has confirmed, or after `withinMs`.
   */
  stop(withinMs: number, stopped: () => void): void {
    this.readiness.leaving = "draining";
    const finish = (): void => {
      if (this.halted) return;
      this.halted = true;
      stopped();
    };
    this.whenEmpty = finish;
    for (const link of [...this.linksByStream.values()]) {
      const session = link.state.at === "open" ? link.state.session : undefined;
      if (session?.record.onDisconnect === "release") session.end("draining", "the server is shutting down");
      else this.closeLink(link, "draining", "the server is shutting down: resume on another");
    }
    this.registration.end(() => this.checkEmpty());
    this.clock.at(this.nowMs() + withinMs, finish);
    this.endOfTurn(() => this.checkEmpty());
  }

  // -- LockEngine ------------------------------------------------------------------------------------

  command(stream: SessionStream, command: Command): void {
    if (this.closed.has(stream)) return;
    let link = this.linksByStream.get(stream);
    if (link === undefined) {
      link = { stream, state: { at: "new" } };
      this.linksByStream.set(stream, link);
    }
    switch (link.state.at) {
      case "new":
        if (command.kind === "open") this.opener.open(link, command);
        else if (command.kind === "resume") this.opener.resume(link, command);
        else this.refuse(stream, "invalid", `the first command must be open, not ${command.kind}`);
        return;
      case "opening":
        if (command.kind === "open" || command.kind === "resume")
          this.refuse(stream, "invalid", "open may come only once");
        else if (link.state.queued.length >= MAX_QUEUED_COMMANDS)
          this.refuse(stream, "invalid", `more than ${MAX_QUEUED_COMMANDS} commands came before the session was open`);
        else link.state.queued.push(command);
        return;
      case "open":
        return this.sessionCommand(link.state.session, command, stream);
      case "closed":
        return;
      default:
        return link.state satisfies never;
    }
  }

  private sessionCommand(session: Session, command: Command, stream: SessionStream): void {
    if (command.kind === "open" || command.kind === "resume")
      return this.refuse(stream, "invalid", "open may come only once");
    const problem =
      command.kind === "heartbeat" ? this.renewals.heartbeat(session, command.seq) : session.command(command);
    if (problem !== undefined) this.refuse(stream, "invalid", problem);
  }

  refuse(stream: SessionStream, reason: Reason, message: string): void {
    const link = this.linksByStream.get(stream) ?? { stream, state: { at: "new" } };
    const session = link.state.at === "open" ? link.state.session : undefined;
    this.closeLink(link, reason, message);
    // With KEEP the client may not have heard it yet, and still believe: its claims stay until its deadline (P5).
    if (session?.record.onDisconnect === "release") session.end(reason, message);
  }

  disconnected(stream: SessionStream, how: StreamEnd): void {
    this.closed.add(stream);
    const link = this.linksByStream.get(stream);
    if (link === undefined) return;
    this.linksByStream.delete(stream);
    const { state } = link;
    link.state = { at: "closed" };
    if (state.at !== "open") return;
    const { session } = state;
    session.stream = undefined;
    // With KEEP a half-close may be a proxy's, or late: only `close` ends the session (DESIGN 4.8).
    if (session.record.onDisconnect === "release") {
      if (how === "broken") session.end("closed-by-client", "the connection broke");
      else session.end("closed-by-client", `the client ${how} the stream`, true);
    }
  }

  drain(leaveWithinMs: number): void {
    this.readiness.leaving = "draining";
    this.telemetry.note({ kind: "server.draining", leaveWithinMs, sessions: this.sessions.size });
    this.registration.drain();
    const servers = this.otherServers();
    for (const link of [...this.linksByStream.values()])
      if (link.state.at === "open") link.stream.send({ kind: "draining", leaveWithinMs, servers });
      // Who is not in yet has nothing to lose by going elsewhere at once.
      else this.closeLink(link, "draining", "this server is shutting down: use another");
  }

  transportProven(stream: SessionStream): void {
    const link = this.linksByStream.get(stream);
    if (link?.state.at !== "open" || link.state.session.record.liveness !== "transport") return;
    this.renewals.proven(link.state.session);
  }

  getLock(name: string, limit: number, done: (answer: Answer<LockView>) => void): void {
    const limits = { holders: limit, waiters: limit, values: true };
    this.whenCurrent(done, () => ({ kind: "ok", value: viewLock(name, this.table, limits) }));
  }

  listLocks(query: LockQuery, done: (answer: Answer<LockPage>) => void): void {
    this.whenCurrent(done, () => ({ kind: "ok", value: listLocks(this.table, query) }));
  }

  checkToken(name: string, token: bigint, done: (answer: Answer<TokenView>) => void): void {
    this.whenCurrent(done, () => ({ kind: "ok", value: findToken(this.table, name, token) }));
  }

  whenCurrent<Value>(done: (answer: Answer<Value>) => void, read: () => Answer<Value>): void {
    this.barrier((current) => {
      if (current) return done(read());
      const message = "the store does not answer, so this cannot be known now: try again later";
      done({ kind: "failed", reason: "store-unavailable", message });
    });
  }

  watchLocks(query: WatchQuery, ready: () => void): LockWatch {
    return this.watches.open(query, ready, (fn) => this.endOfTurn(fn));
  }

  health(): { readonly serving: boolean; readonly problem: string } {
    const problem = this.readiness.problem(this.storeSilence);
    return { serving: problem === "", problem };
  }

  private get storeSilence(): StoreSilence {
    const nowMs = this.nowMs();
    return { readMs: nowMs - this.tableBarrier.provenAtMs, writeMs: nowMs - this.writes.provenAtMs };
  }

  get isDraining(): boolean {
    return this.readiness.leaving !== "no";
  }

  get lagMs(): number {
    return this.tableBarrier.lagMs;
  }

  get provenAtMs(): number {
    return this.tableBarrier.provenAtMs;
  }

  ownSession(id: string): Session | undefined {
    return this.sessions.get(id);
  }

  /** How many there are, for metrics. */
  counts(): { locks: number; held: number; waiting: number; sessions: number; ownSessions: number; revision: number } {
    const { queues, heldCount, waitingCount, sessions, revision } = this.table;
    return {
      locks: queues.size,
      held: heldCount,
      waiting: waitingCount,
      sessions: sessions.size,
      ownSessions: this.sessions.size,
      revision,
    };
  }

  /** How long the claims took that were granted here in the last minute. */
  recentAcquireTime(): Distribution {
    return this.statistics.recentAcquireTime(60);
  }

  // -- Opening and resuming --------------------------------------------------------------------------

  refusal(): { readonly reason: Reason; readonly message: string } | undefined {
    return this.readiness.refusal(this.storeSilence);
  }

  otherServers(): readonly string[] {
    return this.others;
  }

  /** To be called when the table of servers has changed, or the address of this one. */
  private lookForServers(): void {
    this.others = this.servers.othersThan(this.registration.address);
  }

  /** Each as its session is proven: not all clients in the instant in which a server comes or goes. */
  private tellOfServers(session: Session): void {
    const link = this.linksByStream.get(session.stream as SessionStream);
    if (link?.state.at !== "open" || link.state.told === this.others) return;
    const told = link.state.told.join();
    const servers = this.others.join();
    link.state.told = this.others;
    if (told === servers) return;
    link.stream.send({ kind: "servers", servers: this.others });
    this.note({ kind: "servers.told", session, servers });
  }

  took(session: Session): void {
    this.sessions.set(session.id, session);
    this.deadlines.watch(session);
  }

  links(): Iterable<Link> {
    return this.linksByStream.values();
  }

  forget(opening: Opening): void {
    this.opener.forget(opening);
    this.checkEmpty();
  }

  // -- What etcd says --------------------------------------------------------------------------------

  snapshot(snapshot: Snapshot): void {
    this.audit.resynced();
    this.replace(snapshot, "gap");
  }

  private replace(snapshot: Snapshot, why: "gap" | "disagreement"): void {
    const { isReady } = this.readiness;
    if (isReady && snapshot.revision < this.table.revision) {
      this.fail(
        `etcd has revision ${snapshot.revision}, but this server has seen ${this.table.revision}: it was restored`,
      );
      return;
    }
    const delta = this.table.replace(snapshot.revision, snapshot.entries);
    this.servers.replace(snapshot.entries);
    this.lookForServers();
    if (isReady) this.note({ kind: "table.resynced", revision: snapshot.revision, why });
    else this.audit.start();
    this.readiness.isReady = true;
    this.act(delta);
    this.tableBarrier.advanced();
    this.lookForDeadlock();
    this.started?.();
    this.started = undefined;
    this.registration.changed();
  }

  changes(revision: number, changes: readonly Change[]): void {
    if (!this.audit.intercept(revision, changes)) this.apply(revision, changes);
  }

  apply(revision: number, changes: readonly Change[]): void {
    if (revision <= this.table.revision) return;
    this.act(this.table.apply(revision, changes));
    const hasServers = this.servers.apply(changes);
    this.tableBarrier.advanced();
    if (hasServers) {
      this.lookForServers();
      this.registration.changed();
    }
  }

  disagreement(snapshot: Snapshot, except: ReadonlySet<string>): string | undefined {
    return this.table.disagreement(snapshot, except) ?? this.servers.disagreement(snapshot, except);
  }

  resync(snapshot: Snapshot): void {
    this.replace(snapshot, "disagreement");
  }

  progress(revision: number): void {
    if (revision <= this.table.revision || this.audit.isHoldingBack) return;
    this.table.revision = revision;
    this.tableBarrier.advanced();
  }

  /** Acts on what a step of the table changed: sessions first, since claims that ended with theirs are not told. */
  private act(delta: TableDelta): void {
    for (const claim of delta.ended) {
      if (!claim.held) continue;
      const session = this.sessions.get(claim.sessionId);
      this.holderEnded(claim, session?.endOf(claim) ?? endSeenOf(claim), session?.ending?.sinceMs ?? this.nowMs());
    }
    for (const { id, now } of delta.sessions) this.sessionChanged(id, now);
    for (const claim of delta.ended) this.sessions.get(claim.sessionId)?.sawEnded(claim);
    for (const claim of delta.entered) this.sessions.get(claim.sessionId)?.saw(claim);
    this.letIn(delta);
    for (const claim of delta.entered) this.sessions.get(claim.sessionId)?.leave(claim);
    for (const { id } of delta.sessions) this.sessions.get(id)?.settleDead();
  }

  letIn(delta: TableDelta): void {
    const wallMs = delta.granted.length > 0 && this.started === undefined ? this.wallMs() : undefined;
    for (const claim of delta.granted) {
      claim.grantedAtMs = wallMs;
      this.sessions.get(claim.sessionId)?.sawGranted(claim);
    }
    this.notices.changed(delta.locks);
    this.watches.changed(delta.locks);
    this.deadlocks.changed();
  }

  private sessionChanged(id: string, now: TableSession | undefined): void {
    const own = this.sessions.get(id);
    const opening = this.opener.seen(id, now);
    if (now === undefined) {
      if (own !== undefined) this.sessionEnded(own);
      return;
    }
    const isOurs = now.record.serverId === this.serverId;
    if (own !== undefined && isOurs && own.record.attempt === now.record.attempt) return own.sawEpoch(now);
    if (own !== undefined) this.superseded(own);
    if (isOurs && opening !== undefined) this.opener.adopt(now, opening);
  }

  private sessionEnded(session: Session): void {
    const ending = session.ending ?? (session.forced === undefined ? EXPIRED_IN_STORE : closedByForce(session.forced));
    session.noteEnded(ending);
    this.detach(session, ending.reason, ending.message);
    sweep(this, session);
  }

  private superseded(session: Session): void {
    this.detach(session, "superseded", "the session was resumed on another stream");
  }

  private detach(session: Session, reason: Reason, message: string): void {
    this.sessions.delete(session.id);
    const link = session.stream === undefined ? undefined : this.linksByStream.get(session.stream as SessionStream);
    session.isGone();
    this.renewals.forget(session);
    this.deadlines.forget(session);
    if (link !== undefined) this.closeLink(link, reason, message);
    this.checkEmpty();
  }

  private checkEmpty(): void {
    if (this.whenEmpty === undefined || this.halted) return;
    // Nothing more is written, so nothing is to be waited for.
    if (this.readiness.failure !== "") return this.whenEmpty();
    const leaving = [...this.sessions.values()].some((session) => session.ending !== undefined);
    if (!leaving && !this.opener.hasNew && this.registration.isOver) this.whenEmpty();
  }

  closeLink(link: Link, reason: Reason, message: string): void {
    if (link.state.at === "closed" || this.closed.has(link.stream)) return;
    if (link.state.at === "open") link.state.session.stream = undefined;
    link.state = { at: "closed" };
    this.linksByStream.delete(link.stream);
    this.closed.add(link.stream);
    link.stream.send({ kind: "closed", reason, message });
  }

  /** Keeps the proof fresh that the watch is current: acks depend on it, and so does health. */
  private proveRegularly(): void {
    if (this.halted) return;
    this.barrier(() => undefined);
    if (this.readiness.failure === "") this.writes.renew();
    const { isReady, failure, leaving } = this.readiness;
    if (isReady && failure === "" && leaving !== "draining")
      this.evacuation?.look(storeProblem(this.storeSilence) !== "");
    this.after(PROVE_EVERY_MS, () => this.proveRegularly());
  }

  /**
   * Stops serving for good, and tells every client why: the store cannot be trusted any more. From here on nothing is
   * written to it either: what waits was decided by another past than the one that is there now.
   */
  fail(problem: string): void {
    if (this.readiness.failure !== "") return;
    this.readiness.failure = problem;
    this.committer.stop();
    this.telemetry.note({ kind: "engine.failed", problem });
    this.registration.abandon();
    for (const link of [...this.linksByStream.values()]) this.closeLink(link, "store-unavailable", problem);
    this.checkEmpty();
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

  private endOfTurn(then: () => void): void {
    this.clock.endOfTurn(then);
  }

  submit(operation: PendingOperation): void {
    this.committer.submit(operation);
  }

  barrier(then: (current: boolean) => void): void {
    this.tableBarrier.wait(then);
  }

  whenTable(revision: number, then: () => void): void {
    this.tableBarrier.whenTable(revision, then);
  }

  holderEnded(claim: Claim, end: HolderEnd, endedAtMs: number): void {
    this.previous.ended(claim, end, endedAtMs);
  }

  previousHolder(lock: string, token: bigint): PreviousHolder | undefined {
    return this.previous.before(lock, token);
  }

  send(stream: unknown, event: SessionEvent): void {
    (stream as SessionStream).send(event);
  }

  revokeLease(lease: bigint): void {
    if (this.readiness.failure === "") this.store.revokeLease(lease, () => undefined);
  }

  note(note: EngineNote): void {
    this.telemetry.note(note);
  }

  lookForDeadlock(around?: Claim): void {
    this.deadlocks.look(around);
  }
}
