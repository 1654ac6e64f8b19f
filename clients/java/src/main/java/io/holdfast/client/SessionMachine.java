package io.holdfast.client;

import com.google.protobuf.ByteString;
import io.holdfast.v1.Close;
import io.holdfast.v1.Closed;
import io.holdfast.v1.Draining;
import io.holdfast.v1.Heartbeat;
import io.holdfast.v1.HeartbeatAck;
import io.holdfast.v1.Liveness;
import io.holdfast.v1.OnDisconnect;
import io.holdfast.v1.Open;
import io.holdfast.v1.Opened;
import io.holdfast.v1.Resume;
import io.holdfast.v1.SessionCommand;
import io.holdfast.v1.SessionEvent;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/**
 * A client's whole conversation with the service: one session at a time, a fresh one when that is lost, and all its
 * claims. It decides and does nothing: each input takes the time and says what to do, in order, through {@link
 * SessionEffects}. It has no clock, timer, lock or stream of its own, and knows nothing of gRPC and threads: one thread
 * runs it.
 *
 * <p>Inputs may come at any time and late. Each first looks whether the session may still be believed, so that nothing
 * that arrives past the validity deadline is believed either (DESIGN 4.7). Whoever runs it
 *
 * <ul>
 *   <li>calls {@code tick} at {@code wakeNanos}, which may change with every input;
 *   <li>calls {@code flush} when there is no more input at hand while {@code hasCommands}, so that all commands of the
 *       turn travel together;
 *   <li>reports on the streams that {@code dial} started: {@code connected} at most once, {@code received}, {@code
 *       broken} at most once and last. Reports on streams that are not current are ignored.
 * </ul>
 */
final class SessionMachine {
  /** A stream that was up for so long did not fail for what the failures before it did. */
  private static final long STEADY_NANOS = TimeUnit.SECONDS.toNanos(1);
  /** While something is held the clocks are compared at least this often: a suspended machine fires no timer. */
  private static final long LOOK_EVERY_NANOS = TimeUnit.SECONDS.toNanos(1);

  private static final SessionCommand CLOSE = SessionCommand.newBuilder().setClose(Close.getDefaultInstance()).build();
  private static final Failure CLOSED_BY_CLIENT = new Failure(Reason.CLOSED_BY_CLIENT, "the client was closed");
  private static final Failure NO_SERVER = new Failure(Reason.UNREACHABLE, "no server answered in time");

  private static final Set<Reason> SESSION_MAY_LIVE = EnumSet.of(
      Reason.SUPERSEDED,
      Reason.CLIENT_TOO_SLOW,
      Reason.DRAINING,
      Reason.STORE_UNAVAILABLE,
      Reason.UNREACHABLE,
      Reason.CONNECTION_LOST);

  private static final class Session {
    final String id;
    final String secret;
    final long ttlNanos;
    /** {@code null}: the transport proves that this client lives. */
    final Heartbeats heartbeats;
    final Validity validity = new Validity();
    /** The number of the last resume. */
    long attempt;

    Session(Opened opened, boolean isHeartbeating) {
      id = opened.getSessionId();
      secret = opened.getResumeSecret();
      ttlNanos = Durations.nanos(opened.getTtl());
      long interval =
          opened.hasHeartbeatInterval() ? Durations.nanos(opened.getHeartbeatInterval()) : ttlNanos / 3;
      heartbeats = isHeartbeating ? new Heartbeats(interval) : null;
    }
  }

  /** The stream that carries the session. */
  private sealed interface Link {
    int streamNo();

    record None() implements Link {
      @Override
      public int streamNo() {
        return 0;
      }
    }

    /** The first frame has been sent, and not answered. */
    record Opening(int streamNo, Moment sentAt, long giveUpNanos) implements Link {}

    record Up(int streamNo, long sinceNanos, boolean isDraining) implements Link {}
  }

  private enum Phase {
    RUNNING,
    CLOSING,
    CLOSED
  }

  private static final Link NO_LINK = new Link.None();

