package io.holdfast.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import io.holdfast.v1.Claim;
import io.holdfast.v1.ClaimState;
import java.time.Instant;
import java.util.Optional;

/**
 * A claim as one lock's queue shows it to everybody.
 *
 * @param sessionId the session it belongs to
 * @param claimId its number there
 * @param isHeld whether it is held; if not, it waits
 * @param mode how it takes this lock
 * @param permits how many permits of this lock it takes, if that is a semaphore, else 0
 * @param token the fencing token of its grant of this lock; 0 while it waits
 * @param lockCount how many locks it is on: all or nothing
 * @param reentryId its thread of control; empty: none
 * @param purpose in words, why; empty: none
 * @param value what the holder announces; empty: nothing, or left out
 * @param client who it says it is, if it does
 * @param claimedAt when it entered the queue, by a server's clock. For people: the list is the order
 * @param grantedAt when it was granted, likewise; empty: it waits, or the server was not there to see
 */
public record ClaimView(
    String sessionId,
    long claimId,
    boolean isHeld,
    LockMode mode,
    int permits,
    long token,
    int lockCount,
    String reentryId,
    String purpose,
    ByteString value,
    Optional<ClientInfo> client,
    Instant claimedAt,
    Optional<Instant> grantedAt) {

  static ClaimView fromWire(Claim claim) {
    return new ClaimView(
        claim.getSessionId(),
        claim.getClaimId(),
        claim.getState() == ClaimState.CLAIM_STATE_HELD,
        LockMode.fromWire(claim.getMode()),
        claim.getPermits(),
        claim.getFencingToken(),
        claim.getLockCount(),
        claim.getReentryId(),
        claim.getPurpose(),
        claim.getValue(),
        claim.hasClient() ? Optional.of(ClientInfo.fromWire(claim.getClient())) : Optional.empty(),
        instant(claim.getClaimedAt()),
        claim.hasGrantedAt() ? Optional.of(instant(claim.getGrantedAt())) : Optional.empty());
  }

  private static Instant instant(Timestamp time) {
    return Instant.ofEpochSecond(time.getSeconds(), time.getNanos());
  }
}
