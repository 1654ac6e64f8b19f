import { SweepClaims } from "../core/claim-operations.ts";
import type { Command, HolderEnd, LockView, Open, PreviousHolder, Resume, SessionEvent } from "../core/frames.ts";
import type { PendingOperation } from "../core/group-commit.ts";
import { LockTable, type TableDelta, type TableSession } from "../core/lock-table.ts";
import type { Claim } from "../core/queue.ts";
import type { Reason } from "../core/reason.ts";
import { ServerTable } from "../core/server-table.ts";
import { type Ending, Session } from "../core/session.ts";
import type { Limits } from "../core/session-host.ts";
import { viewLock } from "../core/views.ts";
import type { Clock } from "../ports/clock.ts";
import type { Entropy } from "../ports/entropy.ts";
import type { SessionStream } from "../ports/session-stream.ts";
import type { Change, Feed, Snapshot, Store } from "../ports/store.ts";
import type { EngineNote, Telemetry } from "../ports/telemetry.ts";
import { Administration, type AdministrationHost } from "./administration.ts";
import { Audit } from "./audit.ts";
import { Barrier } from "./barrier.ts";
import { Committer } from "./committer.ts";
import { Deadlines, deadlineOf } from "./deadlines.ts";
import { Deadlocks } from "./deadlocks.ts";
import { fanOut } from "./fan-out.ts";
import { History } from "./history.ts";
import { type Link, MAX_QUEUED_COMMANDS } from "./link.ts";
import type { Answer, LockEngine, LockPage, LockQuery, LockWatch, TokenView, WatchQuery } from "./lock-engine.ts";
import { LockWatches, listLocks } from "./lock-watches.ts";
import { Openings } from "./openings.ts";
import { PositionNotices } from "./position-notices.ts";
import { PreviousHolders } from "./previous-holders.ts";
import { Registration, type ServerDescription } from "./registration.ts";
import { Renewals } from "./renewals.ts";
import { NewSession, type Opening, type OpeningHost, ResumeSession, recordOf, refusalOf } from "./session-openings.ts";
import { Statistics } from "./statistics.ts";
import { findToken } from "./tokens.ts";
import { WriteProof } from "./write-proof.ts";

/** How often the table is proven current while there are sessions; acks need a proof within the last 2 s. */
const PROVE_EVERY_MS = 500;
/** For so long etcd may not answer, nor commit, before this server says that it cannot serve: longer than an election. */
const SILENT_AFTER_MS = 3000;
const STUCK_AFTER_MS = 4000;
/** Within so much clients are to have left a server that cannot reach its store, not all of them at once. */
const LEAVE_LOST_STORE_WITHIN_MS = 2000;
const AUDIT_EVERY_MS = 300_000;
/** How many keys a sweep deletes at a time. */
const SWEEP_KEYS = 40;

const EXPIRED_IN_STORE: Ending = {
  reason: "session-expired",
  message: "the session's lease ran out in the store, or an operator ended it: open a new session",
  isAsked: false,
};

export interface EngineOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly telemetry: Telemetry;
  readonly limits: Limits;
  /** Names this run of the server: random, never used before. */
  readonly serverId: string;
  /** How often the table is compared with the store, in milliseconds. Default: 5 minutes. */
  readonly auditEveryMs?: number;
}

/**
 * The one loop and single writer: what clients and etcd say comes in, the core decides, and what it decides
 * goes out, all synchronously. Everything that decides a grant is in the table; losing this object loses no
 * claim, place or token (P6).
 */
