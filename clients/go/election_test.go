package holdfast_test

import (
	"context"
	"errors"
	"testing"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

func TestAnElectionHasOneLeaderWhomOthersSee(t *testing.T) {
	first, second, watcher := dial(t), dial(t), dial(t)
	ctx, stop := context.WithCancel(patient(t))
	seen := make(chan string, 10)
	ended := make(chan error, 1)
	go func() {
		for leader, err := range watcher.Election("leader").Observe(ctx) {
			switch {
			case err != nil:
				ended <- err
			case leader == nil:
				seen <- "nobody"
			default:
				seen <- string(leader.Value)
			}
		}
	}()
	expectSeen := func(want string) {
		t.Helper()
		if got := <-seen; got != want {
			t.Errorf("it sees %q, not %q", got, want)
		}
	}
	expectSeen("nobody")
	leadership, err := first.Election("leader").Campaign(patient(t), []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	expectSeen("first")
	next := make(chan *holdfast.Leadership, 1)
	go func() {
		won, err := second.Election("leader").Campaign(patient(t), []byte("second"))
		if err != nil {
			t.Error(err)
		}
		next <- won
	}()
	if err := leadership.Proclaim(patient(t), []byte("still first")); err != nil {
		t.Fatal(err)
	}
	expectSeen("still first")
	if leader, err := watcher.Election("leader").Leader(patient(t)); err != nil || leader.Token != leadership.Token() {
		t.Errorf("the leader is %+v, %v", leader, err)
	}
	if !leadership.Leads() || leadership.Context().Err() != nil {
		t.Error("it does not lead")
	}
	if err := leadership.Resign(patient(t)); err != nil {
		t.Fatal(err)
	}
	won := <-next
	if won.Token() <= leadership.Token() {
		t.Errorf("token %d after %d", won.Token(), leadership.Token())
	}
	won.Resign(patient(t))
	for last := ""; last != "nobody"; {
		last = <-seen
	}
	if leader, err := watcher.Election("leader").Leader(patient(t)); err != nil || leader != nil {
		t.Errorf("the leader is %+v, %v", leader, err)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

func TestALeaderThatResignsWhileNobodyLooksIsSeenToBeGone(t *testing.T) {
	relay := relayed(t)
	leader := dial(t)
	watcher := dialTo(t, []string{relay.Address})
	leadership, err := leader.Election("unseen").Campaign(patient(t), []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan *holdfast.Leader, 10)
	ctx, stop := context.WithCancel(patient(t))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for leader, err := range watcher.Election("unseen").Observe(ctx) {
			if err == nil {
				seen <- leader
			}
		}
	}()
	// It looks at a server that may not have heard of the leader yet.
	first := <-seen
	for first == nil {
		first = <-seen
	}
	if first.Token != leadership.Token() {
		t.Errorf("it sees %+v", first)
	}
	relay.Cut()
	leadership.Resign(patient(t))
	relay.Mend()
	if last := <-seen; last != nil {
		t.Errorf("it sees %+v", last)
	}
	stop()
	<-ended
}
