package session

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

// resumed breaks stream 1 and resumes on the next one, where these claims are live.
func (r *run) resumed(claims ...*pb.SessionClaim) int {
	r.t.Helper()
	r.breaks(1)
	return r.session(claims...)
}

func TestAResumeKeepsWhatIsHeldWithoutAWord(t *testing.T) {
	r := holding(t, []string{"a"})
	r.resumed(live(1, true))
	r.expectSent("resume 1")
	r.expectTold("opened")
	r.expectHeld(1)
}

func TestEachResumeHasALargerAttempt(t *testing.T) {
	r := holding(t, []string{"a"})
	r.breaks(1)
	for _, reason := range []pb.Reason{
		0, pb.Reason_REASON_SUPERSEDED, pb.Reason_REASON_STORE_UNAVAILABLE, pb.Reason_REASON_DRAINING,
	} {
		stream := r.dialed()
		r.connected(stream)
		if reason == 0 {
			r.breaks(stream)
		} else {
			r.receive(stream, closedFor(reason))
		}
	}
	r.session(live(1, true))
	r.expectSent("resume 1", "resume 2", "resume 3", "resume 4", "resume 5")
	r.expectTold("opened")
}

func TestNothingIsTakenFromEarlierStreamsOnceAResumeIsSent(t *testing.T) {
	r := holding(t, []string{"a"}, addresses("A", "B"))
	r.acquire("b")
	r.pass(10 * time.Second)
	r.connected(r.dialed())
	r.told()
	r.receive(1, ack(1, 15*time.Second), granted(2), denied(1, pb.Reason_REASON_BUSY),
		closedFor(pb.Reason_REASON_SESSION_EXPIRED))
	r.breaks(1)
	r.expectTold()
	r.pass(4850 * time.Millisecond)
	r.expectTold("lost 1 session-expired")
}

func TestAnAckOfAnEarlierStreamsHeartbeatIsWorthNothing(t *testing.T) {
	r := holding(t, []string{"a"})
	r.pass(5 * time.Second)
	stream := r.resumed(live(1, true))
	r.told()
	r.block(4 * time.Second)
	r.receive(stream, ack(1, time.Minute))
	r.block(10850 * time.Millisecond)
	r.tick()
	r.expectTold("lost 1 session-expired")
}

func TestAResumeSendsReleasesThenWhatIsNotGrantedThenUpdates(t *testing.T) {
	r := holding(t, []string{"a", "b"})
	r.acquire("c", 10*time.Second)
	r.acquire("d")
	r.flush()
	r.update(2, "one")
	r.update(2, "two")
	r.release(1)
	r.sent()
	r.breaks(1)
	r.block(4 * time.Second)
	r.acquire("e", 0)
	r.session(live(1, true), live(2, true), live(3, false))
	r.expectSent("resume 1", "release 1, acquire 3 6s, acquire 4, acquire 5 0s, update 2 two")
}

func TestUpdatesSentTwiceAreAnsweredOnceEach(t *testing.T) {
	r := holding(t, []string{"a"})
	r.update(1, "one")
	r.update(1, "two")
	r.sent()
	stream := r.resumed(live(1, true))
	r.told()
	r.expectSent("resume 1", "update 1 two")
	r.receive(stream, updated(1, 0))
	r.expectTold("updated 1 2")
}

func TestAWaitThatIsNearlyOverIsNeverMadeATry(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b", 4*time.Second)
	r.sent()
	r.breaks(1)
	r.block(4*time.Second - time.Microsecond)
	r.session(live(1, true))
	r.expectSent("resume 1", "acquire 2 1ms")
}

func TestAWaitThatIsOverIsGivenUpInWordsAndAtTheServer(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b", 4*time.Second)
	r.sent()
	r.breaks(1)
	r.block(4 * time.Second)
	r.session(live(1, true), live(2, false))
	r.expectTold("opened", "denied 2 timeout")
	r.expectSent("resume 1", "release 2")
}

func TestHeldClaimsThatAreNotListedAreLost(t *testing.T) {
	r := holding(t, []string{"a", "b"})
	r.resumed(live(2, true))
	r.expectTold("opened", "lost 1 released-by-force")
	r.expectHeld(1)
}

