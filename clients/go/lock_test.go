package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

func TestALockIsHeldUntilItIsUnlocked(t *testing.T) {
	client := dial(t)
	held := lock(t, client, "first")
	if held.Token() == 0 || !held.Held() || held.Remaining() <= 0 || held.Err() != nil || held.Context().Err() != nil {
		t.Errorf("token %d, held %v, for %v, %v", held.Token(), held.Held(), held.Remaining(), held.Err())
	}
	if err := held.Unlock(patient(t)); err != nil {
		t.Fatal(err)
	}
	if held.Held() || held.Remaining() != 0 || held.Err() != nil {
		t.Error("it is held after Unlock")
	}
	if cause := context.Cause(held.Context()); !errors.Is(cause, holdfast.ErrUnlocked) {
		t.Errorf("the context ended with %v", cause)
	}
	if err := held.Unlock(patient(t)); err != nil {
		t.Errorf("the second Unlock said %v", err)
	}
	next := lock(t, client, "first")
	defer next.Unlock(patient(t))
	if next.Token() <= held.Token() {
		t.Errorf("token %d after %d", next.Token(), held.Token())
	}
	if p := next.Previous(); p == nil || p.Token != held.Token() || p.End != holdfast.EndReleased {
		t.Errorf("the previous holder is %+v", p)
	}
}

func TestATryOfATakenLockIsBusyAndTellsWhoHoldsIt(t *testing.T) {
	held := lock(t, dial(t, holdfast.WithClientName("holder")), "busy", holdfast.Purpose("to be seen"))
	defer held.Unlock(patient(t))
	_, err := dial(t).TryLock(patient(t), "busy")
	var failed *holdfast.Error
	if !errors.Is(err, holdfast.ErrBusy) || errors.Is(err, holdfast.ErrTimeout) || !errors.As(err, &failed) {
		t.Fatalf("the try said %v", err)
	}
	if failed.Lock != "busy" || failed.HolderCount != 1 || len(failed.Holders) != 1 {
		t.Fatalf("it is told of %+v", failed)
	}
	holder := failed.Holders[0]
	if holder.Client.Name != "holder" || holder.Client.Language != "go" || holder.Purpose != "to be seen" ||
		holder.Token != held.Token() || !holder.Held || holder.ClaimedAt.IsZero() {
		t.Errorf("the holder is %+v", holder)
	}
}

func TestAWaitThatIsOverTimesOutWithTheHolders(t *testing.T) {
	held := lock(t, dial(t), "timeout")
	defer held.Unlock(patient(t))
	client := dial(t)
	if err := client.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
	_, err := client.Lock(patient(t), "timeout", holdfast.Wait(3*time.Second))
	var failed *holdfast.Error
	if !errors.Is(err, holdfast.ErrTimeout) || !errors.As(err, &failed) || len(failed.Holders) != 1 {
		t.Errorf("it said %v", err)
	}
}

func TestAContextThatEndsGivesUpThePlaceInTheQueue(t *testing.T) {
	client := dial(t)
	held := lock(t, client, "cancel")
	for name, end := range map[string]func() (context.Context, context.CancelFunc){
		"cancelled": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(20*time.Millisecond, cancel)
			return ctx, cancel
		},
		"out of time": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 20*time.Millisecond)
		},
	} {
		ctx, cancel := end()
		_, err := client.Lock(ctx, "cancel")
		if !errors.Is(err, holdfast.ErrAborted) || !errors.Is(err, ctx.Err()) {
			t.Errorf("%s: it said %v", name, err)
		}
		cancel()
	}
	eventually(t, "nobody waits", func() bool {
		info, err := client.GetLock(patient(t), "cancel")
		return err == nil && info.WaiterCount == 0 && info.HolderCount == 1
	})
	held.Unlock(patient(t))
	if _, err := client.Lock(cancelled(), "cancel"); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended it said %v", err)
	}
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestCancellingWhileItIsGrantedLeavesNothingHeld(t *testing.T) {
	client := dial(t)
	var wait sync.WaitGroup
	for i := range 300 {
		ctx, cancel := context.WithCancel(context.Background())
		wait.Go(func() {
			if held, err := client.Lock(ctx, "crossing"); err == nil {
				held.Unlock(context.Background())
			}
		})
		time.AfterFunc(time.Duration(i%7)*time.Millisecond, cancel)
	}
	wait.Wait()
	held := lock(t, client, "crossing", holdfast.Wait(20*time.Second))
	held.Unlock(patient(t))
}

// crossing is a context that ends just when the lock that is waited for has been granted.
type crossing struct {
	context.Context
	cancel  context.CancelFunc
	granted func()
}

