package io.holdfast.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import io.holdfast.v1.Acquire;
import io.holdfast.v1.ClaimState;
import io.holdfast.v1.Denied;
import io.holdfast.v1.Granted;
import io.holdfast.v1.GrantedLock;
import io.holdfast.v1.Lost;
import io.holdfast.v1.Release;
import io.holdfast.v1.SessionClaim;
import io.holdfast.v1.SessionCommand;
import io.holdfast.v1.Update;
import io.holdfast.v1.Updated;
import io.holdfast.v1.Waiting;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * The claims of a client, whichever session they are in: what is wanted, held and given up, and what follows from what
 * a server says about it (DESIGN 3, Rules, and 4.8).
 */
final class ClaimBook {
  /** How long past its wait a claim is left to the server, which can tell who holds the lock. */
  private static final long ANSWER_GRACE_NANOS = TimeUnit.SECONDS.toNanos(1);

  private static final Failure UNASKED =
      new Failure(Reason.UNKNOWN, "the server released a claim that was not given up");
  private static final Failure MISSING = new Failure(
      Reason.RELEASED_BY_FORCE, "the claim was gone when the session was resumed: somebody ended it meanwhile");
  private static final Failure UNREACHABLE = new Failure(Reason.UNREACHABLE, "no server could be reached in time");

  /** Where a claim stands between the program and the session. */
  private sealed interface Stage {
    /** Wanted; the present session has not been asked for it. */
    record Unsent(long sinceNanos) implements Stage {}

    /** Wanted; the session has been asked for it, on this stream or an earlier one. {@code place} may be null. */
    record Asked(Waiting place) implements Stage {}

    record Held(List<GrantedLock> locks, Deque<PendingUpdate> updates) implements Stage {}

    /** Given up for good; its release is repeated until it is known to be gone. If denied, the program knows. */
    record Leaving(boolean isDenied) implements Stage {}
  }

  /** {@code count}: how many updates it answers for; after a resume only the last value is sent. */
  private record PendingUpdate(ByteString value, int count) {}

  private static final class Claim {
    final long id;
    final ClaimRequest request;
    /** When its wait has passed. {@code NEVER}: it waits for ever, or is a try. */
    final long limitNanos;
    Stage stage;

    Claim(long id, ClaimRequest request, long nowNanos) {
      this.id = id;
      this.request = request;
      this.limitNanos = request.waitNanos() == 0 ? Moment.NEVER : Moment.after(nowNanos, request.waitNanos());
      this.stage = new Stage.Unsent(nowNanos);
    }
  }

  private final SessionEffects effects;
  /** Takes commands; they are dropped while no session is open on a stream. */
  private final Consumer<SessionCommand> say;
  private final long connectTimeoutNanos;
  /** In order of claim id, which is the order in which they were asked for. */
  private final Map<Long, Claim> claims = new LinkedHashMap<>();
  private long lastId;
  private int heldCount;
  private long nextLimitNanos = Moment.NEVER;

  ClaimBook(SessionEffects effects, Consumer<SessionCommand> say, long connectTimeoutNanos) {
    this.effects = effects;
    this.say = say;
    this.connectTimeoutNanos = connectTimeoutNanos;
  }

  /** Whether none is wanted, held or being given up. */
  boolean isEmpty() {
    return claims.isEmpty();
  }

  int heldCount() {
    return heldCount;
  }

  /** No wanted claim runs out of time before this. Monotonic nanoseconds. */
  long nextLimitNanos() {
    return nextLimitNanos;
  }

  /** The ids of those that are held. */
  List<Long> held() {
    return claims.values().stream().filter(claim -> claim.stage instanceof Stage.Held).map(claim -> claim.id).toList();
  }

  // -- What the program wants ------------------------------------------------------------------------

  /** A new wanted claim, not yet sent. Its id is larger than every one before, in this session and others. */
  long add(ClaimRequest request, long nowNanos) {
    Claim claim = new Claim(++lastId, request, nowNanos);
    claims.put(claim.id, claim);
    watchLimit(claim);
    return claim.id;
  }

  /** Asks the open session for an unsent claim, with what is left of its wait. */
  void ask(long claimId, long nowNanos) {
    Claim claim = claims.get(claimId);
    if (claim != null) ask(claim, nowNanos);
  }

