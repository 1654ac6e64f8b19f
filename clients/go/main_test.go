package holdfast_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
	"github.com/holdfast-lock/holdfast/clients/go/internal/service"
)

var (
	// shared is the service of all tests that do no harm to it: two servers.
	shared *service.Service
	// alone is one more server of it, which tells nobody of the others: who is cut off from it stays cut off.
	alone *service.Server
)

func TestMain(m *testing.M) {
	if task := os.Getenv(holderTask); task != "" {
		holdLocks(task)
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if shared, err = service.Start(2, "--max-claims-per-session", "20000"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.Stop()
	if alone, err = shared.StartServer("--advertise-address", "none"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code := m.Run(); code != 0 {
		return code
	}
	if err := nothingIsLeft(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// nothingIsLeft looks for what tests have left: sessions and claims in etcd, goroutines here.
func nothingIsLeft() error {
	left, err := shared.Leftovers()
	for end := time.Now().Add(time.Minute); err == nil && left > 0 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
		left, err = shared.Leftovers()
	}
	if err != nil || left > 0 {
		return fmt.Errorf("%d keys of sessions and claims are left in etcd: %v", left, err)
	}
	alone.Kill()
	shared.Stop()
	return goleak.Find()
}

// dial is a client of the shared service, closed with the test.
func dial(t *testing.T, options ...holdfast.Option) *holdfast.Client {
	t.Helper()
	return dialTo(t, shared.Addresses(), options...)
}

func dialTo(t *testing.T, addresses []string, options ...holdfast.Option) *holdfast.Client {
	t.Helper()
	client, err := holdfast.Dial(addresses, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// patient is a context that ends long after everything that goes well has ended.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// lock locks, or fails the test.
func lock(t *testing.T, client *holdfast.Client, name string, options ...holdfast.LockOption) *holdfast.Lock {
	t.Helper()
	held, err := client.Lock(patient(t), name, options...)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// eventually waits for something to be so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !isSo(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is still not so that " + what)
		}
	}
}
