import type { Reason } from "../../core/reason.ts";
import type { WatchQuery } from "../../engine/lock-engine.ts";

/** Who wants something changed, as far as is known. */
export interface Caller {
  /** The network address that the request came from, as "address:port". */
  readonly peer: string;
  /** The value of `authorization`, if it came with one. */
  readonly authorization: string | undefined;
  /** Whether it comes from another machine although its address is of this one: through a proxy. */
  readonly isProxied: boolean;
}

/** The calls that the console makes, by their names in `holdfast.v1`. */
export type ReadName = "GetLock" | "ListSessions" | "GetSession" | "GetStatus" | "ListEvents" | "GetWaitGraph";
export type ChangeName = "ReleaseLock" | "CloseSession";

/** What came of a call: the response as JSON, 64-bit numbers as strings, or why there is none. */
export type ServiceAnswer =
  | { readonly kind: "ok"; readonly json: unknown }
  | { readonly kind: "failed"; readonly reason: Reason; readonly message: string };

/** A lock that changed: gone if both counts are zero. It becomes JSON only if that is wanted. */
export interface LockGlance {
  readonly name: string;
  readonly holderCount: number;
  readonly waiterCount: number;
  /** Values are in it only if this one lock is followed. */
  toJson(): unknown;
}

/** A reader's place among the locks: it takes the latest state of what changed, as fast as it can. */
export interface LockPlace {
  take(limit: number): { readonly locks: readonly LockGlance[]; readonly caughtUp: boolean };
  close(): void;
}

/**
 * What the console shows comes through here: `LockService` and `AdminService` as everybody else gets them, in the JSON
 * of their protos. Calls never reject.
 */
export interface Services {
  read(name: ReadName, request: object): Promise<ServiceAnswer>;
  change(name: ChangeName, request: object, caller: Caller): Promise<ServiceAnswer>;
  watchLocks(query: WatchQuery, ready: () => void): LockPlace;
  /**
   * Tells what the server counted: at first of each second that it remembers, oldest first, then of each new one.
   * Returns what ends it.
   */
  watchStatistics(take: (samples: readonly unknown[]) => void): () => void;
  /** Whether this caller may change anything; if not, why, in words for people, and whether a token would help. */
  access(caller: Caller): { readonly allowed: boolean; readonly problem: string; readonly byToken: boolean };
}
