// Holds a lock with generated code alone, by Session and then by Hold. Arguments: server, lock. Enter ends the work.
import io.grpc.*;
import io.holdfast.v1.*;
import java.util.Scanner;
import java.util.concurrent.TimeUnit;

class HoldByStubs {
  static final Scanner input = new Scanner(System.in);
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
        if (event.hasGranted()) work("Session", event.getGranted(), session::halfClose);
      }

    var hold = stub.hold(HoldRequest.newBuilder().addLocks(lock).build());
    for (HoldResponse response; (response = hold.read()) != null; ) // as well
      if (response.hasGranted()) work("Hold", response.getGranted(), () -> System.exit(0)); // ends the call
  }

  static void work(String by, Granted granted, Runnable end) {
    System.out.printf("%s holds with token %d%n", by, granted.getLocks(0).getFencingToken());
    var worker = new Thread(() -> {
      input.nextLine(); // what it writes carries the token, for what the lock protects to refuse who came too late
      end.run();
    });
    worker.setDaemon(true); // a loss ends main, and with it the work
    worker.start();
  }
}
