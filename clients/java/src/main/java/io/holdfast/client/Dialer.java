package io.holdfast.client;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.DoubleSupplier;

/**
 * The way to the next stream: one attempt at a time, the addresses in turn from a random one on, with pauses between
 * attempts that failed. Addresses are those that the program gave, and those that a server told of last.
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

  private final List<String> given;
  private final DoubleSupplier random;
  /** Those to try, in this order from {@link #next} on. Never empty. */
  private List<String> addresses;
  private int next;
  /** The one that was tried last; {@code null}: none yet. */
  private String last;
  private State state = State.IDLE;
  /** When the pause ends, or the attempt has taken too long. */
  private long untilNanos = Moment.NEVER;
  private int streamCount;
  private int failures;

  /** {@code random} is a chance from 0 up to but not including 1: it spreads reconnects. */
  Dialer(List<String> given, DoubleSupplier random) {
    this.given = given;
    this.random = random;
    this.addresses = given;
    this.next = (int) (random.getAsDouble() * given.size());
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

  /** A server told where the others are. What an earlier one told is forgotten; the one tried last comes last. */
  void learn(List<String> servers) {
    List<String> others = new ArrayList<>(servers);
    others.removeAll(given);
    addresses = new ArrayList<>(given);
    // In an order of chance, so that the clients of a server that goes do not all go to the same one.
    while (!others.isEmpty()) addresses.add(others.remove((int) (random.getAsDouble() * others.size())));
    next = (addresses.indexOf(last) + 1) % addresses.size();
  }

  /** The server that is used goes away, and these are where to go: one of them is tried first. */
  void prefer(List<String> servers) {
    if (servers.isEmpty()) return;
    learn(servers);
    next = addresses.indexOf(servers.get((int) (random.getAsDouble() * servers.size())));
  }

  /** Begins an attempt, which fails at {@code giveUpNanos}; returns the address to connect to. */
  String start(long giveUpNanos) {
    last = addresses.get(next);
    next = (next + 1) % addresses.size();
    streamCount++;
    state = State.DIALING;
    untilNanos = giveUpNanos;
    return last;
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
