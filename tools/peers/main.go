// Command peers puts a load on etcd through the locks that etcd itself offers, and prints what they reached
// as one line of JSON, so that `make bench` can set Holdfast beside them.
//
//	peers puts   -endpoint 127.0.0.1:2379 -in-flight 64 -seconds 2   raw puts, the floor under everything
//	peers mutex  -endpoint 127.0.0.1:2379 -in-flight 64 -seconds 2   concurrency.Mutex, uncontended
//	peers v3lock -endpoint 127.0.0.1:2379 -in-flight 64 -seconds 2   etcd's own lock service, uncontended
//	peers drain  -endpoint 127.0.0.1:2379 -system mutex  -waiters 1000            one hot lock, emptied once
//	peers loop   -endpoint 127.0.0.1:2379 -system v3lock -waiters 1000 -seconds 2 one hot lock, for a while
//
// Each load is what a fair user of the library would write: connections and leases are made before the clock
// starts and reused; one connection carries at most 64 operations in flight (see newPool).
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

// load is what the command line asks for.
type load struct {
	endpoint string
	system   string
	inFlight int
	waiters  int
	warmup   time.Duration
	window   time.Duration
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say which load: puts, mutex, v3lock, drain or loop")
	}
	l, err := parse(args[1:])
	if err != nil {
		return err
	}
	// A load that hangs is an error, not a long benchmark.
	ctx, cancel := context.WithTimeout(context.Background(), l.warmup+l.window+4*time.Minute)
	defer cancel()
	got, err := dispatch(ctx, args[0], l)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return json.NewEncoder(os.Stdout).Encode(got)
}

func dispatch(ctx context.Context, name string, l load) (result, error) {
	switch name {
	case "puts":
		return puts(ctx, l)
	case "mutex", "v3lock":
		l.system = name
		return uncontended(ctx, l)
	case "drain":
		return drain(ctx, l)
	case "loop":
		return loop(ctx, l)
	}
	return result{}, fmt.Errorf("no such load; there are puts, mutex, v3lock, drain and loop")
}

func parse(args []string) (load, error) {
	var l load
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.StringVar(&l.endpoint, "endpoint", "127.0.0.1:2379", "etcd's client address, host:port")
	flags.StringVar(&l.system, "system", "mutex", "drain and loop: mutex or v3lock")
	flags.IntVar(&l.inFlight, "in-flight", 1, "puts, mutex and v3lock: operations in flight, each on a key of its own")
	flags.IntVar(&l.waiters, "waiters", 1000, "drain and loop: clients of the one lock, each with a lease of its own")
	warmup := flags.Float64("warmup", 0.5, "seconds before the clock starts: of load, and in drain of standing in the queue")
	seconds := flags.Float64("seconds", 2, "seconds measured; not for drain")
	if err := flags.Parse(args); err != nil {
		return l, err
	}
	l.warmup, l.window = inSeconds(*warmup), inSeconds(*seconds)
	switch {
	case flags.NArg() > 0:
		return l, fmt.Errorf("unexpected %q", flags.Arg(0))
	case l.inFlight < 1 || l.waiters < 1:
		return l, fmt.Errorf("-in-flight and -waiters are at least 1")
	case l.warmup < 0 || l.window <= 0:
		return l, fmt.Errorf("-seconds is more than 0, -warmup not less")
	}
	return l, nil
}

func inSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
