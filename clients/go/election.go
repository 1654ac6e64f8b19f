package holdfast

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"time"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

// watchAgainAfter is the pause before a watch that failed is begun anew.
const watchAgainAfter = 500 * time.Millisecond

// Election has at most one candidate lead at a time; the others wait in the order in which they came. It is the lock of
// the same name, so whoever holds that lock leads.
//
// A candidate whose session was lost is never told that it leads: it queues again, at the end. A leader knows of its loss
// before anybody else leads, provided that it looks; what it does to others must carry its token.
type Election struct {
	client *Client
	name   string
}

// Election is the election of this name, by the rules for lock names.
func (c *Client) Election(name string) *Election { return &Election{c, name} }

// Campaign waits until this candidate leads, announcing value from then on. Errors as [Client.Lock].
func (e *Election) Campaign(ctx context.Context, value []byte, options ...LockOption) (*Leadership, error) {
	lock, err := e.client.Lock(ctx, e.name, with(options, Value(value), WithoutReentry())...)
	if err != nil {
		return nil, err
	}
	return &Leadership{lock}, nil
}

// Leader is who leads, as somebody looking sees it.
type Leader struct {
	// Token is larger than that of every earlier leader of this election.
	Token uint64
	// Value is what it announces; empty: nothing.
	Value     []byte
	SessionID string
	// Client is nil if it did not say.
	Client *ClientInfo
}

// Leader is who leads now; nil: nobody. Errors as [Client.GetLock].
func (e *Election) Leader(ctx context.Context) (*Leader, error) {
	info, err := e.client.GetLock(ctx, e.name, MaxClaims(1))
	if err != nil {
		return nil, err
	}
	return leaderOf(info), nil
}

// Observe is the leader as it is now, and then each time that it, or what it announces, changes; nil while nobody leads.
// A slow reader misses steps between, never the latest. It goes on by itself when a server fails; it ends by leaving the
// loop, or with the error of ctx or of a server that refuses, which is the last that is yielded.
func (e *Election) Observe(ctx context.Context) iter.Seq2[*Leader, error] {
	return func(yield func(*Leader, error) bool) {
		var last *Leader
		told := false
		for {
			seen := false
			err := e.client.watch(ctx, &pb.WatchLocksRequest{Name: e.name}, func(changes Changes) bool {
				n := len(changes.Locks)
				seen = seen || n > 0
				if n == 0 && !(changes.CaughtUp && !seen) {
					return true
				}
				// A lock that was not among those that exist is gone, and its leader with it.
				var leader *Leader
				if n > 0 {
					leader = leaderOf(changes.Locks[n-1])
				}
				if told && sameLeader(last, leader) {
					return true
				}
				last, told = leader, true
				return yield(leader, nil)
			})
			if err == nil {
				return
			}
			if !elsewhere(err) && !errors.Is(err, ErrConnectionLost) {
				yield(nil, err)
				return
			}
			// A watch begins with what there is, so nothing is missed but steps between.
			select {
			case <-time.After(watchAgainAfter):
			case <-ctx.Done():
				yield(nil, aborted(ctx, "observing "+e.name))
				return
			}
		}
	}
}

func leaderOf(info LockInfo) *Leader {
	if len(info.Holders) == 0 {
		return nil
	}
	holder := info.Holders[0]
	return &Leader{holder.Token, holder.Value, holder.SessionID, holder.Client}
}

func sameLeader(a, b *Leader) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Token == b.Token && bytes.Equal(a.Value, b.Value)
}

// Leadership is an election that was won. It ends by Resign, or by its loss.
type Leadership struct{ lock *Lock }

// Token is for what the leader writes to, to refuse smaller ones.
func (l *Leadership) Token() uint64 { return l.lock.Token() }

// Leads tells whether it leads now, by the clock as it is now.
func (l *Leadership) Leads() bool { return l.lock.Held() }

// Context is for what the leader does: as [Lock.Context].
func (l *Leadership) Context() context.Context { return l.lock.Context() }

// Lock is the lock that the leader holds.
func (l *Leadership) Lock() *Lock { return l.lock }

// Proclaim replaces what it announces to those who look. Errors as [Lock.Update].
func (l *Leadership) Proclaim(ctx context.Context, value []byte) error {
	return l.lock.Update(ctx, value)
}

// Resign gives it up: the next candidate leads. It returns what [Lock.Unlock] does.
func (l *Leadership) Resign(ctx context.Context) error { return l.lock.Unlock(ctx) }
