package io.holdfast.client;

import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * An election: at most one candidate leads at a time, the others wait in the order in which they came. It is the lock of
 * the same name, so whoever holds that lock leads. Made by {@link HoldfastClient#election}.
 *
 * <p>A candidate whose session was lost is never told that it leads: it queues again, at the end. A leader knows of its
 * loss before anybody else leads, provided that it looks; what it does to others must carry its token.
 */
public final class Election {
  private static final long OBSERVE_AGAIN_AFTER_MS = 500;
  private static final Set<Reason> PASSING =
      EnumSet.of(Reason.UNREACHABLE, Reason.CONNECTION_LOST, Reason.DRAINING, Reason.STORE_UNAVAILABLE);

  private final HoldfastClient client;
  private final LockTarget target;

  Election(HoldfastClient client, String name) {
    this.client = client;
    this.target = LockTarget.exclusive(name);
  }

  /** Waits until this candidate leads, announcing {@code value} from then on. */
  public Leadership campaign(String value) throws InterruptedException {
    return campaign(AcquireOptions.DEFAULTS.value(value));
  }

  /** Waits until this candidate leads. Throws as {@link HoldfastClient#acquire(List, AcquireOptions)} does. */
  public Leadership campaign(AcquireOptions options) throws InterruptedException {
    return new Leadership(client.acquire(List.of(target), options));
  }

  /** {@link #campaign(AcquireOptions)} without blocking a thread; cancelling the future withdraws. */
  public CompletableFuture<Leadership> campaignAsync(AcquireOptions options) {
    CompletableFuture<HeldLock> claim = client.acquireAsync(List.of(target), options);
    CompletableFuture<Leadership> campaign = new CompletableFuture<>();
    campaign.whenComplete((won, failure) -> {
      if (failure != null) claim.cancel(false);
    });
    claim.whenComplete((lock, failure) -> {
      if (failure != null) campaign.completeExceptionally(failure);
      else if (!campaign.complete(new Leadership(lock))) lock.releaseAsync();
    });
    return campaign;
  }

  /** Who leads now; empty: nobody. */
  public Optional<Leader> leader() {
    return Leader.of(client.getLock(target.name(), 1));
  }

  /**
   * Tells {@code observer} of the leader as it is now, and then each time that it, or what it announces, changes. A slow
   * observer misses steps between, never the latest. Goes on by itself when a server fails, until it is closed.
   */
  public LockWatch observe(LeaderObserver observer) {
    Observation observation = new Observation(observer);
    observation.begin();
    return observation;
  }

  private final class Observation implements LockWatch, LockWatcher {
    private final LeaderObserver observer;
    private volatile LockWatch watch;
    private volatile boolean isClosed;
    /** What was told last; {@code null}: nothing yet. Calls come one after the other. */
    private volatile Optional<Leader> told;
    /** Whether the present watch has shown the lock. */
    private volatile boolean isSeen;

    Observation(LeaderObserver observer) {
      this.observer = observer;
    }

    void begin() {
      if (isClosed) return;
      isSeen = false;
      try {
        watch = client.watchLocks(WatchTarget.name(target.name()), this);
      } catch (HoldfastException closed) {
        observer.failed(closed);
        return;
      }
      if (isClosed) watch.close();
    }

    @Override
    public void changed(LockChanges changes) {
      List<LockView> locks = changes.locks();
      isSeen = isSeen || !locks.isEmpty();
      // A lock that was not among those that exist is gone, and its leader with it.
      if (locks.isEmpty() && !(changes.isCaughtUp() && !isSeen)) return;
      Optional<Leader> leader = locks.isEmpty() ? Optional.empty() : Leader.of(locks.get(locks.size() - 1));
      if (told != null && isSame(told, leader)) return;
      told = leader;
      if (!isClosed) observer.leads(leader);
    }

    private static boolean isSame(Optional<Leader> a, Optional<Leader> b) {
      return a.isPresent() && b.isPresent() ? a.get().isSame(b.get()) : a.isPresent() == b.isPresent();
    }

    @Override
    public void failed(HoldfastException error) {
      if (isClosed) return;
      // A watch begins with what there is, so nothing is missed but steps between.
      if (PASSING.contains(error.reason()))
        CompletableFuture.delayedExecutor(OBSERVE_AGAIN_AFTER_MS, TimeUnit.MILLISECONDS, client.callbacks())
            .execute(this::begin);
      else observer.failed(error);
    }

    @Override
    public void close() {
      isClosed = true;
      if (watch != null) watch.close();
    }
  }
}
