package session

import (
	"testing"
	"time"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

// A session of 15 s, opened at once: heartbeats each 5 s, and a validity deadline 14.85 s after what proved it.

// expectLossAfter has the program stand still, and expects the loss after so long and no earlier.
func (r *run) expectLossAfter(d time.Duration) {
	r.t.Helper()
	r.block(d - time.Millisecond)
	r.tick()
	r.expectTold()
	r.block(time.Millisecond)
	r.tick()
	r.expectTold("lost 1 session-expired")
}

func TestTheDeadlineIsCountedFromWhenOpenWasSentLessAHundredth(t *testing.T) {
	r := newRun(t)
	r.acquire("a")
	stream := r.dialed()
	r.connected(stream)
	r.block(4 * time.Second)
	r.receive(stream, opened(), granted(1))
	r.told()
	r.expectLossAfter(10850 * time.Millisecond)
}

func TestTheDeadlineIsCountedFromWhenTheHeartbeatWasSent(t *testing.T) {
	r := holding(t, []string{"a"})
	r.pass(5 * time.Second)
	r.expectSent("heartbeat 1")
	r.pass(4 * time.Second)
	r.receive(1, ack(1, 15*time.Second))
	r.expectLossAfter(10850 * time.Millisecond)
}

func TestTheDeadlineIsNoLaterThanAnAckSaysAndNoEarlierThanOneBeforeSaid(t *testing.T) {
	r := holding(t, []string{"a"})
	r.pass(5 * time.Second)
	r.receive(1, ack(1, 6*time.Second))
	r.expectLossAfter(9850 * time.Millisecond)
}

func TestAnAckOfAHeartbeatThatWasNotSentIsWorthNothing(t *testing.T) {
	r := holding(t, []string{"a"})
	r.receive(1, ack(9, 15*time.Second))
	r.expectLossAfter(14850 * time.Millisecond)
}

func TestTheDeadlineComesBeforeWhatArrivesPastIt(t *testing.T) {
	for what, event := range map[string]*pb.SessionEvent{
		"an ack": ack(1, 15*time.Second), "a grant": granted(2), "a denial": denied(1, pb.Reason_REASON_BUSY),
	} {
		r := holding(t, []string{"a"})
		r.acquire("b")
		r.pass(5 * time.Second)
		r.block(9850 * time.Millisecond)
		r.receive(1, event)
		if told := r.told(); len(told) != 1 || told[0] != "lost 1 session-expired" {
			t.Errorf("%s past the deadline: %q", what, told)
		}
	}
}

func TestTheDeadlineComesBeforeTheHeartbeatOfATimerThatGoesOffLate(t *testing.T) {
	r := holding(t, []string{"a"})
	r.block(20 * time.Second)
	r.tick()
	r.expectSent("close")
	r.expectTold("lost 1 session-expired")
}

func TestTheDeadlineIsAsFarAwayAsTheMachineSays(t *testing.T) {
	r := holding(t, []string{"a"})
	expectRemaining := func(want time.Duration) {
		t.Helper()
		if got := r.machine.Remaining(r.now); got != want {
			t.Errorf("%v remain, not %v", got, want)
		}
	}
	r.pass(5 * time.Second)
	expectRemaining(9850 * time.Millisecond)
	r.now.Wall += 500 * time.Millisecond
	r.receive(1, ack(1, 15*time.Second))
	expectRemaining(14350 * time.Millisecond)
	r.block(14350 * time.Millisecond)
	expectRemaining(0)
	r.tick()
	expectRemaining(0)
}

func TestEveryCallOfTheProgramLooksAtTheDeadline(t *testing.T) {
	for name, call := range map[string]func(*run){
		"acquire": func(r *run) { r.acquire("b") },
		"release": func(r *run) { r.release(7) },
		"update":  func(r *run) { r.update(1, "value") },
		"open":    func(r *run) { r.open() },
	} {
		r := holding(t, []string{"a"})
		r.block(14850 * time.Millisecond)
		r.expectHeld(0)
		call(r)
		if told := r.told(); len(told) == 0 || told[0] != "lost 1 session-expired" {
			t.Errorf("%s: %q", name, told)
		}
	}
}

func TestTheDeadlineEndsTheSessionForGood(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b", time.Minute)
	r.flush()
	r.effects = nil
	r.block(14850 * time.Millisecond)
	r.tick()
	r.expectTold("lost 1 session-expired")
	r.expectSent("close")
	expect(t, "abandoned", r.abandoned(), 1)
	if r.machine.SessionID() != "" {
		t.Error("it still has a session")
	}
	r.session()
	r.expectSent("open", "acquire 2 45.15s")
}

func TestASessionThatOpensTooLateToBeBelievedIsClosed(t *testing.T) {
	r := newRun(t)
	r.acquire("a")
	stream := r.dialed()
	r.connected(stream)
	r.block(990 * time.Millisecond)
	late := opened()
	late.GetOpened().ValidFor.Reset()
	late.GetOpened().ValidFor.Seconds = 1
	r.receive(stream, late, granted(1))
	r.expectTold()
	r.expectSent("open", "close")
	if r.machine.SessionID() != "" {
		t.Error("it believes in a session that opened too late")
	}
}

func TestASuspendedMachineHasLostItsSession(t *testing.T) {
	r := holding(t, []string{"a"})
	r.now.Wall += time.Second
	r.tick()
	r.expectTold()
	r.now.Wall += time.Millisecond
	r.tick()
	r.expectTold("lost 1 session-expired")
}

func TestASuspendedMachineIsNoticedWithinASecondWhileSomethingIsHeld(t *testing.T) {
	r := holding(t, []string{"a"})
	r.now.Wall += time.Minute
	r.pass(time.Second)
	r.expectTold("lost 1 session-expired")
}

func TestASuspendedMachineIsNoticedAlthoughTheWallClockWasSetBackBefore(t *testing.T) {
	r := holding(t, []string{"a"})
	r.now.Wall -= time.Minute
	r.tick()
	r.now.Wall += 1001 * time.Millisecond
	r.tick()
	r.expectTold("lost 1 session-expired")
}

func TestSmallJumpsOfTheWallClockCountAsTimeThatHasPassed(t *testing.T) {
	r := holding(t, []string{"a"})
	r.now.Wall += 900 * time.Millisecond
	r.tick()
	r.expectLossAfter(13950 * time.Millisecond)
}

func TestClocksMayDriftSinceEachProofStartsAfresh(t *testing.T) {
	r := holding(t, []string{"a"})
	for seq := range uint64(5) {
		r.pass(5 * time.Second)
		r.now.Wall += 400 * time.Millisecond
		r.receive(1, ack(seq+1, 15*time.Second))
	}
	r.expectTold()
}

func TestHeartbeatsAreSentEachIntervalWhateverElseIsSent(t *testing.T) {
	r := holding(t, []string{"a"})
	r.acquire("b")
	r.expectSent("acquire 2")
	r.pass(5 * time.Second)
	r.receive(1, ack(1, 15*time.Second))
	r.pass(5 * time.Second)
	r.expectSent("heartbeat 1", "heartbeat 2")
}

func TestHeartbeatsGoOnWithTheNextNumberAfterAResume(t *testing.T) {
	r := holding(t, []string{"a"})
	r.pass(5 * time.Second)
	r.resumed(live(1, true))
	r.pass(5 * time.Second)
	r.expectSent("heartbeat 1", "resume 1", "heartbeat 2")
}

func TestAStreamThatAnswersNoHeartbeatIsLeftBesideTheOld(t *testing.T) {
	r := holding(t, []string{"a"}, addresses("A", "B"))
	r.pass(9999 * time.Millisecond)
	expect(t, "dials", r.dials())
	r.pass(time.Millisecond)
	expect(t, "dials", r.dials(), "B")
	// An answer that comes after all keeps the old one.
	r.receive(1, ack(2, 15*time.Second))
	expect(t, "abandoned", r.abandoned(), 2)
	r.expectTold()
}

func TestNoHeartbeatIsSentWhereTheTransportIsTheProof(t *testing.T) {
	r := holding(t, []string{"a"}, transport)
	r.pass(time.Hour)
	r.expectSent()
	r.expectTold()
	r.expectIdle()
}
