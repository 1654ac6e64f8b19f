package io.holdfast.client;

import com.google.protobuf.ByteString;
import io.holdfast.v1.Acquire;
import io.holdfast.v1.GrantedLock;
import io.holdfast.v1.Liveness;
import io.holdfast.v1.LockSpec;
import io.holdfast.v1.OnDisconnect;
import io.holdfast.v1.Open;
import io.holdfast.v1.SessionClaim;
import io.holdfast.v1.SessionCommand;
import io.holdfast.v1.SessionEvent;
import io.holdfast.v1.Waiting;
import java.util.ArrayList;
import java.util.List;
import java.util.function.DoubleSupplier;
import java.util.stream.Stream;

/** A session machine whose time is turned by hand, and what it wanted so far. Times are milliseconds. */
final class MachineRun implements SessionEffects {
  static final Failure LOST_CONNECTION = new Failure(Reason.CONNECTION_LOST, "reset");
  static final Failure REFUSED = new Failure(Reason.UNREACHABLE, "refused");

  /** What a run begins with. */
  static final class Setup {
    List<String> addresses = List.of("a:1");
    Open.Builder open = Open.newBuilder()
        .setTtl(Durations.of(ms(15_000)))
        .setOnDisconnect(OnDisconnect.ON_DISCONNECT_KEEP)
        .setLiveness(Liveness.LIVENESS_HEARTBEAT);
    double connectTimeoutMs = 10_000;
    /** No pauses, unless a test wants them. */
    DoubleSupplier random = () -> 0;

    Setup addresses(String... list) {
      addresses = List.of(list);
      return this;
    }

    Setup random(DoubleSupplier supplier) {
      random = supplier;
      return this;
    }

    Setup connectTimeoutMs(double timeMs) {
      connectTimeoutMs = timeMs;
      return this;
    }

    Setup ttlMs(double timeMs) {
      open.setTtl(Durations.of(ms(timeMs)));
      return this;
    }

    Setup releasing() {
      open.setOnDisconnect(OnDisconnect.ON_DISCONNECT_RELEASE);
      return this;
    }

    Setup byTransport() {
      open.setLiveness(Liveness.LIVENESS_TRANSPORT);
      return this;
    }

    MachineRun run() {
      return new MachineRun(this);
    }

    /** How long the first attempt to connect may take. */
    double firstAttemptMs() {
      MachineRun run = run();
      run.acquire("a");
      run.dialed();
      double timeMs = 0;
      for (; run.abandoned().isEmpty(); timeMs += 100) run.pass(100);
      return timeMs;
    }

    /** A machine with a session on stream 1, and the claims 1, 2 and so on held. */
    MachineRun holding(String... names) {
      MachineRun run = run();
      for (String name : names) run.acquire(name);
      int streamNo = run.session();
      for (int i = 0; i < names.length; i++) run.receive(streamNo, Says.granted(i + 1, names[i]));
      run.flush();
      run.forget();
      return run;
    }
  }

  private record Frame(int streamNo, List<SessionCommand> commands) {}

  /** What a machine wanted, as {@link SessionWalkTest} and others see it. */
  SessionEffects also;

  final SessionMachine machine;
  long nowNanos = ms(100_000);
  long wallNanos = ms(1_800_000_000_000.0);
  private List<Frame> sent = new ArrayList<>();
  private List<String> told = new ArrayList<>();
  private List<String> dials = new ArrayList<>();
  private List<Integer> dialed = new ArrayList<>();
  private List<Integer> abandoned = new ArrayList<>();

  private MachineRun(Setup setup) {
    machine = new SessionMachine(
        new MachineSettings(
            setup.addresses, setup.open.build(), ms(setup.connectTimeoutMs), ms(2000), setup.random),
        this);
  }

  static Setup setup() {
    return new Setup();
  }

  static MachineRun holding(String... names) {
    return setup().holding(names);
  }

  static long ms(double milliseconds) {
    return Math.round(milliseconds * 1e6);
  }

  Moment at() {
    return new Moment(nowNanos, wallNanos);
  }

  // -- What the program does -------------------------------------------------------------------------

  /** Waits for ever. */
  long acquire(String name) {
    return acquire(name, Moment.NEVER);
  }

  long acquireFor(String name, double waitMs) {
    return acquire(name, ms(waitMs));
  }

  private long acquire(String name, long waitNanos) {
    Acquire acquire = Acquire.newBuilder().addLocks(LockSpec.newBuilder().setName(name)).build();
    long claimId = machine.add(new ClaimRequest(acquire, waitNanos), at());
    if (also instanceof SessionWalkTest.Walk walk) walk.wants(claimId);
    machine.acquire(claimId, at());
    return claimId;
  }

  void release(long claimId) {
    machine.release(claimId, at());
  }

  void update(long claimId, String value) {
    machine.update(claimId, ByteString.copyFromUtf8(value), at());
  }

  void open() {
    machine.open(at());
  }

  void close() {
    machine.close(at());
  }

  // -- What happens ----------------------------------------------------------------------------------

  void connected(int streamNo) {
    machine.connected(streamNo, at());
  }

  void receive(int streamNo, SessionEvent... events) {
    machine.received(streamNo, List.of(events), at());
  }

  void breaks(int streamNo) {
    breaks(streamNo, LOST_CONNECTION);
  }

  void breaks(int streamNo, Failure why) {
    machine.broken(streamNo, why, at());
  }

  void tick() {
    machine.tick(at());
  }

  /** There is no more input at hand. */
  void flush() {
    if (machine.hasCommands()) machine.flush(at());
  }

