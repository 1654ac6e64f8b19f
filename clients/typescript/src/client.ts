import type { ClaimRequest } from "./frames.ts";
import type { HeldLock } from "./held-lock.ts";
import { HoldfastError, LockLostError } from "./holdfast-error.ts";
import { checkOptions } from "./known-options.ts";
import { LockClaim, type QueuePlace } from "./lock-claim.ts";
import { type LockChanges, LockReads, type LockView, type TokenView, type WatchTarget } from "./lock-reads.ts";
import { type ClaimOptions, claimRequest, type LockTarget } from "./lock-request.ts";
import { type ConnectOptions, type Settings, settingsFrom } from "./options.ts";
import { SessionRuntime } from "./session-runtime.ts";
import { ThreadsOfControl } from "./thread-of-control.ts";

/** How to acquire. */
export interface AcquireOptions extends ClaimOptions {
  /**
   * How long to wait for the lock, in milliseconds. Default: for ever. 0: be granted at once or refused, `busy`.
   * Otherwise refused with `timeout` when it has passed, at the latest 1 s after it if no server answers; if it passed
   * without any session, with `unreachable` or what the last server said.
   */
  readonly waitMs?: number;
  /** Ends the waiting, and only that: the promise rejects with `aborted`. For the loss see `HeldLock.signal`. */
  readonly signal?: AbortSignal;
  /** Called when the claim enters the queue, and as it moves up: each time its place has halved, and the last ten. */
  readonly onWaiting?: (place: QueuePlace) => void;
}

/** How to try: without waiting. */
export type TryOptions = ClaimOptions & Pick<AcquireOptions, "signal">;

/** How to run something under a lock. */
export interface WithLockOptions extends AcquireOptions {
  /**
   * Whether the call belongs to the thread of control around it. Default: true. Then a call nested in another on
   * the same lock re-enters it, and a circle of threads that wait for each other is refused, `deadlock`, to the
   * youngest. False: it excludes every other claim, also those around it, and waits for ever if one of them has it.
   */
  readonly reentrant?: boolean;
}

/** How to look. */
export interface LookOptions {
  /** Ends the call; it rejects with `aborted`. */
  readonly signal?: AbortSignal;
}

/**
 * A program's way to Holdfast: all its locks share one session and one connection. Made by `connect`.
 *
 * Nothing is sent before the first call. From then on the client keeps the program running until `close`.
 */
export interface Client extends AsyncDisposable {
  /** The session that others see as the holder; `undefined` before the first use and between two sessions. */
  readonly sessionId: string | undefined;

  /** Resolves when there is a session. Only for those who want to know early: every call connects by itself. */
  ready(): Promise<void>;

  /**
   * Waits in the queue of a lock (or of up to 16, all or nothing) and resolves when it is held.
   *
   * Rejects with `HoldfastError`: `busy` and `timeout` with the holders, `aborted` with the signal's reason as
   * cause, `unreachable` or what the last server said when none could be had for `connectTimeoutMs`, and whatever a
   * server refuses with. A rejected acquire holds nothing and is never granted later.
   *
   * A short break of the connection keeps the place in the queue. When the session is lost while waiting, the
   * client queues again at the end, in a fresh session, with what is left of `waitMs`.
   *
   * It belongs to no thread of control, also when it is called inside a `withLock`: it re-enters nothing, and a circle of
   * waiting that goes through it is not found. Limit it with `waitMs`, or use `withLock`.
   */
  acquire(target: LockTarget | readonly LockTarget[], options?: AcquireOptions): Promise<HeldLock>;

  /**
   * Takes a lock if it is free now. Resolves with `undefined` if it is not; to learn who holds it, `acquire` with
   * `waitMs: 0` and read `holders` of the error. Rejects as `acquire` does for every reason but `busy`.
   */
  tryAcquire(target: LockTarget | readonly LockTarget[], options?: TryOptions): Promise<HeldLock | undefined>;

