package io.holdfast.client;

import static io.holdfast.client.Says.denied;
import static io.holdfast.client.MachineRun.frames;
import static io.holdfast.client.Says.granted;
import static io.holdfast.client.MachineRun.holding;
import static io.holdfast.client.Says.lost;
import static io.holdfast.client.Says.released;
import static io.holdfast.client.MachineRun.setup;
import static io.holdfast.client.Says.updated;
import static io.holdfast.client.Says.waiting;
import static io.holdfast.v1.Reason.REASON_BUSY;
import static io.holdfast.v1.Reason.REASON_STORE_UNAVAILABLE;
import static io.holdfast.v1.Reason.REASON_UNSPECIFIED;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.List;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("Claims of a session that is up")
class SessionClaimsTest {
  @Test
  void allCommandsOfOneTurnTravelInOneFrameInOrder() {
    MachineRun run = holding("a");
    run.acquire("b");
    run.release(1);
    run.acquire("a");
    assertEquals(frames("acquire 2, release 1, acquire 3"), run.sent());
    assertFalse(run.machine.hasCommands());
  }

  @Test
  void acquiresWaitUntilTheSessionIsOpenAndThenTravelInOneFrame() {
    MachineRun run = setup().run();
    run.acquire("a");
    run.acquireFor("b", 0);
    int streamNo = run.session();
    assertEquals(frames("open", "acquire 1, acquire 2 0"), run.sent());
    run.acquire("c");
    run.receive(streamNo, granted(1));
    assertEquals(frames("acquire 3"), run.sent());
  }

  @Test
  void theProgramIsToldOfPlacesGrantsAndDenials() {
    MachineRun run = setup().run();
    run.acquire("a");
    run.acquireFor("b", 0);
    int streamNo = run.session();
    run.forget();
    run.receive(streamNo, waiting(1), granted(1), denied(2, REASON_BUSY));
    assertEquals(List.of("waiting 1", "granted 1", "denied 2 busy"), run.told());
    assertEquals(List.of(1L), run.machine.heldAt(run.at()));
  }

  @Test
  void aReleaseIsForGoodAndSentOnce() {
    MachineRun run = holding("a");
    run.release(1);
    run.release(1);
    assertEquals(List.of(), run.machine.heldAt(run.at()));
    assertEquals(frames("release 1"), run.sent());
    run.receive(1, released(1));
    assertEquals(List.of("released 1"), run.told());
  }

  @Test
  void aClaimGivenUpBeforeItWasSentIsNeverHeardOf() {
    MachineRun run = setup().run();
    long claimId = run.acquire("a");
    run.acquire("b");
    run.release(claimId);
    run.session();
    assertEquals(List.of("released " + claimId, "opened"), run.told());
    assertEquals(frames("open", "acquire 2"), run.sent());
  }

  @Test
  void dialingStopsWhenNothingIsWantedAnyMore() {
    MachineRun run = setup().run();
    long claimId = run.acquire("a");
    int streamNo = run.dialed();
    run.release(claimId);
    assertEquals(List.of(streamNo), run.abandoned());
    assertEquals(Double.POSITIVE_INFINITY, run.wakesInMs());
  }

  @Test
  void aGrantThatCrossesItsCancellingIsGivenBack() {
    MachineRun run = holding("a");
    long claimId = run.acquire("b");
    run.flush();
    run.release(claimId);
    run.flush();
    run.forget();
    run.receive(1, granted(claimId));
    assertEquals(frames("release " + claimId), run.sent());
    assertEquals(List.of(), run.told());
  }

  @Test
  void aGrantOfAnUnknownClaimIsGivenBack() {
    MachineRun run = holding("a");
    run.receive(1, granted(7));
    assertEquals(frames("release 7"), run.sent());
    assertEquals(List.of(), run.told());
  }

  @Test
  void aDenialOfAHeldClaimIsItsLoss() {
    MachineRun run = holding("a");
    run.receive(1, denied(1, REASON_STORE_UNAVAILABLE));
    assertEquals(List.of("lost 1 store-unavailable"), run.told());
  }

  @Test
  void theEndOfAWaitingClaimIsItsDenial() {
    MachineRun run = holding("a");
    run.acquire("b");
    run.flush();
    run.receive(1, lost(2));
    assertEquals(List.of("denied 2 released-by-force"), run.told());
  }

  @Test
  void aHeldClaimIsNeverDemotedToWaiting() {
    MachineRun run = holding("a");
    run.receive(1, waiting(1));
    assertEquals(List.of(), run.told());
    assertEquals(List.of(1L), run.machine.heldAt(run.at()));
  }

  @Test
  void updatesOfHeldClaimsAreAnsweredInOrderAndNoneSentForOthers() {
    MachineRun run = holding("a");
    run.acquire("b");
    run.update(1, "one");
    run.update(2, "not held");
    run.update(1, "two");
    assertEquals(frames("acquire 2, update 1 one, update 1 two"), run.sent());
    run.receive(1, updated(1, REASON_UNSPECIFIED), updated(1, REASON_STORE_UNAVAILABLE));
    assertEquals(List.of("updated 1 x1", "updated 1 x1 store-unavailable"), run.told());
  }

  @Test
  void aWaitTimesOutByItselfOnlyWhenTheServerHasLongBeenDueTo() {
    MachineRun run = holding("a");
    run.acquireFor("b", 3000);
    assertEquals(frames("acquire 2 3000"), run.sent());
    run.pass(3900);
    assertEquals(List.of(), run.told());
    run.pass(200);
    assertEquals(List.of("denied 2 timeout"), run.told());
    assertEquals(frames("release 2"), run.sent());
    run.receive(1, released(2));
    assertEquals(List.of(), run.told());
  }
}
