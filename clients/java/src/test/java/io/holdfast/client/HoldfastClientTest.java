package io.holdfast.client;

import static io.holdfast.client.Eventually.eventually;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.holdfast.v1.CheckTokenRequest;
import io.holdfast.v1.LockServiceGrpc;
import io.holdfast.v1.Open;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;

@DisplayName("A client")
class HoldfastClientTest {
  private static final int PATIENCE_S = 60;

  private static TestService service;
  private static HoldfastClient client;
  private static HoldfastClient stranger;

  @BeforeAll
  static void start() {
    service = TestService.start();
    client = HoldfastClient.builder(service.address()).clientName("test").label("team", "java").build();
    stranger = HoldfastClient.connect(service.address());
  }

  @AfterAll
  static void stop() {
    client.close();
    stranger.close();
    service.close();
  }

  private static <T> T soon(CompletableFuture<T> future) throws Exception {
    return future.get(PATIENCE_S, TimeUnit.SECONDS);
  }

  private static List<LockTarget> exclusive(String name) {
    return List.of(LockTarget.exclusive(name));
  }

  private static AcquireOptions waitMs(long timeMs) {
    return AcquireOptions.DEFAULTS.waitUpTo(Duration.ofMillis(timeMs));
  }

  private static void untilWaiting(String name, int count) throws InterruptedException {
    eventually(count + " wait for " + name, () -> stranger.getLock(name).waiterCount() == count);
  }

  @Nested
  @DisplayName("that acquires")
  class Acquiring {
    @Test
    void holdsUntilTheEndOfTheBlock() throws Exception {
      long token;
      try (HeldLock lock = client.acquire("acquire/block")) {
        token = lock.token();
        assertTrue(lock.isHeld());
        assertTrue(lock.remaining().compareTo(Duration.ofSeconds(7)) > 0, lock.remaining().toString());
        assertEquals(TokenView.State.LIVE, stranger.checkToken("acquire/block", token).state());
        assertEquals(Optional.empty(), stranger.tryAcquire("acquire/block"));
      }
      assertEquals(TokenView.State.ENDED, stranger.checkToken("acquire/block", token).state());
      assertEquals(TokenView.State.NOT_ISSUED, stranger.checkToken("acquire/block", Long.MAX_VALUE).state());
    }

    @Test
    void isToldWhoHoldsTheLockThatItCouldNotHave() throws Exception {
      try (HeldLock lock = client.acquire("acquire/busy", AcquireOptions.DEFAULTS.purpose("shipping"))) {
        for (long timeMs : new long[] {0, 3000}) {
          LockDeniedException denied =
              assertThrows(LockDeniedException.class, () -> stranger.acquire("acquire/busy", waitMs(timeMs)));
          assertEquals(timeMs == 0 ? Reason.BUSY : Reason.TIMEOUT, denied.reason());
          assertEquals("acquire/busy", denied.lock());
          assertEquals(1, denied.holderCount());
          ClaimView holder = denied.holders().get(0);
          assertEquals(lock.token(), holder.token());
          assertEquals("shipping", holder.purpose());
          assertEquals("test", holder.client().orElseThrow().name());
          assertEquals(ProcessHandle.current().pid(), holder.client().orElseThrow().pid());
        }
      }
    }

    @Test
    void isToldItsPlaceWhileItWaits() throws Exception {
      BlockingQueue<QueuePlace> places = new LinkedBlockingQueue<>();
      HeldLock first = stranger.acquire("acquire/place");
      CompletableFuture<HeldLock> waiting =
          client.acquireAsync(exclusive("acquire/place"), AcquireOptions.DEFAULTS.onWaiting(places::add));
      QueuePlace place = places.poll(PATIENCE_S, TimeUnit.SECONDS);
      assertEquals(1, place.position());
      assertEquals(first.token(), place.holders().get(0).token());
      first.close();
      soon(waiting).close();
    }