  private void ask(Claim claim, long nowNanos) {
    if (claim.stage instanceof Stage.Unsent) claim.stage = new Stage.Asked(null);
    watchLimit(claim);
    Acquire.Builder acquire = claim.request.acquire().toBuilder().setClaimId(claim.id);
    long wait = claim.request.waitNanos();
    // Not below a millisecond: with nothing left it would be a try.
    if (wait == 0) acquire.setWait(Duration.getDefaultInstance());
    else if (wait != Moment.NEVER)
      acquire.setWait(Durations.of(Math.max(TimeUnit.MILLISECONDS.toNanos(1), claim.limitNanos - nowNanos)));
    say.accept(SessionCommand.newBuilder().setAcquire(acquire).build());
  }

  /** Gives a claim up for good, held or wanted. */
  void release(long claimId) {
    Claim claim = claims.get(claimId);
    if (claim == null || claim.stage instanceof Stage.Leaving) return;
    boolean wasSent = !(claim.stage instanceof Stage.Unsent);
    leave(claim, false);
    if (!wasSent) gone(claim, UNASKED);
  }

  private void leave(Claim claim, boolean isDenied) {
    if (claim.stage instanceof Stage.Held) heldCount--;
    boolean wasSent = !(claim.stage instanceof Stage.Unsent);
    claim.stage = new Stage.Leaving(isDenied);
    if (wasSent) sayRelease(claim.id);
  }

  private void sayRelease(long claimId) {
    say.accept(SessionCommand.newBuilder().setRelease(Release.newBuilder().setClaimId(claimId)).build());
  }

  /** Replaces the value of a held claim. */
  void update(long claimId, ByteString value) {
    Claim claim = claims.get(claimId);
    if (claim == null || !(claim.stage instanceof Stage.Held held)) return;
    held.updates.add(new PendingUpdate(value, 1));
    sayUpdate(claimId, value);
  }

  private void sayUpdate(long claimId, ByteString value) {
    say.accept(
        SessionCommand.newBuilder().setUpdate(Update.newBuilder().setClaimId(claimId).setValue(value)).build());
  }

  // -- What the server says --------------------------------------------------------------------------

  void waiting(Waiting event) {
    Claim claim = claims.get(event.getClaimId());
    // A held claim never lets itself be demoted.
    if (claim == null || !(claim.stage instanceof Stage.Asked)) return;
    claim.stage = new Stage.Asked(event);
    effects.waiting(claim.id, event);
  }

  void granted(Granted event) {
    Claim claim = claims.get(event.getClaimId());
    if (claim == null || claim.stage instanceof Stage.Leaving) sayRelease(event.getClaimId());
    else if (claim.stage instanceof Stage.Asked) hold(claim, event.getLocksList());
  }

  private void hold(Claim claim, List<GrantedLock> locks) {
    claim.stage = new Stage.Held(locks, new ArrayDeque<>());
    heldCount++;
    effects.granted(claim.id, locks);
  }

  void denied(Denied event) {
    Claim claim = claims.get(event.getClaimId());
    if (claim == null) return;
    Failure why = new Failure(Reason.fromWire(event.getReason()), event.getMessage());
    gone(claim, new Denial(why, event.getLock(), event.getHoldersList(), event.getHolderCount()));
  }

  void lost(Lost event) {
    Claim claim = claims.get(event.getClaimId());
    if (claim != null) gone(claim, new Failure(Reason.fromWire(event.getReason()), event.getMessage()));
  }

  void released(long claimId) {
    Claim claim = claims.get(claimId);
    if (claim != null) gone(claim, UNASKED);
  }

  void updated(Updated event) {
    Claim claim = claims.get(event.getClaimId());
    if (claim == null || !(claim.stage instanceof Stage.Held held)) return;
    PendingUpdate answered = held.updates.poll();
    if (answered == null) return;
    boolean isDone = event.getReason() == io.holdfast.v1.Reason.REASON_UNSPECIFIED;
    Failure why = isDone ? null : new Failure(Reason.fromWire(event.getReason()), event.getMessage());
    effects.updated(claim.id, answered.count, why);
  }

  /**
   * A session was opened or resumed, with these live claims. Releases go first, for they are for ever; then the
   * acquires that were not granted yet; then the updates that were not answered.
   */
  void reconcile(List<SessionClaim> listed, long nowNanos) {
    Map<Long, SessionClaim> live = new LinkedHashMap<>();
    for (SessionClaim claim : listed) live.put(claim.getClaimId(), claim);
    for (Claim claim : List.copyOf(claims.values())) {
      SessionClaim there = live.get(claim.id);
      if (claim.stage instanceof Stage.Leaving && there == null) gone(claim, UNASKED);
      else if (claim.stage instanceof Stage.Held && there == null) gone(claim, MISSING);
      else if (claim.stage instanceof Stage.Asked && isHeld(there)) hold(claim, there.getLocksList());
    }
    for (long id : live.keySet()) if (!isWanted(id)) sayRelease(id);
    expire(nowNanos, 0, UNREACHABLE);
    for (Claim claim : claims.values())
      if (claim.stage instanceof Stage.Unsent || claim.stage instanceof Stage.Asked) ask(claim, nowNanos);
    for (Claim claim : claims.values()) updateAgain(claim);
  }

