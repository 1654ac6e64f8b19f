import type { Client } from "./client.ts";
import type { ClaimView } from "./frames.ts";
import type { HeldLock } from "./held-lock.ts";
import { HoldfastError } from "./holdfast-error.ts";
import { shared } from "./lock-request.ts";

/** As in the Web Locks API. */
export type WebLockMode = "exclusive" | "shared";

/** A lock as a callback of `request` is given it: that of the Web Locks API, and what it lacks. */
export interface WebLock {
  readonly name: string;
  readonly mode: WebLockMode;
  /** Its fencing token, its signal of loss, and the rest. */
  readonly held: HeldLock;
}

/** How to request, as in the Web Locks API. */
export interface WebLockOptions {
  /** Default: `exclusive`. */
  readonly mode?: WebLockMode;
  /** The callback is called with `null` if the lock is not free now. Default: it waits. */
  readonly ifAvailable?: boolean;
  /** Ends the waiting: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Refused with `NotSupportedError` if true: nobody's lock is taken away here. */
  readonly steal?: boolean;
}

/** A claim as `query` shows it. */
export interface WebLockInfo {
  readonly name: string;
  readonly mode: WebLockMode;
  /** The session that holds it or waits for it. */
  readonly clientId: string;
}

type Callback<Lock, Result> = (lock: Lock) => Result | Promise<Result>;

/**
 * The locks of a service with the face of the Web Locks API, `navigator.locks`: for code that was written for that, to
 * run on many machines.
 *
 * What differs: a lock can be lost while it is held. `request` then rejects with `LockLostError`, whatever the
 * callback did, and `lock.held` has the signal and the fencing token. `steal` is refused. Errors of the service are
 * `HoldfastError`s.
 */
export class WebLocks {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /**
   * Waits for the lock, calls `callback` with it, and gives it back when what that returns has settled. Resolves and
   * rejects as the callback does. As in a browser, a request inside another for the same lock waits for ever.
   */
  request<Result>(name: string, callback: Callback<WebLock, Result>): Promise<Result>;
  request<Result>(
    name: string,
    options: WebLockOptions & { readonly ifAvailable?: false },
    callback: Callback<WebLock, Result>,
  ): Promise<Result>;
  request<Result>(name: string, options: WebLockOptions, callback: Callback<WebLock | null, Result>): Promise<Result>;
  async request<Result>(
    name: string,
    ...rest:
      | [Callback<WebLock, Result>]
      | [WebLockOptions, Callback<WebLock, Result> | Callback<WebLock | null, Result>]
  ): Promise<Result> {
    const options: WebLockOptions = rest.length === 1 ? {} : rest[0];
    // Only who asks for `ifAvailable` is called with null.
    const callback = rest.at(-1) as Callback<WebLock | null, Result>;
    const { mode = "exclusive", ifAvailable = false, signal } = options;
    refuseUnsupported(name, options);
    signal?.throwIfAborted();
    let called = false;
    const run = (held: HeldLock) => {
      called = true;
      return callback({ name, mode, held });
    };
    try {
      return await this.#client.withLock(
        mode === "shared" ? shared(name) : name,
        { reentrant: false, ...(ifAvailable ? { waitMs: 0 } : {}), ...(signal === undefined ? {} : { signal }) },
        run,
      );
    } catch (error) {
      if (called || !(error instanceof HoldfastError)) throw error;
      if (ifAvailable && error.reason === "busy") return await callback(null);
      throw error.reason === "aborted" && signal?.aborted ? signal.reason : error;
    }
  }

  /**
   * Who holds and who waits for the locks whose names begin with `prefix`, in order: at most 100 of each for each lock.
   * Permits of semaphores, which the Web Locks API does not know, are left out.
   */
  async query({ prefix = "" }: { readonly prefix?: string } = {}): Promise<{
    readonly held: readonly WebLockInfo[];
    readonly pending: readonly WebLockInfo[];
  }> {
    const held: WebLockInfo[] = [];
    const pending: WebLockInfo[] = [];
    for await (const { locks, caughtUp } of this.#client.watchLocks({ prefix }, { maxWaiters: 100 })) {
      for (const { name, holders, waiters } of locks) {
        held.push(...infos(name, holders));
        pending.push(...infos(name, waiters));
      }
      if (caughtUp) break;
    }
    return { held, pending };
  }
}

function refuseUnsupported(name: string, { steal, ifAvailable, signal }: WebLockOptions): void {
  const problem = steal
    ? "nobody's lock can be stolen: an administrator may release it by force"
    : ifAvailable && signal !== undefined
      ? "a signal means nothing to a request that does not wait"
      : name.startsWith("-")
        ? `a name must not begin with "-", as ${JSON.stringify(name)} does`
        : undefined;
  if (problem !== undefined) throw new DOMException(problem, "NotSupportedError");
}

function infos(name: string, claims: readonly ClaimView[]): readonly WebLockInfo[] {
  return claims.flatMap(({ mode, sessionId }) => (mode === "semaphore" ? [] : [{ name, mode, clientId: sessionId }]));
}