    @Test
    void isToldHowTheHolderBeforeEnded() throws Exception {
      client.acquire("acquire/previous").close();
      try (HeldLock lock = stranger.acquire("acquire/previous")) {
        assertEquals(PreviousHolder.End.RELEASED, lock.previous().orElseThrow().end());
      }
    }

    @Test
    void releasesOnceAndSaysSoAgain() throws Exception {
      HeldLock lock = client.acquire("acquire/twice");
      assertEquals(ReleaseOutcome.RELEASED, soon(lock.releaseAsync()));
      assertEquals(ReleaseOutcome.RELEASED, soon(lock.releaseAsync()));
      lock.close();
      assertFalse(lock.isHeld());
      assertEquals(Duration.ZERO, lock.remaining());
      assertEquals(Optional.empty(), lock.loss());
      HoldfastException refused = assertThrows(HoldfastException.class, () -> lock.update("late"));
      assertEquals(Reason.NOT_FOUND, refused.reason());
    }

    @Test
    void refusesAddressesThatCannotBeUsedBeforeAnythingIsHeld() {
      for (String address : List.of(
          "", "http://127.0.0.1:7400", "https://a:7400", "http:", ":7400", "localhost", "a:", "a:0", "a:65536", "a:99999", "a:-1",
          "127.0.0.1:no", "a b:1", "a/b:1", "::1", "::1:7400", "[::1]", "[]:1", "[a]:1", "[127.0.0.1]:1", "xds:///a", "dns:",
          "a:1\n")) {
        HoldfastException refused = refusedAddress(address);
        assertEquals(
            "addresses: \"" + address + "\" is not \"host:port\", such as 127.0.0.1:7400", refused.getMessage());
      }
      for (String address : List.of("unix:relative:\u0000", "[:::]:1"))
        assertTrue(refusedAddress(address).getMessage().contains("\"" + address + "\" cannot be used"));
      for (String address : List.of("a:1", "a.b-c:65535", "[::1]:7400", "http:7400", "dns:///locks:7400", "unix:/run/x"))
        HoldfastClient.connect(address).close();
    }

    private HoldfastException refusedAddress(String address) {
      HoldfastException refused =
          assertThrows(HoldfastException.class, () -> HoldfastClient.connect(service.address(), address), address);
      assertEquals(Reason.INVALID, refused.reason());
      return refused;
    }

    /** As servers may tell of one: what the program gives is refused before. */
    @Test
    void passesOverAnAddressThatCannotBeUsed() throws Exception {
      Open open = Open.newBuilder().setTtl(Durations.of(TimeUnit.SECONDS.toNanos(15))).build();
      long tenSeconds = TimeUnit.SECONDS.toNanos(10);
      for (List<String> addresses : List.of(
          List.of("http://127.0.0.1:7699", service.address()), List.of(service.address(), "http://127.0.0.1:7699")))
        for (int i = 0; i < 4; i++)
          try (HoldfastClient mixed = new HoldfastClient(
              new Settings(addresses, open, null, tenSeconds, tenSeconds, tenSeconds, null, null))) {
            BlockingQueue<LockChanges> seen = new LinkedBlockingQueue<>();
            LockWatch watch = mixed.watchLocks(WatchTarget.prefix("acquire/mixed"), seen::add);
            assertNotNull(seen.poll(PATIENCE_S, TimeUnit.SECONDS));
            watch.close();
            assertEquals("acquire/mixed", mixed.getLock("acquire/mixed").name());
            mixed.acquire("acquire/mixed").close();
          }
    }

    @Test
    void leavesOutATraceparentThatCannotBeOne() throws Exception {
      for (String bad : List.of("x".repeat(100_000), "\ud800", "a\nb"))
        try (HoldfastClient traced = HoldfastClient.builder(service.address()).traceparent(() -> bad).build();
            HeldLock held = soon(traced.acquireAsync("acquire/traced"))) {
          assertTrue(held.isHeld());
        }
    }

