package holdfast

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

// reads are the calls that only look. Each asks one address after the other until one answers.
type reads struct {
	runtime *sessionRuntime

	mu     sync.Mutex
	conns  map[string]*grpc.ClientConn
	closed bool
	// current is the address that answered last, or is to be asked next.
	current string
}

func newReads(r *sessionRuntime) *reads {
	return &reads{runtime: r, conns: map[string]*grpc.ClientConn{}}
}

func (r *reads) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, conn := range r.conns {
		conn.Close()
	}
	clear(r.conns)
}

// leastAttempts is how often a call is tried at least: one address may stand for several servers, of which the next may
// answer.
const leastAttempts = 3

// round are the addresses that one call asks, one after the other.
type round struct {
	reads     *reads
	addresses []string
	at        int
}

// newRound begins with the current address, and forgets those that are known no more.
func (r *reads) newRound() *round {
	known := r.runtime.addresses()
	r.mu.Lock()
	defer r.mu.Unlock()
	for address, conn := range r.conns {
		if !slices.Contains(known, address) {
			conn.Close()
			delete(r.conns, address)
		}
	}
	first := max(0, slices.Index(known, r.current))
	return &round{reads: r, addresses: slices.Concat(known[first:], known[:first])}
}

func (r *round) address() string { return r.addresses[r.at%len(r.addresses)] }

// left is how many are to be asked for the first time, the present one included; at least 1.
func (r *round) left() int { return max(1, len(r.addresses)-r.at) }

// stub is the service at the present address.
func (r *round) stub() (pb.LockServiceClient, error) {
	r.reads.mu.Lock()
	defer r.reads.mu.Unlock()
	if r.reads.closed {
		return nil, &Error{Reason: ReasonClosedByClient, Message: "the client was closed"}
	}
	address := r.address()
	conn := r.reads.conns[address]
	if conn == nil {
		var err error
		if conn, err = connectTo(address, r.reads.runtime.settings); err != nil {
			return nil, invalid("address %q: %v", address, err)
		}
		r.reads.conns[address] = conn
	}
	return pb.NewLockServiceClient(conn), nil
}

// moveOn turns to the next address; false if enough were asked. Of several calls that fail at one address the first has
// the others begin with the next one.
func (r *round) moveOn() bool {
	failed := r.address()
	r.at++
	r.reads.mu.Lock()
	defer r.reads.mu.Unlock()
	if r.reads.current == failed || r.reads.current == "" {
		r.reads.current = r.address()
	}
	return r.at < max(leastAttempts, len(r.addresses))
}

// elsewhere tells whether another server may do better.
func elsewhere(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrDraining) || errors.Is(err, ErrStoreUnavailable)
}

// ask asks each address once, and three in all if there are fewer, within the time that a call may take.
func ask[Response any](
	ctx context.Context, r *reads, call func(context.Context, pb.LockServiceClient) (Response, error),
) (response Response, err error) {
	end := time.Now().Add(r.runtime.settings.callTimeout)
	for round := r.newRound(); ; {
		service, err := round.stub()
		if err != nil {
			return response, err
		}
		share := time.Until(end) / time.Duration(round.left())
		once, cancel := context.WithTimeout(ctx, max(share, time.Millisecond))
		response, err = call(once, service)
		cancel()
		if err == nil {
			return response, nil
		}
		if ctx.Err() != nil {
			return response, aborted(ctx, "asking a server")
		}
		if err = r.runtime.settings.explained(errorOfCall(err)); !elsewhere(err) || !round.moveOn() {
			return response, err
		}
	}
}

// LookOption is how much a look at locks shows.
type LookOption func(*lookOptions)

type lookOptions struct {
	maxClaims, maxWaiters uint32
	state                 pb.LockState
	// problem is what is wrong with an option: what it was given to fails with it.
	problem error
}

// MaxClaims bounds the holders that [Client.GetLock] returns, and the waiters: 1 to 1,000, or 0 for 100. Default 100.
func MaxClaims(n int) LookOption {
	return func(o *lookOptions) { o.maxClaims = o.count("MaxClaims", n, 1_000) }
}

// MaxWaiters bounds the waiters that [Client.WatchLocks] sends with each lock: 0 to 100. Default: none, only their count.
func MaxWaiters(n int) LookOption {
	return func(o *lookOptions) { o.maxWaiters = o.count("MaxWaiters", n, 100) }
}

func (o *lookOptions) count(what string, n, most int) uint32 {
	if n < 0 || n > most {
		o.problem = invalid("%s is %d, not 0 to %d", what, n, most)
		return 0
	}
	return uint32(n)
}

// InState has [Client.ListLocks] list only the locks that are Held, or only those that are Contended. Default: both.
func InState(state LockState) LookOption {
	return func(o *lookOptions) {
		switch state {
		case Held:
			o.state = pb.LockState_LOCK_STATE_HELD
		case Contended:
			o.state = pb.LockState_LOCK_STATE_CONTENDED
		}
	}
}

func lookOptionsFrom(options []LookOption) lookOptions {
	var o lookOptions
	for _, option := range options {
		option(&o)
	}
	return o
}

// GetLock is one lock as of a moment no earlier than the call. A lock that nobody holds or waits for is Free, and no
// error. Errors: [ErrUnreachable] after [WithCallTimeout], [ErrStoreUnavailable], [ErrInvalid], [ErrAborted].
func (c *Client) GetLock(ctx context.Context, name string, options ...LookOption) (LockInfo, error) {
	if problem := nameProblem(name); problem != "" {
		return LockInfo{}, invalid("lock name %q %s", name, problem)
	}
	o := lookOptionsFrom(options)
	if o.problem != nil {
		return LockInfo{}, o.problem
	}
	request := &pb.GetLockRequest{Name: name, MaxClaims: o.maxClaims}
	response, err := ask(ctx, c.reads, func(ctx context.Context, s pb.LockServiceClient) (*pb.GetLockResponse, error) {
		return s.GetLock(ctx, request)
	})
	if err != nil {
		return LockInfo{}, err
	}
	return lockInfoFrom(response.Lock), nil
}