func (c crossing) Done() <-chan struct{} {
	c.granted()
	c.cancel()
	return c.Context.Done()
}

func TestAGrantThatCrossesTheEndOfTheContextIsGivenBack(t *testing.T) {
	client := dial(t)
	for range 20 {
		background, cancel := context.WithCancel(context.Background())
		ctx := crossing{background, cancel, func() {
			eventually(t, "it is granted", func() bool {
				info, err := client.GetLock(patient(t), "crosses")
				return err == nil && info.HolderCount == 1
			})
			// And that it was told so.
			<-time.After(10 * time.Millisecond)
		}}
		held, err := client.Lock(ctx, "crosses")
		if err == nil {
			held.Unlock(patient(t))
		}
		eventually(t, "it is free", func() bool {
			info, err := client.GetLock(patient(t), "crosses")
			return err == nil && info.State == holdfast.Free
		})
	}
}

func TestReadersShareAndAWriterExcludes(t *testing.T) {
	client, other := dial(t), dial(t)
	first, err := client.RLock(patient(t), "shared")
	if err != nil {
		t.Fatal(err)
	}
	second, err := other.TryRLock(patient(t), "shared")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.TryLock(patient(t), "shared"); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("a writer beside readers: %v", err)
	}
	first.Unlock(patient(t))
	second.Unlock(patient(t))
	writer := lock(t, other, "shared")
	defer writer.Unlock(patient(t))
	if _, err := client.TryRLock(patient(t), "shared"); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("a reader beside a writer: %v", err)
	}
}

