package io.holdfast.client;

import io.holdfast.v1.Acquire;
import io.holdfast.v1.LockSpec;
import java.util.stream.Collectors;

/**
 * What a claim asks for, whichever session asks.
 *
 * @param acquire all but {@code claim_id} and {@code wait}
 * @param waitNanos {@link Moment#NEVER}: for ever; 0: try
 */
record ClaimRequest(Acquire acquire, long waitNanos) {
  /**
   * The same from a place in a trace; {@code null} or empty: from none. So is what cannot be such a place: a tracer must
   * not keep anybody from a lock.
   */
  ClaimRequest traced(String traceparent) {
    if (traceparent == null || !traceparent.matches("[ -~]{1,128}")) return this;
    return new ClaimRequest(acquire.toBuilder().setTraceparent(traceparent).build(), waitNanos);
  }

  /** The locks, for people. */
  String names() {
    return acquire.getLocksList().stream().map(LockSpec::getName).collect(Collectors.joining("\", \"", "\"", "\""));
  }
}
