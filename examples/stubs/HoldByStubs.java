// Holds a lock with generated code alone, by Session and then by Hold. Arguments: server, lock. Enter ends the work.
import io.grpc.*;
import io.holdfast.v1.*;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

class HoldByStubs {
  public static void main(String[] args) throws Exception {
    // Pings notice a silent connection before the TTL of 15 s is over and somebody else is granted the lock.
    var channel = Grpc.newChannelBuilder(args[0], InsecureChannelCredentials.create())
        .keepAliveTime(10, TimeUnit.SECONDS).keepAliveTimeout(3, TimeUnit.SECONDS).build();
    var stub = LockServiceGrpc.newBlockingV2Stub(channel);
    var lock = LockSpec.newBuilder().setName(args[1]);

    var open = SessionCommand.newBuilder().setOpen(Open.newBuilder().setLiveness(Liveness.LIVENESS_TRANSPORT));
    var acquire = SessionCommand.newBuilder().setAcquire(Acquire.newBuilder().setClaimId(1).addLocks(lock));
    var session = stub.session();
    session.write(SessionRequest.newBuilder().addCommands(open).addCommands(acquire).build());
    for (SessionResponse response; (response = session.read()) != null; ) // reads on while it works
      for (var event : response.getEventsList()) {
        if (event.hasDenied() || event.hasLost()) throw new IllegalStateException(event.toString());
        if (event.hasGranted()) work("Session", event.getGranted()).thenRun(session::halfClose);
      }

    var hold = stub.hold(HoldRequest.newBuilder().addLocks(lock).build());
    try {
      for (HoldResponse response; (response = hold.read()) != null; )
        if (response.hasGranted()) work("Hold", response.getGranted()).thenRun(() -> hold.cancel("done", null));
    } catch (StatusException end) {
      if (end.getStatus().getCode() != Status.Code.CANCELLED) throw end;
    }
  }

  static CompletableFuture<Void> work(String by, Granted granted) {
    System.out.printf("%s holds with token %d%n", by, granted.getLocks(0).getFencingToken());
    // What it writes carries the token, so that what the lock protects can refuse who came too late.
    return CompletableFuture.runAsync(() -> new java.util.Scanner(System.in).nextLine());
  }
}
