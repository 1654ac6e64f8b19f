package io.holdfast.client;

/**
 * A moment, by both clocks.
 *
 * @param nanos monotonic nanoseconds since the client was made: for everything that decides. Stands still while the
 *     machine is suspended
 * @param wallNanos nanoseconds since 1970: only to notice a suspended machine
 */
record Moment(long nanos, long wallNanos) {
  /** Later than every moment. */
  static final long NEVER = Long.MAX_VALUE;

  /** {@code nanos} later by so much; {@link #NEVER} stays what it is. */
  static long after(long nanos, long byNanos) {
    return byNanos >= NEVER - nanos ? NEVER : nanos + byNanos;
  }
}
