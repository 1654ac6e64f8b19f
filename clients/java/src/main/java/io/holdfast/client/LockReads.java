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
import java.util.EnumSet;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.BiConsumer;
import java.util.stream.Stream;

/** The calls that only look. Each asks one address after the other until one answers, and needs no session. */
final class LockReads {
  /** What a server answers when another may do better. */
  private static final Set<Reason> ASK_ELSEWHERE =
      EnumSet.of(Reason.UNREACHABLE, Reason.DRAINING, Reason.STORE_UNAVAILABLE);

  private final Settings settings;
  private final Callbacks callbacks;
  /** Made when they are needed: most programs never look. */
  private final AtomicReferenceArray<ManagedChannel> channels;
  /** The address that answered last, or is to be asked next. */
  private final AtomicInteger current = new AtomicInteger();
  private volatile boolean isClosed;

  LockReads(Settings settings, Callbacks callbacks) {
    this.settings = settings;
    this.callbacks = callbacks;
    this.channels = new AtomicReferenceArray<>(settings.addresses().size());
  }

  CompletableFuture<LockView> getLock(String name, int maxClaims) {
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
    Watching watching = new Watching(target.toWire(), watcher);
    watching.start();
    return watching;
  }

  void close() {
    isClosed = true;
    for (int i = 0; i < channels.length(); i++) {
      ManagedChannel channel = channels.getAndSet(i, null);
      if (channel != null) channel.shutdownNow();
    }
  }

  private LockServiceStub stub(int address) {
    for (; ; ) {
      ManagedChannel channel = channels.get(address);
      if (channel != null) return LockServiceGrpc.newStub(channel);
      if (isClosed) throw new HoldfastException(Reason.CLOSED_BY_CLIENT, "the client was closed", null, null);
      ManagedChannel made = Channels.connect(settings.addresses().get(address), settings);
      if (!channels.compareAndSet(address, null, made)) made.shutdownNow();
      // Whoever closes takes what it sees; what was put there meanwhile is taken here.
      if (isClosed) close();
    }
  }

  // -- Calls with one answer -------------------------------------------------------------------------

  /** Asks each address at most once, all within the time that a call may take. */
  private <R> CompletableFuture<R> call(BiConsumer<LockServiceStub, StreamObserver<R>> start) {
    CompletableFuture<R> future = new CompletableFuture<>();
    long endNanos = System.nanoTime() + settings.callTimeoutNanos();
    ask(start, future, endNanos, 1);
    return future;
  }

  private <R> void ask(
      BiConsumer<LockServiceStub, StreamObserver<R>> start, CompletableFuture<R> future, long endNanos, int attempt) {
    int address = current.get();
    int left = Math.max(1, channels.length() - attempt + 1);
    long shareNanos = Math.max(1, (endNanos - System.nanoTime()) / left);
    StreamObserver<R> answer = new StreamObserver<>() {
      @Override
      public void onNext(R response) {
        future.complete(response);
      }

      @Override
      public void onError(Throwable error) {
        HoldfastException failure = HoldfastException.from(error);
        if (moveOn(failure, address, attempt)) ask(start, future, endNanos, attempt + 1);
        else future.completeExceptionally(failure);
      }

      @Override
      public void onCompleted() {}
    };
    try {
      start.accept(stub(address).withDeadlineAfter(shareNanos, TimeUnit.NANOSECONDS), answer);
    } catch (HoldfastException closed) {
      future.completeExceptionally(closed);
    }
  }

  /** Turns to the next address, unless all were asked or another would answer the same: then false. */
  private boolean moveOn(HoldfastException failure, int address, int attempt) {
    if (isClosed || !ASK_ELSEWHERE.contains(failure.reason())) return false;
    current.compareAndSet(address, (address + 1) % channels.length());
    return attempt < channels.length();
  }

  // -- Watches ---------------------------------------------------------------------------------------

  /** One watch. Asks for the next response when the watcher has taken the one before, so nothing piles up here. */
  private final class Watching implements LockWatch, ClientResponseObserver<WatchLocksRequest, WatchLocksResponse> {
    private final WatchLocksRequest request;
    private final LockWatcher watcher;
    private volatile ClientCallStreamObserver<WatchLocksRequest> call;
    private volatile boolean isOver;
    private boolean hasBegun;
    private int attempt;
    private int address;

    Watching(WatchLocksRequest request, LockWatcher watcher) {
      this.request = request;
      this.watcher = watcher;
    }

    void start() {
      attempt++;
      address = current.get();
      stub(address).watchLocks(request, this);
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
      HoldfastException failure = HoldfastException.from(error);
      if (!isOver && moveOn(failure, address, hasBegun ? Integer.MAX_VALUE : attempt)) start();
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
