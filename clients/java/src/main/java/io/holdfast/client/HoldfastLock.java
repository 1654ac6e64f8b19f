package io.holdfast.client;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.Lock;

/**
 * A lock of the service, or several that are taken together, as a {@link Lock}: held by a thread, re-entrant, released
 * by the same thread. Made by {@link HoldfastClient#lock}, {@link HoldfastClient#readWriteLock} and {@link
 * HoldfastClient#lockAll}. Two of one client for the same names are the same lock.
 *
 * <pre>{@code
 * lock.lock();
 * try {
 *   ship(order, lock.token());
 * } finally {
 *   lock.unlock();
 * }
 * }</pre>
 *
 * <p>What differs from a lock inside one process:
 *
 * <ul>
 *   <li>It can be lost while it is held: see {@link #isHeldByCurrentThread}, {@link #current} and {@link #unlock}, which
 *       says so. A thread that lost it cannot enter it again before it has unlocked as often as it locked.
 *   <li>Every method that waits throws {@link HoldfastException} when the claim is refused or no server can be reached.
 *   <li>A circle of threads that wait for each other, in one program or several, is found: the youngest claim is
 *       refused with {@link Reason#DEADLOCK}.
 *   <li>The queue is fair, over all clients. {@code tryLock()} does not barge.
 *   <li>A thread may be inside at most 100 times, then {@link Reason#TOO_DEEP}.
 *   <li>A thread that ends without unlocking keeps the lock until the client is closed.
 * </ul>
 *
 * <p>Threads may be virtual: nothing waits inside a {@code synchronized} block, so none is pinned.
 */
public final class HoldfastLock implements Lock {
  private final HoldfastClient client;
  private final List<LockTarget> targets;
  private final AcquireOptions options;

  HoldfastLock(HoldfastClient client, List<LockTarget> targets, AcquireOptions options) {
    this.client = client;
    this.targets = List.copyOf(targets);
    this.options = options;
  }

  /** The lock with a purpose that is shown to those who wait behind it or look. At most 256 bytes. */
  public HoldfastLock purpose(String why) {
    return new HoldfastLock(client, targets, options.purpose(why));
  }

  /**
   * Waits until the calling thread holds it; interrupts do not end the waiting, and are kept for later.
   *
   * @throws LockDeniedException with {@link Reason#DEADLOCK} or another reason for which waiting is in vain
   * @throws HoldfastUnavailableException when no server could be asked for the connect timeout
   * @throws LockLostException when it was lost before the thread could go on, or earlier and was not unlocked since
   */
  @Override
  public void lock() {
    try {
      enter(Moment.NEVER, false);
    } catch (InterruptedException e) {
      throw new IllegalStateException("it does not listen to interrupts", e);
    }
  }

  /** Like {@link #lock}, but an interrupt ends the waiting: the place in the queue is gone, and nothing is held. */
  @Override
  public void lockInterruptibly() throws InterruptedException {
    enter(Moment.NEVER, true);
  }

  /**
   * Takes it if it is free when a server is asked, which takes a moment. Throws as {@link #lock} does for every reason but
   * that it is taken: with no server there, after the connect timeout.
   */
  @Override
  public boolean tryLock() {
    if (client.threads().wouldWaitForItself(targets)) return false;
    try {
      enter(0, false);
      return true;
    } catch (LockDeniedException denied) {
      return notHad(denied);
    } catch (InterruptedException e) {
      throw new IllegalStateException("it does not listen to interrupts", e);
    }
  }

  /** Waits for at most so long. Throws as {@link #lock} does for every reason but that it could not be had in time. */
  @Override
  public boolean tryLock(long time, TimeUnit unit) throws InterruptedException {
    try {
      enter(Math.max(0, unit.toNanos(time)), true);
      return true;
    } catch (LockDeniedException denied) {
      return notHad(denied);
    }
  }

