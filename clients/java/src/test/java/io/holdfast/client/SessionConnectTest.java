package io.holdfast.client;

import static io.holdfast.client.MachineRun.REFUSED;
import static io.holdfast.client.Says.closed;
import static io.holdfast.client.Says.draining;
import static io.holdfast.client.MachineRun.frames;
import static io.holdfast.client.Says.granted;
import static io.holdfast.client.MachineRun.holding;
import static io.holdfast.client.Says.live;
import static io.holdfast.client.Says.opened;
import static io.holdfast.client.Says.openedAmong;
import static io.holdfast.client.Says.serversAre;
import static io.holdfast.client.Says.released;
import static io.holdfast.client.MachineRun.setup;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("The way to a session")
class SessionConnectTest {
  @Test
  void itBeginsWhenSomethingIsWantedAndNotBefore() {
    MachineRun run = setup().run();
    run.pass(60_000);
    assertEquals(List.of(), run.dials());
    run.acquire("a");
    assertEquals(List.of("a:1"), run.dials());
  }

  @Test
  void theAddressesAreTakenInTurnFromARandomOneOn() {
    MachineRun run = setup().addresses("a:1", "b:1", "c:1").random(() -> 0.4).run();
    run.acquire("a");
    List<String> tried = new ArrayList<>();
    for (int streamNo = 1; streamNo <= 4; streamNo++) {
      tried.addAll(run.dials());
      run.breaks(streamNo, REFUSED);
      run.pass(run.wakesInMs());
    }
    assertEquals(List.of("b:1", "c:1", "a:1", "b:1"), tried);
  }

  @Test
  void pausesAreARandomPartOfABoundThatDoublesFrom50MsTo5S() {
    MachineRun run = setup().random(() -> 0.999).connectTimeoutMs(1_000_000).run();
    run.acquire("a");
    List<Long> bounds = new ArrayList<>();
    for (int i = 0; i < 9; i++) {
      run.breaks(run.dialed(), REFUSED);
      bounds.add(Math.round(run.wakesInMs() / 0.999));
      run.pass(5000);
    }
    assertEquals(List.of(50L, 100L, 200L, 400L, 800L, 1600L, 3200L, 5000L, 5000L), bounds);
  }

  @Test
  void pausesAreNoLongerThanATenthOfTheTtlWhileThereIsASessionToSave() {
    MachineRun run = setup().random(() -> 0.999).holding("a");
    run.breaks(1);
    double longestMs = 0;
    for (int i = 0; i < 8; i++) {
      longestMs = Math.max(longestMs, run.wakesInMs());
      run.pass(run.wakesInMs());
      while (run.dials().isEmpty()) run.pass(run.wakesInMs());
      run.breaks(i + 2, REFUSED);
    }
    assertTrue(longestMs <= 1500 && longestMs > 700, longestMs + " ms");
  }

  @Test
  void failuresAreForgottenAfterAStreamThatWasUpForASecondAndNotBefore() {
    MachineRun run = setup().random(() -> 0.999).run();
    run.acquire("a");
    for (int upMs : new int[] {0, 0, 1000}) {
      int streamNo = run.session();
      run.block(upMs);
      run.breaks(streamNo);
      if (upMs == 0) run.pass(200);
    }
    assertEquals(50, run.wakesInMs(), 1);
  }

  @Test
  void anAddressHasAThirdOfTheTtlToConnectAtMost5SAndHalfOfWhatIsLeftToOpen() {
    MachineRun run = holding("a");
    run.breaks(1);
    int first = run.dialed();
    run.pass(4999);
    assertEquals(List.of(1), run.abandoned());
    run.pass(1);
    assertEquals(List.of(first), run.abandoned());
    run.pass(0);
    int second = run.dialed();
    run.connected(second);
    run.pass(4924);
    assertEquals(List.of(), run.abandoned());
    run.pass(1);
    assertEquals(List.of(second), run.abandoned());
    run.pass(0);
    assertEquals(second + 1, run.dialed());
  }

  @Test
  void whatIsLeftOfTheSessionIsSharedAmongTheAddressesWhenItsServerStandsStill() {
    MachineRun run = setup().addresses("a:1", "b:1", "c:1").holding("a");
    run.pass(10_000);
    int mute = run.dialed();
    run.pass(1212);
    assertEquals(List.of(), run.abandoned());
    run.pass(1);
    assertEquals(List.of(mute), run.abandoned());
    run.sent();
    run.connected(run.dialed());
    assertEquals(frames("resume 1"), run.sent());
  }

