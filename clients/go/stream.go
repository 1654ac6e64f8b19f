package holdfast

import (
	"context"
	"errors"
	"io"
	"runtime"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
	"github.com/holdfast-lock/holdfast/clients/go/internal/session"
)

// farewell is how long an abandoned stream may take to send what was written and be answered.
const farewell = time.Second

// stream is one Session call over a connection of its own, which goes with it. It can end in four ways: it cannot be
// connected, the server ends it, the connection breaks, or it is abandoned; the last reports nothing more.
//
// One goroutine connects and reads, another writes. Both end when ctx does.
type stream struct {
	runtime *sessionRuntime
	no      int
	address string
	ctx     context.Context
	cancel  context.CancelFunc
	// wake has the writer look at the outbox.
	wake chan struct{}

	// Guarded by the runtime's lock.

	outbox []*pb.SessionCommand
	// open: there is a call to write to.
	open      bool
	abandoned bool
}

func startStream(r *sessionRuntime, no int, address string) *stream {
	s := &stream{runtime: r, no: no, address: address, wake: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	r.streamsDone.Go(s.run)
	return s
}

// signal has the writer look at the outbox.
func (s *stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// abandon has it report nothing more. What is in the outbox still goes out; then the call is half-closed, and soon cut
// off. The runtime's lock is held.
func (s *stream) abandon() {
	s.abandoned = true
	if !s.open {
		s.cancel()
		return
	}
	// Also when the writer is held up by a connection that takes nothing more.
	time.AfterFunc(farewell, s.cancel)
	s.signal()
}

func (s *stream) run() {
	defer s.cancel()
	conn, err := connectTo(s.address, s.runtime.settings)
	if err != nil {
		s.runtime.broken(s.no, session.Failure{Reason: session.Unreachable, Message: s.address + ": " + err.Error()})
		return
	}
	defer conn.Close()
	connected := s.awaitConnection(conn)
	// A call on a connection that failed ends at once, with the reason that the connection itself does not tell.
	call, err := pb.NewLockServiceClient(conn).Session(s.ctx)
	if err == nil && connected && s.begin() {
		s.runtime.connected(s.no)
		s.runtime.streamsDone.Go(func() { s.write(call) })
	}
	for err == nil {
		var frame *pb.SessionResponse
		if frame, err = call.Recv(); err == nil {
			s.runtime.received(s.no, frame.Events)
		}
	}
	s.runtime.broken(s.no, s.failureFrom(err, connected))
}

// awaitConnection returns when there is a connection, or cannot be one.
func (s *stream) awaitConnection(conn *grpc.ClientConn) (connected bool) {
	for {
		conn.Connect()
		state := conn.GetState()
		if state == connectivity.Ready || state == connectivity.TransientFailure || state == connectivity.Shutdown {
			return state == connectivity.Ready
		}
		if !conn.WaitForStateChange(s.ctx, state) {
			return false
		}
	}
}

// begin says that there is a call to write to; false if nobody wants it any more.
func (s *stream) begin() bool {
	s.runtime.mu.Lock()
	defer s.runtime.mu.Unlock()
	s.open = !s.abandoned
	return s.open
}

func (s *stream) write(call pb.LockService_SessionClient) {
	for {
		select {
		case <-s.wake:
		case <-s.ctx.Done():
			return
		}
		// After everybody who is about to say something, so that it travels in one frame.
		runtime.Gosched()
		commands, abandoned := s.runtime.takeOutbox(s)
		if len(commands) > 0 {
			for _, frame := range session.Frames(commands) {
				if call.Send(&pb.SessionRequest{Commands: frame}) != nil {
					// The reader hears why.
					return
				}
			}
		}
		if abandoned {
			call.CloseSend()
			return
		}
	}
}

func (s *stream) failureFrom(err error, connected bool) session.Failure {
	if errors.Is(err, io.EOF) {
		return session.Failure{Reason: session.ConnectionLost, Message: s.address + ": the server ended the stream"}
	}
	reason, message := failureOf(err)
	switch reason {
	case ReasonUnreachable, ReasonAborted, ReasonUnknown:
		// It is the connection's.
		if connected {
			reason = ReasonConnectionLost
		} else {
			reason, message = ReasonUnreachable, connectionProblem(message, s.runtime.settings.tls != nil)
		}
	}
	return session.Failure{Reason: session.Reason(reason), Message: s.address + ": " + message}
}
