package io.holdfast.client;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The threads of a program that hold locks through {@link HoldfastLock} and {@link HoldfastClient#withLock}. A further
 * claim of a thread on what it holds re-enters, counted here and nothing sent: sessions that resume do not re-enter at
 * the server (DESIGN 3). Other claims carry the id of their thread, so that the service can find threads that wait for
 * each other in a circle.
 *
 * <p>A thread is known here while it holds something or waits for it, platform or virtual. What it holds is touched by
 * that thread alone.
 */
final class ThreadsOfControl {
  /** How often a thread may be inside the same lock. */
  private static final int MAX_DEPTH = 100;

  /** A claim that a thread holds, and what it entered by it, innermost last. */
  static final class Hold {
    final HeldLock lock;
    private final List<LockTarget> targets;
    private final List<List<LockTarget>> entries = new ArrayList<>(1);

    private Hold(List<LockTarget> targets, HeldLock lock) {
      this.targets = targets;
      this.lock = lock;
      entries.add(targets);
    }

    private boolean covers(List<LockTarget> wanted) {
      return wanted.stream().allMatch(each -> targets.stream().anyMatch(has -> has.covers(each)));
    }

    private boolean touches(List<LockTarget> wanted) {
      return wanted.stream().anyMatch(each -> targets.stream().anyMatch(has -> has.name().equals(each.name())));
    }

    private void enterAgain(List<LockTarget> wanted) {
      if (entries.size() >= MAX_DEPTH)
        throw new LockDeniedException(
            Reason.TOO_DEEP, "this thread is inside " + MAX_DEPTH + " times already", wanted.get(0).name());
      entries.add(wanted);
    }
  }

  private static final class ThreadOfControl {
    final String id;
    /** Innermost last. */
    final List<Hold> holds = new ArrayList<>(1);

    ThreadOfControl(String id) {
      this.id = id;
    }
  }

  /** How a claim of a thread is made, under the id of its thread. */
  interface Claiming {
    HeldLock claim(String reentryId) throws InterruptedException;
  }

  private final Map<Thread, ThreadOfControl> threads = new ConcurrentHashMap<>();
  private final AtomicLong lastId = new AtomicLong();

  /**
   * Enters for the calling thread: what it holds already at once, else by a claim. Throws {@code HoldfastException}
   * where waiting could never end, and what the claim throws.
   */
  Hold enter(List<LockTarget> wanted, Claiming claiming) throws InterruptedException {
    Thread thread = Thread.currentThread();
    ThreadOfControl me = threads.get(thread);
    Hold held = me == null ? null : coverOf(me, wanted);
    if (held != null) {
      held.enterAgain(wanted);
      return held;
    }
    refuseToWaitForItself(wanted);
    if (me == null) {
      me = new ThreadOfControl(newId(thread));
      threads.put(thread, me);
    }
    try {
      // The service takes no second claim of one thread on a lock from a session that can resume.
      boolean isInside = me.holds.stream().anyMatch(hold -> hold.touches(wanted));
      Hold hold = new Hold(wanted, claiming.claim(isInside ? newId(thread) : me.id));
      me.holds.add(hold);
      return hold;
    } finally {
      forgetIfIdle(thread, me);
    }
  }

  private static Hold coverOf(ThreadOfControl me, List<LockTarget> wanted) {
    for (int i = me.holds.size() - 1; i >= 0; i--) {
      Hold hold = me.holds.get(i);
      if (hold.covers(wanted) && hold.lock.isHeld()) return hold;
    }
    return null;
  }

  /** Readable, for the message that spells a circle out. At most 128 bytes. */
  private String newId(Thread thread) {
    String name = thread.getName();
    String readable = name.isEmpty() ? "thread" : name.substring(0, Math.min(name.length(), 30));
    return readable + "#" + lastId.incrementAndGet();
  }

  private void forgetIfIdle(Thread thread, ThreadOfControl me) {
    if (me.holds.isEmpty()) threads.remove(thread);
  }

  /** Throws {@code deadlock} if the calling thread holds what it wants in a way that excludes it. */
  void refuseToWaitForItself(List<LockTarget> wanted) {
    LockTarget clash = clashOf(wanted);
    if (clash != null)
      throw new LockDeniedException(
          Reason.DEADLOCK,
          "\"%s\" is held by this thread, which would wait for itself: release first".formatted(clash.name()),
          clash.name());
  }

  /** Whether the calling thread itself keeps this from being granted. */
  boolean wouldWaitForItself(List<LockTarget> wanted) {
    ThreadOfControl me = threads.get(Thread.currentThread());
    return (me == null || coverOf(me, wanted) == null) && clashOf(wanted) != null;
  }

  private LockTarget clashOf(List<LockTarget> wanted) {
    ThreadOfControl me = threads.get(Thread.currentThread());
    if (me == null) return null;
    for (Hold hold : me.holds)
      for (LockTarget each : wanted)
        if (hold.targets.stream().anyMatch(has -> has.excludes(each)) && hold.lock.isHeld()) return each;
    return null;
  }

  /** The innermost claim by which the calling thread entered exactly this; {@code null}: it did not. */
  Hold holdOf(List<LockTarget> entered) {
    ThreadOfControl me = threads.get(Thread.currentThread());
    if (me == null) return null;
    for (int i = me.holds.size() - 1; i >= 0; i--)
      if (me.holds.get(i).entries.contains(entered)) return me.holds.get(i);
    return null;
  }

  /** How often the calling thread has entered exactly this. */
  int countOf(List<LockTarget> entered) {
    ThreadOfControl me = threads.get(Thread.currentThread());
    if (me == null) return 0;
    return (int) me.holds.stream().flatMap(hold -> hold.entries.stream()).filter(entered::equals).count();
  }

  /** The calling thread leaves what it entered. Returns whether it was the last time, so that the claim is to be given up. */
  boolean leave(Hold hold, List<LockTarget> entered) {
    hold.entries.remove(hold.entries.lastIndexOf(entered));
    if (!hold.entries.isEmpty()) return false;
    Thread thread = Thread.currentThread();
    ThreadOfControl me = threads.get(thread);
    me.holds.remove(hold);
    forgetIfIdle(thread, me);
    return true;
  }

  /** How many threads hold something or wait for it. */
  int size() {
    return threads.size();
  }
}