export class Engine implements LockEngine, OpeningHost, AdministrationHost, Feed {
  readonly serverId: string;
  /** For the people on call. */
  readonly administration: Administration;
  readonly limits: Limits;
  readonly table = new LockTable();
  /** All servers that are registered, this one among them once it is. */
  readonly servers = new ServerTable();
  private readonly store: Store;
  private readonly clock: Clock;
  private readonly entropy: Entropy;
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
  private readonly links = new Map<SessionStream, Link>();
  private readonly sessions = new Map<string, Session>();
  private readonly openings = new Openings();
  /** Streams that were closed or have ended, for as long as anybody has them: nothing more is taken from them. */
  private readonly closed = new WeakSet<SessionStream>();
  private started: (() => void) | undefined;
  private isReady = false;
  private draining = false;
  private stopping = false;
  private halted = false;
  private failure = "";
  private storeLost = false;
  private whenEmpty: (() => void) | undefined;

  constructor(options: EngineOptions) {
    this.store = options.store;
    this.clock = options.clock;
    this.entropy = options.entropy;
    const history = new History(() => options.clock.wallMs());
    this.statistics = new Statistics(options.clock, () => this.counts());
    this.telemetry = fanOut(options.telemetry, history, this.statistics);
    this.administration = new Administration(this, options.store, history, this.statistics);
    this.limits = options.limits;
    this.serverId = options.serverId;
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
    this.renewals = new Renewals(this, options.store, this.telemetry, () => this.tableBarrier.provenAtMs);
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
  }