  /**
   * Acquires, calls `fn`, waits for it, and releases, however it ends. Resolves with what `fn` returns. If the lock
   * was lost meanwhile it rejects with `LockLostError`, whatever `fn` did; what `fn` threw is then its `cause`.
   *
   * `fn` is not stopped on loss: give `lock.signal` to what it calls.
   *
   * Nested in another `withLock` of this client, by calls and awaits, on what that holds no more weakly, it
   * re-enters: `fn` runs at once, with the same lock. Otherwise it queues, and is refused with `deadlock` when its
   * thread of control would wait in a circle with others. Calls made side by side (`Promise.all`) exclude each other;
   * each after the first begins a thread of its own, and circles through those are not found.
   */
  withLock<T>(target: LockTarget | readonly LockTarget[], fn: (lock: HeldLock) => T | Promise<T>): Promise<T>;
  withLock<T>(
    target: LockTarget | readonly LockTarget[],
    options: WithLockOptions,
    fn: (lock: HeldLock) => T | Promise<T>,
  ): Promise<T>;

  /** One lock as of now, with at most `maxClaims` (default 100, at most 1,000) holders and as many waiters. */
  getLock(name: string, options?: LookOptions & { readonly maxClaims?: number }): Promise<LockView>;

  /** The locks whose names start with `prefix` (default: all), in byte order, each with up to 10 holders. */
  listLocks(
    prefix?: string,
    options?: LookOptions & { readonly state?: "held" | "contended" },
  ): AsyncGenerator<LockView, void, undefined>;

  /**
   * The locks that exist, and then each that changes, as it then is. A slow reader misses steps between, never the
   * latest. Ends only by leaving the loop or with an error, after which a new watch starts afresh.
   */
  watchLocks(
    target: WatchTarget,
    options?: LookOptions & { readonly maxWaiters?: number },
  ): AsyncGenerator<LockChanges, void, undefined>;

  /**
   * How the grant of `name` with this fencing token stands. For what the lock protects; but what can compare tokens
   * itself is safer, as the answer may be out of date when it arrives.
   */
  checkToken(name: string, token: bigint, options?: LookOptions): Promise<TokenView>;

  /**
   * Ends the session: every lock is lost here at once (`closed-by-client`) and free at the server as soon as it is
   * told, which takes at most `closeTimeoutMs`. Never rejects; calling again does nothing.
   */
  close(): Promise<void>;
}

/**
 * A client of the servers at these addresses: "host:port" ("[::1]:7400" for IPv6), or a target with one of gRPC's own
 * schemes, which are dns, unix, unix-abstract, ipv4 and ipv6. Several are taken in turn, from a random one on, whenever
 * one fails; those that a server tells of are taken before them. It connects when it is first used.
 *
 * Throws `HoldfastError` with reason `invalid` when an address or option cannot be used.
 */
export function connect(addresses: string | readonly string[], options: ConnectOptions = {}): Client {
  return new SessionClient(settingsFrom(addresses, options));
}

class SessionClient implements Client {
  readonly #runtime: SessionRuntime;
  readonly #reads: LockReads;
  readonly #threads = new ThreadsOfControl();
  readonly #traceparent: Settings["traceparent"];

  constructor(settings: Settings) {
    this.#runtime = new SessionRuntime(settings);
    this.#traceparent = settings.traceparent;
    this.#reads = new LockReads(settings, () => this.#runtime.addresses);
  }

  get sessionId(): string | undefined {
    return this.#runtime.sessionId;
  }

  ready(): Promise<void> {
    return this.#runtime.open();
  }

  async acquire(target: LockTarget | readonly LockTarget[], options: AcquireOptions = {}): Promise<HeldLock> {
    checkOptions("acquire", options, acquireOptions);
    const request = claimRequest(target, options.waitMs, options);
    if (options.waitMs === undefined) this.#threads.refuseToWaitForItself(request.locks);
    return this.#claim(request, options);
  }

