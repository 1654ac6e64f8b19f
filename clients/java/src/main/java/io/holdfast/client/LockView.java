package io.holdfast.client;

import io.holdfast.v1.Lock;
import java.util.List;
import java.util.Optional;

/**
 * A lock as somebody looking sees it.
 *
 * @param name its name
 * @param state whether anybody holds it, and whether anybody waits
 * @param mode that of its holders, or of the first waiter if it has none; empty: it is free
 * @param limit how many permits it has, if a semaphore, else 0
 * @param permitsHeld how many of them are taken
 * @param holderCount how many claims hold it
 * @param waiterCount how many claims wait for it
 * @param holders oldest grant first; cut, as the call says
 * @param waiters next first; cut, as the call says
 */
public record LockView(
    String name,
    State state,
    Optional<LockMode> mode,
    int limit,
    int permitsHeld,
    int holderCount,
    int waiterCount,
    List<ClaimView> holders,
    List<ClaimView> waiters) {

  /** Whether anybody holds a lock or waits for it. */
  public enum State {
    /** Nobody does. */
    FREE,
    /** It has holders, and nobody waits. */
    HELD,
    /** Somebody waits. */
    CONTENDED
  }

  static LockView fromWire(Lock lock) {
    State state = switch (lock.getState()) {
      case LOCK_STATE_HELD -> State.HELD;
      case LOCK_STATE_CONTENDED -> State.CONTENDED;
      default -> State.FREE;
    };
    return new LockView(
        lock.getName(),
        state,
        Optional.ofNullable(LockMode.fromWire(lock.getMode())),
        lock.getLimit(),
        lock.getPermitsHeld(),
        lock.getHolderCount(),
        lock.getWaiterCount(),
        lock.getHoldersList().stream().map(ClaimView::fromWire).toList(),
        lock.getWaitersList().stream().map(ClaimView::fromWire).toList());
  }
}
