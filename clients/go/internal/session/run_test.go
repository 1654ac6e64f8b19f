package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

// run is a machine whose time is turned by hand, and what it wanted so far.
type run struct {
	t       *testing.T
	machine *Machine
	now     Instant
	effects []Effect
}

var lostConnection = Failure{ConnectionLost, "reset"}

func newRun(t *testing.T, changes ...func(*Settings)) *run {
	settings := Settings{
		Addresses:      []string{"A"},
		TTL:            15 * time.Second,
		ConnectTimeout: 10 * time.Second,
		CloseTimeout:   2 * time.Second,
		// No pauses, unless a test wants them.
		Random: func() float64 { return 0 },
	}
	for _, change := range changes {
		change(&settings)
	}
	return &run{t: t, machine: New(settings), now: Instant{100 * time.Second, 1_800_000_000 * time.Second}}
}

// holding is a machine with a session on stream 1, and the claims 1, 2 and so on held.
func holding(t *testing.T, names []string, changes ...func(*Settings)) *run {
	r := newRun(t, changes...)
	for _, name := range names {
		r.acquire(name)
	}
	stream := r.session()
	for i := range names {
		r.receive(stream, granted(uint64(i+1)))
	}
	r.flush()
	r.effects = nil
	return r
}

func addresses(all ...string) func(*Settings) { return func(s *Settings) { s.Addresses = all } }
func random(value float64) func(*Settings) {
	return func(s *Settings) { s.Random = func() float64 { return value } }
}
func releases(s *Settings)  { s.Release = true }
func transport(s *Settings) { s.TransportLiveness = true }

// -- What the program does ---------------------------------------------------------------------------------------

func (r *run) acquire(name string, wait ...time.Duration) uint64 {
	id, effects := r.machine.Acquire(requestOf(name, wait...), r.now)
	r.keep(effects)
	return id
}

func requestOf(name string, wait ...time.Duration) Request {
	return Request{
		Locks: []*pb.LockSpec{{Name: name, Mode: pb.Mode_MODE_EXCLUSIVE}},
		Wait:  append(wait, Never)[0],
	}
}

func (r *run) release(id uint64)             { r.keep(r.machine.Release(id, r.now)) }
func (r *run) update(id uint64, text string) { r.keep(r.machine.Update(id, []byte(text), r.now)) }
func (r *run) open()                         { r.keep(r.machine.Open(r.now)) }
func (r *run) close()                        { r.keep(r.machine.Close(r.now)) }

// -- What happens ------------------------------------------------------------------------------------------------

func (r *run) connected(stream int) { r.keep(r.machine.Connected(stream, r.now)) }
func (r *run) receive(stream int, events ...*pb.SessionEvent) {
	r.keep(r.machine.Received(stream, events, r.now))
}
func (r *run) breaks(stream int, why ...Failure) {
	r.keep(r.machine.Broken(stream, append(why, lostConnection)[0], r.now))
}
func (r *run) tick() { r.keep(r.machine.Tick(r.now)) }

// flush sends what is ready.
func (r *run) flush() {
	if r.machine.HasCommands() {
		r.keep(r.machine.Flush(r.now))
	}
}

// pass has time pass, with the machine called whenever it wants to be.
func (r *run) pass(d time.Duration) {
	r.t.Helper()
	end := r.now.Now + d
	for calls := 0; r.machine.Wake() <= end; calls++ {
		if calls > 10_000 {
			r.t.Fatal("the machine keeps waking for nothing")
		}
		r.moveTo(max(r.now.Now, r.machine.Wake()))
		r.tick()
		r.flush()
	}
	r.moveTo(end)
}

// block has time pass, with the program standing still.
func (r *run) block(d time.Duration) { r.moveTo(r.now.Now + d) }

func (r *run) moveTo(now time.Duration) {
	r.now.Wall += now - r.now.Now
	r.now.Now = now
}

func (r *run) keep(effects []Effect) { r.effects = append(r.effects, effects...) }

// -- What it wanted: each forgets what it returned ---------------------------------------------------------------

