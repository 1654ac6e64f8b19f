package io.holdfast.client;

import com.google.protobuf.ByteString;
import io.holdfast.v1.Waiting;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

/**
 * A claim from its acquire to its end: who waits for it first, then the lock that is held. Any thread may use it; the
 * session's thread tells it what becomes of it.
 */
final class LockClaim implements HeldLock, ClaimOwner {
  private sealed interface Stage {
    /** Wanted, or refused. */
    record Wanted() implements Stage {}

    record Held(List<GrantedLock> locks, Validity validity) implements Stage {}

    /** Given up by this program. {@code gone} completes when that is known to be done. */
    record Released(CompletableFuture<ReleaseOutcome> gone) implements Stage {}

    record Lost(LockLostException loss) implements Stage {}
  }

  private static final Stage WANTED = new Stage.Wanted();

  private final SessionRuntime runtime;
  private final Callbacks callbacks;
  private final ClaimRequest request;
  private final Consumer<QueuePlace> onWaiting;
  private final AtomicReference<Stage> stage = new AtomicReference<>(WANTED);
  /** Completes with {@code null} when it is granted, and with the denial when it is refused. */
  private final CompletableFuture<Denial> answer = new CompletableFuture<>();
  private final CompletableFuture<LockLostException> loss = new CompletableFuture<>();
  private final AtomicBoolean isLossClosed = new AtomicBoolean();
  /** As granted. Written before the answer. */
  private List<GrantedLock> locks = List.of();

  // Of the session's thread alone:
  private long claimId;
  private final Queue<CompletableFuture<Void>> updates = new ArrayDeque<>(0);
  private CompletableFuture<Void> told;

  private LockClaim(
      SessionRuntime runtime, Callbacks callbacks, ClaimRequest request, Consumer<QueuePlace> onWaiting) {
    this.runtime = runtime;
    this.callbacks = callbacks;
    this.request = request;
    this.onWaiting = onWaiting;
  }

  /** A claim that is wanted from now on. */
  static LockClaim want(
      SessionRuntime runtime, Callbacks callbacks, ClaimRequest request, Consumer<QueuePlace> onWaiting) {
    LockClaim claim = new LockClaim(runtime, callbacks, request, onWaiting);
    runtime.acquire(request, id -> claim.claimId = id, claim);
    return claim;
  }

  // -- Waiting for it --------------------------------------------------------------------------------

  /** Returns when it is held; {@code isInterruptible}: an interrupt gives it up. Throws what it was refused with. */
  HeldLock await(boolean isInterruptible) throws InterruptedException {
    boolean wasInterrupted = false;
    try {
      for (; ; ) {
        try {
          return heldOrThrow(answer.get());
        } catch (InterruptedException e) {
          if (isInterruptible) {
            giveUp();
            throw e;
          }
          wasInterrupted = true;
        } catch (ExecutionException e) {
          throw new IllegalStateException("an answer never fails", e);
        }
      }
    } finally {
      if (wasInterrupted) Thread.currentThread().interrupt();
    }
  }

  private HeldLock heldOrThrow(Denial denial) {
    if (denial != null) throw exceptionFor(denial);
    return this;
  }

  private static HoldfastException exceptionFor(Denial denial) {
    return switch (denial.why().reason()) {
      case BUSY, TIMEOUT, DEADLOCK, QUEUE_FULL, TOO_MANY_CLAIMS, CONFLICTING_MODE, TOO_DEEP, RELEASED_BY_FORCE ->
          new LockDeniedException(denial, null);
      default -> HoldfastException.of(denial.why().reason(), denial.why().message(), denial.lock(), null);
    };
  }

  /** A future for the program: it completes when the claim is held, and giving it up gives the claim up. */
  CompletableFuture<HeldLock> published() {
    CompletableFuture<HeldLock> future = new CompletableFuture<>();
    future.whenComplete((held, failure) -> {
      // Cancelled, timed out or completed by the program; after a denial there is nothing to give up.
      if (held != this) giveUp();
    });
    answer.thenAcceptAsync(
        denial -> {
          if (denial != null) future.completeExceptionally(exceptionFor(denial));
          else future.complete(this);
        },
        callbacks);
    return future;
  }

  /** Gives it up, wanted or held. A grant that crosses this on its way is given back by itself. */
  private void giveUp() {
    for (; ; ) {
      Stage was = stage.get();
      if (was instanceof Stage.Released || was instanceof Stage.Lost) return;
      if (stage.compareAndSet(was, new Stage.Released(new CompletableFuture<>()))) break;
    }
    runtime.onThread(
        () -> {
          rejectUpdates();
          runtime.release(claimId);
        },
        why -> released());
  }

  // -- What the holder sees --------------------------------------------------------------------------

  @Override
  public String name() {
    return locks.get(0).name();
  }

  @Override
  public long token() {
    return locks.get(0).token();
  }

  @Override
  public Optional<PreviousHolder> previous() {
    return locks.get(0).previous();
  }

  @Override
  public List<GrantedLock> locks() {
    return locks;
  }

  @Override
  public boolean isHeld() {
    return look() instanceof Stage.Held;
  }

