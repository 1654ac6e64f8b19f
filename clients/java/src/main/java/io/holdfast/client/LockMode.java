package io.holdfast.client;

import io.holdfast.v1.Mode;

/** How a claim shares a lock. */
public enum LockMode {
  /** It holds the lock alone. */
  EXCLUSIVE,
  /** It holds it together with other shared claims; one behind a waiting exclusive one waits. */
  SHARED,
  /** It takes some of the permits of a semaphore, in strict order. */
  SEMAPHORE;

  Mode toWire() {
    return switch (this) {
      case EXCLUSIVE -> Mode.MODE_EXCLUSIVE;
      case SHARED -> Mode.MODE_SHARED;
      case SEMAPHORE -> Mode.MODE_SEMAPHORE;
    };
  }

  /** {@code null} if it is unspecified. */
  static LockMode fromWire(Mode mode) {
    return switch (mode) {
      case MODE_EXCLUSIVE -> EXCLUSIVE;
      case MODE_SHARED -> SHARED;
      case MODE_SEMAPHORE -> SEMAPHORE;
      default -> null;
    };
  }
}
