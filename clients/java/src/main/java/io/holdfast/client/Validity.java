package io.holdfast.client;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/**
 * How long a session may be believed: the validity deadline.
 *
 * <p>Counted from when the proof was <em>sent</em>, so that it passes here before it passes at the server. What the
 * wall clock gained on the monotonic one since then counts as time that has passed.
 *
 * <p>Any thread may look, so that a program knows of its loss as soon as it asks, wherever the thread is that runs the
 * session. Who first sees the deadline passed settles it for all: nothing is believed again that was seen as lost.
 */
final class Validity {
  /** A wall clock that gains more than this on the monotonic one means a suspended machine (DESIGN 4.7). */
  private static final long SUSPENDED_NANOS = TimeUnit.SECONDS.toNanos(1);

  /**
   * @param deadlineNanos as of the proof
   * @param aheadNanos how far the wall clock was ahead of the monotonic one at the proof, or since it was set back
   * @param gainedNanos how much further it was at the last look
   * @param problem why nothing is believed any more; for good
   */
  private record State(long deadlineNanos, long aheadNanos, long gainedNanos, String problem) {
    long deadline() {
      return deadlineNanos == Moment.NEVER ? Moment.NEVER : deadlineNanos - gainedNanos;
    }

    State because(String why) {
      return new State(deadlineNanos, aheadNanos, gainedNanos, why);
    }
  }

  private final AtomicReference<State> state = new AtomicReference<>(new State(Long.MIN_VALUE / 2, 0, 0, null));

  /** The server confirmed that the session is safe for so long from {@code sentAt}. Never shortens. */
  void prove(Moment sentAt, long validForNanos) {
    // Rates of clocks may differ by 1 % between client and server (DESIGN, P5).
    long trusted = validForNanos == Moment.NEVER ? Moment.NEVER : validForNanos / 100 * 99;
    State proven = new State(
        Moment.after(sentAt.nanos(), trusted), sentAt.wallNanos() - sentAt.nanos(), 0, null);
    state.updateAndGet(
        was -> was.problem != null || proven.deadlineNanos <= was.deadlineNanos ? was : proven);
  }

  /** What proved the session without end does so no more: it may be believed for so long from now. */
  void limit(Moment at, long validForNanos) {
    state.updateAndGet(was -> was.problem != null ? was : new State(Long.MIN_VALUE / 2, 0, 0, null));
    prove(at, validForNanos);
  }

  /** Monotonic nanoseconds, as of the last look. */
  long deadlineNanos() {
    return state.get().deadline();
  }

  /** Why the session may not be believed any more; {@code null} if it may. Once there is a reason it stays. */
  String problemAt(Moment at) {
    return state.updateAndGet(was -> lookedAt(was, at)).problem;
  }

  /** How much longer it may be believed if nothing more is heard; 0 if it may not be. */
  long remainingNanosAt(Moment at) {
    State now = state.updateAndGet(was -> lookedAt(was, at));
    if (now.problem != null) return 0;
    return now.deadline() == Moment.NEVER ? Moment.NEVER : now.deadline() - at.nanos();
  }

  private static State lookedAt(State was, Moment at) {
    if (was.problem != null || was.deadlineNanos == Moment.NEVER) return was;
    long ahead = at.wallNanos() - at.nanos();
    long least = Math.min(was.aheadNanos, ahead);
    State now = new State(was.deadlineNanos, least, ahead - least, null);
    if (now.gainedNanos > SUSPENDED_NANOS)
      return now.because("the wall clock jumped %d ms ahead, so the machine was probably suspended"
          .formatted(TimeUnit.NANOSECONDS.toMillis(now.gainedNanos)));
    if (at.nanos() >= now.deadline())
      return now.because("no heartbeat was confirmed in time: the connection, the server or this program stood still");
    return now.equals(was) ? was : now;
  }
}
