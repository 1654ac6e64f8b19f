//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

// thread is a thread of control: the scopes that it is in, innermost last.
type thread struct {
	mu     sync.Mutex
	scopes []*scope
}

// scope is a WithLock whose function is running.
type scope struct {
	// ctx is what the function was given.
	ctx context.Context
	end chan error
	// over has what WithLock returned.
	over chan error
}

// thrown is what a body returns because it was told to.
type thrown struct{ text string }

func (t thrown) Error() string { return t.text }

func (t *thread) innermost() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.scopes) == 0 {
		return context.Background()
	}
	return t.scopes[len(t.scopes)-1].ctx
}

func (t *thread) pop() *scope {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.scopes) == 0 {
		return nil
	}
	last := t.scopes[len(t.scopes)-1]
	t.scopes = t.scopes[:len(t.scopes)-1]
	return last
}

func (t *thread) endAll() {
	for s := t.pop(); s != nil; s = t.pop() {
		s.end <- nil
		<-s.over
	}
}

// enter enters a scope from within the innermost one, and answers once inside.
func (d *driver) enter(c *command) (answer, error) {
	client, err := d.client(c.Client)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	t := d.threads[c.Thread]
	if t == nil {
		t = &thread{}
		d.threads[c.Thread] = t
	}
	d.mu.Unlock()
	// What is entered inside a scope whose lock was lost is wanted all the same: that scope's context has ended.
	ctx, done := d.cancellable(c, context.WithoutCancel(t.innermost()))
	defer done()
	s := &scope{end: make(chan error), over: make(chan error, 1)}
	inside := make(chan *holdfast.Lock)
	body := func(ctx context.Context, lock *holdfast.Lock) error {
		s.ctx = ctx
		t.mu.Lock()
		t.scopes = append(t.scopes, s)
		t.mu.Unlock()
		inside <- lock
		return <-s.end
	}
	go func() {
		if len(c.Locks) == 1 && (c.Locks[0].Mode == "" || c.Locks[0].Mode == "exclusive") {
			s.over <- client.WithLock(c.context(ctx), c.Locks[0].Name, body, d.waitOptions(c)...)
		} else {
			s.over <- client.WithLocks(c.context(ctx), c.specs(), body, d.waitOptions(c)...)
		}
	}()
	select {
	case lock := <-inside:
		d.keep(c.As, lock)
		return grantJSON(lock), nil
	case err := <-s.over:
		return nil, err
	}
}

// leave leaves the innermost scope, and answers when it has ended, as it ended.
func (d *driver) leave(c *command) (answer, error) {
	d.mu.Lock()
	t := d.threads[c.Thread]
	d.mu.Unlock()
	var s *scope
	if t != nil {
		s = t.pop()
	}
	if s == nil {
		return nil, fmt.Errorf("thread %q is in no scope", c.Thread)
	}
	c.isMade()
	if c.Throwing != nil {
		s.end <- thrown{*c.Throwing}
	} else {
		s.end <- nil
	}
	err := <-s.over
	var threw thrown
	if errors.As(err, &threw) && !errors.Is(err, holdfast.ErrLost) {
		return answer{"threw": threw.text}, nil
	}
	return answer{}, err
}
