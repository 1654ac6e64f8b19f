package io.holdfast.client;

import io.holdfast.v1.LockSpec;
import java.nio.charset.StandardCharsets;

/**
 * One lock to take, and how. Made by {@link #exclusive}, {@link #shared} and {@link #semaphore}; names are 1 to 512
 * bytes of UTF-8, segments separated by "/", none of them empty, without control characters. What is wrong is refused
 * with {@link Reason#INVALID} before it travels, so that a mistake in one call does not end the session of all others.
 *
 * @param name the lock
 * @param mode how to share it
 * @param permits how many permits of a semaphore to take; 0 for every other mode
 * @param limit how many permits the semaphore has; 0 for every other mode
 */
public record LockTarget(String name, LockMode mode, int permits, int limit) {
  /** Checks what can be checked here. */
  public LockTarget {
    String problem = nameProblem(name);
    if (problem != null) throw HoldfastException.invalid("lock name \"%s\" %s".formatted(name, problem));
    boolean isSemaphore = mode == LockMode.SEMAPHORE;
    if (isSemaphore ? permits < 1 || permits > limit : permits != 0 || limit != 0)
      throw HoldfastException.invalid(
          "%d permits of %d for \"%s\": of a semaphore say 1 <= permits <= limit, else 0".formatted(permits, limit, name));
  }

  /** A lock that is held alone. */
  public static LockTarget exclusive(String name) {
    return new LockTarget(name, LockMode.EXCLUSIVE, 0, 0);
  }

  /** A lock that is held together with others that take it shared, and by nobody who takes it exclusively. */
  public static LockTarget shared(String name) {
    return new LockTarget(name, LockMode.SHARED, 0, 0);
  }

  /**
   * Some of the {@code limit} permits of a semaphore. Everybody who takes it must say the same limit; another one is
   * refused, {@link Reason#CONFLICTING_MODE}.
   */
  public static LockTarget semaphore(String name, int permits, int limit) {
    return new LockTarget(name, LockMode.SEMAPHORE, permits, limit);
  }

  LockSpec toWire() {
    return LockSpec.newBuilder()
        .setName(name)
        .setMode(mode.toWire())
        .setPermits(permits)
        .setLimit(limit)
        .build();
  }

  /** Whether holding this allows all that {@code wanted} would. */
  boolean covers(LockTarget wanted) {
    if (!name.equals(wanted.name)) return false;
    return switch (mode) {
      case EXCLUSIVE -> wanted.mode != LockMode.SEMAPHORE;
      case SHARED -> wanted.mode == LockMode.SHARED;
      case SEMAPHORE -> wanted.mode == LockMode.SEMAPHORE && wanted.limit == limit && wanted.permits <= permits;
    };
  }

  /** Whether the two can never be held together. */
  boolean excludes(LockTarget wanted) {
    if (!name.equals(wanted.name)) return false;
    if (mode == LockMode.SHARED && wanted.mode == LockMode.SHARED) return false;
    if (mode == LockMode.SEMAPHORE && wanted.mode == LockMode.SEMAPHORE)
      return (long) permits + wanted.permits > wanted.limit;
    return true;
  }

  /** What is wrong with a lock name, in words that name the rule; {@code null} if nothing is. */
  private static String nameProblem(String name) {
    if (name.isEmpty()) return "is empty";
    if (!StandardCharsets.UTF_8.newEncoder().canEncode(name)) return "is not valid Unicode";
    if (name.getBytes(StandardCharsets.UTF_8).length > 512) return "is longer than 512 bytes of UTF-8";
    if (name.startsWith("/") || name.endsWith("/") || name.contains("//"))
      return "has an empty segment between \"/\"";
    return name.chars().anyMatch(Character::isISOControl) ? "contains a control character" : null;
  }
}
