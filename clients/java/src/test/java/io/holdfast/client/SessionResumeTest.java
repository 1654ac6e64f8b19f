package io.holdfast.client;

import static io.holdfast.client.Says.ack;
import static io.holdfast.client.Says.closed;
import static io.holdfast.client.MachineRun.frames;
import static io.holdfast.client.Says.granted;
import static io.holdfast.client.MachineRun.holding;
import static io.holdfast.client.Says.live;
import static io.holdfast.client.Says.opened;
import static io.holdfast.client.Says.released;
import static io.holdfast.client.MachineRun.setup;
import static io.holdfast.client.Says.updated;
import static io.holdfast.client.Says.waiting;
import static io.holdfast.v1.Reason.REASON_UNSPECIFIED;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.holdfast.v1.SessionClaim;
import java.util.List;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("A resume")
class SessionResumeTest {
  /** Breaks stream 1 and resumes on the next one, where these claims are live; returns its number. */
  private static int resume(MachineRun run, SessionClaim... claims) {
    run.breaks(1);
    return run.session(claims);
  }

  @Test
  void keepsWhatIsHeldWithoutAWordToTheProgram() {
    MachineRun run = holding("a");
    resume(run, live(1, true));
    assertEquals(frames("resume 1"), run.sent());
    assertEquals(List.of("opened"), run.told());
    assertEquals(List.of(1L), run.machine.heldAt(run.at()));
  }

  @Test
  void hasALargerAttemptNumberThanAnyBeforeWhetherOrNotThoseWereAnswered() {
    MachineRun run = holding("a");
    run.breaks(1);
    for (String why : List.of("", "SUPERSEDED", "STORE_UNAVAILABLE", "DRAINING")) {
      int streamNo = run.dialed();
      run.connected(streamNo);
      if (why.isEmpty()) run.breaks(streamNo);
      else run.receive(streamNo, closed(why));
    }
    run.session(live(1, true));
    assertEquals(frames("resume 1", "resume 2", "resume 3", "resume 4", "resume 5"), run.sent());
    assertEquals(List.of("opened"), run.told());
  }

  @Test
  void takesNothingMoreFromEarlierStreamsFromTheMomentItIsSent() {
    MachineRun run = setup().addresses("a:1", "b:1").holding("a");
    run.acquire("b");
    run.pass(10_000);
    run.connected(run.dialed());
    run.receive(1, granted(2), ack(2));
    run.breaks(1);
    assertEquals(List.of(), run.told());
    run.pass(4850);
    assertEquals(List.of("lost 1 session-expired"), run.told());
  }

  @Test
  void takesAnAckOfAHeartbeatOfAnEarlierStreamForNothing() {
    MachineRun run = holding("a");
    run.pass(5000);
    int streamNo = resume(run, live(1, true));
    run.told();
    run.block(4000);
    run.receive(streamNo, ack(1, 60_000));
    run.block(10_850);
    run.tick();
    assertEquals(List.of("lost 1 session-expired"), run.told());
  }

  @Test
  void sendsReleasesFirstThenWhatIsNotGrantedWithWhatIsLeftOfItsWaitThenUpdates() {
    MachineRun run = holding("a", "b");
    run.acquireFor("c", 10_000);
    run.acquire("d");
    run.flush();
    run.update(2, "one");
    run.update(2, "two");
    run.release(1);
    run.flush();
    run.sent();
    run.breaks(1);
    run.block(4000);
    run.acquireFor("e", 0);
    run.session(live(1, true), live(2, true), live(3, false));
    assertEquals(
        frames("resume 1", "release 1, acquire 3 6000, acquire 4, acquire 5 0, update 2 two"), run.sent());
  }

  @Test
  void answersUpdatesThatWereSentTwiceOnceEachWithTheLastValue() {
    MachineRun run = holding("a");
    run.update(1, "one");
    run.update(1, "two");
    run.flush();
    run.sent();
    int streamNo = resume(run, live(1, true));
    assertEquals(frames("resume 1", "update 1 two"), run.sent());
    run.receive(streamNo, updated(1, REASON_UNSPECIFIED));
    assertEquals(List.of("opened", "updated 1 x2"), run.told());
  }

  @Test
  void neverMakesATryOfAWaitThatIsNearlyOver() {
    MachineRun run = holding("a");
    run.acquireFor("b", 4000);
    run.flush();
    run.sent();
    run.breaks(1);
    run.block(3999.9);
    run.session(live(1, true));
    assertEquals(frames("resume 1", "acquire 2 1"), run.sent());
  }

  @Test
  void givesUpAWaitThatIsOverInWordsAndAtTheServer() {
    MachineRun run = holding("a");
    run.acquireFor("b", 4000);
    run.flush();
    run.sent();
    run.breaks(1);
    run.block(4000);
    run.session(live(1, true), live(2, false));
    assertEquals(List.of("opened", "denied 2 timeout"), run.told());
    assertEquals(frames("resume 1", "release 2"), run.sent());
  }

  @Test
  void losesHeldClaimsThatAreNotListed() {
    MachineRun run = holding("a", "b");
    resume(run, live(2, true));
    assertEquals(List.of("opened", "lost 1 released-by-force"), run.told());
    assertEquals(List.of(2L), run.machine.heldAt(run.at()));
  }

  @Test
  void keepsAHeldClaimThatIsListedAsWaitingForAnotherServerSeesAnEarlyHandOffLate() {
    MachineRun run = holding("a");
    int streamNo = resume(run, live(1, false));
    run.receive(streamNo, waiting(1), granted(1));
    assertEquals(List.of("opened"), run.told());
    assertEquals(frames("resume 1"), run.sent());
    assertEquals(List.of(1L), run.machine.heldAt(run.at()));
  }

