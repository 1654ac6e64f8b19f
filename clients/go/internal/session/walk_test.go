package session

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

const (
	walks = 400
	steps = 300
	// serverTTL is how long after the last proof a server ends a session of 15 s (DESIGN 4.7).
	serverTTL = 15*time.Second/100*101 + 50*time.Millisecond
)

// modelSession is a session as its server knows it.
type modelSession struct {
	id       string
	attempt  uint64
	deadline time.Duration
	// claims are the live ones: whether they are held.
	claims      map[uint64]bool
	lastSeq     uint64
	lastClaimID uint64
	stream      int
}

// modelServer is the service as clients see it, much simplified: one table of sessions whose claims are granted or not
// as chance will have it. It panics when a client breaks a rule of the protocol.
type modelServer struct {
	chance   func(probability float64) bool
	sessions map[string]*modelSession
	opened   int
}

func (s *modelServer) expire(now time.Duration) {
	maps.DeleteFunc(s.sessions, func(_ string, each *modelSession) bool { return now > each.deadline })
}

func (s *modelServer) sessionOn(stream int) *modelSession {
	for _, each := range s.sessions {
		if each.stream == stream {
			return each
		}
	}
	return nil
}

// command is what it answers to a command that arrives now on a stream.
func (s *modelServer) command(stream int, command *pb.SessionCommand, now time.Duration) []*pb.SessionEvent {
	if open := command.GetOpen(); open != nil {
		if open.Resume != nil {
			return s.resume(stream, open.Resume, now)
		}
		return s.open(stream, now)
	}
	on := s.sessionOn(stream)
	if on == nil {
		// Its session has ended or was resumed elsewhere: nobody listens.
		return nil
	}
	switch c := command.Command.(type) {
	case *pb.SessionCommand_Heartbeat:
		if c.Heartbeat.Seq <= on.lastSeq {
			panic(fmt.Sprintf("heartbeat %d after %d", c.Heartbeat.Seq, on.lastSeq))
		}
		on.lastSeq = c.Heartbeat.Seq
		if s.chance(0.1) {
			return nil
		}
		on.deadline = now + serverTTL
		return []*pb.SessionEvent{ack(c.Heartbeat.Seq, 15*time.Second)}
	case *pb.SessionCommand_Acquire:
		return s.acquire(on, c.Acquire.ClaimId)
	case *pb.SessionCommand_Release:
		delete(on.claims, c.Release.ClaimId)
		return []*pb.SessionEvent{released(c.Release.ClaimId)}
	case *pb.SessionCommand_Update:
		return []*pb.SessionEvent{updated(c.Update.ClaimId, 0)}
	default:
		delete(s.sessions, on.id)
		return []*pb.SessionEvent{closedFor(pb.Reason_REASON_CLOSED_BY_CLIENT)}
	}
}

func (s *modelServer) open(stream int, now time.Duration) []*pb.SessionEvent {
	s.opened++
	id := fmt.Sprint("session ", s.opened)
	s.sessions[id] = &modelSession{id: id, deadline: now + serverTTL, claims: map[uint64]bool{}, stream: stream}
	event := opened()
	event.GetOpened().SessionId = id
	return []*pb.SessionEvent{event}
}

func (s *modelServer) resume(stream int, resume *pb.Resume, now time.Duration) []*pb.SessionEvent {
	on := s.sessions[resume.SessionId]
	if on == nil {
		return []*pb.SessionEvent{closedFor(pb.Reason_REASON_SESSION_EXPIRED)}
	}
	if resume.Attempt <= on.attempt {
		panic(fmt.Sprintf("attempt %d after %d", resume.Attempt, on.attempt))
	}
	on.attempt = resume.Attempt
	if s.chance(0.1) {
		return []*pb.SessionEvent{closedFor(pb.Reason_REASON_STORE_UNAVAILABLE)}
	}
	on.stream, on.deadline, on.lastClaimID = stream, now+serverTTL, 0
	var claims []*pb.SessionClaim
	for _, id := range slices.Sorted(maps.Keys(on.claims)) {
		claims = append(claims, live(id, on.claims[id]))
	}
	event := opened(claims...)
	event.GetOpened().SessionId = on.id
	return []*pb.SessionEvent{event}
}

