package io.holdfast.client;

import java.util.ArrayDeque;
import java.util.Deque;

/** When to send heartbeats, and when those that are answered were sent. {@code seq} never restarts in a session. */
final class Heartbeats {
  private record Sent(long seq, Moment at) {}

  private final long intervalNanos;
  private final Deque<Sent> unanswered = new ArrayDeque<>();
  private long seq;
  private long dueNanos = Moment.NEVER;

  Heartbeats(long intervalNanos) {
    this.intervalNanos = intervalNanos;
  }

  /** When the next one is due. Monotonic nanoseconds. */
  long dueNanos() {
    return dueNanos;
  }

  /** Another stream carries them from now on; its first frame was sent then. What earlier streams answer means nothing. */
  void restart(Moment openSentAt) {
    unanswered.clear();
    dueNanos = openSentAt.nanos() + intervalNanos;
  }

  /** The {@code seq} to send now. */
  long next(Moment at) {
    unanswered.add(new Sent(++seq, at));
    dueNanos = at.nanos() + intervalNanos;
    return seq;
  }

  /** When the heartbeat that an ack answers was sent, and with it all before; {@code null} if none was. */
  Moment answered(long ackedSeq) {
    if (unanswered.stream().noneMatch(sent -> sent.seq == ackedSeq)) return null;
    while (unanswered.getFirst().seq < ackedSeq) unanswered.removeFirst();
    return unanswered.removeFirst().at;
  }

  /** Whether one has waited a whole interval for its answer: the stream may be dead without a word. */
  boolean isMute(long nowNanos) {
    Sent oldest = unanswered.peekFirst();
    return oldest != null && nowNanos - oldest.at.nanos() >= intervalNanos;
  }
}
