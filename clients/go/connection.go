package holdfast

import (
	"errors"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
	"github.com/holdfast-lock/holdfast/clients/go/internal/session"
)

// connectTo is a connection of its own to one address, so that a new one is not held up by what holds up the old.
func connectTo(address string, s *settings) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// What may be repeated is decided by the session machine, and nowhere else.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		// A lock may have 1,000 holders with values of 4 KiB.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64 << 20)),
		// A server that is back is asked again soon.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if s.tls != nil {
		options[0] = grpc.WithTransportCredentials(credentials.NewTLS(s.tls.Clone()))
	}
	if s.transport {
		// Pings notice a silent connection; gRPC sends one each 10 s at most. Heartbeats need no help.
		interval := max(10*time.Second, s.ttl/3)
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: interval, Timeout: max(time.Second, min(s.ttl/3, s.ttl-interval-time.Second)),
		}))
	}
	return grpc.NewClient(address, options...)
}

// failureOf is why a call ended: by Holdfast's details, and without them by the status code.
func failureOf(err error) (Reason, string) {
	e := errorOfCall(err)
	var lost *LostError
	if errors.As(e, &lost) {
		return lost.Reason, lost.Message
	}
	var failed *Error
	errors.As(e, &failed)
	return failed.Reason, failed.Message
}

// errorOfCall is the error of a call to Holdfast with the lock it is about and who holds it: a LostError if it says that
// a held claim ended, else an Error. It wraps the original.
func errorOfCall(err error) error {
	st := status.Convert(err)
	var info *errdetails.ErrorInfo
	var denied *pb.Denied
	var lost *pb.Lost
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *pb.Denied:
			denied = d
		case *pb.Lost:
			lost = d
		}
	}
	if info.GetDomain() != "holdfast.v1" {
		return &Error{Reason: reasonOfCode(st.Code()), Message: st.Message(), cause: err}
	}
	reason := Reason(session.ReasonNamed(info.Reason))
	if lost != nil {
		return &LostError{Reason: reason, Message: lost.Message, Lock: info.Metadata["lock"], cause: err}
	}
	failed := &Error{Reason: reason, Message: st.Message(), Lock: info.Metadata["lock"], cause: err}
	if denied != nil {
		failed.Message, failed.Holders, failed.HolderCount =
			denied.Message, claimsFrom(denied.Holders), int(denied.HolderCount)
		if denied.Lock != "" {
			failed.Lock = denied.Lock
		}
	}
	return failed
}

// connectionProblem is what gRPC says of a connection that could not be made, for people: its first line, and a hint if
// it looks as if one side speaks TLS and the other does not.
func connectionProblem(said string, usesTLS bool) string {
	line, _, _ := strings.Cut(said, "\n")
	switch {
	// Whoever does not understand what it is sent hangs up, or answers in a language that is not HTTP/2.
	case !usesTLS && strings.Contains(said, "error reading server preface"):
		return line + "; if the server speaks TLS, give WithTLS"
	case usesTLS && strings.Contains(said, "first record does not look like a TLS handshake"):
		return line + "; the server seems to speak plain text: leave WithTLS away"
	default:
		return line
	}
}

// explained is an error of a call of this client's own, with what connectionProblem says.
func (s *settings) explained(err error) error {
	if e, ok := err.(*Error); ok && e.Reason == ReasonUnreachable {
		e.Message = connectionProblem(e.Message, s.tls != nil)
	}
	return err
}

func reasonOfCode(code codes.Code) Reason {
	switch code {
	case codes.Unavailable, codes.DeadlineExceeded:
		return ReasonUnreachable
	case codes.Canceled:
		return ReasonAborted
	case codes.PermissionDenied, codes.Unauthenticated:
		return ReasonNotPermitted
	default:
		return ReasonUnknown
	}
}