  private final MachineSettings settings;
  private final boolean keeps;
  private final SessionEffects effects;
  private final ClaimBook claims;
  /** Goes on beside a link that is up but will not be for long. */
  private final Dialer dialer;
  private Phase phase = Phase.RUNNING;
  /** When closing has taken long enough. */
  private long closeByNanos = Moment.NEVER;
  private Session session;
  private Link link = NO_LINK;
  /** Until when somebody waits for a session without wanting a claim; {@code NEVER}: nobody does. */
  private long openLimitNanos = Moment.NEVER;
  private List<SessionCommand> commands = new ArrayList<>();
  private Failure lastFailure = NO_SERVER;
  private long lookedAtNanos;

  SessionMachine(MachineSettings settings, SessionEffects effects) {
    this.settings = settings;
    this.keeps = settings.open().getOnDisconnect() == OnDisconnect.ON_DISCONNECT_KEEP;
    this.effects = effects;
    this.dialer = new Dialer(settings.addresses(), settings.random());
    this.claims = new ClaimBook(effects, this::say, settings.connectTimeoutNanos());
  }

  private void say(SessionCommand command) {
    if (link instanceof Link.Up) commands.add(command);
  }

  /** The session there is; {@code null} if there is none. */
  String sessionId() {
    return session == null ? null : session.id;
  }

  /** For how long the present session may be believed; {@code null} if there is none. */
  Validity validity() {
    return session == null ? null : session.validity;
  }

  /** Where the service can be reached, as far as is known now; the next to try first. Never changed, but replaced. */
  List<String> addresses() {
    return dialer.addresses.all();
  }

  /** Whether commands wait for {@code flush}. */
  boolean hasCommands() {
    return !commands.isEmpty();
  }

  /** When to call {@code tick}, in monotonic nanoseconds; {@code NEVER}: not before another input. */
  long wakeNanos() {
    long wake = Math.min(dialer.wakeNanos(), Math.min(claims.nextLimitNanos(), openLimitNanos));
    if (phase == Phase.CLOSING) wake = Math.min(wake, closeByNanos);
    if (link instanceof Link.Opening opening) wake = Math.min(wake, opening.giveUpNanos);
    if (session == null) return wake;
    wake = Math.min(wake, session.validity.deadlineNanos());
    if (session.heartbeats == null) return wake;
    if (link instanceof Link.Up) wake = Math.min(wake, session.heartbeats.dueNanos());
    return claims.heldCount() > 0 ? Math.min(wake, lookedAtNanos + LOOK_EVERY_NANOS) : wake;
  }

  /** The claims that the program may believe that it holds at a moment. */
  List<Long> heldAt(Moment at) {
    return session == null || session.validity.problemAt(at) != null ? List.of() : claims.held();
  }

  // -- Inputs: what the program wants ----------------------------------------------------------------

  /** Wants a session, claims or not: {@code opened} or {@code notOpened} follows. */
  void open(Moment at) {
    look(at);
    if (phase != Phase.RUNNING) effects.notOpened(CLOSED_BY_CLIENT);
    else if (link instanceof Link.Up) effects.opened();
    else openLimitNanos = Moment.after(at.nanos(), settings.connectTimeoutNanos());
    finish(at);
  }

  /**
   * A claim id for a claim that is wanted from {@code acquire} on. Of its own, so that the caller knows the id before
   * it is told what becomes of the claim.
   */
  long add(ClaimRequest request, Moment at) {
    return claims.add(request, at.nanos());
  }

  /** Wants a claim that was added: {@code granted} or {@code denied} follows, {@code waiting} before. */
  void acquire(long claimId, Moment at) {
    look(at);
    if (phase != Phase.RUNNING) claims.refuseAll(CLOSED_BY_CLIENT);
    else if (link instanceof Link.Up) claims.ask(claimId, at.nanos());
    finish(at);
  }

  /** Gives up a claim, wanted or held, for good: {@code released} follows, unless it is gone already. */
  void release(long claimId, Moment at) {
    look(at);
    claims.release(claimId);
    finish(at);
  }

  /** Replaces the value of a held claim: {@code updated} follows, unless {@code lost} or {@code released} does. */
  void update(long claimId, ByteString value, Moment at) {
    look(at);
    claims.update(claimId, value);
    finish(at);
  }

