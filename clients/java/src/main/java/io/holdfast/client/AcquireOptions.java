package io.holdfast.client;

import com.google.protobuf.ByteString;
import io.holdfast.v1.Acquire;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * How to wait for a lock, and what to tell others about the claim. Immutable: each method returns a changed copy.
 * {@link #DEFAULTS}: wait for ever, and tell nothing.
 */
public final class AcquireOptions {
  /** Waits for ever, and tells nothing. */
  public static final AcquireOptions DEFAULTS = new AcquireOptions(Moment.NEVER, "", ByteString.EMPTY, null, true);

  /** Thirty years; more does not fit into a duration, and means for ever. */
  private static final Duration LONGEST = Duration.ofDays(10_000);

  private final long waitNanos;
  private final String purpose;
  private final ByteString value;
  private final Consumer<QueuePlace> onWaiting;
  private final boolean isReentrant;

  private AcquireOptions(
      long waitNanos, String purpose, ByteString value, Consumer<QueuePlace> onWaiting, boolean isReentrant) {
    this.waitNanos = waitNanos;
    this.purpose = purpose;
    this.value = value;
    this.onWaiting = onWaiting;
    this.isReentrant = isReentrant;
  }

  /**
   * How long to wait. Zero: be granted or refused, {@link Reason#BUSY}, as soon as a server answers. Otherwise refused with
   * {@link Reason#TIMEOUT} when it has passed, at the latest 1 s after it if the server that was asked does not answer. When
   * no server could be asked it fails with {@link Reason#UNREACHABLE}, or what the last server said, after the connect
   * timeout or when the time to wait has passed, if that is sooner.
   */
  public AcquireOptions waitUpTo(Duration wait) {
    if (wait.isNegative()) throw HoldfastException.invalid("wait is " + wait + ": say zero for a try, or more to wait");
    return new AcquireOptions(
        wait.compareTo(LONGEST) >= 0 ? Moment.NEVER : wait.toNanos(), purpose, value, onWaiting, isReentrant);
  }

  /** Why, in words, for those who wait behind it or look. At most 256 bytes. Default: nothing. */
  public AcquireOptions purpose(String why) {
    if (utf8(why).length > 256) throw HoldfastException.invalid("purpose is longer than 256 bytes of UTF-8");
    return new AcquireOptions(waitNanos, why, value, onWaiting, isReentrant);
  }

  /** What the holder announces to those who look, such as a leader's address. At most 4 KiB. Default: nothing. */
  public AcquireOptions value(String announced) {
    return value(utf8(announced));
  }

  /** What the holder announces, as bytes. They are copied. */
  public AcquireOptions value(byte[] announced) {
    return new AcquireOptions(waitNanos, purpose, checkedValue(announced), onWaiting, isReentrant);
  }

  /**
   * Called when the claim enters the queue, and as it moves up: each time its place has halved, and at each of the last
   * ten places. One call at a time, on the client's callback executor.
   */
  public AcquireOptions onWaiting(Consumer<QueuePlace> listener) {
    return new AcquireOptions(waitNanos, purpose, value, Objects.requireNonNull(listener), isReentrant);
  }

  /**
   * Whether {@link HoldfastClient#withLock} belongs to the thread that calls it. Default: true. False: the claim excludes
   * every other one, also those of its own thread, and waits for ever if one of them has the lock.
   */
  public AcquireOptions reentrant(boolean belongsToThread) {
    return new AcquireOptions(waitNanos, purpose, value, onWaiting, belongsToThread);
  }

  AcquireOptions waitNanos(long nanos) {
    return new AcquireOptions(nanos, purpose, value, onWaiting, isReentrant);
  }

  long waitNanos() {
    return waitNanos;
  }

  boolean isReentrant() {
    return isReentrant;
  }

  Consumer<QueuePlace> onWaiting() {
    return onWaiting;
  }

  /** The claim on these locks, for a thread of control; empty: nobody's. */
  ClaimRequest request(List<LockTarget> targets, String reentryId) {
    if (targets.isEmpty() || targets.size() > 16)
      throw HoldfastException.invalid("a claim is on 1 to 16 locks, not " + targets.size());
    if (targets.stream().map(LockTarget::name).distinct().count() < targets.size())
      throw HoldfastException.invalid("a claim names each lock once");
    Acquire.Builder acquire =
        Acquire.newBuilder().setReentryId(reentryId).setPurpose(purpose).setValue(value);
    for (LockTarget target : targets) acquire.addLocks(target.toWire());
    return new ClaimRequest(acquire.build(), waitNanos);
  }

  static ByteString checkedValue(byte[] value) {
    if (value.length > 4096)
      throw HoldfastException.invalid("value has " + value.length + " bytes, and may have 4096");
    return ByteString.copyFrom(value);
  }

  static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  @Override
  public String toString() {
    String wait = waitNanos == Moment.NEVER ? "for ever" : TimeUnit.NANOSECONDS.toMillis(waitNanos) + " ms";
    return "AcquireOptions[wait=" + wait + ", purpose=" + purpose + "]";
  }
}
