package session

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

// answerGrace is for how long past its wait a claim is left to the server, which can tell who holds the lock.
const answerGrace = time.Second

// Request is what a claim asks for, whichever session asks.
type Request struct {
	// Locks are 1 to 16, each name once.
	Locks []*pb.LockSpec
	// Wait bounds the waiting; Never: for ever; 0: try.
	Wait time.Duration
	// ReentryID is the thread of control within the session; empty: none.
	ReentryID string
	Purpose   string
	Value     []byte
	// Traceparent is the caller's place in a trace; empty: none.
	Traceparent string
}

// Claim is a claim that is held.
type Claim struct {
	ID    uint64
	Locks []*pb.GrantedLock
}

// stage is where a claim stands between the program and the session.
type stage int

const (
	// unsent: wanted; the present session has not been asked for it.
	unsent stage = iota
	// asked: wanted; the session has been asked for it, on this stream or an earlier one.
	asked
	held
	// leaving: given up for good; its release is repeated until it is known to be gone.
	leaving
)

type pendingUpdate struct {
	value []byte
	// count is how many updates it answers for: after a resume only the last value is sent.
	count int
}

type claim struct {
	id      uint64
	request Request
	// limit is when its wait has passed. Never: it waits for ever, or is a try.
	limit time.Duration
	stage stage

	// since is when it became unsent.
	since time.Duration
	// place is what was last heard of the queue, once asked.
	place *pb.Waiting
	// locks and updates are of a held claim.
	locks   []*pb.GrantedLock
	updates []pendingUpdate
	// denied: it is leaving, and the program was told so before.
	denied bool
}

// desk is where the book says what is to be done. What is said is dropped while no session is open on a stream.
type desk interface {
	tell(Effect)
	say(*pb.SessionCommand)
}

// claimBook has the claims of a client, whichever session they are in: what is wanted, held and given up, and what
// follows from what a server says about it (DESIGN 3, Rules, and 4.8).
type claimBook struct {
	desk           desk
	connectTimeout time.Duration
	claims         map[uint64]*claim
	lastID         uint64
	heldCount      int
	// nextLimit: no wanted claim runs out of time before this.
	nextLimit time.Duration
}

func newClaimBook(desk desk, connectTimeout time.Duration) *claimBook {
	return &claimBook{desk: desk, connectTimeout: connectTimeout, claims: map[uint64]*claim{}, nextLimit: Never}
}

// inOrder are the claims in the order in which they were asked for.
func (b *claimBook) inOrder() []*claim {
	return slices.SortedFunc(maps.Values(b.claims), func(x, y *claim) int {
		if x.id < y.id {
			return -1
		}
		return 1
	})
}

func (b *claimBook) held() []Claim {
	var all []Claim
	for _, c := range b.inOrder() {
		if c.stage == held {
			all = append(all, Claim{c.id, c.locks})
		}
	}
	return all
}

// -- What the program wants --------------------------------------------------------------------------------------

// add makes a wanted claim, not yet sent. Its id is larger than every one before, in this session and others.
func (b *claimBook) add(request Request, now time.Duration) uint64 {
	b.lastID++
	c := &claim{id: b.lastID, request: request, limit: Never, stage: unsent, since: now}
	if request.Wait != 0 {
		c.limit = after(now, request.Wait)
	}
	b.claims[c.id] = c
	b.watchLimit(c)
	return c.id
}

// ask asks the open session for an unsent claim, with what is left of its wait.
func (b *claimBook) ask(c *claim, now time.Duration) {
	if c.stage == unsent {
		c.stage, c.place = asked, nil
	}
	b.watchLimit(c)
	r := c.request
	acquire := &pb.Acquire{
		ClaimId: c.id, Locks: r.Locks, ReentryId: r.ReentryID, Purpose: r.Purpose, Value: r.Value, Traceparent: r.Traceparent,
	}
	switch {
	case r.Wait == 0:
		acquire.Wait = durationpb.New(0)
	case r.Wait != Never:
		// At least something: with nothing left it would be a try.
		acquire.Wait = durationpb.New(min(r.Wait, max(c.limit-now, time.Millisecond)))
	}
	b.desk.say(&pb.SessionCommand{Command: &pb.SessionCommand_Acquire{Acquire: acquire}})
}