  /** Ends the session. Held claims are {@code lost} and wanted ones {@code denied} at once; {@code closed} follows. */
  void close(Moment at) {
    look(at);
    if (phase == Phase.RUNNING) {
      phase = Phase.CLOSING;
      closeByNanos = Moment.after(at.nanos(), settings.closeTimeoutNanos());
      claims.endSession(CLOSED_BY_CLIENT, at.nanos());
      refuse(CLOSED_BY_CLIENT);
      sayClose();
    }
    finish(at);
  }

  // -- Inputs: what happens --------------------------------------------------------------------------

  /** A stream that was dialed is ready to be written to. */
  void connected(int streamNo, Moment at) {
    look(at);
    if (dialer.streamNo() == streamNo && wantsStream(at)) openOn(streamNo, at);
    finish(at);
  }

  /** A frame came over a stream. */
  void received(int streamNo, List<SessionEvent> events, Moment at) {
    look(at);
    for (SessionEvent event : events) {
      // The rest of the frame is of the past when an event ends the stream or its session.
      if (link.streamNo() != streamNo) break;
      take(event, at);
    }
    finish(at);
  }

  /** A stream could not be had, or ended. What it sent before has been reported. */
  void broken(int streamNo, Failure why, Moment at) {
    look(at);
    if (dialer.streamNo() == streamNo) dialFailed(why, at);
    else if (link.streamNo() == streamNo) linkEnded(why, at);
    finish(at);
  }

  /** Time has passed. */
  void tick(Moment at) {
    look(at);
    giveUpOnStreams(at);
    dialer.tick(at.nanos());
    if (link instanceof Link.Up && session.heartbeats != null && at.nanos() >= session.heartbeats.dueNanos())
      commands.add(SessionCommand.newBuilder()
          .setHeartbeat(Heartbeat.newBuilder().setSeq(session.heartbeats.next(at)))
          .build());
    claims.expire(at.nanos(), lastFailure);
    if (at.nanos() >= openLimitNanos) notOpened(lastFailure);
    finish(at);
  }

  /** The turn ends: what it wanted to say goes out together. */
  void flush(Moment at) {
    look(at);
    if (link instanceof Link.Up && !commands.isEmpty()) {
      List<SessionCommand> frame = commands;
      commands = new ArrayList<>();
      effects.send(link.streamNo(), frame);
    }
    finish(at);
  }

  // -- The validity deadline -------------------------------------------------------------------------

  /** Comes before everything else: past its deadline a session is never used again (DESIGN 3, Rules). */
  private void look(Moment at) {
    lookedAtNanos = at.nanos();
    String problem = session == null ? null : session.validity.problemAt(at);
    if (problem != null) endSession(new Failure(Reason.SESSION_EXPIRED, problem), at);
  }

  // -- Streams ---------------------------------------------------------------------------------------

  /** Whether another stream is wanted than the one there is. */
  private boolean wantsStream(Moment at) {
    if (link instanceof Link.None) return needsSession();
    if (!(link instanceof Link.Up up)) return false;
    // A session that cannot be resumed stays where it is.
    if (!keeps || phase != Phase.RUNNING) return false;
    return up.isDraining || (session.heartbeats != null && session.heartbeats.isMute(at.nanos()));
  }

  private boolean needsSession() {
    return switch (phase) {
      case RUNNING -> !claims.isEmpty() || openLimitNanos != Moment.NEVER;
      // To tell the server that it has ended.
      case CLOSING -> session != null;
      case CLOSED -> false;
    };
  }

  /** Ends an input: leaves what is not needed, and dials what is. */
  private void finish(Moment at) {
    if (phase == Phase.CLOSING) stopIfDone(at);
    else leaveUnneeded(at);
    if (!wantsStream(at)) stopDialing();
    else if (dialer.isIdle()) {
      String address = dialer.start(at.nanos() + dialNanos(at));
      effects.dial(dialer.streamNo(), address);
    }
  }

  private void stopIfDone(Moment at) {
    if (at.nanos() < closeByNanos && (!(link instanceof Link.None) || session != null)) return;
    phase = Phase.CLOSED;
    abandonLink();
    session = null;
    effects.closed();
  }

