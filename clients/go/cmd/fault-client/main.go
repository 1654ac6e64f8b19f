//go:build linux

// The client process of the fault runs for Go: does what test/faults/client.ts does with its mixed load, and writes
// down the same lines. A line is on the disk before anything follows from it, so that one who is killed has told all.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

const lookEvery = 50 * time.Millisecond

// task is ClientTask of test/faults/client-log.ts.
type task struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	Options   struct {
		TTLMs        int64  `json:"ttlMs"`
		ClientName   string `json:"clientName"`
		OnDisconnect string `json:"onDisconnect"`
	} `json:"options"`
	Seed         uint64  `json:"seed"`
	LogFile      string  `json:"logFile"`
	ClockAheadMs float64 `json:"clockAheadMs"`
	Load         struct {
		Workers int `json:"workers"`
	} `json:"load"`
}

type lockSpec struct {
	Name    string `json:"name"`
	Mode    string `json:"mode"`
	Permits int    `json:"permits"`
	Limit   int    `json:"limit"`
}

func main() {
	var t task
	if err := json.Unmarshal([]byte(os.Args[1]), &t); err != nil {
		fail(err)
	}
	log, err := os.OpenFile(t.LogFile, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		fail(err)
	}
	p := &program{task: t, log: log, held: map[int]*holdfast.Lock{}, registers: openRegisters()}
	go p.registers.listen(&p.finishing)
	client := p.dial()
	stopLooking := p.lookAgainAndAgain()
	var works sync.WaitGroup
	works.Go(func() { p.come(rand.New(rand.NewPCG(t.Seed, 0))) })
	for i := range t.Load.Workers {
		works.Go(func() { p.share(client, rand.New(rand.NewPCG(t.Seed, uint64(i)+1))) })
	}
	works.Wait()
	_ = client.Close()
	stopLooking()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

type program struct {
	task      task
	registers *registers
	finishing atomic.Bool
	ops       atomic.Int64

	logMu sync.Mutex
	log   *os.File

	heldMu sync.Mutex
	held   map[int]*holdfast.Lock
}

func (p *program) dial() *holdfast.Client {
	options := []holdfast.Option{
		holdfast.WithTTL(time.Duration(p.task.Options.TTLMs) * time.Millisecond),
		holdfast.WithClientName(p.task.Options.ClientName),
	}
	if p.task.Options.OnDisconnect == "release" {
		options = append(options, holdfast.WithReleaseOnDisconnect())
	}
	client, err := holdfast.Dial(p.task.Addresses, options...)
	if err != nil {
		fail(err)
	}
	return client
}

func (p *program) nowMs() float64 { return monotonicMs() - p.task.ClockAheadMs }

func (p *program) tell(op int, kind string, fields map[string]any) {
	p.tellAt(p.nowMs(), op, kind, fields)
}

func (p *program) tellAt(atMs float64, op int, kind string, fields map[string]any) {
	line := map[string]any{"atMs": atMs, "op": op, "kind": kind}
	for name, value := range fields {
		line[name] = value
	}
	text, _ := json.Marshal(line)
	p.logMu.Lock()
	defer p.logMu.Unlock()
	_, _ = p.log.Write(append(text, '\n'))
}

// look takes the time before it looks, so that the lock was believed to be held then if it is believed at all.
func (p *program) look(op int, lock *holdfast.Lock) {
	atMs := p.nowMs()
	if lock.Held() {
		untilMs := atMs + float64(lock.Remaining())/1e6
		p.tellAt(atMs, op, "believes", map[string]any{"untilMs": untilMs})
	}
}

func (p *program) lookAgainAndAgain() (stop func()) {
	ticker := time.NewTicker(lookEvery)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			p.heldMu.Lock()
			for op, lock := range p.held {
				p.look(op, lock)
			}
			p.heldMu.Unlock()
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
	}
}

// letGo tells whether it was among those that are looked at, and takes it from them.
func (p *program) letGo(op int) bool {
	p.heldMu.Lock()
	defer p.heldMu.Unlock()
	_, was := p.held[op]
	delete(p.held, op)
	return was
}

// wish is what to take, how long to wait (below 0: for ever), and after what time to give up (0: never).
type wish struct {
	locks  []lockSpec
	wait   time.Duration
	cancel time.Duration
}

func exclusive(name string) lockSpec { return lockSpec{Name: name, Mode: "exclusive"} }

func chooseWish(r *rand.Rand) wish {
	fate := r.Float64()
	hot := []lockSpec{exclusive(fmt.Sprintf("hot/%d", 1+r.IntN(5)))}
	switch {
	case fate < 0.4:
		return wish{locks: hot, wait: -1}
	case fate < 0.55:
		return wish{locks: hot}
	case fate < 0.65:
		return wish{locks: hot, wait: time.Duration(50+r.IntN(1500)) * time.Millisecond}
	case fate < 0.75:
		return wish{locks: hot, wait: -1, cancel: time.Duration(1+r.IntN(300)) * time.Millisecond}
	case fate < 0.82:
		return wish{locks: []lockSpec{{Name: "shared/1", Mode: "shared"}}, wait: -1}
	case fate < 0.86:
		return wish{locks: []lockSpec{exclusive("shared/1")}, wait: -1}
	case fate < 0.93:
		return wish{locks: []lockSpec{{Name: "permits/1", Mode: "semaphore", Permits: 1 + r.IntN(2), Limit: 3}}, wait: -1}
	default:
		return wish{locks: []lockSpec{exclusive("hot/2"), exclusive("hot/1")}, wait: -1}
	}
}

