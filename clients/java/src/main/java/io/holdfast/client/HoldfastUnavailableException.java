package io.holdfast.client;

/**
 * The service could not be asked, or cannot serve now: {@link Reason#UNREACHABLE}, {@link Reason#STORE_UNAVAILABLE},
 * {@link Reason#DRAINING}, {@link Reason#CONNECTION_LOST}. A claim that was wanted holds nothing. Trying again later can
 * help.
 */
public final class HoldfastUnavailableException extends HoldfastException {
  private static final long serialVersionUID = 1L;

  HoldfastUnavailableException(Reason reason, String message, String lock, Throwable cause) {
    super(reason, message, lock, cause);
  }
}
