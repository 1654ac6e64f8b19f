package io.holdfast.client;

/** What a lock was until it was given up. */
public enum ReleaseOutcome {
  /** It was held until then. */
  RELEASED,
  /** It had been lost before. */
  LOST
}
