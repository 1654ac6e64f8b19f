package io.holdfast.client;

import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.DoubleSupplier;

/**
 * The way to the next stream: one attempt at a time, each to the address that was tried longest ago, with pauses between
 * attempts that failed.
 */
final class Dialer {
  /** The first pause before another attempt; doubled each time. */
  private static final long FIRST_REST_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

  private static final long LONGEST_REST_NANOS = TimeUnit.SECONDS.toNanos(5);

  private enum State {
    IDLE,
    RESTING,
    DIALING
  }

  final AddressList addresses;

  private final DoubleSupplier random;
  private State state = State.IDLE;
  /** When the pause ends, or the attempt has taken too long. */
  private long untilNanos = Moment.NEVER;
  private int streamCount;
  private int failures;

  /** {@code random} is a chance from 0 up to but not including 1: it spreads reconnects. */
  Dialer(List<String> given, DoubleSupplier random) {
    this.addresses = new AddressList(given, random);
    this.random = random;
  }

  boolean isIdle() {
    return state == State.IDLE;
  }

  /** When there is something to do at the latest. */
  long wakeNanos() {
    return untilNanos;
  }

  /** The number of the stream that is being dialed; 0 if none is. */
  int streamNo() {
    return state == State.DIALING ? streamCount : 0;
  }

  /** Begins an attempt, which fails at {@code giveUpNanos}; returns the address to connect to. */
  String start(long giveUpNanos) {
    streamCount++;
    state = State.DIALING;
    untilNanos = giveUpNanos;
    return addresses.next();
  }

  void stop() {
    state = State.IDLE;
    untilNanos = Moment.NEVER;
  }

  /** What failed before says nothing about what comes. */
  void forgetFailures() {
    failures = 0;
  }

  /** Pauses after a failure: exponential, with full jitter, never longer than {@code longestNanos} or 5 s. */
  void restAfterFailure(long nowNanos, long longestNanos) {
    long bound = Math.min(Math.min(LONGEST_REST_NANOS, longestNanos), FIRST_REST_NANOS << failures);
    failures = Math.min(failures + 1, 20);
    rest(nowNanos, bound);
  }

  /** Pauses for a random part of a time. */
  void rest(long nowNanos, long boundNanos) {
    state = State.RESTING;
    untilNanos = nowNanos + (long) (random.getAsDouble() * boundNanos);
  }

  /** Ends a pause whose time has come. */
  void tick(long nowNanos) {
    if (state == State.RESTING && nowNanos >= untilNanos) stop();
  }
}