func (s *modelServer) acquire(on *modelSession, id uint64) []*pb.SessionEvent {
	if _, isLive := on.claims[id]; !isLive {
		if id <= on.lastClaimID {
			panic(fmt.Sprintf("claim %d after %d", id, on.lastClaimID))
		}
		on.lastClaimID = id
		if s.chance(0.2) {
			return []*pb.SessionEvent{denied(id, pb.Reason_REASON_BUSY)}
		}
		on.claims[id] = false
	}
	if on.claims[id] || s.chance(0.5) {
		return s.grant(on, id)
	}
	return []*pb.SessionEvent{waiting(id)}
}

func (s *modelServer) grant(on *modelSession, id uint64) []*pb.SessionEvent {
	on.claims[id] = true
	return []*pb.SessionEvent{granted(id)}
}

// end ends a claim by force, or denies it.
func (s *modelServer) end(on *modelSession, id uint64) []*pb.SessionEvent {
	wasHeld := on.claims[id]
	delete(on.claims, id)
	if wasHeld {
		return []*pb.SessionEvent{lostByForce(id)}
	}
	return []*pb.SessionEvent{denied(id, pb.Reason_REASON_BUSY)}
}

// walkStream is a stream, and what is on its way over it, in order.
type walkStream struct {
	connected, gone bool
	toServer        []*pb.SessionCommand
	toClient        []*pb.SessionEvent
}

// walk is a machine, a network and a server in the hands of chance; each step is followed by the checks.
type walk struct {
	*run
	random  *rand.Rand
	server  *modelServer
	streams map[int]*walkStream
	// claims are what each claim's owner was told last; claims that ended are not here.
	claims map[uint64]string
	// forced are claims that an administrator ended.
	forced   map[uint64]bool
	counts   map[string]int
	isClosed bool
}

func newWalk(t *testing.T, seed uint64) *walk {
	w := &walk{
		random:  rand.New(rand.NewPCG(seed, 0)),
		streams: map[int]*walkStream{},
		claims:  map[uint64]string{},
		forced:  map[uint64]bool{},
		counts:  map[string]int{},
	}
	w.server = &modelServer{
		chance:   func(probability float64) bool { return w.random.Float64() < probability },
		sessions: map[string]*modelSession{},
	}
	w.run = newRun(t, addresses("A", "B"), func(s *Settings) { s.Random = w.random.Float64 })
	return w
}

func (w *walk) upTo(d time.Duration) time.Duration {
	return time.Duration(w.random.Float64() * float64(d))
}

func (w *walk) step() {
	switch dice := w.random.Float64() * 100; {
	case dice < 12:
		wait := []time.Duration{Never, 0, w.upTo(20 * time.Second)}[w.random.IntN(3)]
		w.claims[w.acquire("x", wait)] = "wanted"
	case dice < 24:
		// As the client does: whether it is lost is found out first.
		w.tick()
		w.settle()
		withAny(w, slices.Sorted(maps.Keys(w.claims)), w.giveUp)
	case dice < 30:
		withAny(w, w.heldClaims(), func(id uint64) { w.update(id, "value") })
	case dice < 45:
		w.pass(w.upTo(2 * time.Second))
	case dice < 48:
		w.block(w.upTo(8 * time.Second))
	case dice < 49:
		w.now.Wall += w.upTo(1500 * time.Millisecond)
	case dice < 60:
		withAny(w, w.streamsThat(false), w.connect)
	case dice < 75:
		withAny(w, w.streamsThat(true), w.serve)
	case dice < 92:
		withAny(w, w.streamsThat(true), w.deliver)
	case dice < 94:
		withAny(w, w.streamsThat(true), w.breakStream)
	case dice < 98:
		withAny(w, w.streamsThat(true), w.decide)
	default:
		withAny(w, w.streamsThat(true), func(stream int) {
			w.streams[stream].toClient = append(w.streams[stream].toClient, draining(5*time.Second, "C:1"))
		})
	}
	w.settle()
}