func TestASemaphoreGivesOutNoMorePermitsThanItHas(t *testing.T) {
	sem := dial(t).Semaphore("permits", 3)
	two, err := sem.Acquire(patient(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sem.TryAcquire(patient(t), 2); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("four of three permits: %v", err)
	}
	one, err := sem.TryAcquire(patient(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t).Semaphore("permits", 4).TryAcquire(patient(t), 1); !errors.Is(err, holdfast.ErrConflictingMode) {
		t.Errorf("another limit: %v", err)
	}
	one.Unlock(patient(t))
	two.Unlock(patient(t))
}

func TestSeveralLocksAreTakenAllOrNothing(t *testing.T) {
	client := dial(t)
	b := lock(t, client, "all/b")
	specs := []holdfast.Spec{holdfast.Exclusive("all/a"), holdfast.Shared("all/b"), holdfast.Permits("all/c", 1, 2)}
	if _, err := client.LockAll(patient(t), specs, holdfast.Wait(0)); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("with one of them taken: %v", err)
	}
	b.Unlock(patient(t))
	all, err := client.LockAll(patient(t), specs)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, each := range all.Locks() {
		names = append(names, each.Name)
		if each.Token == 0 {
			t.Errorf("%s has no token", each.Name)
		}
	}
	if !slices.Equal(names, []string{"all/a", "all/b", "all/c"}) {
		t.Errorf("it holds %v", names)
	}
	all.Unlock(patient(t))
}

func TestWhatACallerGetsWrongIsRefusedHereAndHarmsNobody(t *testing.T) {
	client := dial(t)
	held := lock(t, client, "unharmed")
	defer held.Unlock(patient(t))
	for what, call := range map[string]func() error{
		"empty name":    func() error { _, err := client.Lock(patient(t), ""); return err },
		"bad UTF-8":     func() error { _, err := client.Lock(patient(t), "\xff"); return err },
		"empty segment": func() error { _, err := client.Lock(patient(t), "a//b"); return err },
		"control":       func() error { _, err := client.Lock(patient(t), "a\n"); return err },
		"negative wait": func() error { _, err := client.Lock(patient(t), "a", holdfast.Wait(-1)); return err },
		"long value":    func() error { return held.Update(patient(t), make([]byte, 4097)) },
		"no locks":      func() error { _, err := client.LockAll(patient(t), nil); return err },
		"bad purpose":   func() error { _, err := client.Lock(patient(t), "a", holdfast.Purpose("\xff")); return err },
		"permits":       func() error { _, err := client.Semaphore("a", 1).Acquire(patient(t), 2); return err },
		"short TTL":     func() error { _, err := holdfast.Dial([]string{"x:1"}, holdfast.WithTTL(1)); return err },
		"no address":    func() error { _, err := holdfast.Dial(nil); return err },
		"no such mode": func() error {
			_, err := client.LockAll(patient(t), []holdfast.Spec{{Name: "a", Mode: 77}})
			return err
		},
		"look at a name": func() error { _, err := client.GetLock(patient(t), ""); return err },
		"twice": func() error {
			_, err := client.LockAll(patient(t), []holdfast.Spec{holdfast.Exclusive("a"), holdfast.Shared("a")})
			return err
		},
	} {
		if err := call(); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !held.Held() {
		t.Error("it cost another lock")
	}
}

func TestAnAddressThatIsNoneIsRefusedByDial(t *testing.T) {
	for _, address := range []string{
		"", "http://127.0.0.1:7400", "https://a:7400", "http:", ":7400", "localhost", "a:", "a:0", "a:65536", "a:99999", "a:-1",
		"a:http", "a b:1", "a/b:1", "::1", "::1:7400", "[::1]", "[]:1", "[a]:1", "[127.0.0.1]:1", "xds:///a", "dns:", "a:1\n",
	} {
		_, err := holdfast.Dial([]string{"127.0.0.1:7400", address})
		want := fmt.Sprintf(`addresses: %q is not "host:port", such as 127.0.0.1:7400`, address)
		if !errors.Is(err, holdfast.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, address := range []string{
		"127.0.0.1:7400", "a:1", "a.b-c_d:65535", "[::1]:7400", "http:7400", "dns:///locks:7400", "unix:/run/x", "passthrough:///a:1",
	} {
		dialTo(t, []string{address})
	}
}

func TestAPanicOfOnWaitingLeavesThePlaceInTheQueue(t *testing.T) {
	client := dial(t)
	held := lock(t, client, "panics")
	for range 2 {
		func() {
			defer func() {
				if recover() != "mine" {
					t.Error("the panic was not mine")
				}
			}()
			_, err := client.Lock(patient(t), "panics", holdfast.OnWaiting(func(holdfast.Place) { panic("mine") }))
			t.Errorf("Lock returned %v", err)
		}()
	}
	held.Unlock(patient(t))
	lock(t, dial(t), "panics").Unlock(patient(t))
	info, err := client.GetLock(patient(t), "panics")
	if err != nil || info.State != holdfast.Free {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestATraceparentThatCannotBeOneKeepsNobodyFromALock(t *testing.T) {
	for _, bad := range []string{strings.Repeat("x", 100_000), "\xff", "a\nb"} {
		client := dial(t, holdfast.WithTraceparent(func(context.Context) string { return bad }))
		lock(t, client, "traced").Unlock(patient(t))
	}
}

func TestTheValueOfAHeldLockIsReplaced(t *testing.T) {
	client := dial(t)
	held := lock(t, client, "value", holdfast.Value([]byte("one")))
	if err := held.Update(patient(t), []byte("two")); err != nil {
		t.Fatal(err)
	}
	if info, err := client.GetLock(patient(t), "value"); err != nil || string(info.Holders[0].Value) != "two" {
		t.Errorf("it announces %+v, %v", info.Holders, err)
	}
	held.Unlock(patient(t))
	if err := held.Update(patient(t), nil); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("after Unlock: %v", err)
	}
}

func TestOneAtATimeIsInsideWhateverComesAndGoes(t *testing.T) {
	clients := []*holdfast.Client{dial(t), dial(t), dial(t)}
	var inside, entered atomic.Int32
	var largest atomic.Uint64
	var wait sync.WaitGroup
	for i := range 60 {
		wait.Go(func() {
			client := clients[i%len(clients)]
			err := client.WithLock(context.Background(), "inside", func(ctx context.Context, l *holdfast.Lock) error {
				if inside.Add(1) != 1 {
					t.Error("two are inside")
				}
				if before := largest.Swap(l.Token()); before >= l.Token() {
					t.Errorf("token %d after %d", l.Token(), before)
				}
				entered.Add(1)
				inside.Add(-1)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if entered.Load() != 60 {
		t.Errorf("%d were inside", entered.Load())
	}
}

func TestWaitersAreToldTheirPlace(t *testing.T) {
	client := dial(t)
	held := lock(t, client, "place")
	places := make(chan holdfast.Place, 10)
	done := make(chan error, 1)
	go func() {
		next, err := client.Lock(patient(t), "place", holdfast.OnWaiting(func(p holdfast.Place) { places <- p }))
		if err == nil {
			err = next.Unlock(patient(t))
		}
		done <- err
	}()
	if p := <-places; p.Lock != "place" || p.Position != 1 || p.HolderCount != 1 || p.Holders[0].Token != held.Token() {
		t.Errorf("the place is %+v", p)
	}
	held.Unlock(patient(t))
	if err := <-done; err != nil {
		t.Error(err)
	}
}
