//go:build !race

package holdfast_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

// What takes long, or is about numbers that the race detector changes.

func TestLoadTenThousandGoroutinesContendOnOneSession(t *testing.T) {
	const waiters = 10_000
	client := dial(t)
	// With the connections that it needs.
	lock(t, client, "load").Unlock(patient(t))
	if _, err := client.GetLock(patient(t), "load"); err != nil {
		t.Fatal(err)
	}
	goroutines, before := runtime.NumGoroutine(), memory(true)
	waiting, took := contend(t, client, waiters, func() int64 { return memory(true) - before })
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	t.Logf("%d waiting calls: %d bytes each; all served in %v, %.0f a second",
		waiters, waiting/waiters, took.Round(time.Millisecond), waiters/took.Seconds())

	// Go keeps what it once needed for goroutines and maps. What more calls add to that is a leak.
	after := memory(false)
	contend(t, client, waiters/5, func() int64 { return 0 })
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "they leave nothing", func() bool { return memory(false)-after < 100*waiters/5 })
}

// contend has so many goroutines lock one lock: first all wait, and are measured, then all are served in turn.
func contend(t *testing.T, client *holdfast.Client, waiters int, measure func() int64) (measured int64, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	held := lock(t, client, "load")
	// Guarded by the lock.
	largest, entered := held.Token(), 0
	var wait sync.WaitGroup
	for range waiters {
		wait.Go(func() {
			err := client.WithLock(ctx, "load", func(_ context.Context, l *holdfast.Lock) error {
				if l.Token() <= largest {
					return fmt.Errorf("token %d after %d", l.Token(), largest)
				}
				largest, entered = l.Token(), entered+1
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all wait", func() bool {
		info, err := client.GetLock(ctx, "load", holdfast.MaxClaims(1))
		return err == nil && info.WaiterCount == waiters
	})
	measured = measure()
	start := time.Now()
	held.Unlock(ctx)
	wait.Wait()
	if entered != waiters {
		t.Errorf("%d of %d were inside", entered, waiters)
	}
	return measured, time.Since(start)
}

// memory is what the program uses for itself: what lives on its heap, and its stacks, which vary by themselves.
func memory(withStacks bool) int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if withStacks {
		return int64(stats.HeapAlloc + stats.StackInuse)
	}
	return int64(stats.HeapAlloc)
}

func TestLoadTenThousandLocksAndUnlocksLeaveNothing(t *testing.T) {
	client := dial(t)
	round := func(times int) {
		var wait sync.WaitGroup
		for i := range 4 {
			wait.Go(func() {
				for range times / 4 {
					held, err := client.Lock(context.Background(), fmt.Sprintf("again/%d", i))
					if err != nil {
						t.Error(err)
						return
					}
					// Not waiting for the answer: what crosses the next acquire must not harm it.
					if err := held.Unlock(cancelled()); err != nil && !errors.Is(err, holdfast.ErrAborted) {
						t.Error(err)
					}
				}
			})
		}
		wait.Wait()
	}
	round(1000)
	goroutines, before := runtime.NumGoroutine(), memory(false)
	round(10_000)
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "they leave nothing", func() bool { return memory(false)-before < 200_000 })
}

// Twenty sessions of one process, which is stopped for longer than their TTL; somebody else waits for each lock. The
// process cannot report anything while it stands still: what counts is that it has not believed to hold a lock at any
// moment after the next holder was granted it, and that the first thing it sees is the loss.
func TestLoadAStoppedProcessNeverBelievesToHoldWhatTheNextHolderWasGranted(t *testing.T) {
	to := task{Address: shared.Addresses()[0], TTL: 8 * time.Second}
	for i := range 20 {
		to.Locks = append(to.Locks, fmt.Sprintf("stopped/%d", i))
	}
	process, told := startHolder(t, to)
	collect(t, told, "held", len(to.Locks))

	next := dialTo(t, []string{shared.Addresses()[1]})
	granted := make(chan news, len(to.Locks))
	for _, name := range to.Locks {
		go func() {
			held, err := next.Lock(context.Background(), name)
			if err != nil {
				t.Error(err)
				return
			}
			granted <- news{Lock: name, Kind: "granted", At: monotonic()}
			held.Unlock(context.Background())
		}()
	}
	eventually(t, "all wait", func() bool {
		waiting := 0
		for info, err := range next.ListLocks(patient(t), "stopped/", holdfast.InState(holdfast.Contended)) {
			if err == nil {
				waiting += info.WaiterCount
			}
		}
		return waiting == len(to.Locks)
	})
	stoppedAt := monotonic()
	process.Signal(syscall.SIGSTOP)
	grants := collect(t, granted, "granted", len(to.Locks))
	continuedAt := monotonic()
	process.Signal(syscall.SIGCONT)
	closest := time.Duration(1 << 62)
	for name, lost := range collect(t, told, "lost", len(to.Locks)) {
		if lost.LastHeld == 0 || lost.LastHeld >= grants[name].At {
			t.Errorf("%s: granted to the next at %d, believed to be held at %d", name, grants[name].At, lost.LastHeld)
		}
		if lost.At < continuedAt {
			t.Errorf("%s: it was not stopped", name)
		}
		closest = min(closest, time.Duration(grants[name].At-lost.LastHeld))
	}
	t.Logf("20 locks: stopped for %v; the closest that belief and the next grant came was %v",
		time.Duration(continuedAt-stoppedAt).Round(time.Millisecond), closest.Round(time.Millisecond))
}

// startHolder starts this program as one that holds locks, and what it tells.
func startHolder(t *testing.T, to task) (*os.Process, <-chan news) {
	t.Helper()
	text, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), holderTask+"="+string(text))
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	told := make(chan news, 2*len(to.Locks))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var n news
			if err := json.Unmarshal(lines.Bytes(), &n); err == nil {
				told <- n
			}
		}
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
		_ = command.Wait()
	})
	return command.Process, told
}

// collect waits for news of a kind of so many locks.
func collect(t *testing.T, told <-chan news, kind string, count int) map[string]news {
	t.Helper()
	all := map[string]news{}
	for range count {
		select {
		case n := <-told:
			if n.Kind != kind {
				t.Fatalf("it tells of %+v, and not of what is %s", n, kind)
			}
			all[n.Lock] = n
		case <-time.After(time.Minute):
			t.Fatalf("only %d locks are %s", len(all), kind)
		}
	}
	return all
}
