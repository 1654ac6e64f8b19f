import type { LockSpec } from "../core/frames.ts";
import type { Reason } from "../core/reason.ts";
import type { ClientInfo } from "../core/records.ts";
import type { NotedClaim, NotedSession } from "../core/session-host.ts";
import type { EngineNote, Telemetry } from "../ports/telemetry.ts";

/** What an event tells. */
export type HistoryKind =
  | "waiting"
  | "granted"
  | "denied"
  | "released"
  | "lost"
  | "forced"
  | "session-opened"
  | "session-resumed"
  | "session-ended"
  | "deadlock"
  | "server";

/** Something that happened to a claim, a session or the server. */
export interface HistoryEvent {
  /** Counts the events of this run of the server, from 1. */
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly kind: HistoryKind;
  /** None: it is about a session or the server. */
  readonly locks: readonly Pick<LockSpec, "name">[];
  /** Empty: it is about the server. */
  readonly sessionId: string;
  /** 0n: it is about a session or the server. */
  readonly claimId: bigint;
  /** 0n: there was no grant. */
  readonly token: bigint;
  readonly reason: Reason | undefined;
  readonly message: string;
  readonly waitedMs: number | undefined;
  readonly heldMs: number | undefined;
  readonly client: ClientInfo | undefined;
  /** Who did it, if an administrator. */
  readonly actor: string;
  readonly purpose: string;
}

/** Which events are wanted; what is set must all hold. */
export interface HistoryQuery {
  /** Empty: any. */
  readonly lock: string;
  /** Empty: any. */
  readonly sessionId: string;
  /** Empty: any. */
  readonly kinds: ReadonlySet<HistoryKind>;
  /** Only later ones. 0: any. */
  readonly after: number;
  /** Only earlier ones. 0: any. */
  readonly before: number;
  readonly limit: number;
}

export interface HistoryPage {
  /** Newest first. */
  readonly events: readonly HistoryEvent[];
  /** 0: there is none. */
  readonly oldestSeq: number;
  /** 0: there was none yet. */
  readonly newestSeq: number;
}

type Slot = { -readonly [Field in keyof HistoryEvent]: HistoryEvent[Field] };

/** How many events of each sort are kept, and how many characters of text they may have together. */
export interface HistoryLimits {
  readonly events: number;
  readonly characters: number;
}

const ROUTINE: HistoryLimits = { events: 16_384, characters: 4_000_000 };
const NOTABLE: HistoryLimits = { events: 4_096, characters: 2_000_000 };
/** Of a message, which may spell out a circle. */
const MAX_MESSAGE = 2_000;
const NO_LOCKS: HistoryEvent["locks"] = [];

/**
 * What happened lately, in two rings of bounded size: what happens all the time cannot push out what is rare. Slots
 * are used again and share their texts with what they tell of, so that remembering costs a few assignments; nothing
 * is formatted until somebody asks.
 */
export class History implements Telemetry {
  private readonly wallMs: () => number;
  private readonly routine: Ring;
  private readonly notable: Ring;
  private seq = 0;

  constructor(wallMs: () => number, limits: { routine?: HistoryLimits; notable?: HistoryLimits } = {}) {
    this.wallMs = wallMs;
    this.routine = new Ring(limits.routine ?? ROUTINE);
    this.notable = new Ring(limits.notable ?? NOTABLE);
  }

  note(note: EngineNote): void {
    switch (note.kind) {
      case "claim.waiting":
        this.ofClaim(this.routine, "waiting", note);
        return;
      case "claim.granted": {
        if (note.reentered) return;
        const slot = this.ofClaim(this.routine, "granted", note);
        slot.token = note.token;
        slot.waitedMs = note.waitedMs;
        return;
      }
      case "claim.released": {
        const slot = this.ofClaim(this.routine, "released", note);
        slot.token = note.token;
        slot.heldMs = note.heldMs;
        return;
      }
      case "claim.denied": {
        const isRoutine = note.reason === "busy" || note.reason === "timeout";
        const slot = this.ofClaim(isRoutine ? this.routine : this.notable, "denied", note, note.message);
        slot.reason = note.reason;
        slot.waitedMs = note.waitedMs;
        return;
      }
      case "claim.lost": {
        const slot = this.ofClaim(this.notable, "lost", note, note.message);
        slot.token = note.token;
        slot.reason = note.reason;
        slot.heldMs = note.heldMs;
        slot.actor = note.actor;
        return;
      }
      case "claim.forced": {
        const slot = this.ofClaim(this.notable, "forced", note, note.justification);
        slot.token = note.token;
        slot.reason = "released-by-force";
        slot.actor = note.actor;
        return;
      }
      case "session.forced": {
        const slot = this.ofSession(this.notable, "forced", note.session, note.justification);
        slot.reason = "closed-by-force";
        slot.actor = note.actor;
        return;
      }
      case "deadlock.found":
        this.ofClaim(this.notable, "deadlock", note, note.message);
        return;
      case "session.opened":
        this.ofSession(this.routine, note.resumed ? "session-resumed" : "session-opened", note.session, "");
        return;
      case "session.ended": {
        const isRoutine = note.reason === "closed-by-client";
        const ring = isRoutine ? this.routine : this.notable;
        const slot = this.ofSession(ring, "session-ended", note.session, note.message);
        slot.reason = note.reason;
        slot.actor = note.actor;
        return;
      }
      case "table.resynced":
        this.ofServer(`the table was read anew at revision ${note.revision}, because of a ${note.why}`);
        return;
      case "engine.paused":
        this.ofServer(`the event loop stood still for ${note.forMs} ms`);
        return;
      case "engine.failed":
        this.ofServer(note.problem);
        return;
      case "server.draining":
        this.ofServer(`the server drains: ${note.sessions} sessions have ${note.leaveWithinMs} ms to leave`);
        return;
      case "server.registered":
        this.ofServer(note.again ? "the server is registered again: its key was gone" : "the server is registered");
        return;
      case "heartbeat.late":
      case "servers.told":
      case "store.committed":
      case "lease.renewed":
      case "stream.cut-off":
        return;
      default:
        return note satisfies never;
    }
  }

