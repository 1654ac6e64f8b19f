package io.holdfast.client;

/** What is done under a lock. */
@FunctionalInterface
public interface LockedAction<T, X extends Exception> {
  /** Runs while {@code lock} is held, unless that is lost: ask it. */
  T run(HeldLock lock) throws X;
}
