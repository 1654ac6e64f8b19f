import { ClaimBook } from "./claim-book.ts";
import { Dialer } from "./dialer.ts";
import type { Effect } from "./effect.ts";
import type {
  ClaimRequest,
  ClientInfo,
  Command,
  GrantedLock,
  Liveness,
  OnDisconnect,
  Opened,
  SessionEvent,
} from "./frames.ts";
import { Heartbeats } from "./heartbeats.ts";
import type { Failure, Reason } from "./reason.ts";
import { type Instant, Validity } from "./validity.ts";

export type { Effect } from "./effect.ts";
export type { ClaimRequest, Command, SessionEvent } from "./frames.ts";
export type { Failure } from "./reason.ts";
export type { Instant } from "./validity.ts";

/** What does not change in the life of a client. */
export interface MachineSettings {
  /** The addresses that are known from the start, at least one; servers tell of others. */
  readonly addresses: readonly string[];
  readonly ttlMs: number;
  readonly onDisconnect: OnDisconnect;
  readonly liveness: Liveness;
  readonly client: ClientInfo | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** How long a wanted claim may go without a session to ask for it. */
  readonly connectTimeoutMs: number;
  /** How long `close` may take. */
  readonly closeTimeoutMs: number;
  /** Chance, from 0 up to but not including 1: spreads reconnects. */
  readonly random: () => number;
}

/** A stream that was up for so long did not fail for what the failures before it did. */
const STEADY_MS = 1000;
/** While something is held the clocks are compared at least this often: a suspended machine fires no timer. */
const LOOK_EVERY_MS = 1000;

const NEVER = Number.POSITIVE_INFINITY;

interface Session {
  readonly id: string;
  readonly secret: string;
  readonly ttlMs: number;
  /** `undefined`: the transport proves that this client lives. */
  readonly heartbeats: Heartbeats | undefined;
  validity: Validity;
  /** The number of the last resume. */
  attempt: bigint;
}

/** The stream that carries the session. */
type Link =
  | { readonly kind: "none" }
  /** `open` or `resume` has been sent, and not answered. */
  | { readonly kind: "opening"; readonly streamNo: number; readonly sentAt: Instant; readonly giveUpMs: number }
  | { readonly kind: "up"; readonly streamNo: number; readonly sinceMs: number; readonly draining: boolean };

type Phase =
  | { readonly kind: "running" }
  | { readonly kind: "closing"; readonly byMs: number }
  | { readonly kind: "closed" };

/**
 * Whether the machine runs, is being closed, or is closed; whether it has a session; and what carries that: no stream,
 * one on which it is being opened or resumed, one that is up, or one that is up on a server that goes away, which is
 * nothing to a machine that is being closed.
 */
export type MachineState = `${Phase["kind"]}, ${"session" | "no session"}, ${Link["kind"] | "draining"}`;

/**
 * A client's whole conversation with the service: one session at a time, a fresh one when that is lost, and all
 * its claims. It decides and does nothing: each input takes the time and returns what to do, in order. It has no
 * clock, timer, promise or stream of its own, and knows nothing of gRPC or Node.
 *
 * Inputs may come at any time and late. Each first looks whether the session may still be believed, so that
 * nothing that arrives past the validity deadline is believed either (DESIGN 4.7). Whoever runs it
 * - calls `tick` at `wakeAtMs`, which may change with every input;
 * - calls `flush` at the end of a turn of the event loop while `hasCommands`, so that all commands of the turn
 *   travel together;
 * - reports on the streams that `dial` effects started: `connected` at most once, `received`, `broken` at most
 *   once and last. Reports on streams that are not current are ignored.
 */
export class SessionMachine {
  readonly #settings: MachineSettings;
  readonly #claims: ClaimBook;
  /** Goes on beside a link that is up but will not be for long. */
  readonly #dialer: Dialer;
  #phase: Phase = { kind: "running" };
  #session: Session | undefined;
  #link: Link = { kind: "none" };
  /** Until when somebody waits for a session without wanting a claim. */
  #openLimitMs: number | undefined;
  #effects: Effect[] = [];
  #commands: Command[] = [];
  #lastFailure: Failure = noServer;
  #lookedAtMs = 0;