func withAny[One comparable](w *walk, all []One, do func(One)) {
	if len(all) > 0 {
		do(all[w.random.IntN(len(all))])
	}
}

// streamsThat are the streams that are connected, or that are being dialed.
func (w *walk) streamsThat(connected bool) []int {
	var all []int
	for _, no := range slices.Sorted(maps.Keys(w.streams)) {
		if each := w.streams[no]; !each.gone && each.connected == connected {
			all = append(all, no)
		}
	}
	return all
}

func (w *walk) heldClaims() []uint64 {
	var all []uint64
	for _, id := range slices.Sorted(maps.Keys(w.claims)) {
		if w.claims[id] == "held" {
			all = append(all, id)
		}
	}
	return all
}

func (w *walk) giveUp(id uint64) {
	w.claims[id] = "released"
	w.release(id)
}

func (w *walk) connect(stream int) {
	if w.random.Float64() < 0.2 {
		w.breakStream(stream)
		return
	}
	w.streams[stream].connected = true
	w.connected(stream)
}

// serve has some of what is on its way arrive at the server.
func (w *walk) serve(stream int) {
	s := w.streams[stream]
	n := min(len(s.toServer), 1+w.random.IntN(5))
	for _, command := range s.toServer[:n] {
		s.toClient = append(s.toClient, w.server.command(stream, command, w.now.Now)...)
	}
	s.toServer = s.toServer[n:]
}

// deliver has some of what is on its way arrive at the client.
func (w *walk) deliver(stream int) {
	s := w.streams[stream]
	n := min(len(s.toClient), 1+w.random.IntN(5))
	events := s.toClient[:n]
	s.toClient = s.toClient[n:]
	if n > 0 {
		w.receive(stream, events...)
	}
}

func (w *walk) breakStream(stream int) {
	w.counts["broken"]++
	w.streams[stream].gone = true
	w.breaks(stream)
}

// decide has the server grant, deny or end a claim by itself.
func (w *walk) decide(stream int) {
	on := w.server.sessionOn(stream)
	if on == nil {
		return
	}
	withAny(w, slices.Sorted(maps.Keys(on.claims)), func(id uint64) {
		s := w.streams[stream]
		if w.random.Float64() < 0.3 {
			w.forced[id] = true
			s.toClient = append(s.toClient, w.server.end(on, id)...)
		} else {
			s.toClient = append(s.toClient, w.server.grant(on, id)...)
		}
	})
}

// settle does what the machine wanted, and checks what may never happen.
func (w *walk) settle() {
	w.flush()
	effects := w.effects
	w.effects = nil
	for _, effect := range effects {
		w.do(effect)
	}
	w.server.expire(w.now.Now)
	for _, claim := range w.machine.Held(w.now) {
		if state := w.claims[claim.ID]; state != "held" {
			panic(fmt.Sprintf("claim %d is held, and its owner was told that it is %q", claim.ID, state))
		}
		// What the client believes to hold, the server keeps for it, unless an administrator took it away.
		on := w.server.sessions[w.machine.SessionID()]
		if on == nil {
			panic(fmt.Sprintf("claim %d is held in a session that has ended", claim.ID))
		}
		if !w.forced[claim.ID] && !on.claims[claim.ID] {
			panic(fmt.Sprintf("claim %d is held, and the server does not keep it", claim.ID))
		}
	}
}

func (w *walk) do(effect Effect) {
	w.counts[fmt.Sprintf("%T", effect)]++
	switch e := effect.(type) {
	case Dial:
		w.streams[e.Stream] = &walkStream{}
	case Send:
		s := w.streams[e.Stream]
		if s == nil || !s.connected {
			panic(fmt.Sprintf("something is sent on stream %d, which is not connected", e.Stream))
		}
		if !s.gone {
			s.toServer = append(s.toServer, e.Commands...)
		}
		for _, command := range e.Commands {
			w.counts[fmt.Sprintf("%T", command.Command)]++
			if command.GetOpen().GetResume() != nil {
				w.counts["resume"]++
			}
		}
	case Abandon:
		w.abandon(e.Stream)
	case Granted:
		w.becomes(e.ClaimID, "held", "wanted")
	case Waiting:
		w.becomes(e.ClaimID, "wanted", "wanted")
	case Updated:
		w.becomes(e.ClaimID, "held", "held")
	case Lost:
		w.becomes(e.ClaimID, "", "held")
	case Denied:
		w.becomes(e.ClaimID, "", "wanted")
	case Released:
		w.becomes(e.ClaimID, "", "released")
	case Closed:
		w.isClosed = true
	}
}

