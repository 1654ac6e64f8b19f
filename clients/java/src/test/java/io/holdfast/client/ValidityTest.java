package io.holdfast.client;

import static io.holdfast.client.Says.ack;
import static io.holdfast.client.MachineRun.frames;
import static io.holdfast.client.Says.granted;
import static io.holdfast.client.MachineRun.holding;
import static io.holdfast.client.Says.live;
import static io.holdfast.client.MachineRun.ms;
import static io.holdfast.client.Says.opened;
import static io.holdfast.client.MachineRun.setup;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;

/** A session of 15 s, opened at once: heartbeats each 5 s, and a validity deadline 14.85 s after what proved it. */
@DisplayName("The validity deadline")
class ValidityTest {
  private static void assertLostAfter(MachineRun run, double timeMs) {
    run.told();
    run.block(timeMs - 1);
    run.tick();
    assertEquals(List.of(), run.told());
    run.block(1);
    run.tick();
    assertEquals(List.of("lost 1 session-expired"), run.told());
  }

  @Test
  void isCountedFromWhenOpenWasSentLessAHundredth() {
    MachineRun run = setup().run();
    run.acquire("a");
    int streamNo = run.dialed();
    run.connected(streamNo);
    run.block(4000);
    run.receive(streamNo, opened(), granted(1));
    assertLostAfter(run, 10_850);
  }

  @Test
  void isCountedFromWhenTheHeartbeatThatIsAnsweredWasSentNotFromItsAnswer() {
    MachineRun run = holding("a");
    run.pass(5000);
    assertEquals(frames("heartbeat 1"), run.sent());
    run.pass(4000);
    run.receive(1, ack(1));
    assertLostAfter(run, 10_850);
  }

  @Test
  void isNoLaterThanAnAckSaysAndNeverEarlierThanAnEarlierOneSaid() {
    MachineRun run = holding("a");
    run.pass(5000);
    run.receive(1, ack(1, 6000));
    assertLostAfter(run, 9850);
  }

  @Test
  void isNotMovedByAnAckOfAHeartbeatThatWasNotSent() {
    MachineRun run = holding("a");
    run.receive(1, ack(9));
    run.block(14_850);
    run.tick();
    assertEquals(List.of("lost 1 session-expired"), run.told());
  }

  @Test
  void comesBeforeTheAckThatArrivesPastIt() {
    MachineRun run = holding("a");
    run.pass(5000);
    run.block(9850);
    run.receive(1, ack(1));
    assertEquals(List.of("lost 1 session-expired"), run.told());
  }

  @Test
  void comesBeforeTheGrantThatArrivesPastIt() {
    MachineRun run = holding("a");
    run.acquire("b");
    run.flush();
    run.block(14_850);
    run.receive(1, granted(2));
    assertEquals(List.of("lost 1 session-expired"), run.told());
  }

  @Test
  void comesBeforeTheHeartbeatOfATimerThatFiresLate() {
    MachineRun run = holding("a");
    run.block(20_000);
    run.tick();
    assertEquals(frames("close"), run.sent());
    assertEquals(List.of("lost 1 session-expired"), run.told());
  }

  @Test
  void isAsFarAwayAsTheMachineSaysAsLongAsNothingMoreIsHeard() {
    MachineRun run = holding("a");
    run.pass(5000);
    Validity validity = run.machine.validity();
    assertEquals(ms(9850), validity.remainingNanosAt(run.at()));
    run.wallNanos += ms(500);
    run.receive(1, ack(1));
    assertEquals(ms(14_350), validity.remainingNanosAt(run.at()));
    run.block(14_350);
    assertEquals(0, validity.remainingNanosAt(run.at()));
    run.tick();
    assertNull(run.machine.validity());
  }

  @Test
  void isLookedAtByEveryCallOfTheProgram() {
    List<Consumer<MachineRun>> calls =
        List.of(run -> run.acquire("b"), run -> run.release(7), run -> run.update(1, "value"), MachineRun::open);
    for (Consumer<MachineRun> call : calls) {
      MachineRun run = holding("a");
      run.block(14_850);
      assertEquals(List.of(), run.machine.heldAt(run.at()));
      call.accept(run);
      assertEquals("lost 1 session-expired", run.told().get(0));
    }
  }

  @Test
  void endsTheSessionForGoodAndWhatStillWaitsIsAskedForInAFreshOne() {
    MachineRun run = holding("a");
    run.acquireFor("b", 60_000);
    run.flush();
    run.forget();
    run.block(14_850);
    run.tick();
    assertEquals(List.of("lost 1 session-expired"), run.told());
    assertEquals(frames("close"), run.sent());
    assertEquals(List.of(1), run.abandoned());
    assertNull(run.machine.sessionId());
    run.session();
    assertEquals(frames("open", "acquire 2 45150"), run.sent());
  }

