package io.holdfast.client;

import static io.holdfast.client.MachineRun.ms;

import io.holdfast.v1.Claim;
import io.holdfast.v1.ClaimState;
import io.holdfast.v1.Closed;
import io.holdfast.v1.Denied;
import io.holdfast.v1.Draining;
import io.holdfast.v1.Granted;
import io.holdfast.v1.GrantedLock;
import io.holdfast.v1.HeartbeatAck;
import io.holdfast.v1.Lost;
import io.holdfast.v1.Opened;
import io.holdfast.v1.Released;
import io.holdfast.v1.SessionClaim;
import io.holdfast.v1.Servers;
import io.holdfast.v1.SessionEvent;
import io.holdfast.v1.Updated;
import io.holdfast.v1.Waiting;
import java.util.List;

/** What a server says, in short. */
final class Says {
  private Says() {}

  static SessionEvent opened(SessionClaim... claims) {
    return opened(15_000, claims);
  }

  static SessionEvent opened(double ttlMs, SessionClaim... claims) {
    return SessionEvent.newBuilder()
        .setOpened(Opened.newBuilder()
            .setSessionId("session")
            .setResumeSecret("secret")
            .setTtl(Durations.of(ms(ttlMs)))
            .setValidFor(Durations.of(ms(ttlMs)))
            .setHeartbeatInterval(Durations.of(ms(ttlMs / 3)))
            .addAllClaims(List.of(claims)))
        .build();
  }

  /** {@code opened}, by a server that tells where the others are. */
  static SessionEvent openedAmong(String... servers) {
    SessionEvent.Builder event = opened().toBuilder();
    event.getOpenedBuilder().addAllServers(List.of(servers));
    return event.build();
  }

  static SessionClaim live(long claimId, boolean isHeld) {
    return SessionClaim.newBuilder()
        .setClaimId(claimId)
        .setState(isHeld ? ClaimState.CLAIM_STATE_HELD : ClaimState.CLAIM_STATE_WAITING)
        .addLocks(GrantedLock.newBuilder().setName("x").setFencingToken(isHeld ? 100 + claimId : 0))
        .build();
  }

  static SessionEvent granted(long claimId) {
    return granted(claimId, "x");
  }

  static SessionEvent granted(long claimId, String name) {
    GrantedLock lock = GrantedLock.newBuilder().setName(name).setFencingToken(100 + claimId).build();
    return SessionEvent.newBuilder()
        .setGranted(Granted.newBuilder().setClaimId(claimId).addLocks(lock))
        .build();
  }

  static SessionEvent waiting(long claimId) {
    return SessionEvent.newBuilder()
        .setWaiting(Waiting.newBuilder()
            .setClaimId(claimId)
            .setLock("x")
            .setPosition(1)
            .setHolderCount(1)
            .addHolders(Claim.newBuilder().setSessionId("holder")))
        .build();
  }

  static SessionEvent denied(long claimId, io.holdfast.v1.Reason reason) {
    return SessionEvent.newBuilder()
        .setDenied(Denied.newBuilder().setClaimId(claimId).setReason(reason).setLock("x").setHolderCount(1))
        .build();
  }

  static SessionEvent lost(long claimId) {
    return SessionEvent.newBuilder()
        .setLost(Lost.newBuilder()
            .setClaimId(claimId)
            .setReason(io.holdfast.v1.Reason.REASON_RELEASED_BY_FORCE))
        .build();
  }

  static SessionEvent released(long claimId) {
    return SessionEvent.newBuilder()
        .setReleased(Released.newBuilder().setClaimId(claimId))
        .build();
  }

  static SessionEvent updated(long claimId, io.holdfast.v1.Reason reason) {
    return SessionEvent.newBuilder()
        .setUpdated(Updated.newBuilder().setClaimId(claimId).setReason(reason))
        .build();
  }

  static SessionEvent ack(long seq) {
    return ack(seq, 15_000);
  }

  static SessionEvent ack(long seq, double validForMs) {
    return SessionEvent.newBuilder()
        .setHeartbeatAck(HeartbeatAck.newBuilder().setSeq(seq).setValidFor(Durations.of(ms(validForMs))))
        .build();
  }

  static SessionEvent draining(String... servers) {
    return SessionEvent.newBuilder()
        .setDraining(Draining.newBuilder()
            .setLeaveWithin(Durations.of(ms(10_000)))
            .addAllServers(List.of(servers)))
        .build();
  }

  static SessionEvent serversAre(String... servers) {
    return SessionEvent.newBuilder()
        .setServers(Servers.newBuilder().addAllServers(List.of(servers)))
        .build();
  }

  static SessionEvent closed(String reason) {
    return SessionEvent.newBuilder()
        .setClosed(Closed.newBuilder().setReason(io.holdfast.v1.Reason.valueOf("REASON_" + reason)))
        .build();
  }
}