  /** A session that nothing needs is not carried from one stream to another. */
  private void leaveUnneeded(Moment at) {
    if (link instanceof Link.None && !needsSession()) session = null;
    if (!(link instanceof Link.Up up) || !up.isDraining) return;
    boolean isInUse = keeps ? !claims.isEmpty() : claims.heldCount() > 0;
    if (!isInUse) endSession(new Failure(Reason.DRAINING, "the server goes away"), at);
  }

  private void stopDialing() {
    int streamNo = dialer.streamNo();
    if (streamNo != 0) effects.abandon(streamNo);
    dialer.stop();
  }

  /**
   * How long connecting to an address may take. While there is a session to save, what is left of it is shared: a server
   * that stands still, or is gone without a word, must not take the time in which another would have gone on.
   */
  private long dialNanos(Moment at) {
    return stepNanos(TimeUnit.MILLISECONDS.toNanos(250), leftNanos(at) / (dialer.addresses.all().size() + 1));
  }

  /** How long opening or resuming may take, which is some writes of the store's. */
  private long openNanos(Moment at) {
    return stepNanos(TimeUnit.SECONDS.toNanos(1), leftNanos(at) / 2);
  }

  /**
   * Without a session each address has its share of the connect timeout, for a Java that has just started on a busy
   * machine needs seconds to connect.
   */
  private long stepNanos(long leastNanos, long shareNanos) {
    long usualNanos = session == null
        ? settings.connectTimeoutNanos() / dialer.addresses.all().size()
        : session.ttlNanos / 3;
    long mostNanos = Math.min(TimeUnit.SECONDS.toNanos(5), Math.max(TimeUnit.SECONDS.toNanos(1), usualNanos));
    return Math.min(mostNanos, Math.max(leastNanos, shareNanos));
  }

  private long leftNanos(Moment at) {
    return session == null ? Moment.NEVER : session.validity.remainingNanosAt(at);
  }

  private void giveUpOnStreams(Moment at) {
    if (dialer.streamNo() != 0 && at.nanos() >= dialer.wakeNanos()) dialFailed(NO_SERVER, at);
    if (link instanceof Link.Opening opening && at.nanos() >= opening.giveUpNanos) {
      // A new session that opens too late would be nobody's; one that is resumed is still wanted.
      if (session == null) sayClose();
      linkEnded(NO_SERVER, at);
    }
  }

  private void dialFailed(Failure why, Moment at) {
    lastFailure = why;
    stopDialing();
    rest(at);
  }

  private void rest(Moment at) {
    // While there is a session to save, several attempts must fit into its TTL.
    dialer.restAfterFailure(at.nanos(), session == null ? Moment.NEVER : session.ttlNanos / 10);
  }

  /** Sends the first frame of a stream. From here on nothing is taken from the one before. */
  private void openOn(int streamNo, Moment at) {
    dialer.addresses.arrived();
    dialer.stop();
    abandonLink();
    link = new Link.Opening(streamNo, at, at.nanos() + openNanos(at));
    SessionCommand first =
        SessionCommand.newBuilder().setOpen(session == null ? settings.open() : resume(session)).build();
    effects.send(streamNo, phase == Phase.CLOSING ? List.of(first, CLOSE) : List.of(first));
  }

  private static Open resume(Session session) {
    session.attempt++;
    return Open.newBuilder()
        .setResume(Resume.newBuilder()
            .setSessionId(session.id)
            .setSecret(session.secret)
            .setAttempt(session.attempt))
        .build();
  }

  private void abandonLink() {
    if (!(link instanceof Link.None)) effects.abandon(link.streamNo());
    link = NO_LINK;
    commands.clear();
  }