    @Test
    void releasesInsideWithLockOnTheOnlyThreadOfItsCallbacks() throws Exception {
      ExecutorService only = Executors.newSingleThreadExecutor();
      try (HoldfastClient busy =
          HoldfastClient.builder(service.address()).callbackExecutor(only).build()) {
        for (boolean reentrant : new boolean[] {true, false}) {
          AcquireOptions options = AcquireOptions.DEFAULTS.reentrant(reentrant);
          Future<Boolean> held = only.submit(
              () -> busy.withLock(exclusive("acquire/only"), options, lock -> lock.isHeld()));
          assertTrue(held.get(PATIENCE_S, TimeUnit.SECONDS));
        }
      } finally {
        only.shutdownNow();
      }
      assertEquals(LockView.State.FREE, stranger.getLock("acquire/only").state());
    }

    @Test
    void callsListenersOnAThreadOfTheirOwnWhenTheExecutorWasShutDown() throws Exception {
      ExecutorService ended = Executors.newSingleThreadExecutor();
      HoldfastClient other = HoldfastClient.builder(service.address()).callbackExecutor(ended).build();
      HeldLock held = other.acquire("acquire/ended");
      ended.shutdown();
      CompletableFuture<Thread> told = new CompletableFuture<>();
      held.onLost(loss -> {
        other.close();
        told.complete(Thread.currentThread());
      });
      CompletableFuture<Void> closed = other.closeAsync();
      Thread listener = soon(told);
      assertTrue(listener.isDaemon());
      assertNotEquals("holdfast-session", listener.getName());
      soon(closed);
    }

    @Test
    void refusesToRunNothing() throws Exception {
      assertThrows(NullPointerException.class, () -> client.withLock("acquire/null", null));
      assertThrows(
          NullPointerException.class,
          () -> client.withLock(exclusive("acquire/null"), AcquireOptions.DEFAULTS.reentrant(false), null));
      try (HeldLock held = client.acquire("acquire/null")) {
        assertEquals(Optional.empty(), held.previous());
        assertThrows(NullPointerException.class, () -> held.onLost(null));
      }
    }

    @Test
    void refusesMistakesBeforeTheyTravel() throws Exception {
      try (HeldLock held = client.acquire("acquire/mistakes")) {
        for (String name : new String[] {"", "a//b", "/a", "a/", "a\u0000", "\ud800", "x".repeat(513)})
          assertEquals(
              Reason.INVALID, assertThrows(HoldfastException.class, () -> client.acquire(name)).reason(), name);
        assertThrows(HoldfastException.class, () -> LockTarget.semaphore("a", 0, 1));
        assertThrows(HoldfastException.class, () -> LockTarget.semaphore("a", 2, 1));
        assertThrows(HoldfastException.class, () -> client.lockAll("a", "a"));
        assertThrows(HoldfastException.class, () -> client.lockAll(new String[0]));
        assertThrows(HoldfastException.class, () -> AcquireOptions.DEFAULTS.purpose("x".repeat(257)));
        assertThrows(HoldfastException.class, () -> AcquireOptions.DEFAULTS.value(new byte[4097]));
        assertThrows(HoldfastException.class, () -> AcquireOptions.DEFAULTS.waitUpTo(Duration.ofMillis(-1)));
        assertThrows(HoldfastException.class, () -> HoldfastClient.builder("a:1").ttl(Duration.ofSeconds(1)));
        assertThrows(HoldfastException.class, () -> HoldfastClient.builder());
        assertTrue(held.isHeld());
      }
    }

