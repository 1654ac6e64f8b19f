package io.holdfast.client;

import java.lang.reflect.Method;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Many threads that want one lock through one client: first all of them wait, then each gets it in turn. Run by {@link
 * ContentionTest} in its own process, so that it can be run on a Java that has virtual threads too. Arguments: address of
 * a server, number of threads, "platform" or "virtual". Says what a waiting call costs, or fails.
 */
final class Contention {
  private static final String LOCK = "contention";

  private Contention() {}

  public static void main(String[] args) throws Exception {
    int count = Integer.parseInt(args[1]);
    boolean isVirtual = args[2].equals("virtual");
    int before = liveThreads();
    AtomicInteger inside = new AtomicInteger();
    AtomicInteger entered = new AtomicInteger();
    // A session has at most 1,000 live claims, and the first holder is another's.
    try (HoldfastClient client = HoldfastClient.connect(args[0]);
        HoldfastClient first = HoldfastClient.connect(args[0])) {
      client.ready().get(60, TimeUnit.SECONDS);
      HeldLock held = first.acquire(LOCK);
      long usedBefore = usedBytes();
      List<Thread> threads = new ArrayList<>();
      for (int i = 0; i < count; i++)
        threads.add(start(isVirtual, () -> {
          HoldfastLock lock = client.lock(LOCK);
          lock.lock();
          try {
            if (inside.incrementAndGet() != 1) throw new AssertionError("two are inside");
            if (lock.token() <= held.token()) throw new AssertionError("an old token");
            entered.incrementAndGet();
            inside.decrementAndGet();
          } finally {
            lock.unlock();
          }
        }));
      until(() -> first.getLock(LOCK).waiterCount() == count);
      long each = (usedBytes() - usedBefore) / count;
      held.close();
      for (Thread thread : threads) thread.join(Duration.ofMinutes(2).toMillis());
      if (entered.get() != count) throw new AssertionError(entered.get() + " of " + count + " were inside");
      if (client.threads().size() != 0) throw new AssertionError("threads are remembered that hold nothing");
      if (first.getLock(LOCK).state() != LockView.State.FREE) throw new AssertionError("something is left");
      System.out.printf("%d %s threads contended: %d bytes of heap for each waiting call%n", count, args[2], each);
    }
    // gRPC keeps its own for a second after the last connection; Java one for delays, for ever.
    until(() -> liveThreads() <= before + (isVirtual ? 20 : 0));
  }

  private static Thread start(boolean isVirtual, Runnable task) throws ReflectiveOperationException {
    if (isVirtual) {
      // Java 17, which this is compiled for, has none.
      Method method = Thread.class.getMethod("startVirtualThread", Runnable.class);
      return (Thread) method.invoke(null, task);
    }
    Thread thread = new Thread(null, task, "contender", 256 * 1024);
    thread.start();
    return thread;
  }

  private static int liveThreads() {
    return (int) Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> Optional.ofNullable(thread.getThreadGroup()).map(group -> !group.getName().equals("system")).orElse(false))
        .filter(thread -> !thread.getName().equals("CompletableFutureDelayScheduler"))
        .count();
  }

  private static long usedBytes() throws InterruptedException {
    Runtime runtime = Runtime.getRuntime();
    long used = Long.MAX_VALUE;
    for (int i = 0; i < 3; i++) {
      System.gc();
      Thread.sleep(20);
      used = Math.min(used, runtime.totalMemory() - runtime.freeMemory());
    }
    return used;
  }

  private static void until(java.util.function.BooleanSupplier isTrue) throws InterruptedException {
    Eventually.eventually(() -> Thread.getAllStackTraces().keySet().toString(), isTrue);
  }
}