  private static boolean isHeld(SessionClaim there) {
    return there != null && there.getState() == ClaimState.CLAIM_STATE_HELD;
  }

  private boolean isWanted(long claimId) {
    Claim claim = claims.get(claimId);
    return claim != null && !(claim.stage instanceof Stage.Leaving);
  }

  private void updateAgain(Claim claim) {
    if (!(claim.stage instanceof Stage.Held held) || held.updates.isEmpty()) return;
    ByteString last = held.updates.getLast().value;
    int count = held.updates.stream().mapToInt(PendingUpdate::count).sum();
    held.updates.clear();
    held.updates.add(new PendingUpdate(last, count));
    sayUpdate(claim.id, last);
  }

  // -- Ends ------------------------------------------------------------------------------------------

  /** The session ended: what was held is lost, and what is wanted has to be asked for again, in another. */
  void endSession(Failure why, long nowNanos) {
    for (Claim claim : List.copyOf(claims.values())) {
      if (claim.stage instanceof Stage.Held || claim.stage instanceof Stage.Leaving) gone(claim, why);
      else if (claim.stage instanceof Stage.Asked) {
        claim.stage = new Stage.Unsent(nowNanos);
        watchLimit(claim);
      }
    }
  }

  /** Denies every wanted claim. For when there is no session in which they are asked for. */
  void refuseAll(Failure why) {
    for (Claim claim : List.copyOf(claims.values())) gone(claim, why);
  }

  /** Gives up what has waited long enough: for a grant, or for a session, of which {@code why} was the last failure. */
  void expire(long nowNanos, Failure why) {
    if (nowNanos >= nextLimitNanos) expire(nowNanos, ANSWER_GRACE_NANOS, why);
  }

  private void expire(long nowNanos, long graceNanos, Failure why) {
    nextLimitNanos = Moment.NEVER;
    for (Claim claim : new ArrayList<>(claims.values())) {
      if (limitOf(claim, graceNanos) > nowNanos) watchLimit(claim);
      else if (claim.stage instanceof Stage.Asked asked) {
        leave(claim, true);
        deny(claim, denialOf(timedOut(claim), asked.place, claim));
      } else gone(claim, why);
    }
  }

  private long limitOf(Claim claim, long graceNanos) {
    if (claim.stage instanceof Stage.Unsent unsent)
      return Math.min(claim.limitNanos, Moment.after(unsent.sinceNanos, connectTimeoutNanos));
    return claim.stage instanceof Stage.Asked ? Moment.after(claim.limitNanos, graceNanos) : Moment.NEVER;
  }

  private void watchLimit(Claim claim) {
    nextLimitNanos = Math.min(nextLimitNanos, limitOf(claim, ANSWER_GRACE_NANOS));
  }

  private void gone(Claim claim, Failure why) {
    gone(claim, denialOf(why, null, claim));
  }

  /** A claim is no more; the program is told what that means for what it had. */
  private void gone(Claim claim, Denial denial) {
    claims.remove(claim.id);
    if (claims.isEmpty()) nextLimitNanos = Moment.NEVER;
    if (claim.stage instanceof Stage.Held) {
      heldCount--;
      effects.lost(claim.id, denial.why());
    } else if (claim.stage instanceof Stage.Leaving leaving) {
      if (!leaving.isDenied) effects.released(claim.id);
    } else deny(claim, denial);
  }

  private void deny(Claim claim, Denial denial) {
    effects.denied(claim.id, denial);
  }

  private static Denial denialOf(Failure why, Waiting seen, Claim claim) {
    if (seen != null) return new Denial(why, seen.getLock(), seen.getHoldersList(), seen.getHolderCount());
    return new Denial(why, claim.request.acquire().getLocks(0).getName(), List.of(), 0);
  }

  private static Failure timedOut(Claim claim) {
    long waitMs = TimeUnit.NANOSECONDS.toMillis(claim.request.waitNanos());
    return new Failure(
        Reason.TIMEOUT, "waited %d ms for %s without being granted".formatted(waitMs, claim.request.names()));
  }
}