    @Test
    void takesPermitsOfASemaphoreWhichIsFair() throws Exception {
      HoldfastSemaphore gpu = client.semaphore("semaphore/gpu", 3);
      HeldLock two = gpu.acquire(2);
      assertEquals(Optional.empty(), stranger.semaphore("semaphore/gpu", 3).tryAcquire(2));
      CompletableFuture<HeldLock> large = gpu.acquireAsync(2);
      untilWaiting("semaphore/gpu", 1);
      assertEquals(Optional.empty(), gpu.tryAcquire(1, Duration.ofMillis(50)));
      two.close();
      try (HeldLock granted = soon(large);
          HeldLock one = gpu.acquire()) {
        assertTrue(granted.isHeld() && one.isHeld());
      }
      HeldLock first = gpu.acquire();
      assertEquals(
          Reason.CONFLICTING_MODE,
          assertThrows(LockDeniedException.class, () -> stranger.semaphore("semaphore/gpu", 4).tryAcquire(1)).reason());
      first.close();
    }

    @Test
    void isInterruptedWhileItWaitsAndLeavesNothingBehind() throws Exception {
      try (HeldLock held = stranger.acquire("acquire/interrupt")) {
        assertTrue(held.isHeld());
        Thread waiter = new Thread(() -> assertThrows(InterruptedException.class, () -> client.acquire("acquire/interrupt")));
        waiter.start();
        untilWaiting("acquire/interrupt", 1);
        waiter.interrupt();
        waiter.join();
        untilWaiting("acquire/interrupt", 0);
      }
    }
  }

  @Nested
  @DisplayName("that does not block")
  class Async {
    @Test
    void givesItsPlaceUpWhenTheFutureIsCancelledOrTimesOut() throws Exception {
      HeldLock held = stranger.acquire("async/cancel");
      CompletableFuture<HeldLock> cancelled = client.acquireAsync("async/cancel");
      CompletableFuture<HeldLock> late = client.lock("async/cancel").lockAsync().orTimeout(50, TimeUnit.MILLISECONDS);
      CompletableFuture<Leadership> withdrawn = client.election("async/cancel").campaignAsync(AcquireOptions.DEFAULTS);
      CompletableFuture<HeldLock> instead =
          client.acquireAsync("async/cancel").completeOnTimeout(null, 50, TimeUnit.MILLISECONDS);
      assertThrows(ExecutionException.class, () -> soon(late));
      assertEquals(null, soon(instead));
      untilWaiting("async/cancel", 2);
      cancelled.cancel(false);
      withdrawn.cancel(false);
      untilWaiting("async/cancel", 0);
      held.close();
      assertEquals(LockView.State.FREE, stranger.getLock("async/cancel").state());
    }

    @Test
    void givesBackWhatIsGrantedWhileItIsCancelled() throws Exception {
      for (int i = 0; i < 200; i++) {
        CompletableFuture<HeldLock> future = client.acquireAsync("async/race");
        if (i % 2 == 0) Thread.yield();
        // Not cancelled: it was granted before, and belongs to the one who asked.
        if (!future.cancel(false)) future.get().close();
      }
      stranger.acquire("async/race", waitMs(PATIENCE_S * 1000)).close();
    }

    @Test
    void failsWithTheExceptionItself() throws Exception {
      try (HeldLock held = stranger.acquire("async/fails")) {
        assertTrue(held.isHeld());
        CompletableFuture<HeldLock> busy = client.acquireAsync(exclusive("async/fails"), waitMs(0));
        Throwable[] seen = new Throwable[1];
        soon(busy.handle((lock, failure) -> seen[0] = failure));
        assertEquals(Reason.BUSY, assertInstanceOf(LockDeniedException.class, seen[0]).reason());
      }
    }

    @Test
    void goesOnWithItsHeartbeatsWhileContinuationsAndListenersBlock() throws Exception {
      try (HoldfastClient brief = HoldfastClient.builder(service.address()).ttl(Duration.ofSeconds(6)).build()) {
        List<CompletableFuture<Boolean>> blocking = new ArrayList<>();
        for (int i = 0; i < 4; i++)
          blocking.add(brief.acquireAsync("async/blocking/" + i).thenApply(lock -> {
            sleep(8000);
            return lock.isHeld();
          }));
        for (CompletableFuture<Boolean> isHeld : blocking) assertTrue(soon(isHeld));
      }
    }

