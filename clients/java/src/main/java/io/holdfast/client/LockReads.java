package io.holdfast.client;

import io.grpc.ManagedChannel;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.StreamObserver;
import io.holdfast.v1.CheckTokenRequest;
import io.holdfast.v1.CheckTokenResponse;
import io.holdfast.v1.GetLockRequest;
import io.holdfast.v1.GetLockResponse;
import io.holdfast.v1.ListLocksRequest;
import io.holdfast.v1.ListLocksResponse;
import io.holdfast.v1.LockServiceGrpc;
import io.holdfast.v1.LockServiceGrpc.LockServiceStub;
import io.holdfast.v1.LockState;
import io.holdfast.v1.WatchLocksRequest;
import io.holdfast.v1.WatchLocksResponse;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** The calls that only look. Each asks one address after the other until one answers, and needs no session. */
final class LockReads {
  /** What a server answers when another may do better. */
  private static final Set<Reason> ASK_ELSEWHERE =
      EnumSet.of(Reason.UNREACHABLE, Reason.DRAINING, Reason.STORE_UNAVAILABLE);

  /** One address may stand for several servers, of which the next may answer. */
  private static final int LEAST_ATTEMPTS = 3;

  /** The most holders that a server shows of one lock, and the most waiters. */
  private static final int MAX_CLAIMS = 1000;

  private final Settings settings;
  /** Where the service can be reached now: changes as servers tell of others. */
  private final Supplier<List<String>> addresses;
  private final Callbacks callbacks;
  /** Made when they are needed: most programs never look. By address. */
  private final Map<String, ManagedChannel> channels = new ConcurrentHashMap<>();
  /** The address that answered last, or is to be asked next. */
  private final AtomicReference<String> current;
  private volatile boolean isClosed;

  LockReads(Settings settings, Supplier<List<String>> addresses, Callbacks callbacks) {
    this.settings = settings;
    this.addresses = addresses;
    this.callbacks = callbacks;
    this.current = new AtomicReference<>(addresses.get().get(0));
  }

  static void checkCount(String what, int count, int most) {
    if (count < 0 || count > most) throw HoldfastException.invalid(what + " is " + count + ", and not from 0 to " + most);
  }

  CompletableFuture<LockView> getLock(String name, int maxClaims) {
    checkCount("maxClaims", maxClaims, MAX_CLAIMS);
    GetLockRequest request = GetLockRequest.newBuilder().setName(name).setMaxClaims(maxClaims).build();
    return this.<GetLockResponse>call((stub, answer) -> stub.getLock(request, answer))
        .thenApply(response -> LockView.fromWire(response.getLock()));
  }

  CompletableFuture<TokenView> checkToken(String name, long token) {
    CheckTokenRequest request =
        CheckTokenRequest.newBuilder().setName(name).setFencingToken(token).build();
    return this.<CheckTokenResponse>call((stub, answer) -> stub.checkToken(request, answer))
        .thenApply(TokenView::fromWire);
  }

  /** Asks for the next page when it is reached. */
  Stream<LockView> listLocks(String prefix, Optional<LockView.State> state) {
    ListLocksRequest first = ListLocksRequest.newBuilder()
        .setPrefix(prefix)
        .setState(state.map(LockReads::stateToWire).orElse(LockState.LOCK_STATE_UNSPECIFIED))
        .build();
    return Stream.iterate(
            page(first),
            page -> page != null,
            page -> page.getNextPageToken().isEmpty()
                ? null
                : page(first.toBuilder().setPageToken(page.getNextPageToken()).build()))
        .flatMap(page -> page.getLocksList().stream())
        .map(LockView::fromWire);
  }

  private ListLocksResponse page(ListLocksRequest request) {
    return Futures.join(this.<ListLocksResponse>call((stub, answer) -> stub.listLocks(request, answer)));
  }

  private static LockState stateToWire(LockView.State state) {
    return switch (state) {
      case HELD -> LockState.LOCK_STATE_HELD;
      case CONTENDED -> LockState.LOCK_STATE_CONTENDED;
      case FREE -> throw HoldfastException.invalid("a lock that is free is not listed: ask for held or contended");
    };
  }

  LockWatch watchLocks(WatchTarget target, LockWatcher watcher) {
    if (isClosed) throw closed();
    Watching watching = new Watching(target.toWire(), watcher);
    watching.start();
    return watching;
  }

  void close() {
    isClosed = true;
    for (String address : channels.keySet()) drop(address);
  }

  private void drop(String address) {
    ManagedChannel channel = channels.remove(address);
    // What is being answered on it still is, unless all is over.
    if (channel != null && isClosed) channel.shutdownNow();
    else if (channel != null) channel.shutdown();
  }

  private LockServiceStub stub(String address) {
    ManagedChannel channel = channels.computeIfAbsent(address, made -> connect(made));
    // Whoever closes drops what it sees; what was put there meanwhile is dropped here.
    if (isClosed) drop(address);
    if (isClosed) throw closed();
    return LockServiceGrpc.newStub(channel);
  }

  private static HoldfastException closed() {
    return new HoldfastException(Reason.CLOSED_BY_CLIENT, "the client was closed", null, null);
  }

