package io.holdfast.client;

import static io.holdfast.client.Eventually.eventually;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

/** Each test stands still 20 times at once, with a session for each; all times are of one clock. */
@DisplayName("A holder that stands still for longer than its TTL")
class StandstillTest {
  private static final int TIMES = 20;
  private static final int PATIENCE_S = 60;

  private static TestService service;
  private static HoldfastClient stranger;

  @BeforeAll
  static void start() {
    service = TestService.start();
    stranger = HoldfastClient.connect(service.address());
  }

  @AfterAll
  static void stop() {
    stranger.close();
    service.close();
  }

  /** When the next holder of a lock was told that it holds it. */
  private static CompletableFuture<Long> nextGrant(String lock) {
    return stranger.acquireAsync(lock).thenApply(held -> {
      long nowNanos = System.nanoTime();
      held.releaseAsync();
      return nowNanos;
    });
  }

  private static void untilAllWait(String prefix) throws InterruptedException {
    eventually("all wait", () -> stranger.listLocks(prefix, LockView.State.CONTENDED).count() == TIMES);
  }

  @Test
  void asAProcessBelievesInNoneOfItsLocksWhenTheNextHolderIsGrantedAndFindsThemLostWhenItGoesOn() throws Exception {
    long ttlMs = 6000;
    Process holder = new ProcessBuilder(
            java(),
            "-cp",
            System.getProperty("java.class.path"),
            PausedHolder.class.getName(),
            service.address(),
            String.valueOf(ttlMs),
            String.valueOf(TIMES))
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start();
    try {
      BufferedReader output = holder.inputReader();
      assertEquals("holding", output.readLine());
      List<CompletableFuture<Long>> grants = new ArrayList<>();
      for (int i = 0; i < TIMES; i++) grants.add(nextGrant(PausedHolder.lock(i)));
      untilAllWait("paused/");
      long stoppedNanos = System.nanoTime();
      TestService.signal(holder, "STOP");
      long[] grantedNanos = new long[TIMES];
      for (int i = 0; i < TIMES; i++) grantedNanos[i] = grants.get(i).get(PATIENCE_S, TimeUnit.SECONDS);
      TestService.signal(holder, "CONT");
      for (int i = 0; i < TIMES; i++) {
        String[] last = output.readLine().split(" ");
        assertTrue(Long.parseLong(last[0]) < grantedNanos[i], "lock " + i);
        assertEquals(Reason.SESSION_EXPIRED.toString(), last[1]);
        assertTrue(grantedNanos[i] > stoppedNanos);
      }
    } finally {
      holder.destroyForcibly().onExit().join();
    }
  }

  private static String java() {
    return System.getProperty("java.home") + "/bin/java";
  }

  @Test
  void asASessionsThreadThatIsBlockedBelievesInNoneOfItsLocksWhenTheNextHolderIsGranted() throws Exception {
    long ttlMs = 5000;
    AtomicBoolean isOver = new AtomicBoolean();
    List<HeldLock> locks = new ArrayList<>();
    List<HoldfastClient> clients = new ArrayList<>();
    ConcurrentHashMap<HeldLock, Long> lastHeldNanos = new ConcurrentHashMap<>();
    for (int i = 0; i < TIMES; i++) {
      // What the manual forbids: the program's own code runs on the thread that sends the heartbeats.
      HoldfastClient client = HoldfastClient.builder(service.address())
          .ttl(Duration.ofMillis(ttlMs))
          .callbackExecutor(Runnable::run)
          .build();
      clients.add(client);
      locks.add(client.acquire("blocked/" + i));
    }
    List<CompletableFuture<Long>> grants = new ArrayList<>();
    for (int i = 0; i < TIMES; i++) grants.add(nextGrant("blocked/" + i));
    untilAllWait("blocked/");
    // Here they block: a continuation that comes back when all is over.
    for (int i = 0; i < TIMES; i++)
      clients.get(i).acquireAsync("blocked/by/" + i).thenAccept(held -> blockUntil(isOver));
    // What every program may do, whatever its session's thread does.
    Thread looking = new Thread(() -> {
      for (int held = TIMES; held > 0; ) {
        held = 0;
        for (HeldLock lock : locks) {
          // Before the look: what is believed then was believed now.
          long nowNanos = System.nanoTime();
          if (!lock.isHeld()) continue;
          held++;
          lastHeldNanos.put(lock, nowNanos);
        }
      }
    });
    looking.start();
    long[] marginNanos = new long[TIMES];
    for (int i = 0; i < TIMES; i++) marginNanos[i] = grants.get(i).get(PATIENCE_S, TimeUnit.SECONDS);
    looking.join();
    for (int i = 0; i < TIMES; i++) {
      marginNanos[i] -= lastHeldNanos.get(locks.get(i));
      assertTrue(marginNanos[i] > 0, "lock " + i + " was believed to be held when the next one was granted it");
    }
    isOver.set(true);
    for (HeldLock lock : locks) assertEquals(Reason.SESSION_EXPIRED, lock.loss().orElseThrow().reason());
    clients.forEach(HoldfastClient::close);
    long leastMs = TimeUnit.NANOSECONDS.toMillis(LongStream.of(marginNanos).min().orElseThrow());
    System.out.printf("%d blocked sessions believed in their locks no later than %d ms before the next grant%n", TIMES, leastMs);
  }

  private static void blockUntil(AtomicBoolean isOver) {
    try {
      while (!isOver.get()) Thread.sleep(10);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }
}