    private void sleep(long timeMs) {
      try {
        Thread.sleep(timeMs);
      } catch (InterruptedException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  @Nested
  @DisplayName("in an election")
  class Elections {
    @Test
    void leadsProclaimsAndResigns() throws Exception {
      Election election = client.election("election/leads");
      assertEquals(Optional.empty(), election.leader());
      Leadership leadership = election.campaign("a:1");
      CompletableFuture<Leadership> next = stranger.election("election/leads").campaignAsync(AcquireOptions.DEFAULTS);
      assertTrue(leadership.leads());
      assertEquals("a:1", stranger.election("election/leads").leader().orElseThrow().text());
      leadership.proclaim("a:2");
      assertEquals("a:2", stranger.election("election/leads").leader().orElseThrow().text());
      assertEquals(ReleaseOutcome.RELEASED, soon(leadership.resign()));
      assertFalse(leadership.leads());
      assertTrue(soon(next).token() > leadership.token());
      soon(next).close();
    }

    @Test
    void isObservedByOthers() throws Exception {
      BlockingQueue<String> seen = new LinkedBlockingQueue<>();
      LockWatch watch = stranger.election("election/observed").observe(leader -> seen.add(leader.map(Leader::text).orElse("nobody")));
      assertEquals("nobody", seen.poll(PATIENCE_S, TimeUnit.SECONDS));
      Leadership leadership = client.election("election/observed").campaign("a");
      assertEquals("a", seen.poll(PATIENCE_S, TimeUnit.SECONDS));
      leadership.proclaim("b");
      assertEquals("b", seen.poll(PATIENCE_S, TimeUnit.SECONDS));
      leadership.close();
      assertEquals("nobody", seen.poll(PATIENCE_S, TimeUnit.SECONDS));
      watch.close();
      client.election("election/observed").campaign("c").close();
      assertEquals(null, seen.poll());
    }
  }

  @Nested
  @DisplayName("that looks")
  class Looking {
    @Test
    void seesHoldersAndWaitersOfALock() throws Exception {
      try (HeldLock held = client.acquire("look/one", AcquireOptions.DEFAULTS.value("here"))) {
        CompletableFuture<HeldLock> waiting = stranger.acquireAsync("look/one");
        untilWaiting("look/one", 1);
        LockView lock = client.getLock("look/one");
        assertEquals(LockView.State.CONTENDED, lock.state());
        assertEquals(Optional.of(LockMode.EXCLUSIVE), lock.mode());
        assertEquals(held.token(), lock.holders().get(0).token());
        assertEquals("here", lock.holders().get(0).value().toStringUtf8());
        assertEquals(client.sessionId().orElseThrow(), lock.holders().get(0).sessionId());
        assertTrue(lock.holders().get(0).grantedAt().isPresent());
        assertFalse(lock.waiters().get(0).isHeld());
        assertEquals(lock.name(), soon(client.getLockAsync("look/one", 1)).name());
        waiting.cancel(false);
      }
      assertEquals(LockView.State.FREE, client.getLock("look/nothing").state());
    }

    @Test
    void refusesToShowFewerClaimsThanNoneOrMoreThanAServerShows() throws Exception {
      for (int count : new int[] {-1, Integer.MIN_VALUE, 1001}) {
        HoldfastException refused = assertThrows(HoldfastException.class, () -> client.getLock("look/count", count));
        assertEquals(Reason.INVALID, refused.reason());
        assertTrue(refused.getMessage().contains("maxClaims is " + count), refused.getMessage());
        assertThrows(HoldfastException.class, () -> client.getLockAsync("look/count", count));
      }
      for (int count : new int[] {-1, 101})
        assertEquals(
            Reason.INVALID,
            assertThrows(HoldfastException.class, () -> WatchTarget.prefix("look/").withWaiters(count)).reason());
      for (int count : new int[] {0, 1, 1000}) assertEquals("look/count", client.getLock("look/count", count).name());
    }

    @Test
    void listsLocksPageByPage() throws Exception {
      List<HeldLock> held = new ArrayList<>();
      for (int i = 0; i < 230; i++) held.add(client.acquire("look/list/%03d".formatted(i)));
      List<String> names = stranger.listLocks("look/list/").map(LockView::name).toList();
      assertEquals(230, names.size());
      assertEquals(names.stream().sorted().toList(), names);
      assertEquals(0, stranger.listLocks("look/list/", LockView.State.CONTENDED).count());
      assertEquals(List.of("look/list/000"), stranger.listLocks("look/list/").limit(1).map(LockView::name).toList());
      for (HeldLock lock : held) lock.releaseAsync();
    }

    @Test
    void watchesWhatChanges() throws Exception {
      BlockingQueue<LockChanges> seen = new LinkedBlockingQueue<>();
      HeldLock before = client.acquire("look/watch/before");
      LockWatch watch = stranger.watchLocks(WatchTarget.prefix("look/watch/"), seen::add);
      List<String> known = new ArrayList<>();
      for (boolean isCaughtUp = false; !isCaughtUp; ) {
        LockChanges changes = seen.poll(PATIENCE_S, TimeUnit.SECONDS);
        changes.locks().forEach(lock -> known.add(lock.name()));
        isCaughtUp = changes.isCaughtUp();
      }
      assertEquals(List.of("look/watch/before"), known);
      before.close();
      for (LockView.State state = null; state != LockView.State.FREE; )
        state = seen.poll(PATIENCE_S, TimeUnit.SECONDS).locks().get(0).state();
      watch.close();
      client.acquire("look/watch/after").close();
      assertTrue(seen.stream().flatMap(changes -> changes.locks().stream()).noneMatch(lock -> lock.name().endsWith("after")));
    }

    @Test
    void readsTheErrorsOfStubs() {
      ManagedChannel channel =
          Grpc.newChannelBuilder(service.address(), InsecureChannelCredentials.create()).build();
      StatusRuntimeException error = assertThrows(
          StatusRuntimeException.class,
          () -> LockServiceGrpc.newBlockingStub(channel).checkToken(CheckTokenRequest.getDefaultInstance()));
      assertEquals(Reason.INVALID, HoldfastException.from(error).reason());
      assertEquals(error, HoldfastException.from(error).getCause());
      channel.shutdownNow();
    }
  }

  @Nested
  @DisplayName("without a server")
  class WithoutAServer {
    @Test
    void saysSoWithinTheConnectTimeoutAndHoldsNothing() throws Exception {
      try (HoldfastClient lonely = HoldfastClient.builder("127.0.0.1:1")
          .connectTimeout(Duration.ofMillis(300))
          .callTimeout(Duration.ofMillis(300))
          .build()) {
        HoldfastUnavailableException failure =
            assertThrows(HoldfastUnavailableException.class, lonely.lock("a")::lock);
        assertEquals(Reason.UNREACHABLE, failure.reason());
        assertTrue(failure.getMessage().contains("127.0.0.1:1"), failure.getMessage());
        assertThrows(HoldfastUnavailableException.class, lonely.lock("a")::tryLock);
        assertThrows(HoldfastUnavailableException.class, () -> lonely.getLock("a"));
        assertThrows(ExecutionException.class, () -> soon(lonely.ready()));
        assertEquals(0, lonely.threads().size());
      }
    }

    @Test
    void goesToAnotherAddress() throws Exception {
      try (HoldfastClient patient = HoldfastClient.connect("127.0.0.1:1", service.address())) {
        patient.acquire("unreachable/another").close();
        for (int i = 0; i < 4; i++) assertEquals("a", patient.getLock("a").name());
      }
    }
  }

  @Nested
  @DisplayName("that is closed")
  class Closed {
    @Test
    void losesItsLocksAtOnceFreesThemAtTheServerAndRefusesWhatComes() throws Exception {
      HoldfastClient other = HoldfastClient.connect(service.address());
      HeldLock held = other.acquire("closed/held");
      BlockingQueue<LockLostException> lost = new LinkedBlockingQueue<>();
      held.onLost(lost::add);
      stranger.acquire("closed/waited").releaseAsync();
      CompletableFuture<HeldLock> next = stranger.acquireAsync("closed/held");
      untilWaiting("closed/held", 1);
      other.close();
      other.close();
      assertEquals(Reason.CLOSED_BY_CLIENT, lost.poll(PATIENCE_S, TimeUnit.SECONDS).reason());
      assertEquals(Reason.CLOSED_BY_CLIENT, assertThrows(LockLostException.class, held::close).reason());
      held.close();
      assertEquals(ReleaseOutcome.LOST, soon(held.releaseAsync()));
      soon(next).close();
      assertEquals(
          Reason.CLOSED_BY_CLIENT, assertThrows(HoldfastException.class, other.lock("closed/held")::lock).reason());
      assertEquals(
          Reason.CLOSED_BY_CLIENT, assertThrows(HoldfastException.class, () -> other.getLock("closed/held")).reason());
      held.onLost(lost::add);
      assertEquals(Reason.CLOSED_BY_CLIENT, lost.poll(PATIENCE_S, TimeUnit.SECONDS).reason());
    }

    @Test
    void makesAThreadThatLostItsLockSayUnlockAsOftenAsItLocked() {
      HoldfastClient other = HoldfastClient.connect(service.address());
      HoldfastLock lock = other.lock("closed/unlock");
      lock.lock();
      lock.lock();
      other.close();
      assertFalse(lock.isHeldByCurrentThread());
      assertThrows(LockLostException.class, lock::lock);
      assertThrows(LockLostException.class, lock::token);
      assertThrows(LockLostException.class, lock::unlock);
      assertThrows(LockLostException.class, lock::unlock);
      assertThrows(IllegalMonitorStateException.class, lock::unlock);
    }

    @Test
    void endsAScopeWithTheLossWhateverItsActionDid() {
      HoldfastClient other = HoldfastClient.connect(service.address());
      LockLostException lost = assertThrows(LockLostException.class, () -> other.withLock("closed/scope", lock -> {
        other.close();
        throw new IllegalStateException("because of it");
      }));
      assertEquals("because of it", lost.getCause().getMessage());
    }

    @Test
    void endsTheWaitingOfItsThreads() throws Exception {
      HoldfastClient other = HoldfastClient.connect(service.address());
      try (HeldLock held = stranger.acquire("closed/waiting")) {
        assertTrue(held.isHeld());
        CompletableFuture<Throwable> ended = new CompletableFuture<>();
        Thread waiter = new Thread(
            () -> ended.complete(assertThrows(HoldfastException.class, other.lock("closed/waiting")::lock)));
        waiter.start();
        untilWaiting("closed/waiting", 1);
        other.close();
        assertEquals(Reason.CLOSED_BY_CLIENT, ((HoldfastException) soon(ended)).reason());
        waiter.join();
        untilWaiting("closed/waiting", 0);
      }
    }

    @Test
    void leavesNoThreadBehind() throws Exception {
      HoldfastClient other = HoldfastClient.connect(service.address());
      other.acquireAsync("closed/threads").thenCompose(HeldLock::releaseAsync).get(PATIENCE_S, TimeUnit.SECONDS);
      Thread session = Thread.getAllStackTraces().keySet().stream()
          .filter(thread -> thread.getName().equals("holdfast-session") && thread.isAlive())
          .max((a, b) -> Long.compare(a.getId(), b.getId()))
          .orElseThrow();
      other.close();
      session.join(PATIENCE_S * 1000L);
      assertFalse(session.isAlive());
    }

    @Test
    void isClosedAlsoIfItWasNeverUsed() {
      HoldfastClient.connect("127.0.0.1:1").close();
    }
  }
}