// release gives a claim up for good, held or wanted.
func (b *claimBook) release(id uint64) {
	c := b.claims[id]
	if c == nil || c.stage == leaving {
		return
	}
	wasUnsent := c.stage == unsent
	b.leave(c, false)
	if wasUnsent {
		b.gone(c, neverAsked, nil)
	}
}

func (b *claimBook) leave(c *claim, denied bool) {
	if c.stage == held {
		b.heldCount--
	}
	wasUnsent := c.stage == unsent
	c.stage, c.denied, c.locks, c.updates = leaving, denied, nil, nil
	if !wasUnsent {
		b.sayRelease(c.id)
	}
}

func (b *claimBook) sayRelease(id uint64) {
	b.desk.say(&pb.SessionCommand{Command: &pb.SessionCommand_Release{Release: &pb.Release{ClaimId: id}}})
}

// update replaces the value of a held claim.
func (b *claimBook) update(id uint64, value []byte) {
	c := b.claims[id]
	if c == nil || c.stage != held {
		return
	}
	c.updates = append(c.updates, pendingUpdate{value, 1})
	b.sayUpdate(id, value)
}

func (b *claimBook) sayUpdate(id uint64, value []byte) {
	b.desk.say(&pb.SessionCommand{Command: &pb.SessionCommand_Update{Update: &pb.Update{ClaimId: id, Value: value}}})
}

// -- What the server says ----------------------------------------------------------------------------------------

func (b *claimBook) waiting(event *pb.Waiting) {
	// A held claim never lets itself be demoted.
	if c := b.claims[event.ClaimId]; c != nil && c.stage == asked {
		c.place = event
		b.desk.tell(Waiting{c.id, event})
	}
}

func (b *claimBook) granted(event *pb.Granted) {
	c := b.claims[event.ClaimId]
	switch {
	case c == nil || c.stage == leaving:
		b.sayRelease(event.ClaimId)
	case c.stage == asked:
		b.hold(c, event.Locks)
	}
}

func (b *claimBook) hold(c *claim, locks []*pb.GrantedLock) {
	c.stage, c.locks, c.place = held, locks, nil
	b.heldCount++
	b.desk.tell(Granted{c.id, locks})
}

// ended says that a claim is gone at the server, whatever the program thought it had.
func (b *claimBook) ended(id uint64, why Failure, denied *pb.Denied) {
	if c := b.claims[id]; c != nil {
		b.gone(c, why, denied)
	}
}

func (b *claimBook) updated(event *pb.Updated) {
	c := b.claims[event.ClaimId]
	if c == nil || len(c.updates) == 0 {
		return
	}
	answered := Updated{ClaimID: c.id, Count: c.updates[0].count}
	if event.Reason != pb.Reason_REASON_UNSPECIFIED {
		answered.Failure = &Failure{ReasonFrom(event.Reason), event.Message}
	}
	c.updates = c.updates[1:]
	b.desk.tell(answered)
}

// reconcile takes up a session that was opened or resumed with these live claims. Releases go first, for they are for
// ever; then the acquires that were not granted yet; then the updates that were not answered.
func (b *claimBook) reconcile(listed []*pb.SessionClaim, now time.Duration) {
	live := make(map[uint64]*pb.SessionClaim, len(listed))
	for _, each := range listed {
		live[each.ClaimId] = each
	}
	for _, c := range b.inOrder() {
		there := live[c.id]
		switch {
		case there == nil && c.stage == leaving:
			b.gone(c, neverAsked, nil)
		case there == nil && c.stage == held:
			b.gone(c, missing, nil)
		case c.stage == asked && there.GetState() == pb.ClaimState_CLAIM_STATE_HELD:
			b.hold(c, there.Locks)
		}
	}
	for _, each := range listed {
		if c := b.claims[each.ClaimId]; c == nil || c.stage == leaving {
			b.sayRelease(each.ClaimId)
		}
	}
	b.expireAfter(now, 0, noServer)
	inOrder := b.inOrder()
	for _, c := range inOrder {
		if c.stage == unsent || c.stage == asked {
			b.ask(c, now)
		}
	}
	for _, c := range inOrder {
		b.updateAgain(c)
	}
}