  /** {@link #tryLock(long, TimeUnit)} with a duration. */
  public boolean tryLock(Duration time) throws InterruptedException {
    return tryLock(TimeUnit.NANOSECONDS.convert(time), TimeUnit.NANOSECONDS);
  }

  private static boolean notHad(LockDeniedException denied) {
    if (denied.reason() == Reason.BUSY || denied.reason() == Reason.TIMEOUT) return false;
    throw denied;
  }

  private void enter(long waitNanos, boolean isInterruptible) throws InterruptedException {
    if (isInterruptible && Thread.interrupted()) throw new InterruptedException();
    ThreadsOfControl.Hold lost = client.threads().holdOf(targets);
    if (lost != null) lost.lock.throwIfLost();
    ThreadsOfControl.Hold hold = client.enter(targets, options.waitNanos(waitNanos), isInterruptible);
    if (hold.lock.isHeld()) return;
    // Granted, and lost before this thread came to run: it must not begin.
    client.threads().leave(hold, targets);
    hold.lock.throwIfLost();
    throw new IllegalMonitorStateException(this + " was released by hand, by HeldLock");
  }

  /**
   * Leaves it. When the thread has left as often as it entered, the lock is given up, for good and at once; returns when
   * that is committed, so that whoever is told of it finds the lock free. If no server can be reached that is at the
   * latest at the validity deadline, when the session ends. Does not react to interrupts, which are kept.
   *
   * @throws IllegalMonitorStateException if the calling thread does not hold it
   * @throws LockLostException if it was lost before: what was done under it may have met another holder. The thread has
   *     left it all the same
   */
  @Override
  public void unlock() {
    ThreadsOfControl.Hold hold = client.threads().holdOf(targets);
    if (hold == null)
      throw new IllegalMonitorStateException(this + " is not held by thread \"" + Thread.currentThread().getName() + "\"");
    boolean wasLast = client.threads().leave(hold, targets);
    hold.lock.throwIfLost();
    if (wasLast) hold.lock.close();
  }

  /** Not supported: who waits for a condition would have to be told of it across processes. */
  @Override
  public Condition newCondition() {
    throw new UnsupportedOperationException("a Holdfast lock has no conditions: use a queue, or watchLocks");
  }

  /**
   * Takes it for the program instead of a thread: completes when it is held, on the client's callback executor. No
   * re-entry; whoever has the result releases it. Cancelling the future, or letting it time out, gives the place up.
   */
  public CompletableFuture<HeldLock> lockAsync() {
    return client.acquireAsync(targets, options);
  }

  /** Whether the calling thread holds it now, by the clock as it is now. */
  public boolean isHeldByCurrentThread() {
    ThreadsOfControl.Hold hold = client.threads().holdOf(targets);
    return hold != null && hold.lock.isHeld();
  }

  /** How often the calling thread has locked and not unlocked it; 0 if not at all. */
  public int getHoldCount() {
    return client.threads().countOf(targets);
  }

  /**
   * What the calling thread holds: its token, its loss, how long it is safe. Releasing that by hand instead of by {@link
   * #unlock} is a mistake.
   *
   * @throws IllegalMonitorStateException if the calling thread does not hold it
   */
  public HeldLock current() {
    ThreadsOfControl.Hold hold = client.threads().holdOf(targets);
    if (hold == null) throw new IllegalMonitorStateException(this + " is not held by this thread");
    return hold.lock;
  }

  /**
   * The fencing token with which the calling thread holds it; of several locks, the first's. Throws as {@link #current}
   * does, and {@link LockLostException} when it is lost.
   */
  public long token() {
    HeldLock held = current();
    held.throwIfLost();
    return held.locks().stream()
        .filter(lock -> lock.name().equals(targets.get(0).name()))
        .findFirst()
        .orElseThrow()
        .token();
  }

  @Override
  public String toString() {
    return "HoldfastLock" + targets.stream().map(LockTarget::name).toList();
  }
}
