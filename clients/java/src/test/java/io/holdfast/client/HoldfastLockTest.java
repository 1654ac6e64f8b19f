package io.holdfast.client;

import static io.holdfast.client.Eventually.eventually;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReadWriteLock;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;

@DisplayName("A lock as java.util.concurrent.locks has it")
class HoldfastLockTest {
  private static TestService service;
  private static HoldfastClient client;
  private static HoldfastClient stranger;
  private ExecutorService other;

  @BeforeAll
  static void start() {
    service = TestService.start();
    client = HoldfastClient.connect(service.address());
    stranger = HoldfastClient.connect(service.address());
  }

  @AfterAll
  static void stop() {
    client.close();
    stranger.close();
    service.close();
  }

  /** Another thread of the program. */
  @BeforeEach
  void startThread() {
    other = Executors.newSingleThreadExecutor();
  }

  @AfterEach
  void endThread() throws InterruptedException {
    other.shutdownNow();
    assertTrue(other.awaitTermination(60, TimeUnit.SECONDS));
    assertEquals(0, client.threads().size(), "threads that still hold something");
  }

  private <T> T there(Callable<T> task) throws Exception {
    try {
      return other.submit(task).get(60, TimeUnit.SECONDS);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof Exception cause) throw cause;
      throw e;
    }
  }

  private boolean tryThere(Lock lock) throws Exception {
    return there(lock::tryLock);
  }

  private static void untilWaiting(String name, int count) throws InterruptedException {
    eventually(count + " wait for " + name, () -> stranger.getLock(name).waiterCount() == count);
  }

  @Test
  void isHeldByOneThreadAtATimeHereAndElsewhere() throws Exception {
    HoldfastLock lock = client.lock("lock/exclusive");
    lock.lock();
    try {
      assertTrue(lock.isHeldByCurrentThread());
      assertTrue(lock.token() > 0);
      assertFalse(tryThere(lock));
      assertFalse(stranger.lock("lock/exclusive").tryLock());
      assertFalse(there(lock::isHeldByCurrentThread));
    } finally {
      lock.unlock();
    }
    assertFalse(lock.isHeldByCurrentThread());
    assertTrue(stranger.lock("lock/exclusive").tryLock());
    stranger.lock("lock/exclusive").unlock();
  }

  @Test
  void givesEachHolderALargerTokenThanTheOneBefore() {
    HoldfastLock lock = client.lock("lock/tokens");
    long last = 0;
    for (int i = 0; i < 20; i++) {
      lock.lock();
      assertTrue(lock.token() > last);
      last = lock.token();
      lock.unlock();
    }
  }

  @Test
  void isEnteredAgainByItsThreadWithTheSameTokenAndLeftAsOften() throws Exception {
    HoldfastLock lock = client.lock("lock/reentry");
    HoldfastLock same = client.lock("lock/reentry");
    lock.lock();
    long token = lock.token();
    same.lock();
    assertTrue(lock.tryLock());
    assertTrue(lock.tryLock(1, TimeUnit.SECONDS));
    lock.lockInterruptibly();
    assertEquals(5, lock.getHoldCount());
    assertEquals(token, same.token());
    for (int i = 0; i < 4; i++) {
      same.unlock();
      assertFalse(tryThere(lock));
    }
    lock.unlock();
    assertEquals(0, lock.getHoldCount());
    assertTrue(there(() -> {
      boolean isHad = lock.tryLock();
      lock.unlock();
      return isHad;
    }));
  }

  @Test
  void isNotEnteredMoreThan100Times() {
    HoldfastLock lock = client.lock("lock/deep");
    for (int i = 0; i < 100; i++) lock.lock();
    assertEquals(Reason.TOO_DEEP, assertThrows(LockDeniedException.class, lock::lock).reason());
    for (int i = 0; i < 100; i++) lock.unlock();
  }

  @Test
  void isUnlockedByNobodyButItsThread() throws Exception {
    HoldfastLock lock = client.lock("lock/stranger");
    assertThrows(IllegalMonitorStateException.class, lock::unlock);
    lock.lock();
    assertThrows(IllegalMonitorStateException.class, () -> there(() -> {
      lock.unlock();
      return null;
    }));
    assertThrows(IllegalMonitorStateException.class, () -> stranger.lock("lock/stranger").unlock());
    assertThrows(IllegalMonitorStateException.class, () -> there(lock::token));
    assertTrue(lock.isHeldByCurrentThread());
    lock.unlock();
    assertThrows(IllegalMonitorStateException.class, lock::unlock);
  }

  @Test
  void hasNoConditions() {
    assertThrows(UnsupportedOperationException.class, () -> client.lock("lock/condition").newCondition());
  }

  @Test
  void isWaitedForUntilTheTimeIsOver() throws Exception {
    HoldfastLock held = stranger.lock("lock/timed");
    held.lock();
    Lock lock = client.lock("lock/timed");
    long start = System.nanoTime();
    assertFalse(lock.tryLock(300, TimeUnit.MILLISECONDS));
    assertTrue(System.nanoTime() - start >= TimeUnit.MILLISECONDS.toNanos(300));
    assertEquals(0, client.getLock("lock/timed").waiterCount());
    assertFalse(lock.tryLock(0, TimeUnit.SECONDS));
    assertFalse(lock.tryLock(-1, TimeUnit.SECONDS));
    Future<Boolean> waiting = other.submit(() -> {
      boolean isHad = lock.tryLock(Long.MAX_VALUE, TimeUnit.DAYS);
      lock.unlock();
      return isHad;
    });
    untilWaiting("lock/timed", 1);
    held.unlock();
    assertTrue(waiting.get(60, TimeUnit.SECONDS));
  }

  @Test
  void isGivenUpByAnInterruptedThreadWhosePlaceInTheQueueIsGone() throws Exception {
    HoldfastLock held = stranger.lock("lock/interrupt");
    held.lock();
    CountDownLatch ended = new CountDownLatch(1);
    Future<?> waiting = other.submit(() -> {
      try {
        client.lock("lock/interrupt").lockInterruptibly();
      } catch (InterruptedException expected) {
        ended.countDown();
      }
    });
    untilWaiting("lock/interrupt", 1);
    waiting.cancel(true);
    assertTrue(ended.await(60, TimeUnit.SECONDS));
    untilWaiting("lock/interrupt", 0);
    held.unlock();
  }

  @Test
  void refusesAThreadThatWasInterruptedBefore() {
    Thread.currentThread().interrupt();
    assertThrows(InterruptedException.class, client.lock("lock/before")::lockInterruptibly);
    Thread.currentThread().interrupt();
    assertThrows(InterruptedException.class, () -> client.lock("lock/before").tryLock(1, TimeUnit.SECONDS));
    assertFalse(Thread.interrupted());
  }

  @Test
  void isWaitedForThroughInterruptsWhichAreKept() throws Exception {
    HoldfastLock held = stranger.lock("lock/uninterruptible");
    held.lock();
    Thread[] thread = new Thread[1];
    Future<Boolean> waiting = other.submit(() -> {
      thread[0] = Thread.currentThread();
      HoldfastLock lock = client.lock("lock/uninterruptible");
      lock.lock();
      boolean wasInterrupted = Thread.interrupted();
      lock.unlock();
      return wasInterrupted;
    });
    untilWaiting("lock/uninterruptible", 1);
    thread[0].interrupt();
    held.unlock();
    assertTrue(waiting.get(60, TimeUnit.SECONDS));
  }

  @Test
  void isGrantedInTheOrderInWhichItWasAskedFor() throws Exception {
    HoldfastLock held = client.lock("lock/fair");
    held.lock();
    StringBuffer order = new StringBuffer();
    Future<?> first = other.submit(() -> {
      client.lock("lock/fair").lock();
      order.append("first ");
      client.lock("lock/fair").unlock();
    });
    untilWaiting("lock/fair", 1);
    Thread second = new Thread(() -> {
      stranger.lock("lock/fair").lock();
      order.append("second");
      stranger.lock("lock/fair").unlock();
    });
    second.start();
    untilWaiting("lock/fair", 2);
    held.unlock();
    first.get(60, TimeUnit.SECONDS);
    second.join();
    assertEquals("first second", order.toString());
  }

  @Test
  void refusesTheYoungestOfThreadsThatWaitForEachOtherInACircle() throws Exception {
    HoldfastLock mine = client.lock("lock/circle/a");
    mine.lock();
    CountDownLatch both = new CountDownLatch(1);
    Future<?> waiting = other.submit(() -> {
      stranger.lock("lock/circle/b").lock();
      both.countDown();
      stranger.lock("lock/circle/a").lock();
      stranger.lock("lock/circle/a").unlock();
      stranger.lock("lock/circle/b").unlock();
    });
    assertTrue(both.await(60, TimeUnit.SECONDS));
    untilWaiting("lock/circle/a", 1);
    LockDeniedException denied = assertThrows(LockDeniedException.class, client.lock("lock/circle/b")::lock);
    assertEquals(Reason.DEADLOCK, denied.reason());
    mine.unlock();
    waiting.get(60, TimeUnit.SECONDS);
  }

  @Test
  void showsItsThreadAndPurposeToThoseWhoLook() {
    HoldfastLock lock = client.lock("lock/purpose").purpose("shipping");
    lock.lock();
    ClaimView holder = stranger.getLock("lock/purpose").holders().get(0);
    assertEquals("shipping", holder.purpose());
    assertTrue(holder.reentryId().startsWith(Thread.currentThread().getName() + "#"), holder.reentryId());
    assertEquals("java", holder.client().orElseThrow().language());
    lock.unlock();
  }

  @Nested
  @DisplayName("shared by readers")
  class Shared {
    @Test
    void isReadByManyAndWrittenByOne() throws Exception {
      ReadWriteLock lock = client.readWriteLock("rw/shared");
      lock.readLock().lock();
      Lock writer = stranger.readWriteLock("rw/shared").writeLock();
      assertTrue(there(() -> {
        boolean isHad = lock.readLock().tryLock();
        lock.readLock().unlock();
        return isHad;
      }));
      assertFalse(writer.tryLock());
      lock.readLock().unlock();
      assertTrue(writer.tryLock());
      assertFalse(lock.readLock().tryLock());
      writer.unlock();
    }

    @Test
    void isReadByItsWriterWhoLeavesTheTwoInAnyOrder() {
      HoldfastReadWriteLock lock = client.readWriteLock("rw/downgrade");
      lock.writeLock().lock();
      lock.readLock().lock();
      assertEquals(lock.writeLock().token(), lock.readLock().token());
      lock.writeLock().unlock();
      assertThrows(IllegalMonitorStateException.class, lock.writeLock()::unlock);
      assertTrue(lock.readLock().isHeldByCurrentThread());
      assertFalse(stranger.readWriteLock("rw/downgrade").writeLock().tryLock());
      lock.readLock().unlock();
      assertTrue(stranger.readWriteLock("rw/downgrade").writeLock().tryLock());
      stranger.readWriteLock("rw/downgrade").writeLock().unlock();
    }

    @Test
    void isNotWrittenByAReaderWhichWouldWaitForItself() {
      HoldfastReadWriteLock lock = client.readWriteLock("rw/upgrade");
      lock.readLock().lock();
      LockDeniedException denied = assertThrows(LockDeniedException.class, lock.writeLock()::lock);
      assertEquals(Reason.DEADLOCK, denied.reason());
      assertFalse(lock.writeLock().tryLock());
      lock.readLock().unlock();
      assertTrue(lock.writeLock().tryLock());
      lock.writeLock().unlock();
    }
  }

  @Nested
  @DisplayName("on several names")
  class Several {
    @Test
    void takesAllOrNoneAndEntersEachOfThemAgain() throws Exception {
      HoldfastLock both = client.lockAll("all/a", "all/b");
      HoldfastLock taken = stranger.lock("all/b");
      taken.lock();
      assertFalse(both.tryLock());
      assertEquals(LockView.State.FREE, stranger.getLock("all/a").state());
      taken.unlock();
      both.lock();
      assertEquals(List.of("all/a", "all/b"), both.current().locks().stream().map(GrantedLock::name).toList());
      HoldfastLock one = client.lock("all/b");
      assertTrue(one.tryLock());
      assertEquals(both.current().locks().get(1).token(), one.token());
      one.unlock();
      assertFalse(taken.tryLock());
      both.unlock();
      assertTrue(taken.tryLock());
      taken.unlock();
    }

    @Test
    void refusesWhatItsThreadHoldsInPart() {
      HoldfastLock one = client.lock("part/a");
      one.lock();
      HoldfastLock both = client.lockAll("part/a", "part/b");
      assertEquals(Reason.DEADLOCK, assertThrows(LockDeniedException.class, both::lock).reason());
      one.unlock();
    }

    @Test
    void cannotDeadlockWhateverTheOrder() throws Exception {
      Callable<Void> oneWay = () -> takeOften(client.lockAll("order/a", "order/b"));
      Callable<Void> otherWay = () -> takeOften(stranger.lockAll("order/b", "order/a"));
      ExecutorService pool = Executors.newFixedThreadPool(2);
      for (Future<Void> done : pool.invokeAll(List.of(oneWay, otherWay))) done.get(60, TimeUnit.SECONDS);
      pool.shutdown();
    }

    private Void takeOften(HoldfastLock lock) {
      for (int i = 0; i < 50; i++) {
        lock.lock();
        lock.unlock();
      }
      return null;
    }
  }

  @Nested
  @DisplayName("withLock")
  class WithLock {
    @Test
    void returnsWhatTheActionReturnsAndHasReleasedByThen() throws Exception {
      long token = client.withLock("with/simple", lock -> {
        assertEquals(LockView.State.HELD, stranger.getLock("with/simple").state());
        return lock.token();
      });
      assertTrue(token > 0);
      assertEquals(LockView.State.FREE, stranger.getLock("with/simple").state());
    }

    @Test
    void reentersWhatItsThreadHoldsNoMoreWeaklyAlsoByLock() throws Exception {
      client.withLock("with/nested", outer -> {
        client.withLock("with/nested", inner -> {
          assertEquals(outer.token(), inner.token());
          return null;
        });
        client.lock("with/nested").lock();
        client.lock("with/nested").unlock();
        assertTrue(outer.isHeld());
        return null;
      });
      assertEquals(LockView.State.FREE, stranger.getLock("with/nested").state());
    }

    @Test
    void throwsWhatTheActionThrowsAndReleases() {
      IllegalStateException thrown =
          assertThrows(IllegalStateException.class, () -> client.withLock("with/throwing", lock -> {
            throw new IllegalStateException("mine");
          }));
      assertEquals("mine", thrown.getMessage());
      assertEquals(LockView.State.FREE, stranger.getLock("with/throwing").state());
    }

    @Test
    void excludesItsOwnThreadWhenItIsNotReentrant() throws Exception {
      client.withLock("with/nobodys", outer -> {
        AcquireOptions shortly = AcquireOptions.DEFAULTS.reentrant(false).waitUpTo(Duration.ofSeconds(3));
        List<LockTarget> same = List.of(LockTarget.exclusive("with/nobodys"));
        LockDeniedException denied =
            assertThrows(LockDeniedException.class, () -> client.withLock(same, shortly, inner -> null));
        assertEquals(Reason.TIMEOUT, denied.reason());
        assertEquals(client.sessionId().orElseThrow(), denied.holders().get(0).sessionId());
        return null;
      });
    }
  }
}
