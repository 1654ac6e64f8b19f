package holdfast_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

var errMine = errors.New("mine")

func TestANestedWithLockEntersAgainWithTheSameTokenAndNothingSent(t *testing.T) {
	client := dial(t)
	err := client.WithLock(patient(t), "nested", func(ctx context.Context, outer *holdfast.Lock) error {
		return client.WithLock(ctx, "nested", func(ctx context.Context, inner *holdfast.Lock) error {
			if inner.Token() != outer.Token() {
				t.Errorf("token %d inside %d", inner.Token(), outer.Token())
			}
			again, err := client.RLock(ctx, "nested")
			if err != nil {
				return err
			}
			info, err := client.GetLock(ctx, "nested")
			if err != nil || info.HolderCount != 1 {
				t.Errorf("the server sees %+v, %v", info, err)
			}
			if again.Unlock(ctx); !outer.Held() || !inner.Held() || again.Held() {
				t.Error("the innermost Unlock freed the lock")
			}
			return errMine
		})
	})
	if !errors.Is(err, errMine) {
		t.Errorf("it returned %v", err)
	}
	if held, err := dial(t).TryLock(patient(t), "nested"); err != nil {
		t.Errorf("it is not free afterwards: %v", err)
	} else {
		held.Unlock(patient(t))
	}
}

func TestALockIsFreeWhenTheLastOfThoseWhoEnteredUnlocks(t *testing.T) {
	client, other := dial(t), dial(t)
	outer := lock(t, client, "last")
	inner, err := client.Lock(outer.Context(), "last")
	if err != nil {
		t.Fatal(err)
	}
	if err := outer.Unlock(patient(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := other.TryLock(patient(t), "last"); !errors.Is(err, holdfast.ErrBusy) || !inner.Held() || outer.Held() {
		t.Errorf("while the inner one holds it: %v", err)
	}
	inner.Unlock(patient(t))
	if held, err := other.TryLock(patient(t), "last"); err != nil {
		t.Error(err)
	} else {
		held.Unlock(patient(t))
	}
}

func TestContextsThatComeFromNoHeldLockExcludeEachOther(t *testing.T) {
	client := dial(t)
	held := lock(t, client, "strangers")
	defer held.Unlock(patient(t))
	if _, err := client.TryLock(patient(t), "strangers"); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := client.TryLock(held.Context(), "strangers", holdfast.WithoutReentry()); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("without re-entry: %v", err)
	}
	if _, err := dial(t).TryLock(held.Context(), "strangers"); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("another client: %v", err)
	}
}

func TestWaitingForWhatOneHoldsMoreWeaklyIsADeadlockAtOnce(t *testing.T) {
	client := dial(t)
	reader, err := client.RLock(patient(t), "stronger")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Unlock(patient(t))
	if _, err := client.Lock(reader.Context(), "stronger"); !errors.Is(err, holdfast.ErrDeadlock) {
		t.Errorf("exclusive inside shared: %v", err)
	}
}

func TestThreadsThatWaitForEachOtherInACircleAreADeadlockOfOne(t *testing.T) {
	first, second := dial(t), dial(t)
	var entered sync.WaitGroup
	entered.Add(2)
	results := make(chan error, 2)
	nest := func(client *holdfast.Client, outer, inner string) {
		results <- client.WithLock(patient(t), outer, func(ctx context.Context, _ *holdfast.Lock) error {
			entered.Done()
			entered.Wait()
			return client.WithLock(ctx, inner, func(context.Context, *holdfast.Lock) error { return nil })
		})
	}
	go nest(first, "circle/a", "circle/b")
	go nest(second, "circle/b", "circle/a")
	one, other := <-results, <-results
	if errors.Is(one, holdfast.ErrDeadlock) == errors.Is(other, holdfast.ErrDeadlock) {
		t.Errorf("one said %v, the other %v", one, other)
	}
}

func TestCallsMadeSideBySideInsideOneLockExcludeEachOther(t *testing.T) {
	client := dial(t)
	outer := lock(t, client, "side/outer")
	defer outer.Unlock(patient(t))
	first, err := client.Lock(outer.Context(), "side/inner")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.TryLock(outer.Context(), "side/inner"); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("beside: %v", err)
	}
	inside, err := client.TryLock(first.Context(), "side/inner")
	if err != nil {
		t.Fatalf("inside: %v", err)
	}
	inside.Unlock(patient(t))
	first.Unlock(patient(t))
}

func TestAThreadIsInsideALockAtMost100Times(t *testing.T) {
	client := dial(t)
	ctx := patient(t)
	var held []*holdfast.Lock
	for {
		next, err := client.Lock(ctx, "deep")
		if err != nil {
			if !errors.Is(err, holdfast.ErrTooDeep) || len(held) != 100 {
				t.Errorf("after %d: %v", len(held), err)
			}
			break
		}
		held, ctx = append(held, next), next.Context()
	}
	for _, each := range held {
		each.Unlock(patient(t))
	}
}

func TestTheContextOfAHeldLockHasTheValuesOfTheCallersAndNotItsEnd(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), key{}, "value"), time.Minute)
	held, err := dial(t).Lock(ctx, "values")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Unlock(patient(t))
	cancel()
	if held.Context().Err() != nil || held.Context().Value(key{}) != "value" {
		t.Errorf("%v, %v", held.Context().Err(), held.Context().Value(key{}))
	}
}

func TestTheContextOfWithLockEndsWithTheCallers(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	err := dial(t).WithLock(ctx, "scoped", func(ctx context.Context, held *holdfast.Lock) error {
		cancel()
		<-ctx.Done()
		if !held.Held() {
			t.Error("the lock ended with the context")
		}
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, holdfast.ErrLost) {
		t.Errorf("it returned %v", err)
	}
}

func TestALockIsFreeAfterItsFunctionPanicked(t *testing.T) {
	client := dial(t)
	func() {
		defer func() {
			if recover() != errMine {
				t.Error("the panic did not come through")
			}
		}()
		_ = client.WithLock(patient(t), "panic", func(context.Context, *holdfast.Lock) error { panic(errMine) })
	}()
	lock(t, client, "panic", holdfast.Wait(0)).Unlock(patient(t))
}