  @Test
  void withoutASessionAnAddressHasItsShareOfTheConnectTimeoutAtLeast1SAndAtMost5S() {
    assertEquals(5000, setup().ttlMs(2000).firstAttemptMs());
    assertEquals(5000, setup().connectTimeoutMs(60_000).firstAttemptMs());
    assertEquals(2500, setup().addresses("a:1", "b:1", "c:1", "d:1").firstAttemptMs());
    assertEquals(1000, setup().addresses("a:1", "b:1").connectTimeoutMs(1200).firstAttemptMs());
  }

  @Test
  void aNewSessionThatOpensTooLateIsClosedLestItBeNobodys() {
    MachineRun run = setup().run();
    run.acquire("a");
    run.connected(run.dialed());
    run.pass(5000);
    assertEquals(frames("open", "close"), run.sent());
  }

  @Test
  void aSessionWhoseResumeTakesTooLongIsNotClosed() {
    MachineRun run = holding("a");
    run.breaks(1);
    run.connected(run.dialed());
    run.pass(5000);
    assertEquals(frames("resume 1"), run.sent());
  }

  @Nested
  @DisplayName("A claim that no session can be had for")
  class WithoutASession {
    @Test
    void isDeniedAfterTheConnectTimeoutForTheLastFailuresReason() {
      MachineRun run = setup().random(() -> 0.999).run();
      run.acquire("a");
      run.connected(run.dialed());
      run.receive(1, closed("STORE_UNAVAILABLE"));
      run.pass(4000);
      run.acquire("b");
      run.pass(5999);
      assertEquals(List.of(), run.told());
      run.pass(1);
      assertEquals(List.of("denied 1 unreachable"), run.told());
      run.pass(4000);
      assertEquals(List.of("denied 2 unreachable"), run.told());
      assertEquals(Double.POSITIVE_INFINITY, run.wakesInMs());
    }

    @Test
    void isDeniedWhenItsOwnWaitIsOverAndNotCalledTimedOutForItNeverWaitedInAQueue() {
      MachineRun run = setup().run();
      run.acquireFor("a", 500);
      run.connected(run.dialed());
      run.receive(1, closed("STORE_UNAVAILABLE"));
      run.pass(499);
      assertEquals(List.of(), run.told());
      run.pass(1);
      assertEquals(List.of("denied 1 store-unavailable"), run.told());
    }

    @ParameterizedTest
    @ValueSource(strings = {"NOT_PERMITTED", "INVALID", "INTERNAL"})
    void isDeniedAtOnceWhenAServerSaysThatNoneMayBeHad(String reason) {
      MachineRun run = setup().run();
      run.acquire("a");
      run.connected(run.dialed());
      run.receive(1, closed(reason));
      assertEquals(List.of("denied 1 " + Reason.valueOf(reason)), run.told());
      assertEquals(List.of(), run.dials());
    }

    @Test
    void mayTakeTheWholeConnectTimeoutAgainWhenASessionIsLostWhileItWaits() {
      MachineRun run = holding("a");
      run.acquire("b");
      run.flush();
      run.pass(9000);
      run.receive(1, closed("SESSION_EXPIRED"));
      run.pass(9999);
      assertEquals(List.of("lost 1 session-expired"), run.told());
      run.pass(1);
      assertEquals(List.of("denied 2 unreachable"), run.told());
    }
  }

  @Nested
  @DisplayName("Waiting for a session alone")
  class Opening {
    @Test
    void endsWhenThereIsOneAlsoIfItWasThereBefore() {
      MachineRun run = setup().run();
      run.open();
      run.session();
      assertEquals(List.of("opened"), run.told());
      run.open();
      assertEquals(List.of("opened"), run.told());
    }

    @Test
    void endsWithTheReasonWhenThereIsNoneWithinTheConnectTimeout() {
      MachineRun run = setup().run();
      run.open();
      run.breaks(run.dialed(), REFUSED);
      run.pass(10_000);
      assertEquals(List.of("not-opened unreachable"), run.told());
      assertEquals(Double.POSITIVE_INFINITY, run.wakesInMs());
    }
  }

  @Nested
  @DisplayName("Other servers")
  class OtherServers {
    private MachineRun among(String... servers) {
      MachineRun run = setup().run();
      run.acquire("a");
      int streamNo = run.dialed();
      run.connected(streamNo);
      run.receive(streamNo, openedAmong(servers));
      run.forget();
      return run;
    }

    @Test
    void thatAServerToldOfAreTriedBeforeTheOthersAndTheOneThatFailedLast() {
      MachineRun run = setup().addresses("a:1", "b:1").run();
      run.acquire("a");
      int streamNo = run.dialed();
      run.connected(streamNo);
      run.receive(streamNo, openedAmong("c:1", "b:1", "d:1"));
      List<String> tried = new ArrayList<>();
      for (int no = streamNo; no < streamNo + 5; no++) {
        run.breaks(no, REFUSED);
        run.pass(1500);
        tried.addAll(run.dials());
      }
      assertEquals(List.of("d:1", "c:1", "b:1", "a:1", "d:1"), tried);
    }