func TestAHeldClaimListedAsWaitingIsKept(t *testing.T) {
	// Another server sees an early hand-off late.
	r := holding(t, []string{"a"})
	stream := r.resumed(live(1, false))
	r.receive(stream, waiting(1), granted(1))
	r.expectTold("opened")
	r.expectSent("resume 1")
	r.expectHeld(1)
}

func TestAClaimListedAsHeldIsGranted(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b")
	r.sent()
	r.resumed(live(1, true), live(2, true))
	r.expectTold("opened", "granted 2")
	r.expectSent("resume 1")
}

func TestListedClaimsThatNobodyWantsAreReleased(t *testing.T) {
	r := holding(t, []string{"a"})
	cancelled := r.acquire("b")
	r.flush()
	r.breaks(1)
	r.release(cancelled)
	r.sent()
	r.session(live(1, true), live(2, true), live(9, false))
	r.expectSent("resume 1", "release 2, release 9")
	r.expectTold("opened")
}

func TestAReleasedClaimThatIsNotListedIsGone(t *testing.T) {
	r := holding(t, []string{"a", "b"})
	r.release(1)
	r.flush()
	r.resumed(live(2, true))
	r.expectTold("opened", "released 1")
}

func TestAResumeExtendsTheDeadlineFromWhenItWasSent(t *testing.T) {
	r := holding(t, []string{"a"})
	r.block(4 * time.Second)
	r.breaks(1)
	stream := r.dialed()
	r.connected(stream)
	r.block(4 * time.Second)
	r.receive(stream, opened(live(1, true)))
	r.told()
	r.block(10849 * time.Millisecond)
	r.tick()
	r.expectTold()
	r.block(time.Millisecond)
	r.tick()
	r.expectTold("lost 1 session-expired")
}

func TestAResumeIsGivenUpAtTheDeadline(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b")
	r.flush()
	r.breaks(1)
	stream := r.dialed()
	r.connected(stream)
	r.sent()
	r.block(14850 * time.Millisecond)
	r.receive(stream, opened(live(1, true)))
	r.expectTold("lost 1 session-expired")
	r.expectSent("close")
	r.session()
	r.expectSent("open", "acquire 2")
}

func TestASessionThatHasEndedLosesWhatWasHeldAndAsksAgainForTheRest(t *testing.T) {
	for reason, word := range map[pb.Reason]string{
		pb.Reason_REASON_SESSION_EXPIRED: "session-expired", pb.Reason_REASON_NOT_PERMITTED: "not-permitted",
	} {
		r := holding(t, []string{"a"})
		r.acquire("b")
		r.flush()
		r.breaks(1)
		stream := r.dialed()
		r.connected(stream)
		r.sent()
		r.receive(stream, closedFor(reason))
		r.expectTold("lost 1 " + word)
		r.session()
		r.expectSent("open", "acquire 2")
	}
}

func TestAStreamThatTheServerHadToEndIsFollowedByAResume(t *testing.T) {
	for _, reason := range []pb.Reason{pb.Reason_REASON_CLIENT_TOO_SLOW, pb.Reason_REASON_INTERNAL} {
		r := holding(t, []string{"a"})
		r.receive(1, closedFor(reason))
		r.expectTold()
		r.session(live(1, true))
		r.expectSent("resume 1")
		r.expectTold("opened")
	}
}

func TestASessionInWhichNothingIsWantedIsNotResumed(t *testing.T) {
	r := holding(t, []string{"a"})
	r.release(1)
	r.receive(1, released(1))
	r.breaks(1)
	expect(t, "dials", r.dials())
	if r.machine.SessionID() != "" {
		t.Error("it still has a session")
	}
	r.expectIdle()
}

func TestAReleaseIsBroughtToTheServerAlthoughNothingElseIsWanted(t *testing.T) {
	r := holding(t, []string{"a"})
	r.breaks(1)
	r.release(1)
	r.sent()
	r.session(live(1, true))
	r.expectSent("resume 1", "release 1")
}