func (b *claimBook) updateAgain(c *claim) {
	if len(c.updates) == 0 {
		return
	}
	last := c.updates[len(c.updates)-1]
	for _, earlier := range c.updates[:len(c.updates)-1] {
		last.count += earlier.count
	}
	c.updates = []pendingUpdate{last}
	b.sayUpdate(c.id, last.value)
}

// -- Ends --------------------------------------------------------------------------------------------------------

// endSession says that the session is over: what was held is lost, and what is wanted has to be asked for again.
func (b *claimBook) endSession(why Failure, now time.Duration) {
	for _, c := range b.inOrder() {
		switch c.stage {
		case held, leaving:
			b.gone(c, why, nil)
		case asked:
			c.stage, c.since, c.place = unsent, now, nil
			b.watchLimit(c)
		}
	}
}

// refuseAll denies every wanted claim. For when there is no session in which they are asked for.
func (b *claimBook) refuseAll(why Failure) {
	for _, c := range b.inOrder() {
		b.gone(c, why, nil)
	}
}

// expire gives up what has waited long enough: for a grant, or for a session, of which why was the last failure.
func (b *claimBook) expire(now time.Duration, why Failure) {
	if now >= b.nextLimit {
		b.expireAfter(now, answerGrace, why)
	}
}

func (b *claimBook) expireAfter(now, grace time.Duration, why Failure) {
	b.nextLimit = Never
	for _, c := range b.inOrder() {
		switch {
		case b.limitOf(c, grace) > now:
			b.watchLimit(c)
		case c.stage == asked:
			place := c.place
			b.leave(c, true)
			b.deny(c, timedOut(c), place.GetLock(), place.GetHolders(), place.GetHolderCount())
		default:
			b.gone(c, why, nil)
		}
	}
}

func (b *claimBook) limitOf(c *claim, grace time.Duration) time.Duration {
	switch c.stage {
	case unsent:
		return min(c.limit, after(c.since, b.connectTimeout))
	case asked:
		return after(grace, c.limit)
	default:
		return Never
	}
}

func (b *claimBook) watchLimit(c *claim) {
	b.nextLimit = min(b.nextLimit, b.limitOf(c, answerGrace))
}

// gone says that a claim is no more; the program is told what that means for what it had.
func (b *claimBook) gone(c *claim, why Failure, denied *pb.Denied) {
	delete(b.claims, c.id)
	if len(b.claims) == 0 {
		b.nextLimit = Never
	}
	switch c.stage {
	case held:
		b.heldCount--
		b.desk.tell(Lost{c.id, why})
	case leaving:
		if !c.denied {
			b.desk.tell(Released{c.id})
		}
	default:
		b.deny(c, why, denied.GetLock(), denied.GetHolders(), denied.GetHolderCount())
	}
}

func (b *claimBook) deny(c *claim, why Failure, lock string, holders []*pb.Claim, holderCount uint32) {
	if lock == "" {
		lock = c.request.Locks[0].Name
	}
	b.desk.tell(Denied{c.id, why, lock, holders, holderCount})
}

func timedOut(c *claim) Failure {
	names := make([]string, len(c.request.Locks))
	for i, lock := range c.request.Locks {
		names[i] = fmt.Sprintf("%q", lock.Name)
	}
	return Failure{Timeout, fmt.Sprintf("waited %v for %s without being granted",
		c.request.Wait, strings.Join(names, ", "))}
}