  @Test
  void losesASessionThatOpenedTooLateToBeBelieved() {
    MachineRun run = setup().ttlMs(2000).run();
    run.acquire("a");
    int streamNo = run.dialed();
    run.connected(streamNo);
    run.block(990);
    run.receive(streamNo, opened(1000));
    assertEquals(frames("open", "close"), run.sent());
    assertNull(run.machine.sessionId());
  }

  @Test
  void thatSomebodySawPassedIsNotMovedByAnAckThatIsTakenUpLater() {
    Validity validity = new Validity();
    validity.prove(new Moment(0, 0), ms(1000));
    Moment sentAt = new Moment(ms(900), ms(900));
    // A thread of the program looks at 990 ms; that of the session took the ack a moment earlier, and comes second.
    assertEquals(0, validity.remainingNanosAt(new Moment(ms(990), ms(990))));
    validity.prove(sentAt, ms(1000));
    assertEquals(0, validity.remainingNanosAt(new Moment(ms(991), ms(991))));
  }

  @Nested
  @DisplayName("On a machine that was suspended")
  class Suspended {
    @Test
    void hasPassedWhenTheWallClockJumpsMoreThanASecondAheadOfTheMonotonicOne() {
      MachineRun run = holding("a");
      run.wallNanos += ms(1000);
      run.tick();
      assertEquals(List.of(), run.told());
      run.wallNanos += ms(1);
      run.tick();
      assertEquals(List.of("lost 1 session-expired"), run.told());
    }

    @Test
    void isLookedAtWithinASecondWhileSomethingIsHeld() {
      MachineRun run = holding("a");
      run.wallNanos += ms(60_000);
      run.pass(1000);
      assertEquals(List.of("lost 1 session-expired"), run.told());
    }

    @Test
    void hasPassedAlthoughTheWallClockWasSetBackBefore() {
      MachineRun run = holding("a");
      run.wallNanos -= ms(60_000);
      run.tick();
      run.wallNanos += ms(1001);
      run.tick();
      assertEquals(List.of("lost 1 session-expired"), run.told());
    }

    @Test
    void comesEarlierBySmallerJumpsUntilTheNextProof() {
      MachineRun run = holding("a");
      run.wallNanos += ms(900);
      run.tick();
      assertLostAfter(run, 13_950);
    }

    @Test
    void startsAfreshWithEachProofSoThatClocksMayDrift() {
      MachineRun run = holding("a");
      for (long seq = 1; seq <= 5; seq++) {
        run.pass(5000);
        run.wallNanos += ms(400);
        run.receive(1, ack(seq));
      }
      assertEquals(List.of(), run.told());
    }
  }

  @Nested
  @DisplayName("Heartbeats")
  class Beats {
    @Test
    void areSentEachIntervalNumberedUpwardsWhateverElseIsSent() {
      MachineRun run = holding("a");
      run.acquire("b");
      assertEquals(frames("acquire 2"), run.sent());
      run.pass(5000);
      run.receive(1, ack(1));
      run.pass(5000);
      assertEquals(frames("heartbeat 1", "heartbeat 2"), run.sent());
    }

    @Test
    void goOnWithTheNextNumberAfterAResume() {
      MachineRun run = holding("a");
      run.pass(5000);
      run.breaks(1);
      run.session(live(1, true));
      run.sent();
      run.pass(5000);
      assertEquals(frames("heartbeat 2"), run.sent());
    }

    @Test
    void areNotWantedWhenTheTransportProvesThatTheClientLivesNorIsThereADeadlineThen() {
      MachineRun run = setup().byTransport().holding("a");
      run.pass(3_600_000);
      run.wallNanos += ms(5000);
      run.tick();
      assertEquals(List.of(), run.sent());
      assertEquals(List.of(), run.told());
    }

    @Test
    void thatGoUnansweredForAnIntervalMakeItConnectElsewhereAndResumeThere() {
      MachineRun run = setup().addresses("a:1", "b:1").holding("a");
      run.pass(9999);
      assertEquals(List.of(), run.dials());
      run.pass(1);
      assertEquals(frames("heartbeat 1", "heartbeat 2"), run.sent());
      run.connected(run.dialed());
      assertEquals(List.of(1), run.abandoned());
      assertEquals(frames("resume 1"), run.sent());
    }

    @Test
    void thatAreAnsweredAfterAllLeaveItWhereItIs() {
      MachineRun run = setup().addresses("a:1", "b:1").holding("a");
      run.pass(10_000);
      int streamNo = run.dialed();
      run.receive(1, ack(2));
      assertEquals(List.of(streamNo), run.abandoned());
      run.connected(streamNo);
      assertEquals(frames("heartbeat 1", "heartbeat 2"), run.sent());
    }
  }
}
