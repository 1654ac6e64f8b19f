package main

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
)

// locker takes and frees one lock for one lease, again and again. Two of the same lease on the same lock do not
// exclude each other: neither system can tell them apart.
type locker interface {
	// lock waits until the lock is held.
	lock(ctx context.Context) error
	unlock(ctx context.Context) error
	// key is what marks the place in etcd, while held.
	key() string
}

func newLocker(system string, session *concurrency.Session, name string) (locker, error) {
	switch system {
	case "mutex":
		return &mutexLocker{concurrency.NewMutex(session, name)}, nil
	case "v3lock":
		service := v3lockpb.NewLockClient(session.Client().ActiveConnection())
		return &serviceLocker{service: service, name: name, lease: int64(session.Lease())}, nil
	}
	return nil, fmt.Errorf("no such system: %q; there are mutex and v3lock", system)
}

// lockName is new in each run: etcd keeps the keys of earlier ones in its index until it compacts, and both
// systems walk over all of them at each step of a queue.
func lockName(kind string, session *concurrency.Session) string {
	return fmt.Sprintf("bench-peers/%s/%x", kind, session.Lease())
}

// mutexLocker is etcd's recipe, run by the client.
type mutexLocker struct{ mutex *concurrency.Mutex }

func (l *mutexLocker) lock(ctx context.Context) error   { return l.mutex.Lock(ctx) }
func (l *mutexLocker) unlock(ctx context.Context) error { return l.mutex.Unlock(ctx) }
func (l *mutexLocker) key() string                      { return l.mutex.Key() }

// serviceLocker is the same recipe, run by etcd's process.
type serviceLocker struct {
	service v3lockpb.LockClient
	name    string
	lease   int64
	held    string
}

func (l *serviceLocker) lock(ctx context.Context) error {
	answer, err := l.service.Lock(ctx, &v3lockpb.LockRequest{Name: []byte(l.name), Lease: l.lease})
	if err != nil {
		return err
	}
	l.held = string(answer.Key)
	return nil
}

func (l *serviceLocker) unlock(ctx context.Context) error {
	_, err := l.service.Unlock(ctx, &v3lockpb.UnlockRequest{Key: []byte(l.held)})
	return err
}

func (l *serviceLocker) key() string { return l.held }