func take[Kind Effect](r *run) []Kind {
	var taken []Kind
	r.effects = slices.DeleteFunc(r.effects, func(effect Effect) bool {
		each, ok := effect.(Kind)
		if ok {
			taken = append(taken, each)
		}
		return ok
	})
	return taken
}

// sent are the frames, with that of this turn; each command as "kind" or "kind number".
func (r *run) sent() []string {
	r.flush()
	var frames []string
	for _, send := range take[Send](r) {
		var commands []string
		for _, command := range send.Commands {
			commands = append(commands, sketch(command))
		}
		frames = append(frames, strings.Join(commands, ", "))
	}
	return frames
}

func sketch(command *pb.SessionCommand) string {
	switch c := command.Command.(type) {
	case *pb.SessionCommand_Open:
		if resume := c.Open.Resume; resume != nil {
			return fmt.Sprint("resume ", resume.Attempt)
		}
		return "open"
	case *pb.SessionCommand_Heartbeat:
		return fmt.Sprint("heartbeat ", c.Heartbeat.Seq)
	case *pb.SessionCommand_Acquire:
		if c.Acquire.Wait == nil {
			return fmt.Sprint("acquire ", c.Acquire.ClaimId)
		}
		return fmt.Sprint("acquire ", c.Acquire.ClaimId, " ", c.Acquire.Wait.AsDuration())
	case *pb.SessionCommand_Release:
		return fmt.Sprint("release ", c.Release.ClaimId)
	case *pb.SessionCommand_Update:
		return fmt.Sprint("update ", c.Update.ClaimId, " ", string(c.Update.Value))
	default:
		return "close"
	}
}

// told is what the program was told, as "kind id reason".
func (r *run) told() []string {
	var told []string
	kept := r.effects[:0:0]
	for _, effect := range r.effects {
		switch e := effect.(type) {
		case Opened:
			told = append(told, "opened")
		case NotOpened:
			told = append(told, "not opened "+string(e.Reason))
		case Waiting:
			told = append(told, fmt.Sprint("waiting ", e.ClaimID))
		case Granted:
			told = append(told, fmt.Sprint("granted ", e.ClaimID))
		case Denied:
			told = append(told, fmt.Sprint("denied ", e.ClaimID, " ", e.Reason))
		case Lost:
			told = append(told, fmt.Sprint("lost ", e.ClaimID, " ", e.Reason))
		case Released:
			told = append(told, fmt.Sprint("released ", e.ClaimID))
		case Updated:
			text := fmt.Sprint("updated ", e.ClaimID, " ", e.Count)
			if e.Failure != nil {
				text += " " + string(e.Failure.Reason)
			}
			told = append(told, text)
		case Closed:
			told = append(told, "closed")
		default:
			kept = append(kept, effect)
		}
	}
	r.effects = kept
	return told
}

func (r *run) dials() []string {
	var all []string
	for _, dial := range take[Dial](r) {
		all = append(all, dial.Address)
	}
	return all
}

func (r *run) abandoned() []int {
	var all []int
	for _, abandon := range take[Abandon](r) {
		all = append(all, abandon.Stream)
	}
	return all
}

// dialed is the number of the stream that was dialed last, or is dialed when a pause of no length ends.
func (r *run) dialed() int {
	r.t.Helper()
	all := take[Dial](r)
	if len(all) == 0 {
		r.pass(0)
		all = take[Dial](r)
	}
	if len(all) == 0 {
		r.t.Fatal("nothing is dialed")
	}
	return all[len(all)-1].Stream
}

// session connects the stream that is dialed and answers what is sent on it; it returns its number.
func (r *run) session(claims ...*pb.SessionClaim) int {
	r.t.Helper()
	stream := r.dialed()
	r.connected(stream)
	r.receive(stream, opened(claims...))
	return stream
}

// held is how many claims the program may believe to hold.
func (r *run) held() int { return len(r.machine.Held(r.now)) }

// -- Events ------------------------------------------------------------------------------------------------------