  @Override
  public Duration remaining() {
    if (!(look() instanceof Stage.Held held)) return Duration.ZERO;
    long nanos = held.validity.remainingNanosAt(runtime.now());
    return nanos == Moment.NEVER ? ChronoUnit.FOREVER.getDuration() : Duration.ofNanos(nanos);
  }

  @Override
  public Optional<LockLostException> loss() {
    return look() instanceof Stage.Lost lost ? Optional.of(lost.loss) : Optional.empty();
  }

  @Override
  public void throwIfLost() {
    if (look() instanceof Stage.Lost lost) throw lost.loss.again();
  }

  @Override
  public void onLost(Consumer<? super LockLostException> listener) {
    Objects.requireNonNull(listener, "listener");
    look();
    loss.thenAcceptAsync(lost -> Callbacks.guarded(() -> listener.accept(lost)), callbacks);
  }

  @Override
  public void close() {
    ReleaseOutcome outcome = Futures.join(startRelease());
    // Said once: closing again does nothing.
    if (outcome == ReleaseOutcome.LOST && isLossClosed.compareAndSet(false, true)) throwIfLost();
  }

  @Override
  public CompletableFuture<ReleaseOutcome> releaseAsync() {
    return callbacks.publish(startRelease());
  }

  /** Gives a lock up, lost or not, and waits for it on no thread of the program: the caller's may be the only one. */
  static void release(HeldLock lock) {
    Futures.join(((LockClaim) lock).startRelease());
  }

  private CompletableFuture<ReleaseOutcome> startRelease() {
    if (look() instanceof Stage.Held) giveUp();
    return stage.get() instanceof Stage.Released released
        ? released.gone
        : CompletableFuture.completedFuture(ReleaseOutcome.LOST);
  }

  @Override
  public void update(byte[] value) {
    CompletableFuture<Void> done = startUpdate(value);
    Futures.join(done);
  }

  @Override
  public CompletableFuture<Void> updateAsync(byte[] value) {
    return callbacks.publish(startUpdate(value));
  }

  private CompletableFuture<Void> startUpdate(byte[] value) {
    ByteString bytes = AcquireOptions.checkedValue(value);
    CompletableFuture<Void> done = new CompletableFuture<>();
    look();
    runtime.onThread(
        () -> {
          if (!(stage.get() instanceof Stage.Held)) {
            done.completeExceptionally(notHeld());
            return;
          }
          updates.add(done);
          runtime.update(claimId, bytes);
        },
        why -> done.completeExceptionally(notHeld()));
    return done;
  }

  private HoldfastException notHeld() {
    if (stage.get() instanceof Stage.Lost lost) return lost.loss;
    return new HoldfastException(
        Reason.NOT_FOUND, request.names() + " was released, so its value cannot be replaced", null, null);
  }

  private void rejectUpdates() {
    for (CompletableFuture<Void> update; (update = updates.poll()) != null; ) update.completeExceptionally(notHeld());
  }

  /** How it stands by the clock as it is now: the program need not wait for the session's thread to find out. */
  private Stage look() {
    Stage now = stage.get();
    if (!(now instanceof Stage.Held held)) return now;
    String problem = held.validity.problemAt(runtime.now());
    if (problem == null) return now;
    lose(new Failure(Reason.SESSION_EXPIRED, problem));
    return stage.get();
  }

  private void lose(Failure why) {
    LockLostException exception = new LockLostException(
        why.reason(), "lost " + request.names() + ": " + why.message(), request.acquire().getLocks(0).getName(), null);
    Stage was = stage.get();
    if (was instanceof Stage.Held && stage.compareAndSet(was, new Stage.Lost(exception))) loss.complete(exception);
  }

  // -- What becomes of the claim ---------------------------------------------------------------------

  @Override
  public void waiting(Waiting place) {
    if (onWaiting == null) return;
    CompletableFuture<Void> before = told == null ? CompletableFuture.completedFuture(null) : told;
    told = before.thenRunAsync(() -> Callbacks.guarded(() -> onWaiting.accept(QueuePlace.fromWire(place))), callbacks);
  }

  @Override
  public void granted(List<io.holdfast.v1.GrantedLock> granted, Validity validity) {
    locks = granted.stream().map(GrantedLock::fromWire).toList();
    if (stage.compareAndSet(WANTED, new Stage.Held(locks, validity))) answer.complete(null);
  }

  @Override
  public void denied(Denial denial) {
    answer.complete(denial);
  }

  @Override
  public void lost(Failure why) {
    lose(why);
    rejectUpdates();
    // Given up here, and lost before that was known.
    released();
  }

  @Override
  public void released() {
    if (stage.get() instanceof Stage.Released released) released.gone.complete(ReleaseOutcome.RELEASED);
  }

  @Override
  public void updated(int count, Failure why) {
    for (int i = 0; i < count && !updates.isEmpty(); i++) {
      CompletableFuture<Void> update = updates.remove();
      if (why == null) update.complete(null);
      else update.completeExceptionally(HoldfastException.of(why.reason(), why.message(), name(), null));
    }
  }
}