    @Test
    void areForgottenWhenTheyAreNotToldOfAnyMoreAndThoseOfTheProgramNever() {
      MachineRun run = setup().addresses("a:1", "b:1").run();
      run.acquire("a");
      assertEquals(Set.of("a:1", "b:1", "c:1"), told(run, "c:1", "c:1", "a:1"));
      // This is c:1, which does not name itself.
      assertEquals(Set.of("a:1", "b:1", "c:1", "d:1"), told(run, "d:1"));
      assertEquals(Set.of("a:1", "b:1", "d:1"), told(run));
      assertEquals(Set.of("a:1", "b:1"), told(run));
    }

    private static Set<String> told(MachineRun run, String... servers) {
      int streamNo = run.dialed();
      run.connected(streamNo);
      run.receive(streamNo, openedAmong(servers));
      Set<String> known = Set.copyOf(run.machine.addresses());
      run.breaks(streamNo);
      run.pass(0);
      return known;
    }

    @Test
    void areGoneToWhenTheyCameSinceAndNotWhenTheyAreNoMore() {
      MachineRun run = among("b:1");
      run.receive(1, serversAre("c:1"));
      assertEquals(List.of("c:1", "a:1", "b:1"), run.machine.addresses());
      run.breaks(1);
      run.pass(0);
      assertEquals(List.of("c:1"), run.dials());
    }

    @Test
    void areNothingButHostsAndPorts() {
      MachineRun run = among("unix:///etc/passwd", "dns://evil/b:1", "b:1", "[::1]:7400", "c", "d:1/e");
      assertEquals(Set.of("a:1", "b:1", "[::1]:7400"), Set.copyOf(run.machine.addresses()));
    }

    @Test
    void areGoneToInAnOrderOfChanceSoThatClientsSpread() {
      List<String> firsts = new ArrayList<>();
      for (double chance : new double[] {0, 0.4, 0.8}) {
        MachineRun run = setup().random(() -> chance).run();
        run.acquire("a");
        run.connected(run.dialed());
        run.receive(1, openedAmong("b:1", "c:1", "d:1"));
        firsts.add(run.machine.addresses().get(0));
      }
      assertEquals(List.of("d:1", "c:1", "b:1"), firsts);
    }

    @Test
    void areNotGoneToBeforeAllOthersWhenTheyCameSince() {
      List<Integer> places = new ArrayList<>();
      for (double chance : new double[] {0, 0.4, 0.8}) {
        double[] random = {0};
        MachineRun run = setup().random(() -> random[0]).run();
        run.acquire("a");
        run.connected(run.dialed());
        run.receive(1, openedAmong("b:1", "c:1", "d:1"));
        random[0] = chance;
        run.receive(1, serversAre("b:1", "c:1", "d:1", "e:1"));
        places.add(run.machine.addresses().indexOf("e:1"));
      }
      assertEquals(List.of(0, 1, 3), places);
    }

    @Test
    void areKeptWhileTheClientIsThereOrTheyAreAwayForAMoment() {
      AddressList list = new AddressList(List.of("a:1"), () -> 0);
      list.next();
      list.arrived();
      list.learn(List.of("b:1"));
      list.next();
      list.arrived();
      // It is on b:1 now, and tries c:1.
      list.learn(List.of("a:1", "c:1"));
      assertEquals("c:1", list.next());
      list.learn(List.of("a:1", "d:1"));
      assertEquals(List.of("d:1", "a:1", "b:1", "c:1"), list.all());
      list.learn(List.of("a:1"));
      assertEquals(List.of("a:1", "d:1", "b:1", "c:1"), list.all());
      list.learn(List.of("a:1"));
      assertEquals(List.of("a:1", "b:1", "c:1"), list.all());
    }

    @Test
    void areGoneToWhenAServerDrainsAndSaysWhere() {
      MachineRun run = among("b:1", "c:1");
      run.receive(1, draining("c:1"));
      run.pass(1000);
      assertEquals(List.of("c:1"), run.dials());
    }
  }

  @Nested
  @DisplayName("A server that goes away")
  class Drained {
    @Test
    void isLeftForTheNextAddressWithoutAGapForItServesUntilTheResumeIsSent() {
      MachineRun run = setup().addresses("a:1", "b:1").holding("a");
      run.acquire("b");
      run.flush();
      run.sent();
      run.receive(1, draining());
      int streamNo = run.dialed();
      run.receive(1, granted(2));
      assertEquals(List.of("granted 2"), run.told());
      run.connected(streamNo);
      run.receive(streamNo, opened(live(1, true), live(2, true)));
      assertEquals(List.of(1), run.abandoned());
      assertEquals(frames("resume 1"), run.sent());
      assertEquals(List.of("opened"), run.told());
    }

