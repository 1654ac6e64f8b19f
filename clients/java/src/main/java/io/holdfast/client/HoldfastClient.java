package io.holdfast.client;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * A program's way to Holdfast: all its locks share one session and one connection. Made by {@link #builder}; any thread
 * may use it.
 *
 * <p>Nothing is sent, and no thread started, before the first call. Its threads are daemons: a program that ends without
 * {@link #close} leaves its locks to the TTL. The methods that wait may be called from virtual threads: nothing waits
 * inside a {@code synchronized} block.
 *
 * <p>A short break of the connection keeps locks and places in queues: the client resumes its session, on another
 * address if it has one. When the session is lost while a claim waits, the client queues again at the end, in a fresh
 * session, with what is left of the time to wait.
 */
public final class HoldfastClient implements AutoCloseable {
  private final SessionRuntime runtime;
  private final Callbacks callbacks;
  private final LockReads reads;
  private final ThreadsOfControl threads = new ThreadsOfControl();
  private final Supplier<String> traceparent;

  HoldfastClient(Settings settings) {
    callbacks = new Callbacks(settings.callbackExecutor());
    runtime = new SessionRuntime(settings);
    reads = new LockReads(settings, runtime::addresses, callbacks);
    traceparent = settings.traceparent();
  }

  /**
   * A client of the servers at these addresses, to be taken in turn, with settings to be made: "host:port" each
   * ("[::1]:7400" for IPv6), or a target with a scheme that gRPC resolves, such as "dns:///locks:7400".
   */
  public static HoldfastClientBuilder builder(String... addresses) {
    return new HoldfastClientBuilder(List.of(addresses));
  }

  /** A client of the servers at these addresses, with the default settings. */
  public static HoldfastClient connect(String... addresses) {
    return builder(addresses).build();
  }

  /** The session that others see as the holder; empty before the first use and between two sessions. */
  public Optional<String> sessionId() {
    return Optional.ofNullable(runtime.sessionId());
  }

  /** Completes when there is a session. Only for those who want to know early: every call connects by itself. */
  public CompletableFuture<Void> ready() {
    return callbacks.publish(runtime.open());
  }

  // -- Locks of threads ------------------------------------------------------------------------------

  /** The lock called {@code name}, as a {@link java.util.concurrent.locks.Lock}. Nothing is sent. */
  public HoldfastLock lock(String name) {
    return new HoldfastLock(this, List.of(LockTarget.exclusive(name)), AcquireOptions.DEFAULTS);
  }

  /** The lock called {@code name}, to be shared by readers. Nothing is sent. */
  public HoldfastReadWriteLock readWriteLock(String name) {
    return new HoldfastReadWriteLock(this, name);
  }

  /** Up to 16 locks as one: all are taken or none, and no order can deadlock. Nothing is sent. */
  public HoldfastLock lockAll(LockTarget... targets) {
    AcquireOptions.DEFAULTS.request(List.of(targets), "");
    return new HoldfastLock(this, List.of(targets), AcquireOptions.DEFAULTS);
  }

  /** {@link #lockAll(LockTarget...)} of exclusive locks. */
  public HoldfastLock lockAll(String... names) {
    return lockAll(Arrays.stream(names).map(LockTarget::exclusive).toArray(LockTarget[]::new));
  }

  /** A semaphore of {@code limit} permits. Everybody must say the same limit. Nothing is sent. */
  public HoldfastSemaphore semaphore(String name, int limit) {
    return new HoldfastSemaphore(this, name, limit);
  }

  /** {@link #withLock(List, AcquireOptions, LockedAction)} of one lock, waiting for ever. */
  public <T, X extends Exception> T withLock(String name, LockedAction<T, X> action) throws X, InterruptedException {
    return withLock(List.of(LockTarget.exclusive(name)), AcquireOptions.DEFAULTS, action);
  }

  /**
   * Acquires, runs {@code action}, and releases, however that ends; returns what it returns, when the release is
   * committed. If the lock was lost meanwhile it throws {@link LockLostException}, whatever the action did; what that
   * threw is then the cause.
   *
   * <p>It belongs to the calling thread, as {@link HoldfastLock} does: nested on what the thread holds no more weakly, it
   * re-enters, with the same lock. The action is not stopped on loss: it has to ask.
   *
   * @throws InterruptedException if the thread is interrupted while it waits for the lock; nothing is held then
   */
  public <T, X extends Exception> T withLock(
      List<LockTarget> targets, AcquireOptions options, LockedAction<T, X> action) throws X, InterruptedException {
    Objects.requireNonNull(action, "action");
    if (Thread.interrupted()) throw new InterruptedException();
    if (!options.isReentrant()) {
      HeldLock lock = want(targets, options, "").await(true);
      return inside(lock, action, () -> LockClaim.release(lock));
    }
    ThreadsOfControl.Hold hold = enter(targets, options, true);
    return inside(hold.lock, action, () -> {
      if (threads.leave(hold, targets)) LockClaim.release(hold.lock);
    });
  }

  private static <T, X extends Exception> T inside(HeldLock lock, LockedAction<T, X> action, Runnable leave) throws X {
    Throwable thrown = null;
    try {
      return action.run(lock);
    } catch (Throwable any) {
      thrown = any;
      throw any;
    } finally {
      // Before the release: afterwards there is no loss any more.
      Optional<LockLostException> loss = lock.loss();
      leave.run();
      if (loss.isPresent() && loss.get() != thrown) throwLoss(loss.get(), thrown);
    }
  }

  private static void throwLoss(LockLostException loss, Throwable thrown) {
    throw thrown == null
        ? loss.again()
        : new LockLostException(loss.reason(), loss.getMessage(), loss.lock(), thrown);
  }

  // -- Locks of the program --------------------------------------------------------------------------

  /** {@link #acquire(List, AcquireOptions)} of one lock, waiting for ever. */
  public HeldLock acquire(String name) throws InterruptedException {
    return acquire(List.of(LockTarget.exclusive(name)), AcquireOptions.DEFAULTS);
  }

  /** {@link #acquire(List, AcquireOptions)} of one lock. */
  public HeldLock acquire(String name, AcquireOptions options) throws InterruptedException {
    return acquire(List.of(LockTarget.exclusive(name)), options);
  }

  /**
   * Waits in the queue of a lock (or of up to 16, all or nothing) and returns when it is held. It belongs to no thread,
   * excludes every other claim, and is best used with {@code try}: {@code try (HeldLock lock = client.acquire("a"))}.
   *
   * @throws LockDeniedException {@link Reason#BUSY} and {@link Reason#TIMEOUT} with the holders, and what else a server
   *     refuses with. A refused claim holds nothing and is never granted later
   * @throws HoldfastUnavailableException when no server could be asked for the connect timeout
   * @throws InterruptedException if interrupted: the place in the queue is gone, and nothing is held
   */
  public HeldLock acquire(List<LockTarget> targets, AcquireOptions options) throws InterruptedException {
    if (Thread.interrupted()) throw new InterruptedException();
    if (options.waitNanos() == Moment.NEVER) threads.refuseToWaitForItself(targets);
    return want(targets, options, "").await(true);
  }

  /** {@link #tryAcquire(List, AcquireOptions)} of one lock, which is had or not as soon as a server answers. */
  public Optional<HeldLock> tryAcquire(String name) throws InterruptedException {
    return tryAcquire(List.of(LockTarget.exclusive(name)), AcquireOptions.DEFAULTS);
  }

  /**
   * Like {@link #acquire(List, AcquireOptions)}, but empty when the lock is taken, or could not be had within the time to
   * wait; without one, as soon as a server answers. To learn who holds it, use {@code acquire} and the exception's holders.
   */
  public Optional<HeldLock> tryAcquire(List<LockTarget> targets, AcquireOptions options) throws InterruptedException {
    try {
      return Optional.of(acquire(targets, options.waitNanos() == Moment.NEVER ? options.waitNanos(0) : options));
    } catch (LockDeniedException denied) {
      if (denied.reason() == Reason.BUSY || denied.reason() == Reason.TIMEOUT) return Optional.empty();
      throw denied;
    }
  }

  /** {@link #acquireAsync(List, AcquireOptions)} of one lock, waiting for ever. */
  public CompletableFuture<HeldLock> acquireAsync(String name) {
    return acquireAsync(List.of(LockTarget.exclusive(name)), AcquireOptions.DEFAULTS);
  }

  /**
   * {@link #acquire(List, AcquireOptions)} without blocking a thread. The future completes on the client's callback
   * executor. Cancelling it, or letting it time out, gives the place in the queue up; a grant that crosses that on its
   * way is given back.
   */
  public CompletableFuture<HeldLock> acquireAsync(List<LockTarget> targets, AcquireOptions options) {
    return want(targets, options, "").published();
  }

  /** Makes claims for an election: at most one candidate leads at a time. Nothing is sent. */
  public Election election(String name) {
    return new Election(this, name);
  }

  // -- Looking ---------------------------------------------------------------------------------------

  /** One lock as of now, with at most 100 holders and as many waiters. */
  public LockView getLock(String name) {
    return getLock(name, 100);
  }

  /**
   * One lock as of now, with at most {@code maxClaims} holders and as many waiters: 1 to 1,000, or 0 for 100.
   *
   * @throws HoldfastException with {@link Reason#INVALID} for any other {@code maxClaims}
   * @throws HoldfastUnavailableException when no server answered within the call timeout
   */
  public LockView getLock(String name, int maxClaims) {
    return Futures.join(reads.getLock(name, maxClaims));
  }

  /** {@link #getLock(String, int)} without blocking a thread. Throws at once only what is invalid. */
  public CompletableFuture<LockView> getLockAsync(String name, int maxClaims) {
    return callbacks.publish(reads.getLock(name, maxClaims));
  }

  /** The locks whose names start with {@code prefix}, in byte order, each with up to 10 holders. Asks page by page. */
  public Stream<LockView> listLocks(String prefix) {
    return reads.listLocks(prefix, Optional.empty());
  }

  /** {@link #listLocks(String)}, only those in one state: held or contended. */
  public Stream<LockView> listLocks(String prefix, LockView.State state) {
    return reads.listLocks(prefix, Optional.of(state));
  }

  /**
   * Tells {@code watcher} of the locks that exist, and then of each that changes, as it then is. A slow watcher misses
   * steps between, never the latest. It ends when it is closed, or with an error, after which a new watch starts afresh.
   */
  public LockWatch watchLocks(WatchTarget target, LockWatcher watcher) {
    return reads.watchLocks(target, watcher);
  }

  /**
   * How the grant of {@code name} with this fencing token stands. For what the lock protects; but what can compare
   * tokens itself is safer, as the answer may be out of date when it arrives.
   *
   * @throws HoldfastUnavailableException when no server answered within the call timeout
   */
  public TokenView checkToken(String name, long token) {
    return Futures.join(reads.checkToken(name, token));
  }

  /** {@link #checkToken} without blocking a thread. */
  public CompletableFuture<TokenView> checkTokenAsync(String name, long token) {
    return callbacks.publish(reads.checkToken(name, token));
  }

  // -- The end ---------------------------------------------------------------------------------------

  /**
   * Ends the session: every lock is lost here at once, {@link Reason#CLOSED_BY_CLIENT}, every claim that waits is
   * refused, and everything is free at the server as soon as it is told, which takes at most the close timeout. Returns
   * when that is done and the client's threads have ended. Calling again does nothing.
   */
  @Override
  public void close() {
    closeAsync().join();
  }

  /** {@link #close} without blocking a thread. Never fails. */
  public CompletableFuture<Void> closeAsync() {
    return runtime.close().thenRun(() -> {
      reads.close();
      callbacks.shutdown();
    });
  }

  // -- For locks -------------------------------------------------------------------------------------

  ThreadsOfControl threads() {
    return threads;
  }

  Callbacks callbacks() {
    return callbacks;
  }

  ThreadsOfControl.Hold enter(List<LockTarget> targets, AcquireOptions options, boolean isInterruptible)
      throws InterruptedException {
    return threads.enter(targets, id -> want(targets, options, id).await(isInterruptible));
  }

  private LockClaim want(List<LockTarget> targets, AcquireOptions options, String reentryId) {
    ClaimRequest request = options.request(targets, reentryId).traced(traceparent == null ? null : traceparent.get());
    return LockClaim.want(runtime, callbacks, request, options.onWaiting());
  }
}
