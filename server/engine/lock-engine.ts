import type { Command, LockView } from "../core/frames.ts";
import type { Reason } from "../core/reason.ts";
import type { SessionStream } from "../ports/session-stream.ts";

/** How a stream ended from the client's side. */
export type StreamEnd = "half-closed" | "cancelled" | "broken";

/**
 * What the adapters that face clients may ask of the engine. Everything is synchronous: answers come by
 * callback or through the stream, in a later turn of the event loop or in this one.
 */
export interface LockEngine {
  /**
   * Applies one command of a stream. The first must be `open` or `resume`; anything else out of place, or a
   * command that contradicts an earlier one, closes the stream with `invalid`. Commands after `closed` was
   * sent are ignored.
   */
  command(stream: SessionStream, command: Command): void;

  /** Closes a stream because of what came over it or did not: sends `closed` and ends or keeps the session. */
  refuse(stream: SessionStream, reason: Reason, message: string): void;

  /**
   * A stream ended from the client's side: half-closed, cancelled (reset by the client, past its deadline), or broken
   * (dead connection, too slow).
   * Told once; a stream whose `closed` was sent need not be told.
   */
  disconnected(stream: SessionStream, how: StreamEnd): void;

  /**
   * The client's transport answered an HTTP/2 ping that was sent when the stream was there: proves a `transport`
   * session alive, by a renewal that is sent now.
   */
  transportProven(stream: SessionStream): void;

  /**
   * The server goes away: from now on it takes no new session, says that it does not serve, and tells so to the other
   * servers and to the clients of all sessions that are open, which have `leaveWithinMs` to go elsewhere; those that
   * are being opened are closed. To be repeated with less time if need be.
   */
  drain(leaveWithinMs: number): void;

  /** One lock as of a moment no earlier than the call; holders and waiters cut at `limit` each. */
  getLock(name: string, limit: number, done: (answer: Answer<LockView>) => void): void;

  /** Locks in byte order of names after `after`, with up to `holderLimit` holders and no waiters. */
  listLocks(query: LockQuery, done: (answer: Answer<LockPage>) => void): void;

  /** Whether the grant of `name` with this token is live, ended, or not issued yet. */
  checkToken(name: string, token: bigint, done: (answer: Answer<TokenView>) => void): void;

  /**
   * Follows the locks whose names start with `prefix` or equal `name`. `ready` is called whenever `take` has
   * something new after it had nothing; never from within this call.
   */
  watchLocks(query: WatchQuery, ready: () => void): LockWatch;

  /** Whether this server answers now: its table is current and the store takes writes. */
  health(): { readonly serving: boolean; readonly problem: string };
}

export type Answer<Value> =
  | { readonly kind: "ok"; readonly value: Value }
  | { readonly kind: "failed"; readonly reason: Reason; readonly message: string };

export interface LockQuery {
  readonly prefix: string;
  /** `undefined`: any. */
  readonly state: "held" | "contended" | undefined;
  /** The last name of the page before; empty: from the start. */
  readonly after: string;
  readonly pageSize: number;
  readonly holderLimit: number;
}

export interface LockPage {
  readonly locks: readonly LockView[];
  /** Whether more follow the last of them. */
  readonly more: boolean;
}

export interface TokenView {
  readonly state: "live" | "ended" | "not-issued";
  readonly claim: LockView["holders"][number] | undefined;
}

export interface WatchQuery {
  /** Names starting with this; used if `name` is empty. */
  readonly prefix: string;
  /** Exactly this lock. */
  readonly name: string;
  readonly holderLimit: number;
  readonly waiterLimit: number;
}

/** A reader's place: it takes the latest state of what changed, as fast as it can, and misses only steps between. */
export interface LockWatch {
  /**
   * Up to `limit` locks that changed since they were last taken, as they now are; gone ones as `free`.
   * `caughtUp` is true once: when all locks that existed at the start have been taken.
   */
  take(limit: number): { readonly locks: readonly LockView[]; readonly caughtUp: boolean };
  close(): void;
}
