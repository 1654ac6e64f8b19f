package io.holdfast.client;

import java.util.concurrent.TimeUnit;

/** The clock of one client. Any thread may ask. */
final class MonotonicClock {
  private final long originNanos = System.nanoTime();

  /** Never before a moment that any thread was given earlier. */
  Moment now() {
    return new Moment(
        System.nanoTime() - originNanos, TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis()));
  }
}
