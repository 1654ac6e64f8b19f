package io.holdfast.client;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * So many permits, shared by all clients. Made by {@link HoldfastClient#semaphore}. Permits come back when what {@code
 * acquire} returned is closed, or when its session ends: those of a dead program are not lost.
 *
 * <p>The queue is fair: a large claim is not overtaken by small ones. Permits belong to no thread, and there is no
 * re-entry: a thread that takes twice has twice.
 */
public final class HoldfastSemaphore {
  private final HoldfastClient client;
  private final String name;
  private final int limit;

  HoldfastSemaphore(HoldfastClient client, String name, int limit) {
    this.client = client;
    this.name = LockTarget.semaphore(name, 1, limit).name();
    this.limit = limit;
  }

  /** One permit. Waits as {@link HoldfastClient#acquire(String)} does. */
  public HeldLock acquire() throws InterruptedException {
    return acquire(1);
  }

  /** Several permits at once. */
  public HeldLock acquire(int permits) throws InterruptedException {
    return client.acquire(targets(permits), AcquireOptions.DEFAULTS);
  }

  /** Several permits if they are free now; empty if not. */
  public Optional<HeldLock> tryAcquire(int permits) throws InterruptedException {
    return client.tryAcquire(targets(permits), AcquireOptions.DEFAULTS);
  }

  /** Several permits, if they can be had within a time; empty if not. */
  public Optional<HeldLock> tryAcquire(int permits, Duration wait) throws InterruptedException {
    return client.tryAcquire(targets(permits), AcquireOptions.DEFAULTS.waitUpTo(wait));
  }

  /** Several permits, without waiting for them here. As {@link HoldfastClient#acquireAsync}. */
  public CompletableFuture<HeldLock> acquireAsync(int permits) {
    return client.acquireAsync(targets(permits), AcquireOptions.DEFAULTS);
  }

  private List<LockTarget> targets(int permits) {
    return List.of(LockTarget.semaphore(name, permits, limit));
  }
}