    @Test
    void isNotLeftByAllAtOnceWhetherItSaysWhereToGoOrNot() {
      for (String[] servers : new String[][] {{}, {"b:1"}}) {
        MachineRun run = setup().random(() -> 0.5).holding("a");
        run.receive(1, draining(servers));
        run.pass(499);
        assertEquals(List.of(), run.dials());
        run.pass(1);
        assertEquals(List.of(servers.length == 0 ? "a:1" : "b:1"), run.dials());
      }
    }

    @Test
    void isLeftWhileThreeQuartersOfTheSessionAreLeftHoweverShortItIs() {
      MachineRun run = setup().random(() -> 0.5).run();
      run.acquire("a");
      run.connected(run.dialed());
      run.receive(1, opened(2000));
      run.receive(1, granted(1));
      run.receive(1, draining());
      run.pass(247);
      assertEquals(List.of(), run.dials());
      run.pass(1);
      assertEquals(List.of("a:1"), run.dials());
    }

    @Test
    void isLeftByClosingASessionInWhichNothingIsWanted() {
      MachineRun run = holding("a");
      run.release(1);
      run.receive(1, released(1));
      run.sent();
      run.receive(1, draining());
      assertEquals(frames("close"), run.sent());
      assertEquals(List.of(1), run.abandoned());
      assertEquals(List.of(), run.dials());
    }

    @Test
    void keepsASessionThatCannotBeResumedUntilNothingIsHeld() {
      MachineRun run = setup().releasing().holding("a");
      run.receive(1, draining());
      run.pass(1000);
      assertEquals(List.of(), run.dials());
      run.acquire("b");
      run.flush();
      run.release(1);
      assertTrue(run.sent().stream().flatMap(List::stream).toList().contains("close"));
      run.session();
      assertEquals(frames("open", "acquire 2"), run.sent());
    }
  }

  @Nested
  @DisplayName("Closing")
  class Closing {
    @Test
    void losesWhatIsHeldAndDeniesWhatWaitsAtOnceThenTellsTheServerAndWaitsForItsAnswer() {
      MachineRun run = holding("a");
      run.acquire("b");
      run.close();
      assertEquals(List.of("lost 1 closed-by-client", "denied 2 closed-by-client"), run.told());
      assertEquals(frames("close"), run.sent());
      run.receive(1, released(1), closed("CLOSED_BY_CLIENT"));
      assertEquals(List.of("closed"), run.told());
      assertEquals(Double.POSITIVE_INFINITY, run.wakesInMs());
    }

    @Test
    void takesNoLongerThanItMay() {
      MachineRun run = holding("a");
      run.close();
      run.told();
      run.pass(1999);
      assertEquals(List.of(), run.told());
      run.pass(1);
      assertEquals(List.of("closed"), run.told());
      assertEquals(List.of(1), run.abandoned());
      assertEquals(Double.POSITIVE_INFINITY, run.wakesInMs());
    }

    @Test
    void resumesASessionWhoseConnectionIsBrokenToCloseIt() {
      MachineRun run = holding("a");
      run.breaks(1);
      run.close();
      run.told();
      int streamNo = run.dialed();
      run.connected(streamNo);
      assertEquals(frames("resume 1, close"), run.sent());
      run.receive(streamNo, opened(live(1, true)), granted(1), closed("CLOSED_BY_CLIENT"));
      assertEquals(List.of("closed"), run.told());
      assertNull(run.machine.sessionId());
    }

    @Test
    void isOverAtOnceWhenThereIsNothingToClose() {
      MachineRun run = setup().run();
      run.acquire("a");
      int streamNo = run.dialed();
      run.close();
      assertEquals(List.of("denied 1 closed-by-client", "closed"), run.told());
      assertEquals(List.of(streamNo), run.abandoned());
    }

    @Test
    void closesASessionThatIsJustBeingOpened() {
      MachineRun run = setup().run();
      run.acquire("a");
      int streamNo = run.dialed();
      run.connected(streamNo);
      run.close();
      assertEquals(frames("open", "close"), run.sent());
      run.receive(streamNo, opened(), closed("CLOSED_BY_CLIENT"));
      assertEquals(List.of("denied 1 closed-by-client", "closed"), run.told());
    }

    @Test
    void refusesEverythingAfterwardsAndDoesNothing() {
      MachineRun run = holding("a");
      run.close();
      run.receive(1, closed("CLOSED_BY_CLIENT"));
      run.forget();
      run.acquire("b");
      run.open();
      run.close();
      assertEquals(List.of("denied 2 closed-by-client", "not-opened closed-by-client"), run.told());
      assertEquals(List.of(), run.dials());
      assertEquals(Double.POSITIVE_INFINITY, run.wakesInMs());
    }
  }
}
