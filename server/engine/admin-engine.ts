import type { ClaimView, SessionClaim } from "../core/frames.ts";
import type { ServerRecord, SessionRecord } from "../core/records.ts";
import type { WaitGraphView } from "../core/wait-view.ts";
import type { HistoryPage, HistoryQuery } from "./history.ts";
import type { Answer } from "./lock-engine.ts";
import type { StatisticsWatch } from "./statistics.ts";

/** What the adapters that face people on call may ask of the engine. Answers come as those of `LockEngine` do. */
export interface AdminEngine {
  readonly serverId: string;

  /** Live sessions in order of their ids, as of a moment no earlier than the call. */
  listSessions(query: SessionQuery, done: (answer: Answer<SessionPage>) => void): void;

  /** One live session with all its claims, likewise; fails with `not-found`. */
  getSession(sessionId: string, done: (answer: Answer<SessionDetails>) => void): void;

  /** Who waits for whom, likewise. */
  waitGraph(prefix: string, maxNodes: number, done: (answer: Answer<WaitGraphView>) => void): void;

  /**
   * Ends the claim that holds a lock with this token, on all its locks; its session lives on. Answers with the claim as
   * it was when that is known, or within about 15 s: `wrong-token` if no holder has the token, with those there are;
   * `store-unavailable` if nobody knows, and then it may have ended or may yet.
   */
  releaseLock(request: ReleaseLock, done: (answer: ForcedAnswer<ClaimView>) => void): void;

  /** Closes a session with all its claims, likewise; answers with how many those were. `not-found` if there is none. */
  closeSession(request: CloseSession, done: (answer: ForcedAnswer<number>) => void): void;

  /** How this server and its table are. At once: it does not ask the store. */
  state(): EngineState;

  /** Has the store commit something that changes nothing, and tells how long that took; `undefined`: it did not. */
  checkStore(done: (tookMs: number | undefined) => void): void;

  /** What this server saw happen lately. */
  listEvents(query: HistoryQuery): HistoryPage;

  /** Follows what this server counts; `ready` as in `LockEngine.watchLocks`. */
  watchStatistics(ready: () => void): StatisticsWatch;
}

/** Who ends something by force, and why. */
interface Forced {
  /** Whom the administrator authenticated as, or the network address. */
  readonly actor: string;
  readonly justification: string;
}

export interface ReleaseLock extends Forced {
  readonly name: string;
  readonly token: bigint;
}

export interface CloseSession extends Forced {
  readonly sessionId: string;
}

/** An answer that tells who holds the lock, if somebody else does than was expected. */
export type ForcedAnswer<Value> = Answer<Value> & {
  readonly holders?: readonly ClaimView[];
  readonly holderCount?: number;
};

export interface SessionQuery {
  /** The last id of the page before; empty: from the start. */
  readonly after: string;
  readonly pageSize: number;
}

export interface SessionPage {
  readonly sessions: readonly SessionView[];
  /** Whether more follow the last of them. */
  readonly more: boolean;
}

/** A session as somebody looking sees it. */
export interface SessionView {
  readonly id: string;
  readonly record: SessionRecord;
  /** How much of its TTL is left; `undefined`: another server knows. */
  readonly validForMs: number | undefined;
  readonly heldCount: number;
  readonly waitingCount: number;
}

export interface SessionDetails {
  readonly session: SessionView;
  /** In order of claim ids. */
  readonly claims: readonly SessionClaim[];
}

/** A server that is registered. */
export interface ServerView {
  readonly id: string;
  readonly record: ServerRecord;
  /** How many sessions have their stream there, or had it there last. */
  readonly sessionCount: number;
}

export interface EngineState {
  /** Why this server does not serve now; empty: it does. */
  readonly problem: string;
  /** Whether it refuses new sessions because it is to end. */
  readonly draining: boolean;
  /** In order of ids. This one is missing if it is not registered. */
  readonly servers: readonly ServerView[];
  /** Sessions that this server has. */
  readonly ownSessionCount: number;
  readonly revision: number;
  /** For how long the oldest revision known to exist has been missing from the table; 0: none is. */
  readonly lagMs: number;
  /** How long ago the table was last proven to be as new as the store. `undefined`: never. */
  readonly provenAgoMs: number | undefined;
  readonly locks: number;
  readonly held: number;
  readonly waiting: number;
  readonly sessions: number;
}