func specsOf(locks []lockSpec) []holdfast.Spec {
	specs := make([]holdfast.Spec, len(locks))
	for i, lock := range locks {
		switch lock.Mode {
		case "shared":
			specs[i] = holdfast.Shared(lock.Name)
		case "semaphore":
			specs[i] = holdfast.Permits(lock.Name, lock.Permits, lock.Limit)
		default:
			specs[i] = holdfast.Exclusive(lock.Name)
		}
	}
	return specs
}

// take has a claim granted, or not: then the lock is nil.
func (p *program) take(client *holdfast.Client, w wish) (int, *holdfast.Lock) {
	op := int(p.ops.Add(1))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if w.cancel > 0 {
		timer := time.AfterFunc(w.cancel, func() {
			p.tell(op, "cancels", nil)
			cancel()
		})
		defer timer.Stop()
	}
	options := []holdfast.LockOption{holdfast.Value(fmt.Appendf(nil, "%s op %d", p.task.Name, op))}
	waitMs := any(nil)
	if w.wait >= 0 {
		options = append(options, holdfast.Wait(w.wait))
		waitMs = w.wait.Milliseconds()
	}
	p.tell(op, "asks", map[string]any{"locks": w.locks, "waitMs": waitMs})
	lock, err := client.LockAll(ctx, specsOf(w.locks), options...)
	if err != nil {
		p.tell(op, "refused", map[string]any{"reason": reasonOf(err)})
		return op, nil
	}
	p.tell(op, "granted", map[string]any{"sessionId": client.SessionID(), "token": lock.Token()})
	p.heldMu.Lock()
	p.held[op] = lock
	p.heldMu.Unlock()
	context.AfterFunc(lock.Context(), func() {
		if lost := lock.Err(); lost != nil && p.letGo(op) {
			p.tell(op, "lost", map[string]any{"reason": reasonOf(lost)})
		}
	})
	p.look(op, lock)
	return op, lock
}

func reasonOf(err error) string {
	var lost *holdfast.LostError
	if errors.As(err, &lost) {
		return string(lost.Reason)
	}
	var failed *holdfast.Error
	if errors.As(err, &failed) {
		return string(failed.Reason)
	}
	return err.Error()
}

func (p *program) giveBack(op int, lock *holdfast.Lock, how string, leave func() error) {
	p.look(op, lock)
	wasHeld := p.letGo(op)
	p.tell(op, "releases", map[string]any{"how": how})
	err := leave()
	outcome := "released"
	if err != nil || !wasHeld {
		outcome = "lost"
	}
	p.tell(op, "released", map[string]any{"outcome": outcome})
}

func unlock(lock *holdfast.Lock) func() error {
	return func() error { return lock.Unlock(context.Background()) }
}

// work uses what the lock guards, without looking whether it is still held: that is what the token is for.
func (p *program) work(op int, lock *holdfast.Lock, locks []lockSpec, r *rand.Rand) {
	pause := time.Duration(r.IntN(30)) * time.Millisecond
	if r.Float64() < 0.03 {
		pause = time.Duration(r.IntN(500)) * time.Millisecond
	}
	if locks[0].Mode != "exclusive" || !slices.Contains([]string{"hot/1", "hot/2", "hot/3", "hot/4", "hot/5"}, locks[0].Name) {
		time.Sleep(pause)
		return
	}
	read := p.touch(touch{Op: op, Lock: locks[0].Name, Token: lock.Token(), What: "read"})
	time.Sleep(pause)
	if read.Accepted {
		p.touch(touch{Op: op, Lock: locks[0].Name, Token: lock.Token(), What: "write", Value: read.Value + 1})
	}
}

func (p *program) touch(t touch) touchAnswer {
	p.tell(t.Op, "touches", map[string]any{"what": t.What, "value": t.Value})
	answer := p.registers.ask(t)
	p.tell(t.Op, "touched", map[string]any{"accepted": answer.Accepted, "value": answer.Value})
	return answer
}

// share is one of several that share a client.
func (p *program) share(client *holdfast.Client, r *rand.Rand) {
	for !p.finishing.Load() {
		w := chooseWish(r)
		if op, lock := p.take(client, w); lock != nil {
			p.work(op, lock, w.locks, r)
			p.giveBack(op, lock, "release", unlock(lock))
		}
		time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
	}
}

// come has a client of its own each time, and sometimes leaves by closing it.
func (p *program) come(r *rand.Rand) {
	for !p.finishing.Load() {
		client := p.dial()
		w := chooseWish(r)
		if op, lock := p.take(client, w); lock != nil {
			p.work(op, lock, w.locks, r)
			if r.IntN(2) == 0 {
				p.giveBack(op, lock, "release", unlock(lock))
			} else {
				p.giveBack(op, lock, "close", client.Close)
			}
		}
		_ = client.Close()
		time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
	}
}