  private ManagedChannel connect(String address) {
    try {
      return Channels.connect(address, settings);
    } catch (RuntimeException e) {
      throw new HoldfastException(Reason.UNREACHABLE, address + ": " + e.getMessage(), null, e);
    }
  }

  /** The addresses that one call asks, one after the other. */
  private final class Round {
    private final List<String> list;
    private int at;

    Round() {
      List<String> known = addresses.get();
      for (String address : channels.keySet()) if (!known.contains(address)) drop(address);
      int first = Math.max(0, known.indexOf(current.get()));
      list = new ArrayList<>(known.subList(first, known.size()));
      list.addAll(known.subList(0, first));
    }

    LockServiceStub stub() {
      return LockReads.this.stub(address());
    }

    private String address() {
      return list.get(at % list.size());
    }

    /** How many are left to ask for the first time, the one that is being asked included; at least 1. */
    int left() {
      return Math.max(1, list.size() - at);
    }

    /** Turns to the next address, unless enough were asked, another would answer the same, or it may not: then false. */
    boolean moveOn(HoldfastException failure, boolean may) {
      if (isClosed || !ASK_ELSEWHERE.contains(failure.reason())) return false;
      String failed = address();
      at++;
      // Of several calls that fail at one address the first moves on, and the others find the next one.
      current.compareAndSet(failed, address());
      return may && at < Math.max(LEAST_ATTEMPTS, list.size());
    }
  }

  // -- Calls with one answer -------------------------------------------------------------------------

  /** Asks each address once, and three in all if there are fewer, within the time that a call may take. */
  private <R> CompletableFuture<R> call(BiConsumer<LockServiceStub, StreamObserver<R>> start) {
    CompletableFuture<R> future = new CompletableFuture<>();
    ask(start, future, System.nanoTime() + settings.callTimeoutNanos(), new Round());
    return future;
  }

  private <R> void ask(
      BiConsumer<LockServiceStub, StreamObserver<R>> start, CompletableFuture<R> future, long endNanos, Round round) {
    long shareNanos = Math.max(1, (endNanos - System.nanoTime()) / round.left());
    StreamObserver<R> answer = new StreamObserver<>() {
      @Override
      public void onNext(R response) {
        future.complete(response);
      }

      @Override
      public void onError(Throwable error) {
        HoldfastException failure = Channels.failureOf(error, settings);
        if (round.moveOn(failure, true)) ask(start, future, endNanos, round);
        else future.completeExceptionally(failure);
      }

      @Override
      public void onCompleted() {}
    };
    try {
      start.accept(round.stub().withDeadlineAfter(shareNanos, TimeUnit.NANOSECONDS), answer);
    } catch (HoldfastException failure) {
      // Closed, or an address that gRPC cannot use.
      answer.onError(failure);
    }
  }

  // -- Watches ---------------------------------------------------------------------------------------

  /** One watch. Asks for the next response when the watcher has taken the one before, so nothing piles up here. */
  private final class Watching implements LockWatch, ClientResponseObserver<WatchLocksRequest, WatchLocksResponse> {
    private final WatchLocksRequest request;
    private final LockWatcher watcher;
    private volatile ClientCallStreamObserver<WatchLocksRequest> call;
    private volatile boolean isOver;
    private boolean hasBegun;
    private final Round round = new Round();

    Watching(WatchLocksRequest request, LockWatcher watcher) {
      this.request = request;
      this.watcher = watcher;
    }

    void start() {
      LockServiceStub stub;
      try {
        stub = round.stub();
      } catch (HoldfastException failure) {
        // Closed, or an address that gRPC cannot use.
        onError(failure);
        return;
      }
      stub.watchLocks(request, this);
      if (isOver) cancel();
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<WatchLocksRequest> started) {
      call = started;
      started.disableAutoRequestWithInitial(1);
    }

    @Override
    public void onNext(WatchLocksResponse response) {
      hasBegun = true;
      ClientCallStreamObserver<WatchLocksRequest> from = call;
      callbacks.execute(() -> {
        if (isOver) return;
        Callbacks.guarded(() -> watcher.changed(new LockChanges(
            response.getLocksList().stream().map(LockView::fromWire).toList(), response.getCaughtUp())));
        from.request(1);
      });
    }

    @Override
    public void onError(Throwable error) {
      HoldfastException failure = Channels.failureOf(error, settings);
      if (!isOver && round.moveOn(failure, !hasBegun)) start();
      else fail(failure);
    }

    @Override
    public void onCompleted() {
      fail(HoldfastException.of(
          Reason.CONNECTION_LOST, "the server ended the watch: begin again", null, null));
    }

    private void fail(HoldfastException failure) {
      callbacks.execute(() -> {
        if (isOver) return;
        isOver = true;
        Callbacks.guarded(() -> watcher.failed(failure));
      });
    }

    @Override
    public void close() {
      isOver = true;
      cancel();
    }

    private void cancel() {
      ClientCallStreamObserver<WatchLocksRequest> running = call;
      if (running != null) running.cancel("the watch was closed", null);
    }
  }
}
