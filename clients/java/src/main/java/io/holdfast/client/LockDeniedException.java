package io.holdfast.client;

import java.util.List;

/**
 * A claim was refused. It holds nothing, and is never granted later. {@link Reason#BUSY} and {@link Reason#TIMEOUT}:
 * somebody else has the lock, {@link #holders} says who; {@link Reason#DEADLOCK}: threads wait for each other in a
 * circle, which the message spells out.
 */
public final class LockDeniedException extends HoldfastException {
  private static final long serialVersionUID = 1L;

  private final transient List<ClaimView> holders;
  private final int holderCount;

  LockDeniedException(Denial denial, Throwable cause) {
    super(denial.why().reason(), denial.why().message(), denial.lock(), cause);
    this.holders = denial.holders().stream().map(ClaimView::fromWire).toList();
    this.holderCount = denial.holderCount();
  }

  LockDeniedException(Reason reason, String message, String lock) {
    this(new Denial(new Failure(reason, message), lock, List.of(), 0), null);
  }

  @Override
  public List<ClaimView> holders() {
    return holders == null ? List.of() : holders;
  }

  @Override
  public int holderCount() {
    return holderCount;
  }
}
