package holdfast

import (
	"math/rand/v2"
	"sync"
	"time"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
	"github.com/holdfast-lock/holdfast/clients/go/internal/session"
)

// sessionRuntime runs a session machine: it gives it the time, its streams and a timer, and does what it decides. Every
// input holds the lock until its effects are done, so whoever returns from one knows what is true. Effects never block.
type sessionRuntime struct {
	settings *settings
	start    time.Time
	// streamsDone counts the goroutines of streams.
	streamsDone sync.WaitGroup
	closed      chan struct{}

	mu      sync.Mutex
	machine *session.Machine
	streams map[int]*stream
	claims  map[uint64]*claim
	timer   *time.Timer
	// timerAt is when the timer goes off; Never if it is not set.
	timerAt time.Duration
	// opening is there while somebody waits for a session.
	opening *opening
}

// opening is the waiting for a session; err is set before done is closed.
type opening struct {
	done chan struct{}
	err  error
}

func newSessionRuntime(s *settings) *sessionRuntime {
	r := &sessionRuntime{
		settings: s,
		start:    time.Now(),
		closed:   make(chan struct{}),
		machine: session.New(session.Settings{
			Addresses:         s.addresses,
			TTL:               s.ttl,
			Release:           s.release,
			TransportLiveness: s.transport,
			Client:            s.clientInfo(),
			Labels:            s.labels,
			ConnectTimeout:    s.connectTimeout,
			CloseTimeout:      s.closeTimeout,
			Random:            rand.Float64,
		}),
		streams: map[int]*stream{},
		claims:  map[uint64]*claim{},
		timerAt: session.Never,
	}
	r.timer = time.AfterFunc(session.Never, r.tick)
	return r
}

func (r *sessionRuntime) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timerAt = session.Never
	r.run(r.machine.Tick(r.now()))
}

// now is the moment by both clocks, read at once.
func (r *sessionRuntime) now() session.Instant {
	now := time.Now()
	return session.Instant{Now: now.Sub(r.start), Wall: time.Duration(now.UnixNano())}
}

// input gives the machine one of its inputs.
func (r *sessionRuntime) input(step func(*session.Machine, session.Instant) []session.Effect) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run(step(r.machine, r.now()))
}

// look sees to it that whatever may not be believed any more is lost when this returns.
func (r *sessionRuntime) look() { r.input((*session.Machine).Tick) }

func (r *sessionRuntime) sessionID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.SessionID()
}

// remaining is for how long the session may still be believed if nothing more is heard.
func (r *sessionRuntime) remaining() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Remaining(r.now())
}

// addresses are those of all servers known.
func (r *sessionRuntime) addresses() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Addresses()
}

// open wants a session.
func (r *sessionRuntime) open() *opening {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opening == nil {
		r.opening = &opening{done: make(chan struct{})}
	}
	o := r.opening
	r.run(r.machine.Open(r.now()))
	return o
}

// acquire wants a claim, for an owner that may be told at once what becomes of it.
func (r *sessionRuntime) acquire(request session.Request, tellsPlace bool) *claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, effects := r.machine.Acquire(request, r.now())
	c := newClaim(r, id, request.Locks, tellsPlace)
	r.claims[id] = c
	r.run(effects)
	return c
}

// close ends everything: when it returns, no goroutine of this is left.
func (r *sessionRuntime) close() {
	r.input((*session.Machine).Close)
	<-r.closed
	r.timer.Stop()
	r.streamsDone.Wait()
}

// -- Doing what the machine decided ------------------------------------------------------------------------------

// run does effects. The lock is held.
func (r *sessionRuntime) run(effects []session.Effect) {
	for _, effect := range effects {
		r.do(effect)
	}
	r.arm()
}

func (r *sessionRuntime) do(effect session.Effect) {
	switch e := effect.(type) {
	case session.Dial:
		r.streams[e.Stream] = startStream(r, e.Stream, e.Address)
	case session.Send:
		if s := r.streams[e.Stream]; s != nil {
			s.outbox = append(s.outbox, e.Commands...)
			s.signal()
		}
	case session.Abandon:
		if s := r.streams[e.Stream]; s != nil {
			delete(r.streams, e.Stream)
			s.abandon()
		}
	case session.Opened:
		r.endOpening(nil)
	case session.NotOpened:
		err := errorFrom(e.Failure)
		err.Message = "no session: " + err.Message
		r.endOpening(err)
	case session.Waiting:
		if c := r.claims[e.ClaimID]; c != nil {
			c.waiting(e.Place)
		}
	case session.Granted:
		if c := r.claims[e.ClaimID]; c != nil {
			c.granted(e.Locks)
		}
	case session.Updated:
		if c := r.claims[e.ClaimID]; c != nil {
			c.updated(e)
		}
	case session.Denied:
		if c := r.endedClaim(e.ClaimID); c != nil {
			c.denied(e)
		}
	case session.Lost:
		if c := r.endedClaim(e.ClaimID); c != nil {
			c.lost(e.Failure)
		}
	case session.Released:
		if c := r.endedClaim(e.ClaimID); c != nil {
			c.released()
		}
	case session.Closed:
		close(r.closed)
	}
}

func (r *sessionRuntime) endedClaim(id uint64) *claim {
	c := r.claims[id]
	delete(r.claims, id)
	return c
}

func (r *sessionRuntime) endOpening(err error) {
	if r.opening != nil {
		r.opening.err = err
		close(r.opening.done)
		r.opening = nil
	}
}

// arm sees to it that the machine is called when it wants to be: soon for what it wants to say, and at its wake time.
func (r *sessionRuntime) arm() {
	if r.machine.HasCommands() {
		if s := r.streams[r.machine.Stream()]; s != nil {
			s.signal()
		}
	}
	at := r.machine.Wake()
	// A timer that goes off too early costs less than one that is set anew with every input.
	if at < r.timerAt || at == session.Never && r.timerAt != session.Never {
		r.timerAt = at
		r.setTimer()
	}
}

func (r *sessionRuntime) setTimer() {
	if r.timerAt == session.Never {
		r.timer.Stop()
		return
	}
	r.timer.Reset(max(0, r.timerAt-time.Since(r.start)))
}

// -- What streams report -----------------------------------------------------------------------------------------

func (r *sessionRuntime) connected(no int) {
	r.input(func(m *session.Machine, at session.Instant) []session.Effect { return m.Connected(no, at) })
}

func (r *sessionRuntime) received(no int, events []*pb.SessionEvent) {
	r.input(func(m *session.Machine, at session.Instant) []session.Effect { return m.Received(no, events, at) })
}

func (r *sessionRuntime) broken(no int, why session.Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.streams, no)
	r.run(r.machine.Broken(no, why, r.now()))
}

// takeOutbox is what a stream is to send now; abandoned: and nothing after it.
func (r *sessionRuntime) takeOutbox(s *stream) (commands []*pb.SessionCommand, abandoned bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run(r.machine.Flush(r.now()))
	commands, s.outbox = s.outbox, nil
	return commands, s.abandoned
}
