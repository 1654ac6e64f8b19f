package session

import (
	"time"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

// session is what is known of the session on the server.
type session struct {
	id, secret string
	ttl        time.Duration
	// heartbeats is nil if the transport proves that this client lives.
	heartbeats *heartbeats
	validity   validity
	// attempt is the number of the last resume.
	attempt uint64
}

// endSession says that a session is over for this client, whatever the server thinks: it is told so, if it can be.
func (m *Machine) endSession(why Failure, at Instant) {
	m.sayClose()
	m.abandonLink()
	m.session = nil
	m.claims.endSession(why, at.Now)
}

func (m *Machine) sayClose() {
	m.commands = nil
	if m.link.state != noLink {
		m.tell(Send{m.link.stream, []*pb.SessionCommand{closeCommand()}})
	}
}

// refuse says that nobody's wish can be fulfilled.
func (m *Machine) refuse(why Failure) {
	m.claims.refuseAll(why)
	if m.openLimit != Never {
		m.notOpened(why)
	}
}

func (m *Machine) notOpened(why Failure) {
	m.openLimit = Never
	m.tell(NotOpened{why})
}

func (m *Machine) opened(event *pb.Opened, at Instant) {
	if m.session == nil {
		m.session = m.newSession(event)
	}
	s, opened := m.session, m.link
	m.link = link{state: up, stream: opened.stream, since: at.Now}
	m.lastFailure = noServer
	m.dialer.addresses.learn(event.Servers)
	if s.heartbeats == nil {
		s.validity.prove(opened.sent, Never)
	} else {
		s.heartbeats.restart(opened.sent)
		s.validity.prove(opened.sent, event.ValidFor.AsDuration())
	}
	m.look(at)
	if m.session == nil || m.phase != running {
		return
	}
	m.openLimit = Never
	m.tell(Opened{s.id})
	m.claims.reconcile(event.Claims, at.Now)
}

func (m *Machine) newSession(event *pb.Opened) *session {
	s := &session{id: event.SessionId, secret: event.ResumeSecret, ttl: event.Ttl.AsDuration()}
	if !m.settings.TransportLiveness {
		interval := event.HeartbeatInterval.AsDuration()
		if interval <= 0 {
			interval = s.ttl / 3
		}
		s.heartbeats = &heartbeats{interval: interval, due: Never}
	}
	return s
}

func (m *Machine) take(event *pb.SessionEvent, at Instant) {
	switch e := event.Event.(type) {
	case *pb.SessionEvent_Opened:
		if m.link.state == opening {
			m.opened(e.Opened, at)
		}
	case *pb.SessionEvent_HeartbeatAck:
		m.acknowledged(e.HeartbeatAck)
	case *pb.SessionEvent_Waiting:
		m.claims.waiting(e.Waiting)
	case *pb.SessionEvent_Granted:
		m.claims.granted(e.Granted)
	case *pb.SessionEvent_Denied:
		m.claims.ended(e.Denied.ClaimId, Failure{ReasonFrom(e.Denied.Reason), e.Denied.Message}, e.Denied)
	case *pb.SessionEvent_Lost:
		m.claims.ended(e.Lost.ClaimId, Failure{ReasonFrom(e.Lost.Reason), e.Lost.Message}, nil)
	case *pb.SessionEvent_Released:
		m.claims.ended(e.Released.ClaimId, neverAsked, nil)
	case *pb.SessionEvent_Updated:
		m.claims.updated(e.Updated)
	case *pb.SessionEvent_Draining:
		m.drain(e.Draining, at)
	case *pb.SessionEvent_Servers:
		m.dialer.addresses.learn(e.Servers.Servers)
	case *pb.SessionEvent_Closed:
		m.linkEnded(Failure{ReasonFrom(e.Closed.Reason), e.Closed.Message}, at)
	}
}

func (m *Machine) acknowledged(ack *pb.HeartbeatAck) {
	if m.session == nil || m.session.heartbeats == nil {
		return
	}
	if sent, ok := m.session.heartbeats.answered(ack.Seq); ok {
		m.session.validity.prove(sent, ack.ValidFor.AsDuration())
	}
}

// drain has the link go on until another stream takes over. Not all clients of the server leave in the same instant.
func (m *Machine) drain(event *pb.Draining, at Instant) {
	if m.link.state != up {
		return
	}
	m.link.draining = true
	m.dialer.addresses.learn(event.Servers)
	if m.dialer.state == dialIdle {
		m.dialer.rest(at.Now, min(time.Second, event.LeaveWithin.AsDuration()/2, m.left(at)/4))
	}
}