func TestABrokenStreamLosesEverythingWhereItCannotBeResumed(t *testing.T) {
	r := holding(t, []string{"a"}, releases)
	r.acquire("b")
	r.sent()
	r.breaks(1)
	r.expectTold("lost 1 connection-lost")
	r.session()
	r.expectSent("open", "acquire 2")
}

func TestABrokenStreamStartsADeadlineWhereTheTransportWasTheProof(t *testing.T) {
	r := holding(t, []string{"a"}, transport)
	r.pass(time.Minute)
	r.breaks(1)
	r.pass(14849 * time.Millisecond)
	r.expectTold()
	r.pass(time.Millisecond)
	r.expectTold("lost 1 session-expired")
}

func TestAResumeEndsThatDeadline(t *testing.T) {
	r := holding(t, []string{"a"}, transport)
	r.resumed(live(1, true))
	r.pass(time.Minute)
	r.expectTold("opened")
}

func TestASessionClosedByForceLosesWhatIsHeldAndRefusesWhatWaits(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b")
	r.flush()
	r.receive(1, closedFor(pb.Reason_REASON_CLOSED_BY_FORCE))
	r.expectTold("lost 1 closed-by-force", "denied 2 closed-by-force")
	expect(t, "dials", r.dials())
}

func TestTheEndOfAStreamIsTheEndOfItsFrame(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b")
	r.flush()
	r.receive(1, closedFor(pb.Reason_REASON_SUPERSEDED), granted(2))
	r.expectTold()
}

func TestADrainingServerServesUntilTheResumeIsSent(t *testing.T) {
	r := holding(t, []string{"a"}, addresses("A", "B"))
	r.acquire("b")
	r.sent()
	r.receive(1, draining(10*time.Second))
	r.pass(0)
	stream := r.dialed()
	r.receive(1, granted(2))
	r.expectTold("granted 2")
	r.connected(stream)
	r.receive(stream, opened(live(1, true), live(2, true)))
	expect(t, "abandoned", r.abandoned(), 1)
	r.expectSent("resume 1")
	r.expectTold("opened")
}

func TestADrainingServerIsNotLeftByAllInTheSameInstant(t *testing.T) {
	r := holding(t, []string{"a"}, random(0.5))
	r.receive(1, draining(10*time.Second))
	r.pass(499 * time.Millisecond)
	expect(t, "dials", r.dials())
	r.pass(time.Millisecond)
	expect(t, "dials", r.dials(), "A")
}

func TestADrainingServerIsLeftWhileThreeQuartersOfTheSessionAreLeft(t *testing.T) {
	r := newRun(t, random(0.5))
	r.acquire("a")
	r.connected(r.dialed())
	short := opened()
	short.GetOpened().Ttl = durationpb.New(2 * time.Second)
	short.GetOpened().ValidFor = durationpb.New(2 * time.Second)
	r.receive(1, short, granted(1), draining(10*time.Second))
	r.dials()
	r.pass(247 * time.Millisecond)
	expect(t, "dials", r.dials())
	r.pass(time.Millisecond)
	expect(t, "dials", r.dials(), "A")
}

func TestADrainingServerIsLeftByClosingASessionInWhichNothingIsWanted(t *testing.T) {
	r := holding(t, []string{"a"})
	r.release(1)
	r.receive(1, released(1))
	r.sent()
	r.receive(1, draining(10*time.Second))
	r.expectSent("close")
	expect(t, "abandoned", r.abandoned(), 1)
	expect(t, "dials", r.dials())
}

func TestADrainingServerKeepsASessionThatCannotBeResumedUntilNothingIsHeld(t *testing.T) {
	r := holding(t, []string{"a"}, releases)
	r.receive(1, draining(10*time.Second))
	r.pass(time.Second)
	expect(t, "dials", r.dials())
	r.acquire("b")
	r.flush()
	r.release(1)
	if sent := r.sent(); sent[len(sent)-1] != "close" {
		t.Errorf("sent: %q", sent)
	}
	r.session()
	r.expectSent("open", "acquire 2")
}
