package session

import (
	"testing"
	"time"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

func TestAllCommandsThatAreReadyTravelInOneFrameInOrder(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b")
	r.release(1)
	r.acquire("a")
	r.expectTold()
	r.expectSent("acquire 2, release 1, acquire 3")
	if r.machine.HasCommands() {
		t.Error("something is left to send")
	}
}

func TestAcquiresWaitForTheSessionThenGoInOrder(t *testing.T) {
	r := newRun(t)
	r.acquire("a")
	r.acquire("b", 0)
	stream := r.session()
	r.expectSent("open", "acquire 1, acquire 2 0s")
	r.acquire("c")
	r.receive(stream, granted(1))
	r.expectSent("acquire 3")
}

func TestAProgramIsToldWhereAClaimStandsAndWhatBecomesOfIt(t *testing.T) {
	r := newRun(t)
	r.acquire("a")
	r.acquire("b", 0)
	stream := r.session()
	r.told()
	r.receive(stream, waiting(1), granted(1), denied(2, pb.Reason_REASON_BUSY))
	r.expectTold("waiting 1", "granted 1", "denied 2 busy")
	if held := r.machine.Held(r.now); len(held) != 1 || held[0].Locks[0].FencingToken != 101 {
		t.Errorf("held: %v", held)
	}
}

func TestAReleaseIsForGoodAndSentOnce(t *testing.T) {
	r := holding(t, []string{"a"})
	r.release(1)
	r.release(1)
	r.expectHeld(0)
	r.expectSent("release 1")
	r.receive(1, released(1))
	r.expectTold("released 1")
}

func TestTheServerHearsNothingOfAClaimGivenUpBeforeItWasSent(t *testing.T) {
	r := newRun(t)
	first := r.acquire("a")
	r.acquire("b")
	r.release(first)
	r.session()
	r.expectTold("released 1", "opened")
	r.expectSent("open", "acquire 2")
}

func TestDialingStopsWhenNothingIsWantedAnyMore(t *testing.T) {
	r := newRun(t)
	id := r.acquire("a")
	stream := r.dialed()
	r.release(id)
	expect(t, "abandoned", r.abandoned(), stream)
	r.expectIdle()
}

func TestAGrantThatCrossesItsCancellingIsGivenBack(t *testing.T) {
	r := holding(t, []string{"a"})
	id := r.acquire("b")
	r.flush()
	r.release(id)
	r.sent()
	r.receive(1, granted(id))
	r.expectSent("release 2")
	r.expectTold()
}

func TestAGrantThatNobodyAskedForIsGivenBack(t *testing.T) {
	r := holding(t, []string{"a"})
	r.receive(1, granted(7))
	r.expectSent("release 7")
	r.expectTold()
}

func TestADenialOfAHeldClaimIsItsLoss(t *testing.T) {
	r := holding(t, []string{"a"})
	r.receive(1, denied(1, pb.Reason_REASON_STORE_UNAVAILABLE))
	r.expectTold("lost 1 store-unavailable")
	r.expectHeld(0)
}

func TestTheEndOfAWaitingClaimIsItsDenial(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b")
	r.flush()
	r.receive(1, lostByForce(2))
	r.expectTold("denied 2 released-by-force")
}

func TestAHeldClaimIsNeverDemotedToWaiting(t *testing.T) {
	r := holding(t, []string{"a"})
	r.receive(1, waiting(1))
	r.expectTold()
	r.expectHeld(1)
}

func TestUpdatesOfHeldClaimsAreAnsweredInOrder(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b")
	r.update(1, "one")
	r.update(2, "not held")
	r.update(1, "two")
	r.expectSent("acquire 2, update 1 one, update 1 two")
	r.receive(1, updated(1, 0), updated(1, pb.Reason_REASON_STORE_UNAVAILABLE))
	r.expectTold("updated 1 1", "updated 1 1 store-unavailable")
}

func TestAWaitTimesOutByItselfOnlyWhenTheServerHasLongBeenDueTo(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b", 3*time.Second)
	r.expectSent("acquire 2 3s")
	r.pass(3900 * time.Millisecond)
	r.expectTold()
	r.pass(200 * time.Millisecond)
	r.expectTold("denied 2 timeout")
	r.expectSent("release 2")
	r.receive(1, released(2))
	r.expectTold()
}

func TestALateGrantOfAClaimThatTimedOutIsGivenBack(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b", time.Second)
	r.pass(2 * time.Second)
	r.sent()
	r.told()
	r.receive(1, granted(2))
	r.expectSent("release 2")
	r.expectTold()
	r.expectHeld(1)
}