  list(query: HistoryQuery): HistoryPage {
    const events: HistoryEvent[] = [];
    const rings = [this.routine.newestFirst(), this.notable.newestFirst()];
    const heads = rings.map((ring) => ring.next());
    while (events.length < query.limit) {
      const seqs = heads.map((head) => (head.done ? 0 : head.value.seq));
      const ring = (seqs[0] as number) > (seqs[1] as number) ? 0 : 1;
      const head = heads[ring];
      if (head === undefined || head.done || head.value.seq <= query.after) break;
      if (isWanted(head.value, query)) events.push({ ...head.value });
      heads[ring] = (rings[ring] as Iterator<Slot, undefined>).next();
    }
    const oldest = [this.routine.oldestSeq, this.notable.oldestSeq].filter((seq) => seq > 0);
    return { events, oldestSeq: oldest.length === 0 ? 0 : Math.min(...oldest), newestSeq: this.seq };
  }

  private ofClaim(ring: Ring, kind: HistoryKind, { session, claim }: ClaimNote, message = ""): Slot {
    const { locks, purpose } = claim.request;
    let characters = purpose.length;
    for (const { name } of locks) characters += name.length;
    const slot = this.next(ring, kind, message, characters);
    slot.locks = locks;
    slot.sessionId = session.id;
    slot.claimId = claim.id;
    slot.client = session.record.client;
    slot.purpose = purpose;
    return slot;
  }

  private ofSession(ring: Ring, kind: HistoryKind, session: NotedSession, message: string): Slot {
    const slot = this.next(ring, kind, message, 0);
    slot.sessionId = session.id;
    slot.client = session.record.client;
    return slot;
  }

  private ofServer(message: string): void {
    this.next(this.notable, "server", message, 0);
  }

  private next(ring: Ring, kind: HistoryKind, message: string, characters: number): Slot {
    const clipped = message.length <= MAX_MESSAGE ? message : `${message.slice(0, MAX_MESSAGE - 1)}…`;
    const slot = ring.next(characters + clipped.length);
    slot.seq = ++this.seq;
    slot.atMs = this.wallMs();
    slot.kind = kind;
    slot.message = clipped;
    return slot;
  }
}

interface ClaimNote {
  readonly session: NotedSession;
  readonly claim: NotedClaim;
}

function isWanted(event: HistoryEvent, { lock, sessionId, kinds, before }: HistoryQuery): boolean {
  if (before !== 0 && event.seq >= before) return false;
  if (sessionId !== "" && event.sessionId !== sessionId) return false;
  if (kinds.size > 0 && !kinds.has(event.kind)) return false;
  return lock === "" || event.locks.some(({ name }) => name === lock);
}

/** The latest events, so many and with so much text as it may have. Slots are made as they are first needed. */
class Ring {
  private readonly limits: HistoryLimits;
  private readonly slots: Slot[] = [];
  /** How many characters each slot counts for. */
  private readonly sizes: number[] = [];
  private oldest = 0;
  private count = 0;
  private characters = 0;

  constructor(limits: HistoryLimits) {
    this.limits = limits;
  }

  get oldestSeq(): number {
    return this.count === 0 ? 0 : (this.slots[this.oldest] as Slot).seq;
  }

  /** An empty slot for the next event, in the place of the oldest ones if need be. */
  next(characters: number): Slot {
    const { events, characters: most } = this.limits;
    while (this.count > 0 && (this.count >= events || this.characters + characters > most)) this.forget();
    const at = (this.oldest + this.count) % events;
    let slot = this.slots[at];
    if (slot === undefined) {
      slot = emptySlot();
      this.slots[at] = slot;
    }
    this.sizes[at] = characters;
    this.characters += characters;
    this.count++;
    return slot;
  }

  *newestFirst(): Iterator<Slot, undefined> {
    for (let i = this.count - 1; i >= 0; i--) yield this.slots[(this.oldest + i) % this.limits.events] as Slot;
    return undefined;
  }

  private forget(): void {
    const slot = this.slots[this.oldest] as Slot;
    this.characters -= this.sizes[this.oldest] as number;
    clear(slot);
    this.oldest = (this.oldest + 1) % this.limits.events;
    this.count--;
  }
}

/** Lets go of what a slot pointed to. Written out: copying an empty one over it takes ten times as long. */
function clear(slot: Slot): void {
  slot.locks = NO_LOCKS;
  slot.sessionId = "";
  slot.claimId = 0n;
  slot.token = 0n;
  slot.reason = undefined;
  slot.message = "";
  slot.waitedMs = undefined;
  slot.heldMs = undefined;
  slot.client = undefined;
  slot.actor = "";
  slot.purpose = "";
}

const emptySlot = (): Slot => ({
  seq: 0,
  atMs: 0,
  kind: "server",
  locks: NO_LOCKS,
  sessionId: "",
  claimId: 0n,
  token: 0n,
  reason: undefined,
  message: "",
  waitedMs: undefined,
  heldMs: undefined,
  client: undefined,
  actor: "",
  purpose: "",
});
