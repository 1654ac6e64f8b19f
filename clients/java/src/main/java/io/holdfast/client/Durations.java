package io.holdfast.client;

import com.google.protobuf.Duration;
import java.util.concurrent.TimeUnit;

/** Durations as they go over the wire. */
final class Durations {
  private Durations() {}

  /** Rounded up to microseconds, so that no wait becomes none. */
  static Duration of(long nanos) {
    long micros = nanos / 1000 + (nanos % 1000 == 0 ? 0 : 1);
    return Duration.newBuilder()
        .setSeconds(micros / 1_000_000)
        .setNanos((int) (micros % 1_000_000) * 1000)
        .build();
  }

  static long nanos(Duration duration) {
    return TimeUnit.SECONDS.toNanos(duration.getSeconds()) + duration.getNanos();
  }
}
