package io.holdfast.client;

import io.holdfast.v1.WatchLocksRequest;

/**
 * Which locks to watch: the one called {@code name}, or those whose names start with {@code prefix}. Made by {@link
 * #name} and {@link #prefix}.
 *
 * @param name exactly one lock; empty: see prefix
 * @param prefix what the names begin with; empty, and no name: all locks
 * @param maxWaiters how many waiters to show with each, at most 100; 0: only their count
 */
public record WatchTarget(String name, String prefix, int maxWaiters) {
  /** The most waiters that a server shows. */
  private static final int MAX_WAITERS = 100;

  /** Throws {@link HoldfastException} with {@link Reason#INVALID} if {@code maxWaiters} is out of range. */
  public WatchTarget {
    LockReads.checkCount("maxWaiters", maxWaiters, MAX_WAITERS);
  }

  /** Exactly one lock, without its waiters. */
  public static WatchTarget name(String name) {
    return new WatchTarget(LockTarget.exclusive(name).name(), "", 0);
  }

  /** All locks whose names begin with this, without their waiters. */
  public static WatchTarget prefix(String prefix) {
    return new WatchTarget("", prefix, 0);
  }

  /** The same, with so many waiters. */
  public WatchTarget withWaiters(int count) {
    return new WatchTarget(name, prefix, count);
  }

  WatchLocksRequest toWire() {
    return WatchLocksRequest.newBuilder()
        .setName(name)
        .setPrefix(prefix)
        .setMaxWaiters(maxWaiters)
        .build();
  }
}