func opened(claims ...*pb.SessionClaim) *pb.SessionEvent {
	return &pb.SessionEvent{Event: &pb.SessionEvent_Opened{Opened: &pb.Opened{
		SessionId: "session", ResumeSecret: "secret", Claims: claims,
		Ttl:               durationpb.New(15 * time.Second),
		ValidFor:          durationpb.New(15 * time.Second),
		HeartbeatInterval: durationpb.New(5 * time.Second),
	}}}
}

func openedWith(servers ...string) *pb.SessionEvent {
	event := opened()
	event.GetOpened().Servers = servers
	return event
}

func live(id uint64, held bool) *pb.SessionClaim {
	state := pb.ClaimState_CLAIM_STATE_WAITING
	if held {
		state = pb.ClaimState_CLAIM_STATE_HELD
	}
	return &pb.SessionClaim{ClaimId: id, State: state, Locks: locksOf(id)}
}

func locksOf(id uint64) []*pb.GrantedLock {
	return []*pb.GrantedLock{{Name: "x", FencingToken: 100 + id}}
}

func granted(id uint64) *pb.SessionEvent {
	return &pb.SessionEvent{Event: &pb.SessionEvent_Granted{Granted: &pb.Granted{ClaimId: id, Locks: locksOf(id)}}}
}

func waiting(id uint64) *pb.SessionEvent {
	return &pb.SessionEvent{Event: &pb.SessionEvent_Waiting{Waiting: &pb.Waiting{
		ClaimId: id, Lock: "x", Position: 1, HolderCount: 1,
	}}}
}

func denied(id uint64, reason pb.Reason) *pb.SessionEvent {
	return &pb.SessionEvent{Event: &pb.SessionEvent_Denied{Denied: &pb.Denied{
		ClaimId: id, Reason: reason, Lock: "x", HolderCount: 1,
	}}}
}

func lostByForce(id uint64) *pb.SessionEvent {
	return &pb.SessionEvent{Event: &pb.SessionEvent_Lost{Lost: &pb.Lost{
		ClaimId: id, Reason: pb.Reason_REASON_RELEASED_BY_FORCE,
	}}}
}

func released(id uint64) *pb.SessionEvent {
	return &pb.SessionEvent{Event: &pb.SessionEvent_Released{Released: &pb.Released{ClaimId: id}}}
}

func updated(id uint64, reason pb.Reason) *pb.SessionEvent {
	return &pb.SessionEvent{Event: &pb.SessionEvent_Updated{Updated: &pb.Updated{ClaimId: id, Reason: reason}}}
}

func ack(seq uint64, validFor time.Duration) *pb.SessionEvent {
	return &pb.SessionEvent{Event: &pb.SessionEvent_HeartbeatAck{HeartbeatAck: &pb.HeartbeatAck{
		Seq: seq, ValidFor: durationpb.New(validFor),
	}}}
}

func draining(leaveWithin time.Duration, servers ...string) *pb.SessionEvent {
	return &pb.SessionEvent{Event: &pb.SessionEvent_Draining{Draining: &pb.Draining{
		LeaveWithin: durationpb.New(leaveWithin), Servers: servers,
	}}}
}

func closedFor(reason pb.Reason) *pb.SessionEvent {
	return &pb.SessionEvent{Event: &pb.SessionEvent_Closed{Closed: &pb.Closed{Reason: reason}}}
}

// -- Expectations ------------------------------------------------------------------------------------------------

func expect[Value comparable](t *testing.T, what string, got []Value, want ...Value) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, not %q", what, fmt.Sprint(got), fmt.Sprint(want))
	}
}

func (r *run) expectTold(want ...string) { r.t.Helper(); expect(r.t, "told", r.told(), want...) }
func (r *run) expectSent(want ...string) { r.t.Helper(); expect(r.t, "sent", r.sent(), want...) }
func (r *run) expectHeld(want int) {
	r.t.Helper()
	if got := r.held(); got != want {
		r.t.Errorf("%d claims are held, not %d", got, want)
	}
}

func (r *run) expectIdle() {
	r.t.Helper()
	if wake := r.machine.Wake(); wake != Never {
		r.t.Errorf("it wants to be called in %v, although it has nothing to do", wake-r.now.Now)
	}
}
