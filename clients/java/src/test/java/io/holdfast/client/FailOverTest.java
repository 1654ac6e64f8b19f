package io.holdfast.client;

import static io.holdfast.client.Eventually.eventually;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("A client whose server fails")
class FailOverTest {
  private static final int PATIENCE_S = 60;

  private static TestService service;

  @BeforeAll
  static void start() {
    service = TestService.start();
  }

  @AfterAll
  static void stop() {
    service.close();
  }

  @Test
  void keepsItsLocksTokensAndPlacesOnAnotherServerWhenItsOwnIsKilled() throws Exception {
    TestService.Server dying = service.startServer();
    // It knows only the one that dies: of the other one it is told.
    try (HoldfastClient client = HoldfastClient.connect(dying.address);
        HoldfastClient stranger = HoldfastClient.connect(service.address())) {
      HeldLock held = client.acquire("failover/held");
      HeldLock theirs = stranger.acquire("failover/waited");
      CompletableFuture<HeldLock> waiting = client.acquireAsync("failover/waited");
      eventually("a waiter", () -> stranger.getLock("failover/waited").waiterCount() == 1);
      String session = client.sessionId().orElseThrow();
      dying.kill();
      held.update("still here");
      assertTrue(held.isHeld());
      assertEquals(held.token(), stranger.getLock("failover/held").holders().get(0).token());
      assertEquals(session, client.sessionId().orElseThrow());
      theirs.close();
      HeldLock granted = waiting.get(PATIENCE_S, TimeUnit.SECONDS);
      assertEquals(session, stranger.getLock("failover/waited").holders().get(0).sessionId());
      granted.close();
      held.close();
    }
  }

  @Test
  void goesToAServerThatItWasToldOfWhenItsOwnDrains() throws Exception {
    TestService.Server draining = service.startServer();
    try (HoldfastClient client = HoldfastClient.connect(draining.address);
        HoldfastClient stranger = HoldfastClient.connect(service.address())) {
      HeldLock held = client.acquire("failover/drained");
      BlockingQueue<LockLostException> lost = new LinkedBlockingQueue<>();
      held.onLost(lost::add);
      draining.drain();
      draining.untilEnded();
      for (int i = 0; i < 20; i++) held.update("still here " + i);
      assertEquals(held.token(), stranger.getLock("failover/drained").holders().get(0).token());
      assertTrue(lost.isEmpty());
      // The calls that only look know of it too.
      assertEquals(1, client.getLock("failover/drained").holderCount());
      held.close();
    }
  }

  @Test
  void losesItsLocksAtTheDeadlineWhenNoServerAnswersAndSaysSoBeforeAnybodyElseIsGranted() throws Exception {
    TestService.Server frozen = service.startServer();
    try (HoldfastClient client =
            HoldfastClient.builder(frozen.address).ttl(Duration.ofSeconds(5)).build();
        HoldfastClient stranger = HoldfastClient.connect(service.address())) {
      HoldfastLock lock = client.lock("failover/frozen");
      lock.lock();
      long token = lock.token();
      BlockingQueue<Long> lostAt = new LinkedBlockingQueue<>();
      lock.current().onLost(loss -> lostAt.add(System.nanoTime()));
      CompletableFuture<Long> grantedAt = stranger.acquireAsync("failover/frozen").thenApply(next -> System.nanoTime());
      eventually("a waiter", () -> stranger.getLock("failover/frozen").waiterCount() == 1);
      // The other one it was told of.
      frozen.pause();
      service.server(0).pause();
      long lost = lostAt.poll(PATIENCE_S, TimeUnit.SECONDS);
      assertFalse(lock.isHeldByCurrentThread());
      service.server(0).resume();
      frozen.kill();
      assertTrue(grantedAt.get(PATIENCE_S, TimeUnit.SECONDS) > lost);
      assertEquals(Reason.SESSION_EXPIRED, assertThrows(LockLostException.class, lock::unlock).reason());
      // And it goes on with a session of its own when there is a server again.
      assertTrue(stranger.getLock("failover/frozen").holders().get(0).token() > token);
      client.lock("failover/another").lock();
      client.lock("failover/another").unlock();
    }
  }

  @Test
  void losesAllAtABreakWhereItChoseSo() throws Exception {
    TestService.Server dying = service.startServer();
    try (HoldfastClient client =
        HoldfastClient.builder(dying.address).releaseOnDisconnect().build()) {
      HeldLock held = client.acquire("failover/release");
      BlockingQueue<LockLostException> lost = new LinkedBlockingQueue<>();
      held.onLost(lost::add);
      dying.kill();
      assertEquals(Reason.CONNECTION_LOST, lost.poll(PATIENCE_S, TimeUnit.SECONDS).reason());
      assertFalse(held.isHeld());
      try (HeldLock again = client.acquire("failover/release")) {
        assertTrue(again.token() > held.token());
      }
    }
  }
}