  /** Time passes, and the machine is called whenever it wants to be. */
  void pass(double timeMs) {
    long end = nowNanos + ms(timeMs);
    for (int calls = 0; machine.wakeNanos() <= end; calls++) {
      if (calls > 10_000) throw new AssertionError("the machine keeps waking for nothing");
      moveTo(Math.max(nowNanos, machine.wakeNanos()));
      tick();
      flush();
    }
    moveTo(end);
  }

  /** Time passes, and the program stands still. */
  void block(double timeMs) {
    moveTo(nowNanos + ms(timeMs));
  }

  private void moveTo(long nanos) {
    wallNanos += nanos - nowNanos;
    nowNanos = nanos;
  }

  /** How long until the machine wants to be called, in milliseconds; infinite: not before another input. */
  double wakesInMs() {
    return machine.wakeNanos() == Moment.NEVER ? Double.POSITIVE_INFINITY : (machine.wakeNanos() - nowNanos) / 1e6;
  }

  // -- What it wanted: each call forgets what it returned --------------------------------------------

  void forget() {
    sent.clear();
    told.clear();
    dials.clear();
    dialed.clear();
    abandoned.clear();
  }

  /** The frames sent, with those of this turn; each command as "kind" or "kind number". */
  List<List<String>> sent() {
    flush();
    List<List<String>> frames =
        sent.stream().map(frame -> frame.commands.stream().map(MachineRun::sketch).toList()).toList();
    sent = new ArrayList<>();
    return frames;
  }

  /** What the program was told, as "kind id reason". */
  List<String> told() {
    List<String> all = told;
    told = new ArrayList<>();
    return all;
  }

  /** The addresses dialed. */
  List<String> dials() {
    List<String> all = dials;
    dials = new ArrayList<>();
    dialed = new ArrayList<>();
    return all;
  }

  /** The streams abandoned. */
  List<Integer> abandoned() {
    List<Integer> all = abandoned;
    abandoned = new ArrayList<>();
    return all;
  }

  /** The number of the stream that was dialed last, or is dialed when a pause of no length ends. */
  int dialed() {
    if (dialed.isEmpty()) pass(0);
    if (dialed.isEmpty()) throw new AssertionError("nothing is dialed");
    int last = dialed.get(dialed.size() - 1);
    dialed.clear();
    dials.clear();
    return last;
  }

  /** Connects the stream that is dialed, and answers what is sent on it; returns its number. */
  int session(SessionClaim... claims) {
    int streamNo = dialed();
    connected(streamNo);
    receive(streamNo, Says.opened(claims));
    return streamNo;
  }

  private static String sketch(SessionCommand command) {
    return switch (command.getCommandCase()) {
      case OPEN -> command.getOpen().hasResume() ? "resume " + command.getOpen().getResume().getAttempt() : "open";
      case HEARTBEAT -> "heartbeat " + command.getHeartbeat().getSeq();
      case ACQUIRE -> {
        Acquire acquire = command.getAcquire();
        String wait = acquire.hasWait() ? " " + Durations.nanos(acquire.getWait()) / 1_000_000 : "";
        yield "acquire " + acquire.getClaimId() + wait;
      }
      case RELEASE -> "release " + command.getRelease().getClaimId();
      case UPDATE -> "update " + command.getUpdate().getClaimId() + " " + command.getUpdate().getValue().toStringUtf8();
      case CLOSE -> "close";
      case COMMAND_NOT_SET -> throw new AssertionError("an empty command");
    };
  }

  // -- What the machine wants ------------------------------------------------------------------------

  @Override
  public void dial(int streamNo, String address) {
    dials.add(address);
    dialed.add(streamNo);
    if (also != null) also.dial(streamNo, address);
  }

  @Override
  public void send(int streamNo, List<SessionCommand> commands) {
    sent.add(new Frame(streamNo, commands));
    if (also != null) also.send(streamNo, commands);
  }

  @Override
  public void abandon(int streamNo) {
    abandoned.add(streamNo);
    if (also != null) also.abandon(streamNo);
  }

  @Override
  public void opened() {
    told.add("opened");
    if (also != null) also.opened();
  }

  @Override
  public void notOpened(Failure why) {
    told.add("not-opened " + why.reason());
    if (also != null) also.notOpened(why);
  }

  @Override
  public void waiting(long claimId, Waiting place) {
    told.add("waiting " + claimId);
    if (also != null) also.waiting(claimId, place);
  }

  @Override
  public void granted(long claimId, List<GrantedLock> locks) {
    told.add("granted " + claimId);
    if (also != null) also.granted(claimId, locks);
  }

  @Override
  public void denied(long claimId, Denial denial) {
    told.add("denied " + claimId + " " + denial.why().reason());
    if (also != null) also.denied(claimId, denial);
  }

  @Override
  public void lost(long claimId, Failure why) {
    told.add("lost " + claimId + " " + why.reason());
    if (also != null) also.lost(claimId, why);
  }

  @Override
  public void released(long claimId) {
    told.add("released " + claimId);
    if (also != null) also.released(claimId);
  }

  @Override
  public void updated(long claimId, int count, Failure why) {
    told.add("updated " + claimId + " x" + count + (why == null ? "" : " " + why.reason()));
    if (also != null) also.updated(claimId, count, why);
  }

  @Override
  public void closed() {
    told.add("closed");
    if (also != null) also.closed();
  }

  static List<List<String>> frames(String... frames) {
    return Stream.of(frames).map(frame -> List.of(frame.split(", "))).toList();
  }
}