// ListLocks are the locks whose names begin with prefix (all, if empty), in byte order, each with up to 10 holders. An
// error is the last that is yielded.
func (c *Client) ListLocks(ctx context.Context, prefix string, options ...LookOption) iter.Seq2[LockInfo, error] {
	o := lookOptionsFrom(options)
	return func(yield func(LockInfo, error) bool) {
		if o.problem != nil {
			yield(LockInfo{}, o.problem)
			return
		}
		for token := ""; ; {
			request := &pb.ListLocksRequest{Prefix: prefix, State: o.state, PageToken: token}
			page, err := ask(ctx, c.reads,
				func(ctx context.Context, s pb.LockServiceClient) (*pb.ListLocksResponse, error) {
					return s.ListLocks(ctx, request)
				})
			if err != nil {
				yield(LockInfo{}, err)
				return
			}
			for _, lock := range page.Locks {
				if !yield(lockInfoFrom(lock), nil) {
					return
				}
			}
			if token = page.NextPageToken; token == "" {
				return
			}
		}
	}
}

// TokenState is how the grant with a fencing token stands.
type TokenState string

const (
	// TokenLive: the claim with it is live.
	TokenLive TokenState = "live"
	// TokenEnded: no grant with it is live, and none will ever be.
	TokenEnded TokenState = "ended"
	// TokenNotIssued: it is larger than any token so far: a forgery, or the store was restored from a backup.
	TokenNotIssued TokenState = "not-issued"
)

// CheckToken tells how the grant of a lock with this fencing token stands. For what the lock protects; but what can
// compare tokens itself is safer, as the answer may be out of date when it arrives. Errors as [Client.GetLock].
func (c *Client) CheckToken(ctx context.Context, name string, token uint64) (TokenState, error) {
	if problem := nameProblem(name); problem != "" {
		return "", invalid("lock name %q %s", name, problem)
	}
	request := &pb.CheckTokenRequest{Name: name, FencingToken: token}
	response, err := ask(ctx, c.reads,
		func(ctx context.Context, s pb.LockServiceClient) (*pb.CheckTokenResponse, error) {
			return s.CheckToken(ctx, request)
		})
	if err != nil {
		return "", err
	}
	switch response.State {
	case pb.TokenState_TOKEN_STATE_LIVE:
		return TokenLive, nil
	case pb.TokenState_TOKEN_STATE_NOT_ISSUED:
		return TokenNotIssued, nil
	default:
		return TokenEnded, nil
	}
}

// Target is which locks to watch. Made by [Named] and [WithPrefix].
type Target struct{ name, prefix string }

// Named is the one lock with this name.
func Named(name string) Target { return Target{name: name} }

// WithPrefix is every lock whose name begins with prefix; empty: all.
func WithPrefix(prefix string) Target { return Target{prefix: prefix} }

// Changes are what there is to know about locks at once.
type Changes struct {
	// Locks are those that exist, or that changed since, each whole and as it now is; Free if it is gone.
	Locks []LockInfo
	// CaughtUp is true once: every lock that existed when the watch began has been shown; what was not shown is gone.
	CaughtUp bool
}

// WatchLocks are the locks that exist, and then each that changes, as it then is. A slow reader misses steps between,
// never the latest. It ends by leaving the loop or with an error, which is the last that is yielded; a new watch starts
// afresh.
func (c *Client) WatchLocks(ctx context.Context, target Target, options ...LookOption) iter.Seq2[Changes, error] {
	o := lookOptionsFrom(options)
	request := &pb.WatchLocksRequest{Name: target.name, Prefix: target.prefix, MaxWaiters: o.maxWaiters}
	return func(yield func(Changes, error) bool) {
		if o.problem != nil {
			yield(Changes{}, o.problem)
			return
		}
		if err := c.watch(ctx, request, func(changes Changes) bool { return yield(changes, nil) }); err != nil {
			yield(Changes{}, err)
		}
	}
}

// watch shows changes until show wants no more, which is no error.
func (c *Client) watch(ctx context.Context, request *pb.WatchLocksRequest, show func(Changes) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for round := c.reads.newRound(); ; {
		service, err := round.stub()
		if err != nil {
			return err
		}
		began, err := watchOnce(ctx, service, request, show)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return aborted(ctx, "watching locks")
		}
		if !elsewhere(err) || !round.moveOn() || began {
			return c.runtime.settings.explained(err)
		}
	}
}

func watchOnce(
	ctx context.Context, service pb.LockServiceClient, request *pb.WatchLocksRequest, show func(Changes) bool,
) (began bool, err error) {
	call, err := service.WatchLocks(ctx, request)
	for err == nil {
		var response *pb.WatchLocksResponse
		if response, err = call.Recv(); err != nil {
			break
		}
		began = true
		changes := Changes{CaughtUp: response.CaughtUp}
		for _, lock := range response.Locks {
			changes.Locks = append(changes.Locks, lockInfoFrom(lock))
		}
		if !show(changes) {
			return true, nil
		}
	}
	if errors.Is(err, io.EOF) {
		return began, &Error{Reason: ReasonConnectionLost, Message: "the server ended the watch: begin again"}
	}
	return began, errorOfCall(err)
}
