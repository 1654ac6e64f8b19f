package io.holdfast.client;

/** Is told of locks as they change: one call at a time, on the client's callback executor. */
public interface LockWatcher {
  /** Locks as they now are. What changes while this runs is told afterwards, the latest state of each. */
  void changed(LockChanges changes);

  /** The watch has ended with an error, and tells nothing more. Not called when it was closed. */
  default void failed(HoldfastException error) {}
}