func (w *walk) abandon(stream int) {
	s := w.streams[stream]
	if s == nil {
		panic(fmt.Sprintf("stream %d is abandoned twice", stream))
	}
	// What was sent still goes out, or is lost with the connection; nothing comes back that counts.
	if s.connected && !s.gone && w.random.Float64() < 0.7 {
		for _, command := range s.toServer {
			w.server.command(stream, command, w.now.Now)
		}
	}
	delete(w.streams, stream)
}

func (w *walk) becomes(id uint64, to, from string) {
	if w.claims[id] != from {
		panic(fmt.Sprintf("claim %d becomes %q, and was %q", id, to, w.claims[id]))
	}
	if to == "" {
		delete(w.claims, id)
	} else {
		w.claims[id] = to
	}
}

// calm has everything that is sent arrive, and everything that waits granted.
func (w *walk) calm(d time.Duration) {
	for end := w.now.Now + d; w.now.Now < end; w.pass(250 * time.Millisecond) {
		for _, stream := range w.streamsThat(false) {
			w.streams[stream].connected = true
			w.connected(stream)
			w.settle()
		}
		for _, stream := range w.streamsThat(true) {
			if w.streams[stream] == nil {
				continue
			}
			w.serve(stream)
			if on := w.server.sessionOn(stream); on != nil {
				for _, id := range slices.Sorted(maps.Keys(on.claims)) {
					if !on.claims[id] {
						w.streams[stream].toClient = append(w.streams[stream].toClient, w.server.grant(on, id)...)
					}
				}
			}
			w.deliver(stream)
			w.settle()
		}
	}
	w.settle()
}

// end: after the calm nobody waits in vain, nothing is left behind, and the machine wants nothing more.
func (w *walk) end() {
	w.calm(time.Minute)
	if len(w.heldClaims()) != len(w.claims) {
		panic(fmt.Sprint("somebody waits in vain: ", w.claims))
	}
	for _, id := range w.heldClaims() {
		w.giveUp(id)
	}
	w.calm(10 * time.Second)
	if len(w.claims) > 0 {
		panic(fmt.Sprint("releases were not answered: ", w.claims))
	}
	w.close()
	w.calm(20 * time.Second)
	if !w.isClosed || len(w.server.sessions) > 0 || w.machine.Wake() != Never {
		panic(fmt.Sprintf("closed: %v, sessions left: %d", w.isClosed, len(w.server.sessions)))
	}
}

func TestRandomWalksKeepThePromisesWhateverBreaksComesLateOrStandsStill(t *testing.T) {
	counts := map[string]int{}
	for seed := range uint64(walks) {
		if problem := walkOnce(t, seed, counts); problem != nil {
			t.Fatalf("seed %d: %v", seed, problem)
		}
	}
	// What did not happen was not tried.
	for _, what := range []string{
		"*holdfastv1.SessionCommand_Open", "resume", "session.Granted", "session.Denied", "session.Lost",
		"session.Released", "session.Updated", "session.Abandon", "broken", "*holdfastv1.SessionCommand_Close",
	} {
		if counts[what] < walks/3 {
			t.Errorf("%s happened only %d times", what, counts[what])
		}
	}
}

func walkOnce(t *testing.T, seed uint64, counts map[string]int) (problem interface{}) {
	w := newWalk(t, seed)
	defer func() { problem = recover() }()
	for range steps {
		w.step()
	}
	w.end()
	for what, count := range w.counts {
		counts[what] += count
	}
	return nil
}