  private void linkEnded(Failure why, Moment at) {
    if (link instanceof Link.Up up && at.nanos() - up.sinceNanos >= STEADY_NANOS) dialer.forgetFailures();
    abandonLink();
    lastFailure = why;
    // A fault of the server's ends the stream and leaves the session; without one it may come again and again.
    boolean isResumable = SESSION_MAY_LIVE.contains(why.reason()) || (why.reason() == Reason.INTERNAL && session != null);
    // The secret of a session may be refused where another session is welcome.
    boolean isWelcome = isResumable
        || why.reason() == Reason.SESSION_EXPIRED
        || (why.reason() == Reason.NOT_PERMITTED && session != null);
    if (!isResumable || !keeps) endSession(why, at);
    else if (session != null && session.heartbeats == null)
      // Nothing but the connection proved that this client lives: from now on nothing does.
      session.validity.limit(at, session.ttlNanos);
    if (!isWelcome) refuse(why);
    // An attempt that is under way already goes on.
    if (dialer.isIdle()) rest(at);
  }

  // -- Sessions --------------------------------------------------------------------------------------

  /** A session is over for this client, whatever the server thinks: it is told so, if it can be. */
  private void endSession(Failure why, Moment at) {
    sayClose();
    abandonLink();
    session = null;
    claims.endSession(why, at.nanos());
  }

  private void sayClose() {
    commands.clear();
    if (!(link instanceof Link.None)) effects.send(link.streamNo(), List.of(CLOSE));
  }

  /** Nobody's wish can be fulfilled. */
  private void refuse(Failure why) {
    claims.refuseAll(why);
    if (openLimitNanos != Moment.NEVER) notOpened(why);
  }

  private void notOpened(Failure why) {
    openLimitNanos = Moment.NEVER;
    effects.notOpened(why);
  }

  private void opened(Opened event, Link.Opening opening, Moment at) {
    boolean isHeartbeating = settings.open().getLiveness() == Liveness.LIVENESS_HEARTBEAT;
    if (session == null) session = new Session(event, isHeartbeating);
    link = new Link.Up(opening.streamNo, at.nanos(), false);
    lastFailure = NO_SERVER;
    dialer.addresses.learn(event.getServersList());
    if (session.heartbeats != null) session.heartbeats.restart(opening.sentAt);
    session.validity.prove(opening.sentAt, isHeartbeating ? Durations.nanos(event.getValidFor()) : Moment.NEVER);
    look(at);
    if (session == null || phase != Phase.RUNNING) return;
    openLimitNanos = Moment.NEVER;
    effects.opened();
    claims.reconcile(event.getClaimsList(), at.nanos());
  }

  private void take(SessionEvent event, Moment at) {
    switch (event.getEventCase()) {
      case OPENED -> {
        if (link instanceof Link.Opening opening) opened(event.getOpened(), opening, at);
      }
      case HEARTBEAT_ACK -> proven(event.getHeartbeatAck());
      case WAITING -> claims.waiting(event.getWaiting());
      case GRANTED -> claims.granted(event.getGranted());
      case DENIED -> claims.denied(event.getDenied());
      case LOST -> claims.lost(event.getLost());
      case RELEASED -> claims.released(event.getReleased().getClaimId());
      case UPDATED -> claims.updated(event.getUpdated());
      case DRAINING -> drain(event.getDraining(), at);
      case SERVERS -> dialer.addresses.learn(event.getServers().getServersList());
      case CLOSED -> {
        Closed closed = event.getClosed();
        linkEnded(new Failure(Reason.fromWire(closed.getReason()), closed.getMessage()), at);
      }
      case EVENT_NOT_SET -> {
        // Newer than this client: skipped.
      }
    }
  }

  private void proven(HeartbeatAck ack) {
    if (session == null || session.heartbeats == null) return;
    Moment sentAt = session.heartbeats.answered(ack.getSeq());
    if (sentAt != null) session.validity.prove(sentAt, Durations.nanos(ack.getValidFor()));
  }

  /** The link goes on until another stream takes over. Not all clients of the server leave at once. */
  private void drain(Draining draining, Moment at) {
    dialer.addresses.learn(draining.getServersList());
    if (!(link instanceof Link.Up up)) return;
    link = new Link.Up(up.streamNo, up.sinceNanos, true);
    if (!dialer.isIdle()) return;
    long bound = Math.min(TimeUnit.SECONDS.toNanos(1), Durations.nanos(draining.getLeaveWithin()) / 2);
    dialer.rest(at.nanos(), Math.min(bound, leftNanos(at) / 4));
  }
}
