package session

import (
	"time"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

type linkState int

const (
	noLink linkState = iota
	// opening: open or resume has been sent, and not answered.
	opening
	up
)

// link is the stream that carries the session.
type link struct {
	state  linkState
	stream int
	// sent is when the first frame was sent; giveUp is when its answer comes too late.
	sent   Instant
	giveUp time.Duration
	// since is when it was up; draining says that its server goes away.
	since    time.Duration
	draining bool
}

// wantsStream tells whether another stream is wanted than the one there is.
func (m *Machine) wantsStream(at Instant) bool {
	switch m.link.state {
	case noLink:
		return m.needsSession()
	case opening:
		return false
	}
	// A session that cannot be resumed stays where it is.
	if m.settings.Release || m.phase != running {
		return false
	}
	h := m.session.heartbeats
	return m.link.draining || h != nil && h.mute(at.Now)
}

func (m *Machine) needsSession() bool {
	switch m.phase {
	case running:
		return len(m.claims.claims) > 0 || m.openLimit != Never
	case closing:
		// To tell the server that it has ended.
		return m.session != nil
	default:
		return false
	}
}

// finish ends an input: leaves what is not needed, dials what is, and hands out what there is to do.
func (m *Machine) finish(at Instant) []Effect {
	if m.phase == closing {
		m.stopIfDone(at)
	} else {
		m.leaveUnneeded(at)
	}
	if !m.wantsStream(at) {
		m.stopDialing()
	} else if m.dialer.state == dialIdle {
		m.tell(m.dialer.start(after(at.Now, m.dialTime(at))))
	}
	effects := m.effects
	m.effects = nil
	return effects
}

func (m *Machine) stopIfDone(at Instant) {
	if at.Now < m.closeBy && (m.link.state != noLink || m.session != nil) {
		return
	}
	m.phase = closed
	m.abandonLink()
	m.session = nil
	m.tell(Closed{})
}

// leaveUnneeded sees to it that a session that nothing needs is not carried from one stream to another.
func (m *Machine) leaveUnneeded(at Instant) {
	if m.link.state == noLink && !m.needsSession() {
		m.session = nil
	}
	if m.link.state != up || !m.link.draining {
		return
	}
	inUse := len(m.claims.claims) > 0
	if m.settings.Release {
		inUse = m.claims.heldCount > 0
	}
	if !inUse {
		m.endSession(serverDrains, at)
	}
}

func (m *Machine) stopDialing() {
	if stream := m.dialer.stream(); stream != 0 {
		m.tell(Abandon{stream})
	}
	m.dialer.stop()
}

// dialTime is how long connecting to an address may take. While there is a session to save, what is left of it is
// shared: a server that stands still, or is gone without a word, must not take the time in which another would have gone
// on.
func (m *Machine) dialTime(at Instant) time.Duration {
	return m.stepTime(250*time.Millisecond, m.left(at)/time.Duration(len(m.Addresses())+1))
}

// openTime is how long opening or resuming may take, which is some writes of the store's.
func (m *Machine) openTime(at Instant) time.Duration {
	return m.stepTime(time.Second, m.left(at)/2)
}

func (m *Machine) stepTime(least, share time.Duration) time.Duration {
	return min(5*time.Second, max(time.Second, m.ttl()/3), max(least, share))
}

// left is what is left of the session, Never if there is none.
func (m *Machine) left(at Instant) time.Duration {
	if m.session == nil {
		return Never
	}
	return m.session.validity.deadline() - at.Now
}

func (m *Machine) ttl() time.Duration {
	if m.session != nil {
		return m.session.ttl
	}
	return m.settings.TTL
}

func (m *Machine) giveUpOnStreams(at Instant) {
	if m.dialer.stream() != 0 && at.Now >= m.dialer.wake() {
		m.dialFailed(noServer, at)
	}
	if m.link.state == opening && at.Now >= m.link.giveUp {
		// A new session that opens too late would be nobody's; one that is resumed is still wanted.
		if m.session == nil {
			m.sayClose()
		}
		m.linkEnded(noServer, at)
	}
}

func (m *Machine) dialFailed(why Failure, at Instant) {
	m.lastFailure = why
	m.stopDialing()
	m.rest(at)
}

func (m *Machine) rest(at Instant) {
	longest := Never
	if m.session != nil {
		// While there is a session to save, several attempts must fit into its TTL.
		longest = m.ttl() / 10
	}
	m.dialer.restAfterFailure(at.Now, longest)
}

// openOn sends the first frame of a stream. From here on nothing is taken from the one before.
func (m *Machine) openOn(stream int, at Instant) {
	m.dialer.addresses.arrived()
	m.dialer.stop()
	m.abandonLink()
	m.link = link{
		state: opening, stream: stream, sent: at, giveUp: after(at.Now, m.openTime(at)),
	}
	first := m.openCommand()
	if m.session != nil {
		first = m.resumeCommand()
	}
	commands := []*pb.SessionCommand{first}
	if m.phase == closing {
		commands = append(commands, closeCommand())
	}
	m.tell(Send{stream, commands})
}

func (m *Machine) abandonLink() {
	if m.link.state != noLink {
		m.tell(Abandon{m.link.stream})
	}
	m.link = link{}
	m.commands = nil
}

func (m *Machine) linkEnded(why Failure, at Instant) {
	if m.link.state == up && at.Now-m.link.since >= steady {
		m.dialer.forgetFailures()
	}
	m.abandonLink()
	m.lastFailure = why
	next := consequenceOf(why.Reason, m.session != nil)
	if next != resumeSession || m.settings.Release {
		m.endSession(why, at)
	} else if m.session != nil && m.session.heartbeats == nil {
		// Nothing but the connection proved that this client lives: from now on nothing does.
		m.session.validity = validity{}
		m.session.validity.prove(at, m.session.ttl)
	}
	if next == refuseAll {
		m.refuse(why)
	}
	// An attempt that is under way already goes on.
	if m.dialer.state == dialIdle {
		m.rest(at)
	}
}
