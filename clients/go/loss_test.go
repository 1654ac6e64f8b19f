package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
	"github.com/holdfast-lock/holdfast/clients/go/internal/service"
)

// relayed is a relay to the first shared server, which tells nobody of the second.
func relayed(t *testing.T) *service.Relay {
	t.Helper()
	relay, err := service.StartRelay(alone.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	return relay
}

// Twenty sessions whose heartbeats reach nobody, with the connections open; somebody else waits for each lock.
func TestNobodyBelievesToHoldWhatTheNextWasGranted(t *testing.T) {
	const sessions = 20
	relay := relayed(t)
	next := dial(t)
	var helds [sessions]*holdfast.Lock
	var until, told, granted [sessions]int64
	var waiting, done sync.WaitGroup
	waiting.Add(sessions)
	for i := range sessions {
		name := fmt.Sprintf("blackhole/%d", i)
		client := dialTo(t, []string{relay.Address}, holdfast.WithTTL(6*time.Second), holdfast.WithCloseTimeout(0))
		done.Go(func() {
			held := lock(t, client, name)
			helds[i] = held
			done.Go(func() {
				isWaiting := sync.OnceFunc(waiting.Done)
				after, err := next.Lock(patient(t), name, holdfast.OnWaiting(func(holdfast.Place) { isWaiting() }))
				if err != nil {
					t.Error(err)
					return
				}
				granted[i] = monotonic()
				isWaiting()
				after.Unlock(patient(t))
			})
			<-held.Context().Done()
			told[i] = monotonic()
			expectLoss(t, held, holdfast.ErrSessionExpired)
		})
	}
	waiting.Wait()
	relay.BlackHole()
	for i, held := range helds {
		until[i] = monotonic()
		until[i] += int64(held.Remaining())
	}
	done.Wait()
	closest, toldInTime := time.Duration(1<<62), 0
	for i := range sessions {
		if until[i] >= granted[i] {
			t.Errorf("lock %d: believed until %d, granted to the next at %d", i, until[i], granted[i])
		}
		closest = min(closest, time.Duration(granted[i]-until[i]))
		if told[i] < granted[i] {
			toldInTime++
		}
	}
	// A busy machine keeps goroutines waiting, and so tells late, but not each time.
	if toldInTime == 0 {
		t.Error("no loss was told before the next grant")
	}
	t.Logf("the closest that an end and the next grant came was %v, %d of %d told before", closest.Round(time.Millisecond), toldInTime, sessions)
}

func expectLoss(t *testing.T, held *holdfast.Lock, reason error) {
	t.Helper()
	var lost *holdfast.LostError
	cause := context.Cause(held.Context())
	if !errors.As(cause, &lost) || !errors.Is(cause, holdfast.ErrLost) || !errors.Is(cause, reason) {
		t.Errorf("the context ended with %v", cause)
	}
	if held.Held() || held.Remaining() != 0 || !errors.Is(held.Err(), holdfast.ErrLost) {
		t.Error("it believes to hold what it lost")
	}
	if err := held.Unlock(patient(t)); !errors.Is(err, holdfast.ErrLost) {
		t.Errorf("Unlock said %v", err)
	}
}

func TestTheErrOfALocksContextReadsTheClock(t *testing.T) {
	relay := relayed(t)
	client := dialTo(t, []string{relay.Address}, holdfast.WithTTL(2*time.Second), holdfast.WithCloseTimeout(0))
	held := lock(t, client, "clock")
	relay.BlackHole()
	held.StopTimer()
	<-time.After(held.Remaining())
	if held.Context().Err() == nil {
		t.Error("it believes past the deadline")
	}
	expectLoss(t, held, holdfast.ErrSessionExpired)
}

func TestABrokenConnectionIsResumedWithoutAWord(t *testing.T) {
	relay := relayed(t)
	client := dialTo(t, []string{relay.Address})
	held := lock(t, client, "resumed")
	session := client.SessionID()
	waiting := make(chan error, 1)
	go func() {
		_, err := client.Lock(patient(t), "resumed")
		waiting <- err
	}()
	for range 3 {
		relay.Cut()
		relay.Mend()
		if err := held.Update(patient(t), []byte("after the break")); err != nil {
			t.Fatal(err)
		}
	}
	if !held.Held() || client.SessionID() != session {
		t.Error("the session did not outlive the break")
	}
	if err := held.Unlock(patient(t)); err != nil {
		t.Error(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("the waiter was told %v", err)
	}
}

func TestABrokenConnectionLosesEverythingWhereThatIsWanted(t *testing.T) {
	relay := relayed(t)
	client := dialTo(t, []string{relay.Address}, holdfast.WithReleaseOnDisconnect())
	held := lock(t, client, "release")
	relay.Cut()
	<-held.Context().Done()
	if !errors.Is(held.Err(), holdfast.ErrConnectionLost) {
		t.Errorf("it was lost by %v", held.Err())
	}
	relay.Mend()
}

// release frees a lock by force.
func release(t *testing.T, address, name string, token uint64) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := &pb.ReleaseLockRequest{Name: name, FencingToken: token, Justification: "a test"}
	if _, err = pb.NewAdminServiceClient(conn).ReleaseLock(patient(t), request); err != nil {
		t.Fatal(err)
	}
}

func TestALockReleasedByForceIsLost(t *testing.T) {
	client := dial(t)
	held := lock(t, client, "forced")
	release(t, shared.Addresses()[0], "forced", held.Token())
	<-held.Context().Done()
	if !errors.Is(held.Err(), holdfast.ErrReleasedByForce) || !errors.Is(held.Err(), holdfast.ErrLost) {
		t.Errorf("it was lost by %v", held.Err())
	}
}

func TestALossInsideWithLockIsWhatItReturns(t *testing.T) {
	relay := relayed(t)
	client := dialTo(t, []string{relay.Address}, holdfast.WithReleaseOnDisconnect())
	for _, mine := range []error{nil, errMine} {
		err := client.WithLock(patient(t), "inside-lost", func(ctx context.Context, _ *holdfast.Lock) error {
			relay.Cut()
			<-ctx.Done()
			relay.Mend()
			return mine
		})
		if !errors.Is(err, holdfast.ErrLost) || (mine != nil && !errors.Is(err, mine)) {
			t.Errorf("it returned %v", err)
		}
	}
}

func TestAServerThatCrashesCostsNoLockAndNoPlace(t *testing.T) {
	for name, end := range map[string]func(*service.Server){
		"crash": func(s *service.Server) { s.Kill() },
		// Asked to end, it drains.
		"drain": func(s *service.Server) { s.Terminate() },
	} {
		server, err := shared.StartServer("--drain-time", "10s")
		if err != nil {
			t.Fatal(err)
		}
		// Of the others it is told by this one.
		client := dialTo(t, []string{server.Address})
		held := lock(t, client, "crash/"+name)
		waiting := make(chan error, 1)
		go func() {
			next, err := client.Lock(patient(t), "crash/"+name)
			if err == nil {
				err = next.Unlock(patient(t))
			}
			waiting <- err
		}()
		eventually(t, "one waits", func() bool {
			info, err := client.GetLock(patient(t), "crash/"+name)
			return err == nil && info.WaiterCount == 1
		})
		end(server)
		if err := held.Update(patient(t), []byte("on another server")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := dial(t).GetLock(patient(t), "crash/"+name); err != nil || info.Holders[0].Token != held.Token() {
			t.Errorf("%s: it is held by %+v, %v", name, info.Holders, err)
		}
		if err := held.Unlock(patient(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := <-waiting; err != nil {
			t.Errorf("%s: the waiter was told %v", name, err)
		}
	}
}

func TestDrainingUnderLoadCostsNoCallAnError(t *testing.T) {
	server, err := shared.StartServer("--drain-time", "10s")
	if err != nil {
		t.Fatal(err)
	}
	client := dialTo(t, []string{server.Address})
	ctx, stop := context.WithCancel(context.Background())
	var loads sync.WaitGroup
	for i := range 20 {
		loads.Go(func() {
			for ctx.Err() == nil {
				held, err := client.Lock(context.Background(), "drained/"+string(rune('a'+i%4)))
				if err == nil {
					err = held.Unlock(context.Background())
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	server.Terminate()
	time.Sleep(50 * time.Millisecond)
	stop()
	loads.Wait()
}

func TestACloseFreesEverythingAtOnceAndRefusesWhatComesAfter(t *testing.T) {
	client, err := holdfast.Dial(shared.Addresses())
	if err != nil {
		t.Fatal(err)
	}
	held := lock(t, client, "closed")
	waiting := make(chan error, 1)
	go func() {
		_, err := client.Lock(context.Background(), "closed")
		waiting <- err
	}()
	eventually(t, "one waits", func() bool {
		info, err := client.GetLock(patient(t), "closed")
		return err == nil && info.WaiterCount == 1
	})
	client.Close()
	if err := <-waiting; !errors.Is(err, holdfast.ErrClosed) {
		t.Errorf("the waiter was told %v", err)
	}
	if !errors.Is(held.Err(), holdfast.ErrClosed) || !errors.Is(context.Cause(held.Context()), holdfast.ErrLost) {
		t.Errorf("it was lost by %v", held.Err())
	}
	if _, err := client.Lock(context.Background(), "closed"); !errors.Is(err, holdfast.ErrClosed) {
		t.Errorf("Lock: %v", err)
	}
	if err := client.Ready(context.Background()); !errors.Is(err, holdfast.ErrClosed) {
		t.Errorf("Ready: %v", err)
	}
	if _, err := client.GetLock(context.Background(), "closed"); !errors.Is(err, holdfast.ErrClosed) {
		t.Errorf("GetLock: %v", err)
	}
	client.Close()
	lock(t, dial(t), "closed", holdfast.Wait(0)).Unlock(patient(t))
}

func TestNoGoroutineIsLeftWhenCloseReturns(t *testing.T) {
	for range 20 {
		client, err := holdfast.Dial(shared.Addresses())
		if err != nil {
			t.Fatal(err)
		}
		lock(t, client, "goroutines")
		client.Close()
		var stacks strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
			t.Fatal(err)
		}
		for _, mine := range []string{"go.(*stream)", "go.(*sessionRuntime)", "go.(*claim)"} {
			if strings.Contains(stacks.String(), mine) {
				t.Fatalf("%s still runs", mine)
			}
		}
	}
}

func TestCloseReturnsAlthoughTheConnectionTakesNothingMore(t *testing.T) {
	relay := relayed(t)
	client, err := holdfast.Dial([]string{relay.Address},
		holdfast.WithTTL(4*time.Second), holdfast.WithCloseTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	held := lock(t, client, "stuck")
	relay.BlackHole()
	// More than the connection lets through without an answer.
	for range 2000 {
		if err := held.Update(cancelled(), make([]byte, 4096)); !errors.Is(err, holdfast.ErrAborted) {
			t.Error(err)
			break
		}
	}
	closed := make(chan struct{})
	go func() {
		client.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("it still closes")
	}
}

func TestWithoutAServerEverythingIsUnreachable(t *testing.T) {
	client := dialTo(t, []string{"127.0.0.1:1"},
		holdfast.WithConnectTimeout(300*time.Millisecond), holdfast.WithCallTimeout(time.Second))
	if err := client.Ready(patient(t)); !errors.Is(err, holdfast.ErrUnreachable) {
		t.Errorf("Ready: %v", err)
	}
	if _, err := client.Lock(patient(t), "a"); !errors.Is(err, holdfast.ErrUnreachable) {
		t.Errorf("Lock: %v", err)
	}
	if _, err := client.GetLock(patient(t), "a"); !errors.Is(err, holdfast.ErrUnreachable) {
		t.Errorf("GetLock: %v", err)
	}
}

func TestWithoutItsStoreAServiceSaysSoAndNothingIsEntered(t *testing.T) {
	broken, err := service.Start(1)
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Stop()
	client := dialTo(t, broken.Addresses(), holdfast.WithTTL(2*time.Second), holdfast.WithCloseTimeout(0),
		holdfast.WithConnectTimeout(4*time.Second))
	held := lock(t, client, "store")
	broken.Etcd.Kill()
	<-held.Context().Done()
	if !errors.Is(held.Err(), holdfast.ErrSessionExpired) {
		t.Errorf("it was lost by %v", held.Err())
	}
	_, err = client.Lock(patient(t), "store")
	if !errors.Is(err, holdfast.ErrStoreUnavailable) && !errors.Is(err, holdfast.ErrUnreachable) {
		t.Errorf("Lock: %v", err)
	}
}
