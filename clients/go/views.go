package holdfast

import (
	"time"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

// Mode is how a claim shares a lock.
type Mode int

const (
	// ModeExclusive holds the lock alone.
	ModeExclusive Mode = iota
	// ModeShared holds it together with other shared claims.
	ModeShared
	// ModeSemaphore takes permits of a limited number.
	ModeSemaphore
)

// String is the word for it: "exclusive", "shared" or "semaphore".
func (m Mode) String() string {
	switch m {
	case ModeShared:
		return "shared"
	case ModeSemaphore:
		return "semaphore"
	default:
		return "exclusive"
	}
}

// ClientInfo is what a client says it is: for people, nothing is decided by it. Empty or 0: it does not say.
type ClientInfo struct {
	Name, Host        string
	PID               int
	Language, Version string
}

// Claim is a claim as one lock's queue shows it to everybody.
type Claim struct {
	SessionID string
	ClaimID   uint64
	// Held tells whether it is held; if not, it waits.
	Held bool
	Mode Mode
	// Permits is how many permits of the lock it takes, if that is a semaphore, else 0.
	Permits int
	// Token is the fencing token of its grant; 0 while it waits.
	Token uint64
	// LockCount is how many locks the claim is on: all or nothing.
	LockCount int
	ReentryID string
	Purpose   string
	// Value is what the holder announces; empty: nothing, or left out.
	Value []byte
	// Client is nil if it did not say.
	Client *ClientInfo
	// ClaimedAt is when it entered the queue, by a server's clock. For people: the list is the order.
	ClaimedAt time.Time
	// GrantedAt is when it was granted, likewise. Zero: it waits, or the server that answers was not there to see.
	GrantedAt time.Time
}

// LockState is whether anybody holds a lock, and whether anybody waits for it.
type LockState int

const (
	// Free: nobody holds it or waits for it.
	Free LockState = iota
	// Held: it has holders, and nobody waits.
	Held
	// Contended: somebody waits.
	Contended
)

// String is the word for it: "free", "held" or "contended".
func (s LockState) String() string { return [...]string{"free", "held", "contended"}[s] }

// LockInfo is a lock as somebody looking sees it.
type LockInfo struct {
	Name  string
	State LockState
	// Mode is that of its holders, or of the first waiter if it has none. Means nothing if it is free.
	Mode Mode
	// Limit is how many permits it has, if a semaphore, else 0; PermitsHeld is how many of them are taken.
	Limit, PermitsHeld       int
	HolderCount, WaiterCount int
	// Holders are those that hold it, oldest grant first; cut, as the call says.
	Holders []Claim
	// Waiters are those that wait for it, next first; cut, as the call says.
	Waiters []Claim
}

// HolderEnd is how a holder ended.
type HolderEnd string

const (
	// EndUnknown: the server that says so does not know.
	EndUnknown HolderEnd = "unknown"
	// EndReleased: its client released it.
	EndReleased HolderEnd = "released"
	// EndExpired: nothing proved its client alive for a TTL. Its work may be half done, and it may still be acting.
	EndExpired HolderEnd = "expired"
	// EndClosed: its session was closed, or its stream ended. Its work may be half done.
	EndClosed HolderEnd = "closed"
	// EndForced: an administrator ended it. Its work may be half done.
	EndForced HolderEnd = "forced"
)

// PreviousHolder is who held a lock before, as far as the server saw that end. It tells whether to expect half-done
// work, and decides nothing.
type PreviousHolder struct {
	Token uint64
	End   HolderEnd
}

// GrantedLock is one lock of a claim.
type GrantedLock struct {
	Name string
	// Token is larger than that of every earlier grant of the lock; tokens of different locks do not compare.
	Token uint64
	// Previous is nil if the server saw none.
	Previous *PreviousHolder
}

// Place is where a claim stands in the queue of a lock.
type Place struct {
	// Lock is the lock it is about: of several, the one with the most claims before this one.
	Lock string
	// Position is the place among those who wait: 1 is next.
	Position int
	// Holders are who holds the lock, oldest grant first, at most 10. Empty: only waiters are before this claim.
	Holders     []Claim
	HolderCount int
}

func placeFrom(event *pb.Waiting) Place {
	return Place{event.Lock, int(event.Position), claimsFrom(event.Holders), int(event.HolderCount)}
}

func claimsFrom(claims []*pb.Claim) []Claim {
	if len(claims) == 0 {
		return nil
	}
	all := make([]Claim, len(claims))
	for i, claim := range claims {
		all[i] = claimFrom(claim)
	}
	return all
}

func claimFrom(claim *pb.Claim) Claim {
	view := Claim{
		SessionID: claim.SessionId,
		ClaimID:   claim.ClaimId,
		Held:      claim.State == pb.ClaimState_CLAIM_STATE_HELD,
		Mode:      modeFrom(claim.Mode),
		Permits:   int(claim.Permits),
		Token:     claim.FencingToken,
		LockCount: int(claim.LockCount),
		ReentryID: claim.ReentryId,
		Purpose:   claim.Purpose,
		Value:     claim.Value,
	}
	if c := claim.Client; c != nil {
		view.Client = &ClientInfo{c.Name, c.Host, int(c.Pid), c.Language, c.Version}
	}
	if claim.ClaimedAt != nil {
		view.ClaimedAt = claim.ClaimedAt.AsTime()
	}
	if claim.GrantedAt != nil {
		view.GrantedAt = claim.GrantedAt.AsTime()
	}
	return view
}

func modeFrom(mode pb.Mode) Mode {
	switch mode {
	case pb.Mode_MODE_SHARED:
		return ModeShared
	case pb.Mode_MODE_SEMAPHORE:
		return ModeSemaphore
	default:
		return ModeExclusive
	}
}

func modeTo(mode Mode) pb.Mode {
	switch mode {
	case ModeShared:
		return pb.Mode_MODE_SHARED
	case ModeSemaphore:
		return pb.Mode_MODE_SEMAPHORE
	default:
		return pb.Mode_MODE_EXCLUSIVE
	}
}

func lockInfoFrom(lock *pb.Lock) LockInfo {
	info := LockInfo{
		Name:        lock.GetName(),
		Mode:        modeFrom(lock.GetMode()),
		Limit:       int(lock.GetLimit()),
		PermitsHeld: int(lock.GetPermitsHeld()),
		HolderCount: int(lock.GetHolderCount()),
		WaiterCount: int(lock.GetWaiterCount()),
		Holders:     claimsFrom(lock.GetHolders()),
		Waiters:     claimsFrom(lock.GetWaiters()),
	}
	switch lock.GetState() {
	case pb.LockState_LOCK_STATE_HELD:
		info.State = Held
	case pb.LockState_LOCK_STATE_CONTENDED:
		info.State = Contended
	}
	return info
}

func grantedFrom(locks []*pb.GrantedLock) []GrantedLock {
	all := make([]GrantedLock, len(locks))
	for i, lock := range locks {
		all[i] = GrantedLock{Name: lock.Name, Token: lock.FencingToken}
		if p := lock.Previous; p != nil {
			all[i].Previous = &PreviousHolder{p.FencingToken, endFrom(p.End)}
		}
	}
	return all
}

func endFrom(end pb.HolderEnd) HolderEnd {
	switch end {
	case pb.HolderEnd_HOLDER_END_RELEASED:
		return EndReleased
	case pb.HolderEnd_HOLDER_END_EXPIRED:
		return EndExpired
	case pb.HolderEnd_HOLDER_END_CLOSED:
		return EndClosed
	case pb.HolderEnd_HOLDER_END_FORCED:
		return EndForced
	default:
		return EndUnknown
	}
}