  async #claim(request: ClaimRequest, { signal: given, onWaiting }: AcquireOptions): Promise<HeldLock> {
    const signal = checkSignal(given);
    if (signal?.aborted) throw new HoldfastError("aborted", "the signal was aborted before", { cause: signal.reason });
    const about = { locks: request.locks, onWaiting };
    const traceparent = traceparentOf(this.#traceparent?.());
    const traced = traceparent === undefined ? request : { ...request, traceparent };
    const claim = this.#runtime.acquire(traced, (claimId) => new LockClaim(this.#runtime, claimId, about));
    if (signal === undefined) return claim.whenGranted;
    const cancel = () => claim.cancel(signal.reason);
    signal.addEventListener("abort", cancel);
    try {
      return await claim.whenGranted;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  async tryAcquire(
    target: LockTarget | readonly LockTarget[],
    options: TryOptions = {},
  ): Promise<HeldLock | undefined> {
    checkOptions("tryAcquire", options, tryOptions);
    try {
      return await this.acquire(target, { ...options, waitMs: 0 });
    } catch (error) {
      if (error instanceof HoldfastError && error.reason === "busy") return undefined;
      throw error;
    }
  }

  async withLock<T>(
    target: LockTarget | readonly LockTarget[],
    ...rest: [WithLockBody<T>] | [WithLockOptions, WithLockBody<T>]
  ): Promise<T> {
    const [options, fn] = withLockArguments(rest);
    const request = claimRequest(target, options.waitMs, options);
    if (options.reentrant === false) {
      await using lock = await this.#claim(request, options);
      return await untilLost(lock, fn);
    }
    const way = this.#threads.enter(request.locks);
    if (way.kind === "reenter") {
      try {
        return await untilLost(way.frame.lock, fn);
      } finally {
        await way.frame.leave();
      }
    }
    using _child = this.#threads.begin();
    const lock = await this.#claim({ ...request, reentryId: way.threadId }, options);
    return await this.#threads.run(way.threadId, request.locks, lock, () => untilLost(lock, fn));
  }

  getLock(name: string, { maxClaims = 0, signal }: LookOptions & { maxClaims?: number } = {}): Promise<LockView> {
    return this.#reads.getLock(name, maxClaims, signal);
  }

  listLocks(prefix = "", { state, signal }: LookOptions & { state?: "held" | "contended" } = {}) {
    return this.#reads.listLocks(prefix, state, signal);
  }

  watchLocks(target: WatchTarget, { maxWaiters = 0, signal }: LookOptions & { maxWaiters?: number } = {}) {
    return this.#reads.watchLocks(target, maxWaiters, signal);
  }

  checkToken(name: string, token: bigint, { signal }: LookOptions = {}): Promise<TokenView> {
    return this.#reads.checkToken(name, token, signal);
  }

  async close(): Promise<void> {
    await this.#runtime.close();
    this.#reads.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** What was given as a signal; throws `invalid` for what is none, before anything is asked for that it could not end. */
function checkSignal(given: AbortSignal | null | undefined): AbortSignal | undefined {
  if (given === undefined || given === null) return undefined;
  if (typeof given.addEventListener === "function" && typeof given.aborted === "boolean") return given;
  throw new HoldfastError("invalid", `signal is ${typeof given}, and no AbortSignal`);
}

/** What cannot be a traceparent is left out: a tracer must not keep anybody from a lock. */
function traceparentOf(text: string | undefined): string | undefined {
  return text !== undefined && /^[\x20-\x7e]{1,128}$/.test(text) ? text : undefined;
}

const tryOptions: Readonly<Record<keyof TryOptions, true>> = { signal: true, purpose: true, value: true };

const acquireOptions: Readonly<Record<keyof AcquireOptions, true>> = { waitMs: true, onWaiting: true, ...tryOptions };

const withLockOptions: Readonly<Record<keyof WithLockOptions, true>> = { ...acquireOptions, reentrant: true };

/** The options and the function; throws `invalid` for what programs in JavaScript give in another order, or not at all. */
function withLockArguments<T>(
  given: [WithLockBody<T>] | [WithLockOptions, WithLockBody<T>],
): [WithLockOptions, WithLockBody<T>] {
  const [options = {}, fn, ...more] = given.length === 1 ? [{}, given[0]] : given;
  if (typeof fn !== "function" || more.length > 0)
    throw new HoldfastError(
      "invalid",
      "withLock: give the function last: withLock(name, fn) or withLock(name, options, fn)",
    );
  checkOptions("withLock", options, withLockOptions);
  return [options, fn];
}

type WithLockBody<T> = (lock: HeldLock) => T | Promise<T>;

/** What `fn` returns, unless the lock was lost meanwhile. */
async function untilLost<T>(lock: HeldLock, fn: WithLockBody<T>): Promise<T> {
  let result: T;
  try {
    result = await fn(lock);
  } catch (error) {
    throw lossWith(lock.loss, error) ?? error;
  }
  if (lock.loss !== undefined) throw lock.loss;
  return result;
}

/** The loss, with what was thrown because of it; itself if that is what was thrown. */
function lossWith(loss: LockLostError | undefined, thrown: unknown): LockLostError | undefined {
  if (loss === undefined || loss === thrown) return loss;
  return new LockLostError(loss.reason, loss.message, { ...(loss.lock ? { lock: loss.lock } : {}), cause: thrown });
}
