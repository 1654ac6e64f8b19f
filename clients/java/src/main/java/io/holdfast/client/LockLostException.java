package io.holdfast.client;

/**
 * A lock is not held any more although nobody here released it: somebody else may hold it now. Stop what it guards.
 * {@link #reason} says how: {@link Reason#SESSION_EXPIRED} (the validity deadline passed), {@link
 * Reason#CONNECTION_LOST}, {@link Reason#RELEASED_BY_FORCE}, {@link Reason#CLOSED_BY_FORCE}, {@link
 * Reason#CLOSED_BY_CLIENT} (this client was closed) and others.
 */
public final class LockLostException extends HoldfastException {
  private static final long serialVersionUID = 1L;

  LockLostException(Reason reason, String message, String lock, Throwable cause) {
    super(reason, message, lock, cause);
  }

  /** The same loss, thrown where it is noticed, so that the stack trace shows the place. */
  LockLostException again() {
    return new LockLostException(reason(), getMessage(), lock(), this);
  }
}
