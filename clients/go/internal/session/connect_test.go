package session

import (
	"slices"
	"strconv"
	"testing"
	"time"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

var refused = Failure{Unreachable, "refused"}

func TestConnectingBeginsWhenSomethingIsWanted(t *testing.T) {
	r := newRun(t)
	r.pass(time.Minute)
	expect(t, "dials", r.dials())
	r.acquire("a")
	expect(t, "dials", r.dials(), "A")
}

func TestAddressesAreTakenInTurnFromARandomOneOn(t *testing.T) {
	r := newRun(t, addresses("A", "B", "C"), random(0.4))
	r.acquire("a")
	var tried []string
	for stream := 1; stream <= 4; stream++ {
		tried = append(tried, r.dials()...)
		r.breaks(stream, refused)
		r.pass(r.machine.Wake() - r.now.Now)
	}
	expect(t, "dials", tried, "B", "C", "A", "B")
}

func TestPausesBetweenAttemptsDoubleFrom50MillisecondsTo5Seconds(t *testing.T) {
	r := newRun(t, random(0.999), func(s *Settings) { s.ConnectTimeout = 1000 * time.Second })
	r.acquire("a")
	var pauses []time.Duration
	for range 9 {
		r.breaks(r.dialed(), refused)
		pause := time.Duration(float64(r.machine.Wake()-r.now.Now) / 0.999)
		pauses = append(pauses, pause.Round(time.Millisecond))
		r.pass(5 * time.Second)
	}
	const ms = time.Millisecond
	expect(t, "pauses", pauses, 50*ms, 100*ms, 200*ms, 400*ms, 800*ms, 1600*ms, 3200*ms, 5000*ms, 5000*ms)
}

func TestPausesAreShortWhileThereIsASessionToSave(t *testing.T) {
	r := holding(t, []string{"a"}, random(0.999))
	r.breaks(1)
	var longest time.Duration
	for stream := 2; stream < 10 && r.held() == 1; stream++ {
		longest = max(longest, r.machine.Wake()-r.now.Now)
		for len(r.dials()) == 0 {
			r.pass(r.machine.Wake() - r.now.Now)
		}
		r.breaks(stream, refused)
	}
	if longest > 1500*time.Millisecond || longest < 700*time.Millisecond {
		t.Errorf("the longest pause was %v", longest)
	}
}

func TestFailuresAreForgottenAfterAStreamThatWasUpForASecond(t *testing.T) {
	r := newRun(t, random(0.999))
	r.acquire("a")
	for _, up := range []time.Duration{0, 0, time.Second} {
		stream := r.session()
		r.block(up)
		r.breaks(stream)
		if up == 0 {
			r.pass(200 * time.Millisecond)
		}
	}
	if pause := r.machine.Wake() - r.now.Now; pause > 50*time.Millisecond {
		t.Errorf("it pauses for %v", pause)
	}
}

func TestAnAddressHasAThirdOfTheTTLToConnectAndHalfOfWhatIsLeftToOpen(t *testing.T) {
	r := holding(t, []string{"a"})
	r.breaks(1)
	first := r.dialed()
	r.pass(4999 * time.Millisecond)
	expect(t, "abandoned", r.abandoned(), 1)
	r.pass(time.Millisecond)
	expect(t, "abandoned", r.abandoned(), first)
	second := r.dialed()
	r.connected(second)
	r.pass(4924 * time.Millisecond)
	expect(t, "abandoned", r.abandoned())
	r.pass(time.Millisecond)
	expect(t, "abandoned", r.abandoned(), second)
	if third := r.dialed(); third != second+1 {
		t.Errorf("stream %d was dialed after %d", third, second)
	}
}

func TestWhatIsLeftOfTheSessionIsSharedAmongTheAddressesWhenItsServerStandsStill(t *testing.T) {
	r := holding(t, []string{"a"}, addresses("A", "B", "C"))
	r.pass(10 * time.Second)
	mute := r.dialed()
	r.pass(1212 * time.Millisecond)
	expect(t, "abandoned", r.abandoned())
	r.pass(time.Millisecond)
	expect(t, "abandoned", r.abandoned(), mute)
	r.sent()
	r.connected(r.dialed())
	r.expectSent("resume 1")
}

func TestAStreamThatIsConnectedAfterItWasGivenUpIsNotUsed(t *testing.T) {
	r := newRun(t)
	r.acquire("a")
	late := r.dialed()
	r.pass(5 * time.Second)
	r.connected(late)
	r.expectSent()
	r.session()
	r.connected(late)
	r.breaks(late)
	r.expectSent("open", "acquire 1")
}

func TestANewSessionThatOpensTooLateIsClosed(t *testing.T) {
	r := newRun(t)
	r.acquire("a")
	r.connected(r.dialed())
	r.pass(5 * time.Second)
	r.expectSent("open", "close")
}

func TestASessionWhoseResumeTakesTooLongIsNotClosed(t *testing.T) {
	r := holding(t, []string{"a"})
	r.breaks(1)
	r.connected(r.dialed())
	r.pass(5 * time.Second)
	r.expectSent("resume 1")
}

func TestAClaimWithoutASessionIsDeniedAfterTheConnectTimeout(t *testing.T) {
	r := newRun(t, random(0.999))
	r.acquire("a")
	r.connected(r.dialed())
	r.receive(1, closedFor(pb.Reason_REASON_STORE_UNAVAILABLE))
	r.pass(4 * time.Second)
	r.acquire("b")
	r.pass(5999 * time.Millisecond)
	r.expectTold()
	r.pass(time.Millisecond)
	r.expectTold("denied 1 unreachable")
	r.pass(4 * time.Second)
	r.expectTold("denied 2 unreachable")
	r.expectIdle()
}

func TestAClaimThatNeverQueuedIsNotCalledTimedOut(t *testing.T) {
	r := newRun(t)
	r.acquire("a", 500*time.Millisecond)
	r.connected(r.dialed())
	r.receive(1, closedFor(pb.Reason_REASON_STORE_UNAVAILABLE))
	r.pass(499 * time.Millisecond)
	r.expectTold()
	r.pass(time.Millisecond)
	r.expectTold("denied 1 store-unavailable")
}

func TestAClaimIsDeniedAtOnceWhenNoSessionMayBeHad(t *testing.T) {
	for reason, word := range map[pb.Reason]string{
		pb.Reason_REASON_NOT_PERMITTED: "not-permitted", pb.Reason_REASON_INVALID: "invalid",
		pb.Reason_REASON_INTERNAL: "internal", pb.Reason(999): "unknown",
	} {
		r := newRun(t)
		r.acquire("a")
		r.connected(r.dialed())
		r.receive(1, closedFor(reason))
		r.expectTold("denied 1 " + word)
		expect(t, "dials", r.dials())
	}
}

func TestTheConnectTimeoutBeginsAnewWhenASessionIsLost(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b")
	r.flush()
	r.pass(9 * time.Second)
	r.receive(1, closedFor(pb.Reason_REASON_SESSION_EXPIRED))
	r.pass(9999 * time.Millisecond)
	r.expectTold("lost 1 session-expired")
	r.pass(time.Millisecond)
	r.expectTold("denied 2 unreachable")
}

func TestWaitingForASessionAloneEndsWithIt(t *testing.T) {
	r := newRun(t)
	r.open()
	r.session()
	r.expectTold("opened")
	r.open()
	r.expectTold("opened")
}

func TestWaitingForASessionAloneEndsAfterTheConnectTimeout(t *testing.T) {
	r := newRun(t)
	r.open()
	r.breaks(r.dialed(), refused)
	r.pass(10 * time.Second)
	r.expectTold("not opened unreachable")
	r.expectIdle()
}

func TestClosingLosesAndDeniesAtOnceThenTellsTheServer(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b")
	r.close()
	r.expectTold("lost 1 closed-by-client", "denied 2 closed-by-client")
	r.expectSent("close")
	r.receive(1, released(1), closedFor(pb.Reason_REASON_CLOSED_BY_CLIENT))
	r.expectTold("closed")
	r.expectIdle()
}

func TestClosingTakesNoLongerThanItMay(t *testing.T) {
	r := holding(t, []string{"a"})
	r.close()
	r.told()
	r.pass(1999 * time.Millisecond)
	r.expectTold()
	r.pass(time.Millisecond)
	r.expectTold("closed")
	expect(t, "abandoned", r.abandoned(), 1)
	r.expectIdle()
}

func TestASessionWhoseConnectionIsBrokenIsResumedToCloseIt(t *testing.T) {
	r := holding(t, []string{"a"})
	r.breaks(1)
	r.close()
	r.told()
	stream := r.dialed()
	r.connected(stream)
	r.expectSent("resume 1, close")
	r.receive(stream, opened(live(1, true)), granted(1), closedFor(pb.Reason_REASON_CLOSED_BY_CLIENT))
	r.expectTold("closed")
	if id := r.machine.SessionID(); id != "" {
		t.Errorf("there is still session %q", id)
	}
}

func TestClosingIsOverAtOnceWhenThereIsNothingToClose(t *testing.T) {
	r := newRun(t)
	r.acquire("a")
	stream := r.dialed()
	r.close()
	r.expectTold("denied 1 closed-by-client", "closed")
	expect(t, "abandoned", r.abandoned(), stream)
}

func TestASessionThatIsJustBeingOpenedIsClosed(t *testing.T) {
	r := newRun(t)
	r.acquire("a")
	stream := r.dialed()
	r.connected(stream)
	r.close()
	r.expectSent("open", "close")
	r.receive(stream, opened(), closedFor(pb.Reason_REASON_CLOSED_BY_CLIENT))
	r.expectTold("denied 1 closed-by-client", "closed")
}

func TestAClosedClientRefusesEverything(t *testing.T) {
	r := holding(t, []string{"a"})
	r.close()
	r.receive(1, closedFor(pb.Reason_REASON_CLOSED_BY_CLIENT))
	r.effects = nil
	r.acquire("b")
	r.open()
	r.close()
	r.expectTold("denied 2 closed-by-client", "not opened closed-by-client")
	r.expectIdle()
}

// -- Other servers -----------------------------------------------------------------------------------------------

func TestServersThatAServerTellsOfAreTriedFirstWhenItFails(t *testing.T) {
	r := newRun(t, addresses("A:1"))
	r.acquire("a")
	r.connected(r.dialed())
	r.receive(1, openedWith("B:1", "A:1", "C:1"), granted(1))
	expect(t, "addresses", r.machine.Addresses(), "C:1", "B:1", "A:1")
	r.dials()
	r.breaks(1)
	var tried []string
	for stream := 2; stream <= 5; stream++ {
		r.pass(0)
		tried = append(tried, r.dials()...)
		r.breaks(stream, refused)
	}
	expect(t, "dials", tried, "C:1", "B:1", "A:1", "C:1")
}

func TestAServerThatCameSinceIsGoneToAndNotOneThatIsNoMore(t *testing.T) {
	r := newRun(t, addresses("A:1"))
	r.acquire("a")
	r.connected(r.dialed())
	r.receive(1, openedWith("B:1"), granted(1))
	r.receive(1, &pb.SessionEvent{Event: &pb.SessionEvent_Servers{Servers: &pb.Servers{Servers: []string{"C:1"}}}})
	expect(t, "addresses", r.machine.Addresses(), "C:1", "A:1", "B:1")
	r.dials()
	r.breaks(1)
	r.pass(0)
	expect(t, "dials", r.dials(), "C:1")
}

func TestADrainingServerIsLeftForOneThatItNames(t *testing.T) {
	r := holding(t, []string{"a"}, addresses("A:1", "B:1"), random(0.5))
	r.receive(1, draining(10*time.Second, "C:1", "D:1"))
	r.pass(500 * time.Millisecond)
	expect(t, "dials", r.dials(), "C:1")
	r.breaks(2, refused)
	r.pass(time.Second)
	expect(t, "dials", r.dials(), "D:1")
}

func TestADrainingServerIsTriedLast(t *testing.T) {
	r := newRun(t, addresses("A:1", "B:1", "C:1"))
	r.acquire("a")
	r.session()
	r.receive(1, granted(1), draining(10*time.Second))
	var tried []string
	for stream := 2; stream <= 4; stream++ {
		r.pass(time.Second)
		tried = append(tried, r.dials()...)
		r.breaks(stream, refused)
	}
	expect(t, "dials", tried, "B:1", "C:1", "A:1")
}

func TestWhatAServerTellsReplacesWhatWasToldTheTimeBeforeTheLast(t *testing.T) {
	list := newAddressList([]string{"A:1"}, func() float64 { return 0 })
	list.learn([]string{"B:1", "C:1"})
	if tried := list.next(); tried != "C:1" {
		t.Errorf("tried %s", tried)
	}
	list.learn([]string{"D:1", "", "D:1", "unix:///x", "unix:7400"})
	expect(t, "addresses", list.queue, "D:1", "A:1", "B:1", "C:1")
	list.next()
	list.next()
	list.learn(nil)
	expect(t, "addresses", list.queue, "A:1", "D:1")
	list.learn(nil)
	expect(t, "addresses", list.queue, "A:1")
}

func TestTheServerWhereTheClientIsIsKeptWhileItTriesAnother(t *testing.T) {
	list := newAddressList([]string{"A:1"}, func() float64 { return 0 })
	list.learn([]string{"B:1"})
	list.next()
	list.arrived()
	list.learn([]string{"A:1", "C:1"})
	if tried := list.next(); tried != "C:1" {
		t.Errorf("tried %s", tried)
	}
	for range 3 {
		list.learn([]string{"A:1"})
	}
	expect(t, "addresses", list.queue, "A:1", "B:1", "C:1")
}

func TestAServerThatCameSinceIsNotTriedBeforeAllOthers(t *testing.T) {
	var places []string
	for _, chance := range []float64{0, 0.4, 0.8} {
		list := newAddressList([]string{"A:1"}, func() float64 { return chance })
		list.next()
		list.learn([]string{"B:1", "C:1", "D:1"})
		list.learn([]string{"B:1", "C:1", "D:1", "E:1"})
		places = append(places, strconv.Itoa(slices.Index(list.queue, "E:1")))
	}
	expect(t, "places", places, "0", "1", "3")
}