  /**
   * Stops taking commands. Sessions that end with their stream are ended; those that can be resumed are told to
   * go elsewhere, and keep their claims. `stopped` is called once, when etcd has confirmed, or after `withinMs`.
   */
  stop(withinMs: number, stopped: () => void): void {
    this.stopping = true;
    const finish = (): void => {
      if (this.halted) return;
      this.halted = true;
      stopped();
    };
    this.whenEmpty = finish;
    for (const link of [...this.links.values()]) {
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
    let link = this.links.get(stream);
    if (link === undefined) {
      link = { stream, state: { at: "new" } };
      this.links.set(stream, link);
    }
    switch (link.state.at) {
      case "new":
        if (command.kind === "open") this.open(link, command);
        else if (command.kind === "resume") this.resume(link, command);
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
    const link = this.links.get(stream) ?? { stream, state: { at: "new" } };
    const session = link.state.at === "open" ? link.state.session : undefined;
    this.closeLink(link, reason, message);
    // With KEEP the client may not have heard it yet, and still believe: its claims stay until its deadline (P5).
    if (session?.record.onDisconnect === "release") session.end(reason, message);
  }

  disconnected(stream: SessionStream, how: "half-closed" | "broken"): void {
    this.closed.add(stream);
    const link = this.links.get(stream);
    if (link === undefined) return;
    this.links.delete(stream);
    const { state } = link;
    link.state = { at: "closed" };
    if (state.at !== "open") return;
    const { session } = state;
    session.stream = undefined;
    // With KEEP a half-close may be a proxy's, or late: only `close` ends the session (DESIGN 4.8).
    if (session.record.onDisconnect === "release") {
      if (how === "half-closed") session.end("closed-by-client", "the client half-closed the stream", true);
      else session.end("closed-by-client", "the stream broke");
    }
  }

  drain(leaveWithinMs: number): void {
    this.draining = true;
    this.registration.drain();
    const servers = this.servers.othersThan(this.serverId);
    for (const link of [...this.links.values()])
      if (link.state.at === "open") link.stream.send({ kind: "draining", leaveWithinMs, servers });
      // Who is not in yet has nothing to lose by going elsewhere at once.
      else this.closeLink(link, "draining", "this server is shutting down: use another");
  }

  transportProven(stream: SessionStream): void {
    const link = this.links.get(stream);
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
    let problem = this.failure;
    if (problem === "" && !this.isReady) problem = "the table has not been read yet";
    if (problem === "" && (this.draining || this.stopping)) problem = "the server is shutting down";
    if (problem === "") problem = this.storeProblem();
    return { serving: problem === "", problem };
  }

  private storeProblem(): string {
    const silentMs = this.nowMs() - this.tableBarrier.provenAtMs;
    if (silentMs === Number.POSITIVE_INFINITY) return "the store has not answered yet";
    if (silentMs > SILENT_AFTER_MS) return `the store has not answered for ${Math.round(silentMs / 1000)} s`;
    const stuckMs = this.nowMs() - this.writes.provenAtMs;
    if (stuckMs === Number.POSITIVE_INFINITY) return "the store has not committed a write yet";
    if (stuckMs > STUCK_AFTER_MS) return `the store has not committed a write for ${Math.round(stuckMs / 1000)} s`;
    return "";
  }

  get isDraining(): boolean {
    return this.draining || this.stopping;
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

  // -- Opening and resuming --------------------------------------------------------------------------

  private open(link: Link, open: Open): void {
    const receivedAtMs = this.nowMs();
    const problem = this.cannotServe();
    if (problem !== undefined) return this.closeLink(link, problem.reason, problem.message);
    link.state = { at: "opening", queued: [] };
    // The last resort only: dead sessions are ended by their keys, in batches (DESIGN 4.7).
    const leaseSeconds = Math.ceil((open.ttlMs * 1.02) / 1000 + 2);
    this.store.grantLease(leaseSeconds, (outcome) => {
      if (outcome.kind !== "granted") {
        const full = outcome.kind === "no-space";
        const message = full
          ? "the store is full: an operator must free space"
          : "the store does not answer: try again later";
        return this.closeLink(link, "store-unavailable", message);
      }
      if (link.state.at !== "opening") return this.revokeLease(outcome.lease);
      const secret = open.onDisconnect === "keep" ? this.entropy.newSecret() : "";
      const secretHash = secret === "" ? "" : this.entropy.hash(secret);
      const record = recordOf(open, { serverId: this.serverId, secretHash, link, wallMs: this.wallMs() });
      const sessionId = this.entropy.newId();
      this.expect(new NewSession(this, link, { sessionId, secret, lease: outcome.lease, receivedAtMs, record }));
    });
  }

  private resume(link: Link, resume: Resume): void {
    const problem = this.cannotServe();
    if (problem !== undefined) return this.closeLink(link, problem.reason, problem.message);
    link.state = { at: "opening", queued: [] };
    this.barrier((current) => {
      if (link.state.at !== "opening") return;
      if (!current)
        return this.closeLink(
          link,
          "store-unavailable",
          "the store does not answer: resume again with a larger attempt",
        );
      const session = this.table.sessions.get(resume.sessionId);
      if (session !== undefined && !this.mayResume(session, resume, link))
        return this.closeLink(
          link,
          "not-permitted",
          "secret or identity is not that of the session, or it cannot be resumed",
        );
      const refusal = refusalOf(session, resume.attempt);
      if (refusal !== undefined) return this.closeLink(link, refusal.reason, refusal.message);
      this.expect(new ResumeSession(this, link, resume));
    });
  }

  private mayResume(session: TableSession, resume: Resume, link: Link): boolean {
    const { record } = session;
    return (
      record.onDisconnect === "keep" &&
      record.secretHash === this.entropy.hash(resume.secret) &&
      record.identity === link.stream.identity
    );
  }

  private cannotServe(): { reason: Reason; message: string } | undefined {
    if (this.draining || this.stopping)
      return { reason: "draining", message: "this server is shutting down: use another" };
    if (this.failure !== "") return { reason: "store-unavailable", message: this.failure };
    if (!this.isReady)
      return { reason: "store-unavailable", message: "this server has not read the store yet: try again" };
    return undefined;
  }

  private expect(opening: Opening): void {
    const earlier = this.openings.add(opening);
    if (earlier?.link !== undefined)
      this.closeLink(earlier.link, "superseded", "the same resume came over another stream");
    this.submit(opening);
  }

  forget(opening: Opening): void {
    this.openings.delete(opening);
    this.checkEmpty();
  }

  /** The table shows a session that this server wrote: from here on it is this server's. */
  private adopt(entry: TableSession, opening: Opening): void {
    const provenAtMs = opening.provenAtMs ?? this.nowMs();
    const session = new Session(this, entry, deadlineOf(provenAtMs, entry.record.ttlMs));
    this.sessions.set(session.id, session);
    this.deadlines.watch(session);
    const link = opening.link?.state.at === "opening" ? opening.link : undefined;
    opening.link = undefined;
    if (entry.record.attempt > 0n) this.renewBeforeAnswering(session, link, opening.secret);
    else if (link !== undefined) this.answerOpen(session, link, opening.secret);
    // Nobody was told of this session, so nobody can resume it.
    else session.end("closed-by-client", "the client left before the session was open");
  }

  private renewBeforeAnswering(session: Session, link: Link | undefined, secret: string): void {
    if (link === undefined) return;
    this.store.renewLease(session.lease, (outcome) => {
      if (link.state.at !== "opening") return;
      if (outcome.kind === "renewed" && session.isOpen) this.answerOpen(session, link, secret);
      else if (outcome.kind === "unavailable")
        this.closeLink(link, "store-unavailable", "the store does not answer: resume again with a larger attempt");
      else if (session.isOver && this.table.sessions.has(session.id))
        this.closeLink(link, "superseded", "the session was resumed on another stream");
      else this.closeLink(link, "session-expired", "the session ended as it was resumed: open a new one");
    });
  }

  private answerOpen(session: Session, link: Link, secret: string): void {
    const queued = link.state.at === "opening" ? link.state.queued : [];
    const { ttlMs, liveness, attempt } = session.record;
    link.state = { at: "open", session };
    this.note({ kind: "session.opened", session, resumed: attempt > 0n });
    link.stream.send({
      kind: "opened",
      sessionId: session.id,
      secret,
      ttlMs,
      validForMs: ttlMs,
      heartbeatIntervalMs: liveness === "heartbeat" ? Math.floor(ttlMs / 3) : undefined,
      claims: session.listClaims(),
      servers: this.servers.othersThan(this.serverId),
    });
    session.attach(link.stream);
    for (const command of queued) this.command(link.stream, command);
  }

  // -- What etcd says --------------------------------------------------------------------------------

  snapshot(snapshot: Snapshot): void {
    this.audit.resynced();
    this.replace(snapshot, "gap");
  }

  private replace(snapshot: Snapshot, why: "gap" | "disagreement"): void {
    if (this.isReady && snapshot.revision < this.table.revision) {
      this.fail(
        `etcd has revision ${snapshot.revision}, but this server has seen ${this.table.revision}: it was restored`,
      );
      return;
    }
    const delta = this.table.replace(snapshot.revision, snapshot.entries);
    this.servers.replace(snapshot.entries);
    if (this.isReady) this.note({ kind: "table.resynced", revision: snapshot.revision, why });
    else this.audit.start();
    this.isReady = true;
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
    if (hasServers) this.registration.changed();
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
    for (const claim of delta.ended)
      if (claim.held) this.holderEnded(claim, this.sessions.get(claim.sessionId)?.endOf(claim) ?? "unknown");
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
    const opening = now && this.openings.find(id, now.record.attempt);
    this.openings.seen(id, now?.record.attempt);
    if (now === undefined) {
      if (own !== undefined) this.sessionEnded(own);
      return;
    }
    const isOurs = now.record.serverId === this.serverId;
    if (own !== undefined && isOurs && own.record.attempt === now.record.attempt) return own.sawEpoch(now.modRevision);
    if (own !== undefined) this.superseded(own);
    if (isOurs && opening !== undefined) this.adopt(now, opening);
  }

  private sessionEnded(session: Session): void {
    const ending = session.ending ?? EXPIRED_IN_STORE;
    session.noteEnded(ending);
    this.detach(session, ending.reason, ending.message);
    this.sweep(session);
  }

  private superseded(session: Session): void {
    this.detach(session, "superseded", "the session was resumed on another stream");
  }

  private detach(session: Session, reason: Reason, message: string): void {
    this.sessions.delete(session.id);
    const link = session.stream === undefined ? undefined : this.links.get(session.stream as SessionStream);
    session.isGone();
    this.renewals.forget(session);
    if (link !== undefined) this.closeLink(link, reason, message);
    this.checkEmpty();
  }

  /** Deletes the claim keys that an ended session leaves behind, and then revokes its lease, which frees nothing any more. */
  private sweep(session: Session): void {
    const garbage = this.table.garbageOfSession(session.id);
    if (garbage.length === 0) return this.revokeLease(session.lease);
    let left = Math.ceil(garbage.length / SWEEP_KEYS);
    for (let at = 0; at < garbage.length; at += SWEEP_KEYS) {
      const sweep: SweepClaims = new SweepClaims(session.id, garbage.slice(at, at + SWEEP_KEYS), (known) => {
        if (!known) this.after(200, () => this.submit(sweep));
        else if (--left === 0) this.revokeLease(session.lease);
      });
      this.submit(sweep);
    }
  }

  private checkEmpty(): void {
    if (this.whenEmpty === undefined || this.halted) return;
    const leaving = [...this.sessions.values()].some((session) => session.ending !== undefined);
    if (!leaving && !this.openings.hasNew && this.registration.isOver) this.whenEmpty();
  }

  closeLink(link: Link, reason: Reason, message: string): void {
    if (link.state.at === "closed" || this.closed.has(link.stream)) return;
    if (link.state.at === "open") link.state.session.stream = undefined;
    link.state = { at: "closed" };
    this.links.delete(link.stream);
    this.closed.add(link.stream);
    link.stream.send({ kind: "closed", reason, message });
  }

  /** Keeps the proof fresh that the watch is current: acks depend on it, and so does health. */
  private proveRegularly(): void {
    if (this.halted) return;
    this.barrier(() => undefined);
    if (this.failure === "") this.writes.renew();
    this.noteStoreLost(this.isReady && this.storeProblem() !== "");
    this.after(PROVE_EVERY_MS, () => this.proveRegularly());
  }

  /**
   * Tells those who can resume on another server to do so while this one cannot reach its store: the other may. They
   * keep this stream until they have another, so that nothing is lost if none does better.
   */
  private noteStoreLost(isLost: boolean): void {
    if (isLost === this.storeLost) return;
    this.storeLost = isLost;
    if (!isLost || this.servers.list().every(({ id }) => id === this.serverId)) return;
    const servers = this.servers.othersThan(this.serverId);
    for (const { state, stream } of this.links.values()) {
      if (state.at !== "open" || state.session.record.onDisconnect !== "keep") continue;
      stream.send({ kind: "draining", leaveWithinMs: LEAVE_LOST_STORE_WITHIN_MS, servers });
    }
  }

  /** Stops serving for good, and tells every client why: the store cannot be trusted any more. */
  fail(problem: string): void {
    if (this.failure !== "") return;
    this.failure = problem;
    this.telemetry.note({ kind: "engine.failed", problem });
    this.registration.abandon();
    for (const link of [...this.links.values()]) this.closeLink(link, "store-unavailable", problem);
  }

  // -- SessionHost -----------------------------------------------------------------------------------

  nowMs(): number {
    return this.clock.nowMs();
  }

  wallMs(): number {
    return this.clock.wallMs();
  }

  after(delayMs: number, then: () => void): void {
    this.clock.at(this.clock.nowMs() + delayMs, then);
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

  holderEnded(claim: Claim, end: HolderEnd): void {
    this.previous.ended(claim, end);
  }

  previousHolder(lock: string, token: bigint): PreviousHolder | undefined {
    return this.previous.before(lock, token);
  }

  send(stream: unknown, event: SessionEvent): void {
    (stream as SessionStream).send(event);
  }

  revokeLease(lease: bigint): void {
    this.store.revokeLease(lease, () => undefined);
  }

  note(note: EngineNote): void {
    this.telemetry.note(note);
  }

  lookForDeadlock(around?: Claim): void {
    this.deadlocks.look(around);
  }
}
