package holdfast_test

import (
	"sync"
	"testing"
	"time"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

func TestALockerExcludesAsAMutexDoes(t *testing.T) {
	client := dial(t)
	locker := client.Locker("locker", func(lost *holdfast.LostError) { t.Error(lost) })
	var guard sync.Locker = locker
	count := 0
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			guard.Lock()
			defer guard.Unlock()
			if locker.Current().Token() == 0 {
				t.Error("it has no token")
			}
			count++
		})
	}
	wait.Wait()
	if count != 20 || locker.Current() != nil {
		t.Errorf("%d were inside, and %v is", count, locker.Current())
	}
}

func TestALockerTellsOfALoss(t *testing.T) {
	relay := relayed(t)
	client := dialTo(t, []string{relay.Address}, holdfast.WithReleaseOnDisconnect())
	lost := make(chan *holdfast.LostError, 1)
	locker := client.Locker("locker/lost", func(loss *holdfast.LostError) { lost <- loss })
	locker.Lock()
	relay.Cut()
	if loss := <-lost; loss.Lock != "locker/lost" {
		t.Errorf("%+v", loss)
	}
	relay.Mend()
	locker.Unlock()
	locker.Lock()
	locker.Unlock()
}

// Who has lost the lock unlocks when it likes, and not the lock of whoever is let in meanwhile.
func TestALockerKeepsTheNextGoroutineOutUntilTheOneThatLostHasUnlocked(t *testing.T) {
	client := dialTo(t, []string{alone.Address})
	lost := make(chan *holdfast.LostError, 2)
	locker := client.Locker("locker/two", func(loss *holdfast.LostError) { lost <- loss })
	locker.Lock()
	first := locker.Current()
	entered := make(chan *holdfast.Lock)
	go func() {
		locker.Lock()
		entered <- locker.Current()
	}()
	release(t, alone.Address, "locker/two", first.Token())
	<-lost
	select {
	case <-entered:
		t.Fatal("two goroutines are between Lock and Unlock")
	case <-time.After(200 * time.Millisecond):
	}
	locker.Unlock()
	second := <-entered
	if !second.Held() || second.Token() <= first.Token() {
		t.Errorf("the next one has token %d, held: %v", second.Token(), second.Held())
	}
	locker.Unlock()
	if locker.Current() != nil {
		t.Error("it is still locked")
	}
}

func TestALockerPanicsWhereAskingAgainCannotHelp(t *testing.T) {
	client := dial(t)
	for what, wrong := range map[string]func(){
		"a bad name":                   func() { client.Locker("", func(*holdfast.LostError) {}).Lock() },
		"nobody to tell":               func() { client.Locker("x", nil) },
		"Unlock of what is not locked": func() { client.Locker("x", func(*holdfast.LostError) {}).Unlock() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			wrong()
		}()
	}
}
