package holdfast_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

// holderTask is the variable that makes the program of the tests one that holds locks.
const holderTask = "HOLDFAST_TEST_HOLDER"

// task is what it is to do: hold a lock in each of so many sessions.
type task struct {
	Address string
	TTL     time.Duration
	Locks   []string
}

// news is what it tells of each lock, on its standard output; times are of the clock that all processes share.
type news struct {
	Lock string
	// Kind is "held", or "lost" when the program has seen that.
	Kind string
	At   int64
	// LastHeld is when it last believed to hold it: read before the look that said so.
	LastHeld int64
}

// monotonic is the time of the clock that all processes of a machine share, in nanoseconds.
func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return now.Nano()
}

func holdLocks(text string) {
	var to task
	if err := json.Unmarshal([]byte(text), &to); err != nil {
		panic(err)
	}
	var output sync.Mutex
	tell := func(n news) {
		output.Lock()
		defer output.Unlock()
		line, _ := json.Marshal(n)
		fmt.Println(string(line))
	}
	var wait sync.WaitGroup
	for _, name := range to.Locks {
		wait.Go(func() {
			client, err := holdfast.Dial([]string{to.Address}, holdfast.WithTTL(to.TTL), holdfast.WithCloseTimeout(0))
			if err != nil {
				panic(err)
			}
			defer client.Close()
			held, err := client.Lock(context.Background(), name)
			if err != nil {
				panic(err)
			}
			tell(news{Lock: name, Kind: "held", At: monotonic()})
			lastHeld := int64(0)
			for at := monotonic(); held.Context().Err() == nil || held.Held(); at = monotonic() {
				lastHeld = at
				time.Sleep(time.Millisecond)
			}
			tell(news{name, "lost", monotonic(), lastHeld})
		})
	}
	wait.Wait()
	os.Exit(0)
}