  constructor(settings: MachineSettings) {
    this.#settings = settings;
    this.#dialer = new Dialer(settings.addresses, settings.random);
    this.#claims = new ClaimBook(
      {
        tell: (effect) => this.#effects.push(effect),
        say: (command) => this.#link.kind === "up" && this.#commands.push(command),
      },
      settings.connectTimeoutMs,
    );
  }

  /** The session there is, if any. */
  get sessionId(): string | undefined {
    return this.#session?.id;
  }

  /** Where its session and its stream stand, for those who watch it; nothing is decided by it. */
  get state(): MachineState {
    const { kind } = this.#phase;
    const isMoving = kind === "running" && this.#link.kind === "up" && this.#link.draining;
    const link = isMoving ? "draining" : this.#link.kind;
    return `${kind}, ${this.#session === undefined ? "no session" : "session"}, ${link}`;
  }

  /** Where the service can be reached, as far as is known now; the next to try first. */
  get addresses(): readonly string[] {
    return this.#dialer.addresses.all;
  }

  /** How long the session may still be believed if nothing more is heard, in milliseconds; 0 if there is none. */
  remainingMsAt(at: Instant): number {
    const validity = this.#session?.validity;
    return validity === undefined || validity.problemAt(at) !== undefined ? 0 : validity.deadlineMs - at.nowMs;
  }

  /** Whether commands wait for `flush`. */
  get hasCommands(): boolean {
    return this.#commands.length > 0;
  }

  /** When to call `tick`, in monotonic milliseconds; Infinity: not before another input. */
  get wakeAtMs(): number {
    const link = this.#link;
    return Math.min(
      this.#dialer.wakeAtMs,
      this.#claims.nextLimitMs,
      this.#openLimitMs ?? NEVER,
      this.#phase.kind === "closing" ? this.#phase.byMs : NEVER,
      link.kind === "opening" ? link.giveUpMs : NEVER,
      this.#session === undefined ? NEVER : this.#sessionWakeMs(this.#session, link),
    );
  }

  #sessionWakeMs({ validity, heartbeats }: Session, link: Link): number {
    if (heartbeats === undefined) return validity.deadlineMs;
    return Math.min(
      validity.deadlineMs,
      link.kind === "up" ? heartbeats.dueMs : NEVER,
      this.#claims.heldCount > 0 ? this.#lookedAtMs + LOOK_EVERY_MS : NEVER,
    );
  }

  /** What the program may believe that it holds at a moment. */
  heldAt(at: Instant): { readonly claimId: bigint; readonly locks: readonly GrantedLock[] }[] {
    return this.#session === undefined || this.#session.validity.problemAt(at) !== undefined ? [] : this.#claims.held();
  }

  // -- Inputs: what the program wants ----------------------------------------------------------------

  /** Wants a session, claims or not: `opened` or `not-opened` follows. */
  open(at: Instant): readonly Effect[] {
    this.#look(at);
    if (this.#phase.kind !== "running") this.#tell({ kind: "not-opened", ...closedByClient });
    else if (this.#link.kind === "up") this.#tell({ kind: "opened", sessionId: this.#session!.id });
    else this.#openLimitMs = at.nowMs + this.#settings.connectTimeoutMs;
    return this.#finish(at);
  }

  /** Wants a claim: `granted` or `denied` follows, `waiting` any number of times before. */
  acquire(request: ClaimRequest, at: Instant): { readonly claimId: bigint; readonly effects: readonly Effect[] } {
    this.#look(at);
    const claimId = this.#claims.add(request, at.nowMs);
    if (this.#phase.kind !== "running") this.#claims.refuseAll(closedByClient);
    else if (this.#link.kind === "up") this.#claims.ask(claimId, at.nowMs);
    return { claimId, effects: this.#finish(at) };
  }

  /** Gives up a claim, wanted or held, for good: `released` follows, unless it is gone already. */
  release(claimId: bigint, at: Instant): readonly Effect[] {
    this.#look(at);
    this.#claims.release(claimId);
    return this.#finish(at);
  }

  /** Replaces the value of a held claim: `updated` follows, unless `lost` or `released` does. */
  update(claimId: bigint, value: Uint8Array, at: Instant): readonly Effect[] {
    this.#look(at);
    this.#claims.update(claimId, value);
    return this.#finish(at);
  }

  /** Ends the session. Held claims are `lost` and wanted ones `denied` at once; `closed` follows. */
  close(at: Instant): readonly Effect[] {
    this.#look(at);
    if (this.#phase.kind === "running") {
      this.#phase = { kind: "closing", byMs: at.nowMs + this.#settings.closeTimeoutMs };
      this.#claims.endSession(closedByClient, at.nowMs);
      this.#refuse(closedByClient);
      this.#sayClose();
    }
    return this.#finish(at);
  }

  // -- Inputs: what happens --------------------------------------------------------------------------

  /** A stream that was dialed is ready to be written to. */
  connected(streamNo: number, at: Instant): readonly Effect[] {
    this.#look(at);
    if (this.#dialer.streamNo === streamNo && this.#wantsStream(at)) this.#openOn(streamNo, at);
    return this.#finish(at);
  }

  /** A frame came over a stream. */
  received(streamNo: number, events: readonly SessionEvent[], at: Instant): readonly Effect[] {
    this.#look(at);
    for (const event of events) {
      // The rest of the frame is of the past when an event ends the stream or its session.
      if (this.#link.kind === "none" || this.#link.streamNo !== streamNo) break;
      this.#take(event, at);
    }
    return this.#finish(at);
  }

  /** A stream could not be had, or ended. What it sent before has been reported. */
  broken(streamNo: number, why: Failure, at: Instant): readonly Effect[] {
    this.#look(at);
    if (this.#dialer.streamNo === streamNo) this.#dialFailed(why, at);
    else if (this.#link.kind !== "none" && this.#link.streamNo === streamNo) this.#linkEnded(why, at);
    return this.#finish(at);
  }

  /** Time has passed. */
  tick(at: Instant): readonly Effect[] {
    this.#look(at);
    const { nowMs } = at;
    this.#giveUpOnStreams(at);
    this.#dialer.tick(nowMs);
    const heartbeats = this.#session?.heartbeats;
    if (this.#link.kind === "up" && heartbeats !== undefined && nowMs >= heartbeats.dueMs)
      this.#commands.push({ kind: "heartbeat", seq: heartbeats.next(at) });
    this.#claims.expire(nowMs, this.#lastFailure);
    if (this.#openLimitMs !== undefined && nowMs >= this.#openLimitMs) this.#notOpened(this.#lastFailure);
    return this.#finish(at);
  }

  /** The turn of the event loop ends: what it wanted to say goes out together. */
  flush(at: Instant): readonly Effect[] {
    this.#look(at);
    if (this.#link.kind === "up" && this.#commands.length > 0) {
      this.#send(this.#link.streamNo, this.#commands);
      this.#commands = [];
    }
    return this.#finish(at);
  }

  // -- The validity deadline -------------------------------------------------------------------------

  /** Comes before everything else: past its deadline a session is never used again (DESIGN 3, Rules). */
  #look(at: Instant): void {
    this.#lookedAtMs = at.nowMs;
    const problem = this.#session?.validity.problemAt(at);
    if (problem !== undefined) this.#endSession({ reason: "session-expired", message: problem }, at);
  }

  // -- Streams ---------------------------------------------------------------------------------------

  /** Whether another stream is wanted than the one there is. */
  #wantsStream(at: Instant): boolean {
    const link = this.#link;
    switch (link.kind) {
      case "none":
        return this.#needsSession();
      case "opening":
        return false;
      case "up":
        // A session that cannot be resumed stays where it is.
        if (this.#settings.onDisconnect === "release" || this.#phase.kind !== "running") return false;
        return link.draining || this.#session?.heartbeats?.isMute(at.nowMs) === true;
      default:
        return link satisfies never;
    }
  }

  #needsSession(): boolean {
    switch (this.#phase.kind) {
      case "running":
        return this.#claims.size > 0 || this.#openLimitMs !== undefined;
      case "closing":
        // To tell the server that it has ended.
        return this.#session !== undefined;
      case "closed":
        return false;
      default:
        return this.#phase satisfies never;
    }
  }

  /** Ends an input: leaves what is not needed, dials what is, and hands out what there is to do. */
  #finish(at: Instant): readonly Effect[] {
    if (this.#phase.kind === "closing") this.#stopIfDone(this.#phase.byMs, at);
    else this.#leaveUnneeded(at);
    if (!this.#wantsStream(at)) this.#stopDialing();
    else if (this.#dialer.isIdle) this.#tell({ kind: "dial", ...this.#dialer.start(at.nowMs + this.#dialMs(at)) });
    if (this.#effects.length === 0) return nothing;
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #stopIfDone(byMs: number, at: Instant): void {
    if (at.nowMs < byMs && (this.#link.kind !== "none" || this.#session !== undefined)) return;
    this.#phase = { kind: "closed" };
    this.#abandonLink();
    this.#session = undefined;
    this.#tell({ kind: "closed" });
  }

  /** A session that nothing needs is not carried from one stream to another. */
  #leaveUnneeded(at: Instant): void {
    const link = this.#link;
    if (link.kind === "none" && !this.#needsSession()) this.#session = undefined;
    if (link.kind !== "up" || !link.draining) return;
    const inUse = this.#settings.onDisconnect === "keep" ? this.#claims.size > 0 : this.#claims.heldCount > 0;
    if (!inUse) this.#endSession({ reason: "draining", message: "the server goes away" }, at);
  }

  #stopDialing(): void {
    const { streamNo } = this.#dialer;
    if (streamNo !== undefined) this.#tell({ kind: "abandon", streamNo });
    this.#dialer.stop();
  }

  /**
   * How long connecting to an address may take. While there is a session to save, what is left of it is shared: a server
   * that stands still, or is gone without a word, must not take the time in which another would have gone on.
   */
  #dialMs(at: Instant): number {
    return this.#stepMs(250, this.#leftMs(at) / (this.addresses.length + 1));
  }

  /** How long opening or resuming may take, which is some writes of the store's. */
  #openMs(at: Instant): number {
    return this.#stepMs(1000, this.#leftMs(at) / 2);
  }

  #stepMs(leastMs: number, shareMs: number): number {
    return Math.min(5000, Math.max(1000, this.#ttlMs() / 3), Math.max(leastMs, shareMs));
  }

  #leftMs(at: Instant): number {
    return this.#session === undefined ? NEVER : this.#session.validity.deadlineMs - at.nowMs;
  }

  #ttlMs(): number {
    return this.#session?.ttlMs ?? this.#settings.ttlMs;
  }

  #giveUpOnStreams(at: Instant): void {
    if (this.#dialer.streamNo !== undefined && at.nowMs >= this.#dialer.wakeAtMs) this.#dialFailed(noServer, at);
    if (this.#link.kind === "opening" && at.nowMs >= this.#link.giveUpMs) {
      // A new session that opens too late would be nobody's; one that is resumed is still wanted.
      if (this.#session === undefined) this.#sayClose();
      this.#linkEnded(noServer, at);
    }
  }

  #dialFailed(why: Failure, at: Instant): void {
    this.#lastFailure = why;
    this.#stopDialing();
    this.#rest(at);
  }

  #rest(at: Instant): void {
    // While there is a session to save, several attempts must fit into its TTL.
    this.#dialer.restAfterFailure(at.nowMs, this.#session === undefined ? NEVER : this.#ttlMs() / 10);
  }

  /** Sends the first frame of a stream. From here on nothing is taken from the one before. */
  #openOn(streamNo: number, at: Instant): void {
    this.#dialer.addresses.arrived();
    this.#dialer.stop();
    this.#abandonLink();
    this.#link = { kind: "opening", streamNo, sentAt: at, giveUpMs: at.nowMs + this.#openMs(at) };
    const first = this.#session === undefined ? open(this.#settings) : resume(this.#session);
    this.#send(streamNo, this.#phase.kind === "closing" ? [first, { kind: "close" }] : [first]);
  }

  #abandonLink(): void {
    if (this.#link.kind !== "none") this.#tell({ kind: "abandon", streamNo: this.#link.streamNo });
    this.#link = { kind: "none" };
    this.#commands = [];
  }

  #linkEnded(why: Failure, at: Instant): void {
    if (this.#link.kind === "up" && at.nowMs - this.#link.sinceMs >= STEADY_MS) this.#dialer.forgetFailures();
    this.#abandonLink();
    this.#lastFailure = why;
    const next = consequence(why.reason, this.#session !== undefined);
    if (next !== "resume" || this.#settings.onDisconnect === "release") this.#endSession(why, at);
    else if (this.#session !== undefined && this.#session.heartbeats === undefined) {
      // Nothing but the connection proved that this client lives: from now on nothing does.
      this.#session.validity = new Validity();
      this.#session.validity.prove(at, this.#session.ttlMs);
    }
    if (next === "refuse") this.#refuse(why);
    // An attempt that is under way already goes on.
    if (this.#dialer.isIdle) this.#rest(at);
  }

  // -- Sessions --------------------------------------------------------------------------------------

  /** A session is over for this client, whatever the server thinks: it is told so, if it can be. */
  #endSession(why: Failure, at: Instant): void {
    this.#sayClose();
    this.#abandonLink();
    this.#session = undefined;
    this.#claims.endSession(why, at.nowMs);
  }

  #sayClose(): void {
    this.#commands = [];
    if (this.#link.kind !== "none") this.#send(this.#link.streamNo, [{ kind: "close" }]);
  }

  /** Nobody's wish can be fulfilled. */
  #refuse(why: Failure): void {
    this.#claims.refuseAll(why);
    if (this.#openLimitMs !== undefined) this.#notOpened(why);
  }

  #notOpened({ reason, message }: Failure): void {
    this.#openLimitMs = undefined;
    this.#tell({ kind: "not-opened", reason, message });
  }

  #opened(event: Opened, { streamNo, sentAt }: Link & { kind: "opening" }, at: Instant): void {
    this.#dialer.addresses.learn(event.servers);
    this.#session ??= newSession(event, this.#settings.liveness);
    const { id, heartbeats, validity } = this.#session;
    this.#link = { kind: "up", streamNo, sinceMs: at.nowMs, draining: false };
    this.#lastFailure = noServer;
    heartbeats?.restart(sentAt);
    validity.prove(sentAt, heartbeats === undefined ? NEVER : event.validForMs);
    this.#look(at);
    if (this.#session === undefined || this.#phase.kind !== "running") return;
    this.#openLimitMs = undefined;
    this.#tell({ kind: "opened", sessionId: id });
    this.#claims.reconcile(event.claims, at.nowMs);
  }

  #take(event: SessionEvent, at: Instant): void {
    switch (event.kind) {
      case "opened":
        if (this.#link.kind === "opening") this.#opened(event, this.#link, at);
        return;
      case "heartbeat-ack": {
        const sentAt = this.#session?.heartbeats?.answered(event.seq);
        if (sentAt !== undefined) this.#session?.validity.prove(sentAt, event.validForMs);
        return;
      }
      case "waiting":
        return this.#claims.waiting(event);
      case "granted":
        return this.#claims.granted(event);
      case "denied":
      case "lost":
      case "released":
        return this.#claims.ended(event);
      case "updated":
        return this.#claims.updated(event);
      case "draining":
        this.#dialer.addresses.learn(event.servers);
        return this.#drain(event.leaveWithinMs, at);
      case "servers":
        return this.#dialer.addresses.learn(event.servers);
      case "closed":
        return this.#linkEnded(event, at);
      default:
        event satisfies never;
    }
  }

  /** The link goes on until another stream takes over. Not all clients of the server leave at once. */
  #drain(leaveWithinMs: number, at: Instant): void {
    if (this.#link.kind !== "up") return;
    this.#link = { ...this.#link, draining: true };
    if (this.#dialer.isIdle) this.#dialer.rest(at.nowMs, Math.min(1000, leaveWithinMs / 2, this.#leftMs(at) / 4));
  }

  #send(streamNo: number, commands: readonly Command[]): void {
    this.#tell({ kind: "send", streamNo, commands });
  }

  #tell(effect: Effect): void {
    this.#effects.push(effect);
  }
}

const nothing: readonly Effect[] = [];

const closedByClient: Failure = { reason: "closed-by-client", message: "the client was closed" };

const noServer: Failure = { reason: "unreachable", message: "no server answered in time" };

function newSession({ sessionId, secret, ttlMs, heartbeatIntervalMs }: Opened, liveness: Liveness): Session {
  const heartbeats = liveness === "heartbeat" ? new Heartbeats(heartbeatIntervalMs ?? ttlMs / 3) : undefined;
  return { id: sessionId, secret, ttlMs, heartbeats, validity: new Validity(), attempt: 0n };
}

function open({ ttlMs, onDisconnect, liveness, client, labels }: MachineSettings): Command {
  return { kind: "open", ttlMs, onDisconnect, liveness, client, labels };
}

function resume(session: Session): Command {
  session.attempt += 1n;
  return { kind: "resume", sessionId: session.id, secret: session.secret, attempt: session.attempt };
}

const sessionMayLive: ReadonlySet<Reason> = new Set([
  "superseded",
  "client-too-slow",
  "draining",
  "store-unavailable",
  "unreachable",
  "connection-lost",
]);

/** What follows from the end of a stream: the session is resumed, or another opened, or nothing can be had. */
function consequence(reason: Reason, hadSession: boolean): "resume" | "afresh" | "refuse" {
  if (sessionMayLive.has(reason)) return "resume";
  if (reason === "session-expired") return "afresh";
  // A fault of the server's ends the stream and leaves the session; without one it may come again and again.
  if (reason === "internal" && hadSession) return "resume";
  // The secret of a session may be refused where another session is welcome.
  return reason === "not-permitted" && hadSession ? "afresh" : "refuse";
}
