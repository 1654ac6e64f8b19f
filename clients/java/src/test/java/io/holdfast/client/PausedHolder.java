package io.holdfast.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * A program that holds locks through as many sessions and looks at them all the time; run by {@link StandstillTest} in a
 * process that can be stopped. Arguments: address of a server, TTL in ms, number of locks. Says "holding", and when all are
 * lost for each of them when it last believed to hold it, by the clock that all processes share.
 */
final class PausedHolder {
  private PausedHolder() {}

  static String lock(int number) {
    return "paused/" + number;
  }

  public static void main(String[] args) throws Exception {
    int count = Integer.parseInt(args[2]);
    List<HeldLock> locks = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      HoldfastClient client =
          HoldfastClient.builder(args[0]).ttl(Duration.ofMillis(Long.parseLong(args[1]))).build();
      locks.add(client.acquire(lock(i)));
    }
    System.out.println("holding");
    long[] lastHeldNanos = new long[count];
    for (int held = count; held > 0; ) {
      held = 0;
      for (int i = 0; i < count; i++) {
        // Before the look: what it says may be told a standstill later.
        long nowNanos = System.nanoTime();
        if (!locks.get(i).isHeld()) continue;
        held++;
        lastHeldNanos[i] = nowNanos;
      }
      Thread.sleep(1);
    }
    for (int i = 0; i < count; i++)
      System.out.println(lastHeldNanos[i] + " " + locks.get(i).loss().orElseThrow().reason());
    // Its clients are not closed: whoever stood still has no time for that.
    Runtime.getRuntime().halt(0);
  }
}