  @Test
  void takesAClaimAsGrantedThatIsListedAsHeld() {
    MachineRun run = holding("a");
    run.acquire("b");
    run.flush();
    run.sent();
    resume(run, live(1, true), live(2, true));
    assertEquals(List.of("opened", "granted 2"), run.told());
    assertEquals(frames("resume 1"), run.sent());
  }

  @Test
  void releasesListedClaimsThatNobodyHereWants() {
    MachineRun run = holding("a");
    long cancelled = run.acquire("b");
    run.flush();
    run.breaks(1);
    run.release(cancelled);
    run.sent();
    run.session(live(1, true), live(2, true), live(9, false));
    assertEquals(frames("resume 1", "release 2, release 9"), run.sent());
    assertEquals(List.of("opened"), run.told());
  }

  @Test
  void takesAReleasedClaimThatIsNotListedAsGone() {
    MachineRun run = holding("a", "b");
    run.release(1);
    run.flush();
    resume(run, live(2, true));
    assertEquals(List.of("opened", "released 1"), run.told());
  }

  @Test
  void extendsTheDeadlineFromWhenItWasSent() {
    MachineRun run = holding("a");
    run.block(4000);
    run.breaks(1);
    int streamNo = run.dialed();
    run.connected(streamNo);
    run.block(4000);
    run.receive(streamNo, opened(live(1, true)));
    run.told();
    run.block(10_849);
    run.tick();
    assertEquals(List.of(), run.told());
    run.block(1);
    run.tick();
    assertEquals(List.of("lost 1 session-expired"), run.told());
  }

  @Test
  void isGivenUpAtTheDeadlineAndAFreshSessionOpenedForWhatStillWaits() {
    MachineRun run = holding("a");
    run.acquire("b");
    run.flush();
    run.breaks(1);
    int streamNo = run.dialed();
    run.connected(streamNo);
    run.sent();
    run.block(14_850);
    run.receive(streamNo, opened(live(1, true)));
    assertEquals(List.of("lost 1 session-expired"), run.told());
    assertEquals(frames("close"), run.sent());
    run.session();
    assertEquals(frames("open", "acquire 2"), run.sent());
  }

  @ParameterizedTest
  @ValueSource(strings = {"SESSION_EXPIRED", "NOT_PERMITTED"})
  void ofASessionThatHasEndedLosesWhatWasHeldAndAsksAgainForWhatWasNot(String reason) {
    MachineRun run = holding("a");
    run.acquire("b");
    run.flush();
    run.breaks(1);
    int streamNo = run.dialed();
    run.connected(streamNo);
    run.sent();
    run.receive(streamNo, closed(reason));
    assertEquals(List.of("lost 1 " + Reason.valueOf(reason)), run.told());
    run.session();
    assertEquals(frames("open", "acquire 2"), run.sent());
  }

  @ParameterizedTest
  @ValueSource(strings = {"CLIENT_TOO_SLOW", "INTERNAL"})
  void followsAStreamThatTheServerHadToEndSinceThatKeepsTheSession(String reason) {
    MachineRun run = holding("a");
    run.receive(1, closed(reason));
    assertEquals(List.of(), run.told());
    run.session(live(1, true));
    assertEquals(frames("resume 1"), run.sent());
    assertEquals(List.of("opened"), run.told());
  }

  @Test
  void isNotTriedForASessionInWhichNothingIsWanted() {
    MachineRun run = holding("a");
    run.release(1);
    run.receive(1, released(1));
    run.breaks(1);
    assertEquals(List.of(), run.dials());
    assertNull(run.machine.sessionId());
    assertEquals(Double.POSITIVE_INFINITY, run.wakesInMs());
  }

  @Test
  void bringsAReleaseToTheServerAlthoughNothingElseIsWanted() {
    MachineRun run = holding("a");
    run.breaks(1);
    run.release(1);
    run.sent();
    run.session(live(1, true));
    assertEquals(frames("resume 1", "release 1"), run.sent());
  }

  @Test
  void isNotToBeHadWithoutKeepSoTheEndOfTheStreamLosesAllThatIsHeldAndAsksAgainForTheRest() {
    MachineRun run = setup().releasing().holding("a");
    run.acquire("b");
    run.flush();
    run.sent();
    run.breaks(1);
    assertEquals(List.of("lost 1 connection-lost"), run.told());
    run.session();
    assertEquals(frames("open", "acquire 2"), run.sent());
  }

  @Test
  void hasADeadlineFromTheEndOfTheStreamWhereTheTransportWasTheProof() {
    MachineRun run = setup().byTransport().holding("a");
    run.pass(60_000);
    run.breaks(1);
    run.pass(14_849);
    assertEquals(List.of(), run.told());
    run.pass(1);
    assertEquals(List.of("lost 1 session-expired"), run.told());
  }

  @Test
  void takesTheDeadlineAwayWhereTheTransportIsTheProof() {
    MachineRun run = setup().byTransport().holding("a");
    resume(run, live(1, true));
    run.pass(60_000);
    assertEquals(List.of("opened"), run.told());
  }

  @Test
  void isNotTriedAfterAnEndByForceWhichLosesWhatIsHeldAndRefusesWhatWaits() {
    MachineRun run = holding("a");
    run.acquire("b");
    run.flush();
    run.receive(1, closed("CLOSED_BY_FORCE"));
    assertEquals(List.of("lost 1 closed-by-force", "denied 2 closed-by-force"), run.told());
    assertEquals(List.of(), run.dials());
  }

  @Test
  void makesTheRestOfAFrameThatEndedTheStreamAThingOfThePast() {
    MachineRun run = holding("a");
    run.acquire("b");
    run.flush();
    run.receive(1, closed("SUPERSEDED"), granted(2));
    assertEquals(List.of(), run.told());
  }
}
