package io.holdfast.client;

import io.grpc.ManagedChannel;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.holdfast.v1.LockServiceGrpc;
import io.holdfast.v1.SessionCommand;
import io.holdfast.v1.SessionEvent;
import io.holdfast.v1.SessionRequest;
import io.holdfast.v1.SessionResponse;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * One Session call over a connection of its own, which goes with it. It can end in four ways: it cannot be connected,
 * the server ends it, the connection breaks, or it is abandoned; the last reports nothing more.
 *
 * <p>Written to by one thread. What it reports comes on gRPC's own threads, one report at a time.
 */
final class SessionStream implements ClientResponseObserver<SessionRequest, SessionResponse> {
  /** A frame from the client is at most 64 KiB. */
  static final int MAX_FRAME_BYTES = 64 * 1024;

  /** More than the tag and the length of a command in its frame. */
  private static final int COMMAND_OVERHEAD_BYTES = 8;

  /** What a stream reports: {@code connected} at most once, then frames, {@code broken} at most once and last. */
  interface Listener {
    void connected();

    void received(List<SessionEvent> events);

    void broken(Failure why);
  }

  private final ManagedChannel channel;
  private final Listener listener;
  private ClientCallStreamObserver<SessionRequest> call;
  private volatile boolean wasConnected;

  SessionStream(ManagedChannel channel, Listener listener) {
    this.channel = channel;
    this.listener = listener;
    LockServiceGrpc.newStub(channel).session(this);
  }

  // -- What the session's thread does ----------------------------------------------------------------

  /** Sends commands in their order, in as few frames as they fit into. */
  void send(List<SessionCommand> commands) {
    SessionRequest.Builder frame = SessionRequest.newBuilder();
    int bytes = 0;
    for (SessionCommand command : commands) {
      int size = command.getSerializedSize() + COMMAND_OVERHEAD_BYTES;
      if (bytes + size > MAX_FRAME_BYTES) {
        call.onNext(frame.build());
        frame.clear();
        bytes = 0;
      }
      frame.addCommands(command);
      bytes += size;
    }
    call.onNext(frame.build());
  }

  /** What was sent still goes out; then the call is half-closed, and the connection goes with it. */
  void abandon() {
    // A call that has ended takes no more, and says so.
    if (wasConnected && !channel.isTerminated()) call.onCompleted();
    else call.cancel("abandoned before it was connected", null);
    channel.shutdown();
  }

  /** Cuts it off. */
  void cut() {
    channel.shutdownNow();
  }

  /** Returns when its connection and all that belongs to it is gone, or the time has passed. */
  boolean awaitEnd(long nanos) {
    try {
      return channel.awaitTermination(nanos, TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  // -- What gRPC tells -------------------------------------------------------------------------------

  @Override
  public void beforeStart(ClientCallStreamObserver<SessionRequest> requests) {
    call = requests;
    requests.setOnReadyHandler(() -> {
      // Ready for the first time: there is a connection, and this call has its stream in it.
      if (wasConnected || !requests.isReady()) return;
      wasConnected = true;
      listener.connected();
    });
  }

  @Override
  public void onNext(SessionResponse response) {
    listener.received(response.getEventsList());
  }

  @Override
  public void onError(Throwable error) {
    channel.shutdown();
    listener.broken(failureFrom(HoldfastException.from(error), wasConnected));
  }

  @Override
  public void onCompleted() {
    channel.shutdown();
    listener.broken(new Failure(Reason.CONNECTION_LOST, "the server ended the stream"));
  }

  private static Failure failureFrom(HoldfastException error, boolean wasConnected) {
    return switch (error.reason()) {
      case UNREACHABLE, ABORTED, UNKNOWN -> new Failure(
          wasConnected ? Reason.CONNECTION_LOST : Reason.UNREACHABLE, error.getMessage());
      default -> new Failure(error.reason(), error.getMessage());
    };
  }
}
