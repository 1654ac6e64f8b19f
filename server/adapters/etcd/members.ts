import type { Metadata } from "@grpc/grpc-js";
import { type CallFailure, describeFailure, type EtcdConnection } from "./connection.ts";
import { chooseMember, type MemberView } from "./member-choice.ts";
import { askMember, latest, type MemberWord, type Position } from "./position.ts";

export interface MembersOptions {
  /** One for each member. */
  readonly connections: readonly EtcdConnection[];
  /** A key that may be read. */
  readonly key: Buffer;
  readonly metadata: () => Metadata;
  /** Another member is used from now on; what was under way with a member that is not sound has failed. */
  readonly onMoved: (from: EtcdConnection, to: EtcdConnection, why: string) => void;
  /** Where a member is in etcd's history, and where one was that told it before this one was asked. */
  readonly onPosition: (position: Position, before: Position | undefined) => void;
}

/** How often a member is looked at that answers, and one that does not, whether or not earlier looks are answered. */
const LOOK_EVERY_MS = 500;
const LOOK_AGAIN_MS = 200;
/** A look that is not answered by then has missed. etcd answers it from memory, after one round to a quorum. */
const ANSWER_WITHIN_MS = 1_000;
/**
 * An etcd that is overloaded answers late as well, and to leave members again and again would make that worse: for some
 * time after a connection was given up the next one is given twice as long.
 */
const ANSWER_AT_LAST_WITHIN_MS = 4_000;
const OVERLOAD_LASTS_MS = 30_000;
/** After so many in a row the connection itself may be what is dead. */
const MISSES_TO_RECONNECT = 2;
/** A deadline that fires so late fires because this process stood still: the answer may lie in the socket. */
const OWN_PAUSE_MS = 200;
/** etcd is told the deadline too, and may be the first to end the call, as cancelled. */
const DEADLINES_APART_MS = 50;

interface Watched {
  readonly connection: EtcdConnection;
  view: MemberView;
  misses: number;
  /** Looks are counted; an answer is overtaken by that of a later one. */
  sent: number;
  answered: number;
  /** The last that was sent over a connection that was given up. */
  givenUp: number;
  timer: NodeJS.Timeout | undefined;
}

interface Look {
  readonly number: number;
  readonly sentAtMs: number;
  readonly patienceMs: number;
  /** Where etcd was known to be when it was sent. */
  readonly before: Position | undefined;
}

/**
 * Looks at all members all the time, by a linearizable read each, and says which to use (`chooseMember`).
 *
 * gRPC alone would not do: it moves when a connection breaks, while a member that is frozen or cut off from its peers
 * keeps its connections, is silent, and answers from the past. One that misses a look while another answers is left
 * within 1.6 s of its last answer; a connection that misses two looks is made anew, for when there is no other.
 */
export class Members {
  private readonly options: MembersOptions;
  private readonly members: readonly Watched[];
  private index = 0;
  /** The furthest that any member has told. */
  latest: Position | undefined;
  private patienceMs = ANSWER_WITHIN_MS;
  private gaveUpAtMs = Number.NEGATIVE_INFINITY;
  private closed = false;

  constructor(options: MembersOptions) {
    this.options = options;
    this.members = options.connections.map((connection) => ({
      connection,
      view: { kind: "unseen" },
      misses: 0,
      sent: 0,
      answered: 0,
      givenUp: 0,
      timer: undefined,
    }));
    for (const member of this.members) this.look(member);
  }

  /** The one to use. */
  get current(): EtcdConnection {
    return this.members[this.index]!.connection;
  }

  /** Looks at once at a member with which a call has failed. */
  suspect(connection: EtcdConnection): void {
    const member = this.members.find((each) => each.connection === connection);
    if (member?.view.kind === "sound") this.look(member);
  }

  close(): void {
    this.closed = true;
    for (const { timer } of this.members) clearTimeout(timer);
  }

  private look(member: Watched): void {
    if (this.closed) return;
    clearTimeout(member.timer);
    member.timer = setTimeout(() => this.look(member), member.view.kind === "sound" ? LOOK_EVERY_MS : LOOK_AGAIN_MS);
    const { latest: before } = this;
    const patienceMs = this.patienceNow();
    const look: Look = { number: ++member.sent, sentAtMs: performance.now(), patienceMs, before };
    const question = {
      key: this.options.key,
      metadata: this.options.metadata(),
      deadlineMs: Date.now() + patienceMs,
    };
    askMember(member.connection, question, (failure, word) => {
      if (failure !== null) this.missed(member, look, failure);
      else this.answered(member, look, word);
    });
  }

  private missed(member: Watched, look: Look, failure: CallFailure): void {
    // What was given up here says nothing of the member.
    if (look.number < member.answered || look.number <= member.givenUp || this.closed) return;
    const tookMs = performance.now() - look.sentAtMs;
    if (tookMs > look.patienceMs + OWN_PAUSE_MS) return;
    if (tookMs >= look.patienceMs - DEADLINES_APART_MS) member.misses++;
    const wasSound = member.view.kind === "sound";
    member.view = { kind: "silent" };
    if (member.misses >= MISSES_TO_RECONNECT) this.giveUp(member);
    this.decide(describeFailure(failure));
    if (wasSound) this.look(member);
  }

  private answered(member: Watched, look: Look, word: MemberWord | undefined): void {
    if (look.number < member.answered || this.closed) return;
    member.answered = look.number;
    member.misses = 0;
    member.view = { kind: "sound", leads: word?.leads ?? false, term: word?.position.term ?? 0 };
    if (word !== undefined) {
      const { position } = word;
      this.latest = this.latest === undefined ? position : latest(this.latest, position);
      this.options.onPosition(position, look.before);
    }
    this.decide("");
  }

  private patienceNow(): number {
    if (performance.now() - this.gaveUpAtMs > OVERLOAD_LASTS_MS) this.patienceMs = ANSWER_WITHIN_MS;
    return this.patienceMs;
  }

  /** Everything that is under way with a member fails. */
  private giveUp(member: Watched): void {
    this.patienceMs = Math.min(ANSWER_AT_LAST_WITHIN_MS, this.patienceNow() * 2);
    this.gaveUpAtMs = performance.now();
    member.misses = 0;
    member.givenUp = member.sent;
    member.connection.reconnect();
  }

  private decide(failure: string): void {
    const choice = chooseMember(
      this.index,
      this.members.map(({ view }) => view),
    );
    if (choice === this.index) return;
    const left = this.members[this.index]!;
    this.index = choice;
    // What it was asked would be answered at the end of its patience, or never. Otherwise it finishes what it has.
    const isSilent = left.view.kind === "silent";
    if (isSilent) this.giveUp(left);
    const why = isSilent ? failure || "it does not answer" : "the other leads";
    this.options.onMoved(left.connection, this.current, why);
  }
}
