package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

func TestLocksAreListedByPrefixAndState(t *testing.T) {
	client := dial(t)
	var specs []holdfast.Spec
	for i := range 16 {
		specs = append(specs, holdfast.Exclusive(fmt.Sprintf("list/%02d", i)))
	}
	held, err := client.LockAll(patient(t), specs)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Unlock(patient(t))
	var names []string
	for info, err := range client.ListLocks(patient(t), "list/", holdfast.InState(holdfast.Held)) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
		if info.State != holdfast.Held || info.Mode != holdfast.ModeExclusive || info.Holders[0].LockCount != 16 {
			t.Errorf("%+v", info)
		}
	}
	if len(names) != 16 || !slices.IsSorted(names) {
		t.Errorf("it lists %v", names)
	}
	for info, err := range client.ListLocks(patient(t), "list/", holdfast.InState(holdfast.Contended)) {
		t.Errorf("contended: %+v, %v", info, err)
	}
	if info, err := client.GetLock(patient(t), "list/none"); err != nil || info.State != holdfast.Free {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestAWatchShowsWhatExistsAndThenWhatChanges(t *testing.T) {
	// One server: another one may hear of the lock later.
	client := dialTo(t, []string{alone.Address})
	held := lock(t, client, "watch/a")
	var states []string
	for changes, err := range client.WatchLocks(patient(t), holdfast.WithPrefix("watch/")) {
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range changes.Locks {
			states = append(states, info.Name+" "+info.State.String())
		}
		if changes.CaughtUp {
			held.Unlock(patient(t))
		}
		if slices.Contains(states, "watch/a free") {
			break
		}
	}
	if !slices.Equal(states, []string{"watch/a held", "watch/a free"}) {
		t.Errorf("it showed %v", states)
	}
	for _, err := range client.WatchLocks(cancelled(), holdfast.Named("watch/a")) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
	}
}

func TestATokenIsLiveEndedOrNotIssued(t *testing.T) {
	client := dial(t)
	held := lock(t, client, "token")
	token := held.Token()
	check := func(token uint64, want holdfast.TokenState) {
		t.Helper()
		if got, err := client.CheckToken(patient(t), "token", token); err != nil || got != want {
			t.Errorf("token %d is %s, %v", token, got, err)
		}
	}
	check(token, holdfast.TokenLive)
	check(1<<60, holdfast.TokenNotIssued)
	held.Unlock(patient(t))
	check(token, holdfast.TokenEnded)
	if _, err := client.CheckToken(patient(t), "token", 0); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("token 0: %v", err)
	}
}

func TestReadsGoOnAtAnotherServerWhenOneIsGone(t *testing.T) {
	client := dialTo(t, append([]string{"127.0.0.1:1"}, shared.Addresses()...))
	for range 3 {
		if _, err := client.GetLock(patient(t), "elsewhere"); err != nil {
			t.Error(err)
		}
	}
}

func TestACountOutOfRangeIsRefused(t *testing.T) {
	client := dial(t)
	for _, n := range []int{-1, 1_001} {
		if _, err := client.GetLock(patient(t), "counts", holdfast.MaxClaims(n)); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("at most %d claims: %v", n, err)
		}
	}
	for _, n := range []int{-1, 101} {
		for _, err := range client.WatchLocks(patient(t), holdfast.Named("counts"), holdfast.MaxWaiters(n)) {
			if !errors.Is(err, holdfast.ErrInvalid) {
				t.Errorf("at most %d waiters: %v", n, err)
			}
			break
		}
	}
}
