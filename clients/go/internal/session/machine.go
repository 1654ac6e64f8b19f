package session

import (
	"time"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

// Settings are what does not change in the life of a client.
type Settings struct {
	// Addresses are at least one, to be tried in turn.
	Addresses []string
	TTL       time.Duration
	// Release: a broken stream ends the session, which cannot be resumed.
	Release bool
	// TransportLiveness: the connection proves that the client lives, and not its heartbeats.
	TransportLiveness bool
	Client            *pb.ClientInfo
	Labels            map[string]string
	// ConnectTimeout is for how long a wanted claim may go without a session to ask for it.
	ConnectTimeout time.Duration
	// CloseTimeout is how long Close may take.
	CloseTimeout time.Duration
	// Random is chance, from 0 up to but not including 1. It spreads reconnects.
	Random func() float64
}

const (
	// steady: a stream that was up for so long did not fail for what the failures before it did.
	steady = time.Second
	// lookEvery: while something is held the clocks are compared at least this often. A suspended machine fires no
	// timer.
	lookEvery = time.Second
)

type phase int

const (
	running phase = iota
	closing
	closed
)

// Machine is a client's whole conversation with the service.
//
// Inputs may come at any time and late. Each first looks whether the session may still be believed, so that nothing
// that arrives past the validity deadline is believed either (DESIGN 4.7). Whoever runs it
//   - calls Tick at Wake, which may change with every input;
//   - calls Flush soon while HasCommands, so that all that is ready travels together;
//   - reports on the streams that Dial asked for: Connected at most once, Received, Broken at most once and last.
//     Reports on streams that are not current are ignored.
//
// It is not safe for concurrent use.
type Machine struct {
	settings Settings
	claims   *claimBook
	// dialer goes on beside a link that is up but will not be for long.
	dialer *dialer
	phase  phase
	// closeBy is when a machine that is closing gives up.
	closeBy time.Duration
	session *session
	link    link
	// openLimit is until when somebody waits for a session without wanting a claim; Never: nobody does.
	openLimit   time.Duration
	effects     []Effect
	commands    []*pb.SessionCommand
	lastFailure Failure
	lookedAt    time.Duration
}

// New is a machine that has not begun.
func New(settings Settings) *Machine {
	m := &Machine{
		settings:    settings,
		dialer:      newDialer(settings.Addresses, settings.Random),
		openLimit:   Never,
		lastFailure: noServer,
	}
	m.claims = newClaimBook(m, settings.ConnectTimeout)
	return m
}

// SessionID is that of the session there is; empty if there is none.
func (m *Machine) SessionID() string {
	if m.session == nil {
		return ""
	}
	return m.session.id
}

// Addresses are where the service can be reached, as far as is known now; the next to try first.
func (m *Machine) Addresses() []string { return m.dialer.addresses.queue }

// Stream is the number of the stream that carries the session; 0 if none does.
func (m *Machine) Stream() int { return m.link.stream }

// Remaining is for how long the session may still be believed if nothing more is heard: 0 if there is none, Never if
// there is no deadline.
func (m *Machine) Remaining(at Instant) time.Duration {
	if m.session == nil || m.session.validity.problem(at) != "" {
		return 0
	}
	deadline := m.session.validity.deadline()
	if deadline == Never {
		return Never
	}
	return deadline - at.Now
}

// HasCommands tells whether commands wait for Flush.
func (m *Machine) HasCommands() bool { return len(m.commands) > 0 }

// Held is what the program may believe that it holds at a moment.
func (m *Machine) Held(at Instant) []Claim {
	if m.Remaining(at) == 0 {
		return nil
	}
	return m.claims.held()
}

// Wake is when to call Tick, in monotonic time; Never: not before another input.
func (m *Machine) Wake() time.Duration {
	wake := min(m.dialer.wake(), m.claims.nextLimit, m.openLimit)
	if m.phase == closing {
		wake = min(wake, m.closeBy)
	}
	if m.link.state == opening {
		wake = min(wake, m.link.giveUp)
	}
	if m.session != nil {
		wake = min(wake, m.sessionWake())
	}
	return wake
}

func (m *Machine) sessionWake() time.Duration {
	wake := m.session.validity.deadline()
	if m.session.heartbeats == nil {
		return wake
	}
	if m.link.state == up {
		wake = min(wake, m.session.heartbeats.due)
	}
	if m.claims.heldCount > 0 {
		wake = min(wake, after(m.lookedAt, lookEvery))
	}
	return wake
}

// -- Inputs: what the program wants ------------------------------------------------------------------------------

// Open wants a session, claims or not: Opened or NotOpened follows.
func (m *Machine) Open(at Instant) []Effect {
	m.look(at)
	switch {
	case m.phase != running:
		m.tell(NotOpened{closedByClient})
	case m.link.state == up:
		m.tell(Opened{m.session.id})
	default:
		m.openLimit = after(at.Now, m.settings.ConnectTimeout)
	}
	return m.finish(at)
}

// Acquire wants a claim: Granted or Denied follows, Waiting any number of times before.
func (m *Machine) Acquire(request Request, at Instant) (claimID uint64, effects []Effect) {
	m.look(at)
	claimID = m.claims.add(request, at.Now)
	switch {
	case m.phase != running:
		m.claims.refuseAll(closedByClient)
	case m.link.state == up:
		m.claims.ask(m.claims.claims[claimID], at.Now)
	}
	return claimID, m.finish(at)
}

// Release gives up a claim, wanted or held, for good: Released follows, unless it is gone already.
func (m *Machine) Release(claimID uint64, at Instant) []Effect {
	m.look(at)
	m.claims.release(claimID)
	return m.finish(at)
}

// Update replaces the value of a held claim: Updated follows, unless Lost or Released does.
func (m *Machine) Update(claimID uint64, value []byte, at Instant) []Effect {
	m.look(at)
	m.claims.update(claimID, value)
	return m.finish(at)
}

// Close ends the session. Held claims are Lost and wanted ones Denied at once; Closed follows.
func (m *Machine) Close(at Instant) []Effect {
	m.look(at)
	if m.phase == running {
		m.phase, m.closeBy = closing, after(at.Now, m.settings.CloseTimeout)
		m.claims.endSession(closedByClient, at.Now)
		m.refuse(closedByClient)
		m.sayClose()
	}
	return m.finish(at)
}

// -- Inputs: what happens ----------------------------------------------------------------------------------------

// Connected says that a stream that was dialed is ready to be written to.
func (m *Machine) Connected(stream int, at Instant) []Effect {
	m.look(at)
	if m.dialer.stream() == stream && m.wantsStream(at) {
		m.openOn(stream, at)
	}
	return m.finish(at)
}

// Received says that a frame came over a stream.
func (m *Machine) Received(stream int, events []*pb.SessionEvent, at Instant) []Effect {
	m.look(at)
	for _, event := range events {
		// The rest of the frame is of the past when an event ends the stream or its session.
		if m.link.state == noLink || m.link.stream != stream {
			break
		}
		m.take(event, at)
	}
	return m.finish(at)
}

// Broken says that a stream could not be had, or ended. What it sent before has been reported.
func (m *Machine) Broken(stream int, why Failure, at Instant) []Effect {
	m.look(at)
	switch {
	case m.dialer.stream() == stream:
		m.dialFailed(why, at)
	case m.link.state != noLink && m.link.stream == stream:
		m.linkEnded(why, at)
	}
	return m.finish(at)
}

// Tick says that time has passed.
func (m *Machine) Tick(at Instant) []Effect {
	m.look(at)
	m.giveUpOnStreams(at)
	m.dialer.tick(at.Now)
	if m.link.state == up && m.session.heartbeats != nil && at.Now >= m.session.heartbeats.due {
		seq := m.session.heartbeats.next(at)
		m.say(&pb.SessionCommand{Command: &pb.SessionCommand_Heartbeat{Heartbeat: &pb.Heartbeat{Seq: seq}}})
	}
	m.claims.expire(at.Now, m.lastFailure)
	if at.Now >= m.openLimit {
		m.notOpened(m.lastFailure)
	}
	return m.finish(at)
}

// Flush sends what is ready, together.
func (m *Machine) Flush(at Instant) []Effect {
	m.look(at)
	if m.link.state == up && len(m.commands) > 0 {
		m.tell(Send{m.link.stream, m.commands})
		m.commands = nil
	}
	return m.finish(at)
}

// -- The validity deadline ---------------------------------------------------------------------------------------

// look comes before everything else: past its deadline a session is never used again (DESIGN 3, Rules).
func (m *Machine) look(at Instant) {
	m.lookedAt = at.Now
	if m.session == nil {
		return
	}
	if problem := m.session.validity.problem(at); problem != "" {
		m.endSession(Failure{SessionExpired, problem}, at)
	}
}

func (m *Machine) tell(effect Effect) { m.effects = append(m.effects, effect) }

func (m *Machine) say(command *pb.SessionCommand) {
	if m.link.state == up {
		m.commands = append(m.commands, command)
	}
}
