package io.holdfast.client;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/**
 * A lock that was granted to this program, or several that were granted together. It belongs to no thread: any may
 * release it.
 *
 * <p>It is held until {@link #close} or {@link #releaseAsync}, or its loss. The loss is known here before anybody else
 * can be granted the lock (with the default settings), provided that the program looks: every method reads the clock
 * first. A program that stands still sees nothing, and may act after the loss when it goes on. Only the fencing token
 * guards against that: hand it to what the lock protects with each write, and refuse tokens smaller than the largest
 * seen.
 */
public interface HeldLock extends AutoCloseable {
  /** The lock's name; of several, the first's. */
  String name();

  /** The fencing token of the grant of {@link #name}: larger than that of every earlier grant of that lock. */
  long token();

  /** Who held {@link #name} before, and how that ended, as far as the server saw it. */
  Optional<PreviousHolder> previous();

  /** All locks of the claim, in the order asked for, each with its token. */
  List<GrantedLock> locks();

  /** Whether it is held now, by the clock as it is now: neither lost nor released. */
  boolean isHeld();

  /**
   * How much longer it is held if nothing more is heard of the servers: the time to the validity deadline. Each
   * confirmed heartbeat adds to it; in calm times it is never below half of the TTL. Zero if it is not held; {@code
   * ChronoUnit.FOREVER}'s duration with liveness {@code TRANSPORT}.
   */
  Duration remaining();

  /** How it was lost; empty if it was not, or was released before. */
  Optional<LockLostException> loss();

  /** Throws {@link LockLostException} if it was lost. Call it before what must not be done without the lock. */
  void throwIfLost();

  /**
   * Calls {@code listener} once on its loss, however that comes; at once if it is lost already. Not on a release. On
   * the client's callback executor.
   */
  void onLost(Consumer<? super LockLostException> listener);

  /**
   * Gives the lock up, for good and at once; returns when that is committed, so that whoever is told of it finds the lock
   * free. If no server can be reached that is at the latest at the validity deadline, when the session ends. Does nothing
   * when called again.
   *
   * @throws LockLostException if the lock was lost before: what was done under it may have met another holder
   */
  @Override
  void close();

  /**
   * {@link #close} without waiting. Completes when it is committed, with what the lock was until then. Never fails; calling again gives
   * the same answer. If no server can be reached it completes at the latest at the validity deadline.
   */
  CompletableFuture<ReleaseOutcome> releaseAsync();

  /**
   * Replaces what the holder announces to those who look. At most 4 KiB; empty for nothing. Returns when that is
   * committed.
   *
   * @throws LockLostException when the lock is lost
   * @throws HoldfastException with {@link Reason#NOT_FOUND} when it was released, {@link Reason#INVALID} when the value
   *     is too long, or {@link Reason#STORE_UNAVAILABLE}: then it is unknown whether it was replaced
   */
  void update(byte[] value);

  /** {@link #update(byte[])} with a text, as UTF-8. */
  default void update(String value) {
    update(AcquireOptions.utf8(value));
  }

  /** {@link #update(byte[])} without waiting. Throws at once only if the value is too long. */
  CompletableFuture<Void> updateAsync(byte[] value);
}
