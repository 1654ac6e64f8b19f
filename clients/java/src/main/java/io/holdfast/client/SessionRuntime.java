package io.holdfast.client;

import com.google.protobuf.ByteString;
import io.grpc.ManagedChannel;
import io.holdfast.v1.GrantedLock;
import io.holdfast.v1.SessionCommand;
import io.holdfast.v1.SessionEvent;
import io.holdfast.v1.Waiting;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;

/**
 * Runs a session machine on one thread: gives it the time, its streams, and the end of each turn, and does what it
 * decides. Everything else only puts work into the thread's inbox, so that nothing here is locked while something
 * waits.
 *
 * <p>A turn is all that is in the inbox: what many threads want at the same time travels in one frame.
 */
final class SessionRuntime implements SessionEffects {
  /** Work of one turn. More waits for the next: heartbeats must not. */
  private static final int MAX_TURN = 1000;
  /** How long an abandoned stream may take to send what was written and be answered. */
  private static final long FAREWELL_NANOS = TimeUnit.SECONDS.toNanos(1);

  /** {@code refused}: what to do instead when the thread has ended. */
  private record Work(Runnable run, Consumer<Failure> refused) {}

  private record Farewell(long atNanos, SessionStream stream) {}

  private final Settings settings;
  private final MonotonicClock clock = new MonotonicClock();
  private final SessionMachine machine;
  private final Thread thread = new Thread(this::run, "holdfast-session");
  private final AtomicBoolean isStarted = new AtomicBoolean();
  private final BlockingQueue<Work> inbox = new LinkedBlockingQueue<>();
  private final CompletableFuture<Void> end = new CompletableFuture<>();
  /** Set when the thread takes no more work. */
  private volatile Failure over;
  private volatile String sessionId;
  private volatile List<String> addresses;

  // Of the session's thread alone:
  private final Map<Integer, SessionStream> streams = new HashMap<>();
  private final Map<Long, ClaimOwner> owners = new HashMap<>();
  private final Deque<Farewell> farewells = new ArrayDeque<>();
  private List<CompletableFuture<Void>> opening = new ArrayList<>();
  private boolean isClosed;

  SessionRuntime(Settings settings) {
    this.settings = settings;
    this.machine = new SessionMachine(settings.forMachine(() -> ThreadLocalRandom.current().nextDouble()), this);
    this.addresses = machine.addresses();
    // A program that forgets to close its client may end all the same; its session then ends with its TTL.
    thread.setDaemon(true);
  }

  /** The session there is; {@code null} if there is none. */
  String sessionId() {
    return sessionId;
  }

  /** Where the service can be reached, as far as is known now. At least one. */
  List<String> addresses() {
    return addresses;
  }

  Moment now() {
    return clock.now();
  }

  // -- What the program wants, from any thread -------------------------------------------------------

  /** Completes when there is a session, or fails as an acquire would. */
  CompletableFuture<Void> open() {
    CompletableFuture<Void> opened = new CompletableFuture<>();
    submit(
        () -> {
          opening.add(opened);
          machine.open(now());
        },
        why -> opened.completeExceptionally(HoldfastException.of(why.reason(), why.message(), null, null)));
    return opened;
  }

  /** Wants a claim for an owner, who is told what becomes of it. Its id is told first, on the session's thread. */
  void acquire(ClaimRequest request, Consumer<Long> hasId, ClaimOwner owner) {
    submit(
        () -> {
          Moment at = now();
          long claimId = machine.add(request, at);
          hasId.accept(claimId);
          owners.put(claimId, owner);
          machine.acquire(claimId, at);
        },
        why -> owner.denied(new Denial(why, request.acquire().getLocks(0).getName(), List.of(), 0)));
  }

  /** Runs on the session's thread, after all that was submitted before. */
  void onThread(Runnable task, Consumer<Failure> refused) {
    submit(task, refused);
  }

  /** For the session's thread. */
  void release(long claimId) {
    machine.release(claimId, now());
  }

  /** For the session's thread. */
  void update(long claimId, ByteString value) {
    machine.update(claimId, value, now());
  }

  /** Ends everything. Completes when the server said so, or the time to close has passed, and its thread is ending. */
  CompletableFuture<Void> close() {
    submit(() -> machine.close(now()), why -> {});
    return end;
  }

  private void submit(Runnable run, Consumer<Failure> refused) {
    if (isStarted.compareAndSet(false, true)) thread.start();
    Work work = new Work(run, refused);
    inbox.add(work);
    // The thread takes a last look after it has said that it is over: either it sees this, or it is taken back here.
    if (over != null && inbox.remove(work)) refused.accept(over);
  }

  // -- The session's thread --------------------------------------------------------------------------

  private void run() {
    Failure why = new Failure(Reason.CLOSED_BY_CLIENT, "the client was closed");
    try {
      while (!isClosed) turn();
    } catch (RuntimeException | Error fault) {
      why = new Failure(Reason.INTERNAL, "a fault of the client library: " + fault);
      Thread.currentThread().getUncaughtExceptionHandler().uncaughtException(thread, fault);
    }
    sessionId = null;
    over = why;
    for (Work work; (work = inbox.poll()) != null; ) work.refused.accept(why);
    for (ClaimOwner owner : owners.values()) endOf(owner, why);
    for (CompletableFuture<Void> waiting : opening)
      waiting.completeExceptionally(HoldfastException.of(why.reason(), why.message(), null, null));
    endStreams();
    end.complete(null);
  }

