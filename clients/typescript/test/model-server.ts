import type { Command, SessionClaim, SessionEvent } from "../src/frames.ts";

/** How long after the last proof a server ends a session of 15 s (DESIGN 4.7). */
const SERVER_TTL_MS = 15_000 * 1.01 + 50;

interface ModelSession {
  attempt: bigint;
  deadlineMs: number;
  /** Live claims: whether they are held. */
  readonly claims: Map<bigint, boolean>;
  lastSeq: bigint;
  lastClaimId: bigint;
  streamNo: number;
}

/**
 * The service as clients see it, much simplified: one table of sessions whose claims are granted or not as chance
 * will have it. It throws when a client breaks a rule of the protocol.
 */
export class ModelServer {
  readonly sessions = new Map<string, ModelSession>();
  readonly #chance: (probability: number) => boolean;
  #opened = 0;

  constructor(chance: (probability: number) => boolean) {
    this.#chance = chance;
  }

  /** Ends the sessions whose deadline has passed. */
  expire(nowMs: number): void {
    for (const [id, { deadlineMs }] of this.sessions) if (nowMs > deadlineMs) this.sessions.delete(id);
  }

  sessionOn(streamNo: number): ModelSession | undefined {
    return [...this.sessions.values()].find((session) => session.streamNo === streamNo);
  }

  /** What it answers to a command that arrives now on a stream. */
  command(streamNo: number, command: Command, nowMs: number): SessionEvent[] {
    if (command.kind === "open") return [this.#open(streamNo, nowMs)];
    if (command.kind === "resume") return [this.#resume(streamNo, command, nowMs)];
    const session = this.sessionOn(streamNo);
    // Its session has ended or was resumed elsewhere: nobody listens.
    if (session === undefined) return [];
    switch (command.kind) {
      case "heartbeat":
        if (command.seq <= session.lastSeq) throw new Error(`heartbeat ${command.seq} after ${session.lastSeq}`);
        session.lastSeq = command.seq;
        if (this.#chance(0.1)) return [];
        session.deadlineMs = nowMs + SERVER_TTL_MS;
        return [{ kind: "heartbeat-ack", seq: command.seq, validForMs: 15_000 }];
      case "acquire":
        return this.#acquire(session, command.claimId);
      case "release":
        session.claims.delete(command.claimId);
        return [{ kind: "released", claimId: command.claimId }];
      case "update":
        return [{ kind: "updated", claimId: command.claimId, reason: undefined, message: "" }];
      case "close":
        for (const [id, each] of this.sessions) if (each === session) this.sessions.delete(id);
        return [{ kind: "closed", reason: "closed-by-client", message: "" }];
      default:
        return command satisfies never;
    }
  }

  #open(streamNo: number, nowMs: number): SessionEvent {
    const id = `session ${++this.#opened}`;
    this.sessions.set(id, {
      attempt: 0n,
      deadlineMs: nowMs + SERVER_TTL_MS,
      claims: new Map(),
      lastSeq: 0n,
      lastClaimId: 0n,
      streamNo,
    });
    return opened(id, []);
  }

  #resume(streamNo: number, { sessionId, attempt }: Command & { kind: "resume" }, nowMs: number): SessionEvent {
    const session = this.sessions.get(sessionId);
    if (session === undefined) return { kind: "closed", reason: "session-expired", message: "" };
    if (attempt <= session.attempt) throw new Error(`attempt ${attempt} after ${session.attempt}`);
    session.attempt = attempt;
    if (this.#chance(0.1)) return { kind: "closed", reason: "store-unavailable", message: "" };
    session.streamNo = streamNo;
    session.deadlineMs = nowMs + SERVER_TTL_MS;
    session.lastClaimId = 0n;
    const claims = [...session.claims].map(([claimId, held]) => ({ claimId, held, locks: locksOf(claimId) }));
    return opened(sessionId, claims);
  }

  #acquire(session: ModelSession, claimId: bigint): SessionEvent[] {
    if (!session.claims.has(claimId)) {
      if (claimId <= session.lastClaimId) throw new Error(`claim ${claimId} after ${session.lastClaimId}`);
      session.lastClaimId = claimId;
      if (this.#chance(0.2)) return [denied(claimId)];
      session.claims.set(claimId, false);
    }
    if (session.claims.get(claimId) || this.#chance(0.5)) return this.grant(session, claimId);
    return [{ kind: "waiting", claimId, lock: "x", position: 1, holders: [], holderCount: 1 }];
  }

  grant(session: ModelSession, claimId: bigint): SessionEvent[] {
    session.claims.set(claimId, true);
    return [{ kind: "granted", claimId, locks: locksOf(claimId) }];
  }

  /** Ends a claim by force, or denies it. */
  end(session: ModelSession, claimId: bigint): SessionEvent[] {
    const held = session.claims.get(claimId);
    session.claims.delete(claimId);
    return held ? [{ kind: "lost", claimId, reason: "released-by-force", message: "" }] : [denied(claimId)];
  }
}

const locksOf = (claimId: bigint) => [{ name: "x", token: claimId }];

const denied = (claimId: bigint): SessionEvent => ({
  kind: "denied",
  claimId,
  reason: "busy",
  message: "",
  lock: "x",
  holders: [],
  holderCount: 1,
});

function opened(sessionId: string, claims: readonly SessionClaim[]): SessionEvent {
  const times = { ttlMs: 15_000, validForMs: 15_000, heartbeatIntervalMs: 5000 };
  return { kind: "opened", sessionId, secret: "secret", ...times, claims, servers: [] };
}
