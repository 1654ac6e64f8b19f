package io.holdfast.client;

import static io.holdfast.client.Says.ack;
import static io.holdfast.client.Says.closed;
import static io.holdfast.client.Says.denied;
import static io.holdfast.client.Says.granted;
import static io.holdfast.client.Says.live;
import static io.holdfast.client.Says.lost;
import static io.holdfast.client.Says.opened;
import static io.holdfast.client.Says.released;
import static io.holdfast.client.Says.updated;
import static io.holdfast.client.Says.waiting;

import io.holdfast.v1.Heartbeat;
import io.holdfast.v1.Resume;
import io.holdfast.v1.SessionClaim;
import io.holdfast.v1.SessionCommand;
import io.holdfast.v1.SessionEvent;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.DoublePredicate;

/**
 * The service as clients see it, much simplified: one table of sessions whose claims are granted or not as chance will
 * have it. It throws when a client breaks a rule of the protocol.
 */
final class ModelServer {
  /** How long after the last proof a server ends a session of 15 s (DESIGN 4.7). */
  private static final long SERVER_TTL_NANOS = MachineRun.ms(15_000 * 1.01 + 50);

  static final class Session {
    /** Live claims: whether they are held. */
    final Map<Long, Boolean> claims = new LinkedHashMap<>();
    long attempt;
    long deadlineNanos;
    long lastSeq;
    long lastClaimId;
    int streamNo;

    private Session(int streamNo, long nowNanos) {
      this.streamNo = streamNo;
      this.deadlineNanos = nowNanos + SERVER_TTL_NANOS;
    }
  }

  final Map<String, Session> sessions = new LinkedHashMap<>();
  /** Whether something happens that has this probability. */
  private final DoublePredicate chance;
  private int opened;

  ModelServer(DoublePredicate chance) {
    this.chance = chance;
  }

  /** Ends the sessions whose deadline has passed. */
  void expire(long nowNanos) {
    sessions.values().removeIf(session -> nowNanos > session.deadlineNanos);
  }

  /** The session that a stream carries; {@code null}: none. */
  Session sessionOn(int streamNo) {
    return sessions.values().stream().filter(each -> each.streamNo == streamNo).findFirst().orElse(null);
  }

  /** What it answers to a command that arrives now on a stream. */
  List<SessionEvent> command(int streamNo, SessionCommand command, long nowNanos) {
    if (command.hasOpen())
      return List.of(
          command.getOpen().hasResume()
              ? resume(streamNo, command.getOpen().getResume(), nowNanos)
              : open(streamNo, nowNanos));
    Session session = sessionOn(streamNo);
    // Its session has ended or was resumed elsewhere: nobody listens.
    if (session == null) return List.of();
    return switch (command.getCommandCase()) {
      case HEARTBEAT -> heartbeat(session, command.getHeartbeat(), nowNanos);
      case ACQUIRE -> acquire(session, command.getAcquire().getClaimId());
      case RELEASE -> {
        session.claims.remove(command.getRelease().getClaimId());
        yield List.of(released(command.getRelease().getClaimId()));
      }
      case UPDATE -> List.of(
          updated(command.getUpdate().getClaimId(), io.holdfast.v1.Reason.REASON_UNSPECIFIED));
      case CLOSE -> {
        sessions.values().remove(session);
        yield List.of(closed("CLOSED_BY_CLIENT"));
      }
      default -> throw new AssertionError("unexpected " + command);
    };
  }

  private SessionEvent open(int streamNo, long nowNanos) {
    String id = "session " + ++opened;
    sessions.put(id, new Session(streamNo, nowNanos));
    return named(id, opened());
  }

  private SessionEvent resume(int streamNo, Resume resume, long nowNanos) {
    Session session = sessions.get(resume.getSessionId());
    if (session == null) return closed("SESSION_EXPIRED");
    if (resume.getAttempt() <= session.attempt)
      throw new AssertionError("attempt " + resume.getAttempt() + " after " + session.attempt);
    session.attempt = resume.getAttempt();
    if (chance.test(0.1)) return closed("STORE_UNAVAILABLE");
    session.streamNo = streamNo;
    session.deadlineNanos = nowNanos + SERVER_TTL_NANOS;
    SessionClaim[] claims = session.claims.entrySet().stream()
        .map(claim -> live(claim.getKey(), claim.getValue()))
        .toArray(SessionClaim[]::new);
    return named(resume.getSessionId(), opened(claims));
  }

  private static SessionEvent named(String sessionId, SessionEvent opened) {
    SessionEvent.Builder event = opened.toBuilder();
    event.getOpenedBuilder().setSessionId(sessionId);
    return event.build();
  }

  private List<SessionEvent> heartbeat(Session session, Heartbeat heartbeat, long nowNanos) {
    if (heartbeat.getSeq() <= session.lastSeq)
      throw new AssertionError("heartbeat " + heartbeat.getSeq() + " after " + session.lastSeq);
    session.lastSeq = heartbeat.getSeq();
    if (chance.test(0.1)) return List.of();
    session.deadlineNanos = nowNanos + SERVER_TTL_NANOS;
    return List.of(ack(heartbeat.getSeq()));
  }

  private List<SessionEvent> acquire(Session session, long claimId) {
    if (!session.claims.containsKey(claimId)) {
      // Claims that a resumed client asks for again may have been refused before it heard of it.
      session.lastClaimId = Math.max(session.lastClaimId, claimId);
      if (chance.test(0.2)) return List.of(denied(claimId, io.holdfast.v1.Reason.REASON_BUSY));
      session.claims.put(claimId, false);
    }
    if (session.claims.get(claimId) || chance.test(0.5)) return grant(session, claimId);
    return List.of(waiting(claimId));
  }

  List<SessionEvent> grant(Session session, long claimId) {
    session.claims.put(claimId, true);
    return List.of(granted(claimId));
  }

  /** Ends a claim by force, or denies it. */
  List<SessionEvent> end(Session session, long claimId) {
    boolean wasHeld = session.claims.remove(claimId);
    return List.of(wasHeld ? lost(claimId) : denied(claimId, io.holdfast.v1.Reason.REASON_QUEUE_FULL));
  }
}