  /** Whatever the owner had, it has no more. */
  private static void endOf(ClaimOwner owner, Failure why) {
    owner.lost(why);
    owner.released();
    owner.denied(new Denial(why, null, List.of(), 0));
  }

  private void turn() {
    Work work = await(Math.min(machine.wakeNanos(), nextFarewellNanos()));
    for (int done = 0; work != null; work = ++done < MAX_TURN ? inbox.poll() : null) work.run.run();
    Moment at = now();
    if (at.nanos() >= machine.wakeNanos()) machine.tick(at);
    if (machine.hasCommands()) machine.flush(now());
    sessionId = machine.sessionId();
    addresses = machine.addresses();
    while (nextFarewellNanos() <= at.nanos()) farewells.remove().stream.cut();
  }

  private long nextFarewellNanos() {
    Farewell next = farewells.peek();
    return next == null ? Moment.NEVER : next.atNanos;
  }

  private Work await(long untilNanos) {
    try {
      if (untilNanos == Moment.NEVER) return inbox.take();
      return inbox.poll(Math.max(0, untilNanos - now().nanos()), TimeUnit.NANOSECONDS);
    } catch (InterruptedException nobodys) {
      return null;
    }
  }

  private void endStreams() {
    streams.values().forEach(SessionStream::abandon);
    List<SessionStream> left = new ArrayList<>(streams.values());
    farewells.forEach(farewell -> left.add(farewell.stream));
    long byNanos = now().nanos() + FAREWELL_NANOS;
    for (SessionStream stream : left) {
      if (stream.awaitEnd(byNanos - now().nanos())) continue;
      stream.cut();
      stream.awaitEnd(FAREWELL_NANOS);
    }
  }

  // -- Doing what the machine decided ----------------------------------------------------------------

  @Override
  public void dial(int streamNo, String address) {
    ManagedChannel channel;
    try {
      channel = Channels.connect(address, settings);
    } catch (RuntimeException e) {
      // An address that a server told of, which gRPC cannot use: the next one is tried.
      Failure why = new Failure(Reason.UNREACHABLE, address + ": " + e.getMessage());
      submit(() -> machine.broken(streamNo, why, now()), over -> {});
      return;
    }
    streams.put(streamNo, new SessionStream(channel, new SessionStream.Listener() {
      @Override
      public void connected() {
        submit(() -> machine.connected(streamNo, now()), why -> {});
      }

      @Override
      public void received(List<SessionEvent> events) {
        submit(() -> machine.received(streamNo, events, now()), why -> {});
      }

      @Override
      public void broken(Failure why) {
        String message = why.reason() == Reason.UNREACHABLE
            ? Channels.connectionProblem(why.message(), settings.tls() != null)
            : why.message();
        Failure where = new Failure(why.reason(), address + ": " + message);
        submit(() -> {
          SessionStream ended = streams.remove(streamNo);
          // Its connection goes by itself; at the end somebody has to wait for that.
          if (ended != null) sayFarewell(ended);
          machine.broken(streamNo, where, now());
        }, over -> {});
      }
    }));
  }

  private void sayFarewell(SessionStream stream) {
    farewells.add(new Farewell(now().nanos() + FAREWELL_NANOS, stream));
  }

  @Override
  public void send(int streamNo, List<SessionCommand> commands) {
    SessionStream stream = streams.get(streamNo);
    if (stream != null) stream.send(commands);
  }

  @Override
  public void abandon(int streamNo) {
    SessionStream stream = streams.remove(streamNo);
    if (stream == null) return;
    stream.abandon();
    sayFarewell(stream);
  }

  @Override
  public void opened() {
    List<CompletableFuture<Void>> waiting = opening;
    opening = new ArrayList<>();
    sessionId = machine.sessionId();
    waiting.forEach(each -> each.complete(null));
  }

  @Override
  public void notOpened(Failure why) {
    List<CompletableFuture<Void>> waiting = opening;
    opening = new ArrayList<>();
    for (CompletableFuture<Void> each : waiting)
      each.completeExceptionally(HoldfastException.of(why.reason(), "no session: " + why.message(), null, null));
  }

  @Override
  public void waiting(long claimId, Waiting place) {
    ClaimOwner owner = owners.get(claimId);
    if (owner != null) owner.waiting(place);
  }

  @Override
  public void granted(long claimId, List<GrantedLock> locks) {
    ClaimOwner owner = owners.get(claimId);
    if (owner != null) owner.granted(locks, machine.validity());
  }

  @Override
  public void denied(long claimId, Denial denial) {
    ClaimOwner owner = owners.remove(claimId);
    if (owner != null) owner.denied(denial);
  }

  @Override
  public void lost(long claimId, Failure why) {
    ClaimOwner owner = owners.remove(claimId);
    if (owner != null) owner.lost(why);
  }

  @Override
  public void released(long claimId) {
    ClaimOwner owner = owners.remove(claimId);
    if (owner != null) owner.released();
  }

  @Override
  public void updated(long claimId, int count, Failure why) {
    ClaimOwner owner = owners.get(claimId);
    if (owner != null) owner.updated(count, why);
  }

  @Override
  public void closed() {
    isClosed = true;
  }
}
