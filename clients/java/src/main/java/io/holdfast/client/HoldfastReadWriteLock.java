package io.holdfast.client;

import java.util.List;
import java.util.concurrent.locks.ReadWriteLock;

/**
 * One lock that readers share and a writer holds alone, as a {@link ReadWriteLock}. Made by {@link
 * HoldfastClient#readWriteLock}. A waiting writer is not starved: readers that come after it wait behind it.
 *
 * <p>Who writes may read too, and leave the two in any order: the lock stays the writer's until it has left both. Who
 * reads cannot become the writer without unlocking first: {@code writeLock().lock()} throws {@link Reason#DEADLOCK},
 * {@code tryLock()} returns false.
 */
public final class HoldfastReadWriteLock implements ReadWriteLock {
  private final HoldfastLock readLock;
  private final HoldfastLock writeLock;

  HoldfastReadWriteLock(HoldfastClient client, String name) {
    readLock = new HoldfastLock(client, List.of(LockTarget.shared(name)), AcquireOptions.DEFAULTS);
    writeLock = client.lock(name);
  }

  @Override
  public HoldfastLock readLock() {
    return readLock;
  }

  @Override
  public HoldfastLock writeLock() {
    return writeLock;
  }
}
