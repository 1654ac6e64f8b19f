import type { GrantedLock, PreviousHolder } from "./frames.ts";
import type { LockLostError } from "./holdfast-error.ts";

/**
 * A lock that was granted to this program, or several that were granted together.
 *
 * It is held until `release`, the end of an `await using` scope, or its loss. The loss is known here before
 * anybody else can be granted the lock (with the default options), provided that the program looks: `held`,
 * `signal` and every call on the client read the clock first. A program that stands still sees nothing, and may
 * act after the loss when it goes on. Only the fencing token guards against that: hand it to what the lock
 * protects with each write, and refuse tokens smaller than the largest seen.
 */
export interface HeldLock extends AsyncDisposable {
  /** The lock's name; of several, the first's. */
  readonly name: string;
  /** The fencing token of the grant of `name`: larger than that of every earlier grant of that lock. */
  readonly token: bigint;
  /**
   * Who held `name` before, and how that ended, as far as the server saw it: unless it was `released`, expect
   * half-done work. Of several that held it together the one with the largest token. `undefined`: it saw nobody. Decides
   * nothing.
   */
  readonly previous: PreviousHolder | undefined;
  /** All locks of the claim, in the order asked for, each with its token. */
  readonly locks: readonly GrantedLock[];
  /** Whether it is held now, by the clock as it is now: neither lost nor released. */
  readonly held: boolean;
  /**
   * How much longer it is held if nothing more is heard of the servers, in milliseconds: the time to the validity
   * deadline. Each confirmed heartbeat adds to it; in calm times it is never below half of the TTL. 0 if it is not
   * held; infinite with liveness `transport`.
   */
  readonly remainingMs: number;
  /** How it was lost; `undefined` if it was not, or was released before. */
  readonly loss: LockLostError | undefined;
  /**
   * Aborts on loss, however it comes, with a `LockLostError` as its reason; at the latest when the event loop runs
   * after the validity deadline. Reading this property looks at the clock, so `lock.signal.aborted` is true as
   * soon as the deadline has passed, even if the event loop was blocked. Does not abort on `release`. No signal calls a
   * listener that is added after it has aborted: `onLost` does.
   */
  readonly signal: AbortSignal;
  /** Calls `listener` once on any loss, at once if it is lost already. Not on `release`. As `signal`, an event. */
  onLost(listener: (loss: LockLostError) => void): void;
  /**
   * Gives the lock up. Resolves when that is committed, with what it was until then: "released" if it was held
   * until this call, "lost" if it was lost before. Calling again gives the same answer; never rejects.
   *
   * If no server can be reached it resolves at the latest at the validity deadline, when the session ends.
   */
  release(): Promise<"released" | "lost">;
  /**
   * Replaces what the holder announces to those who look. At most 4 KiB; empty for nothing. Resolves when that is
   * committed. Rejects with `LockLostError` when the lock is lost, and with `HoldfastError` `not-found` when it was
   * released, `invalid` when the value is too long, or `store-unavailable`; then it is unknown whether it was replaced.
   */
  update(value: string | Uint8Array): Promise<void>;
}
