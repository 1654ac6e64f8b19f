package holdfast_test

import (
	"context"
	"errors"
	"testing"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

func TestALockIsHeldUntilItIsUnlocked(t *testing.T) {
	client := dial(t)
	held := lock(t, client, "first")
	if held.Token() == 0 || !held.Held() || held.Remaining() <= 0 || held.Err() != nil {
		t.Errorf("token %d, held %v, for %v, %v", held.Token(), held.Held(), held.Remaining(), held.Err())
	}
	if err := held.Unlock(patient(t)); err != nil {
		t.Fatal(err)
	}
	if held.Held() || held.Remaining() != 0 || held.Err() != nil {
		t.Error("it is held after Unlock")
	}
	if cause := context.Cause(held.Context()); !errors.Is(cause, holdfast.ErrUnlocked) {
		t.Errorf("the context ended with %v", cause)
	}
	next := lock(t, client, "first")
	defer next.Unlock(patient(t))
	if next.Token() <= held.Token() {
		t.Errorf("token %d after %d", next.Token(), held.Token())
	}
}
