package holdfast_test

import (
	"sync"
	"testing"

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
