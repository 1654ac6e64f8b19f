//go:build unix

// The driver of the conformance suite for Go: obeys the commands of test/conformance/README.md with the library as its
// users have it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

func main() {
	d := newDriver()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			d.tell(answer{"id": c.ID, "fault": err.Error()})
			continue
		}
		d.start(&c)
	}
	d.closeAll()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// command has every field of every command: which one has which, the README says.
type command struct {
	ID               int               `json:"id"`
	Op               string            `json:"op"`
	Client           string            `json:"client"`
	Addresses        []string          `json:"addresses"`
	TTLMs            *float64          `json:"ttlMs"`
	OnDisconnect     string            `json:"onDisconnect"`
	Liveness         string            `json:"liveness"`
	ConnectTimeoutMs *float64          `json:"connectTimeoutMs"`
	CallTimeoutMs    *float64          `json:"callTimeoutMs"`
	CloseTimeoutMs   *float64          `json:"closeTimeoutMs"`
	ClientName       *string           `json:"clientName"`
	Labels           map[string]string `json:"labels"`
	Traceparent      *string           `json:"traceparent"`
	As               string            `json:"as"`
	Locks            []lockSpec        `json:"locks"`
	WaitMs           *float64          `json:"waitMs"`
	Purpose          *string           `json:"purpose"`
	Value            *string           `json:"value"`
	Target           int               `json:"target"`
	Thread           string            `json:"thread"`
	Reentrant        *bool             `json:"reentrant"`
	Throwing         *string           `json:"throwing"`
	Election         string            `json:"election"`
	Name             *string           `json:"name"`
	Prefix           string            `json:"prefix"`
	State            string            `json:"state"`
	MaxClaims        *int              `json:"maxClaims"`
	MaxWaiters       int               `json:"maxWaiters"`
	Token            string            `json:"token"`
	ForMs            float64           `json:"forMs"`

	// made is closed when the library call that the command stands for has been made.
	made     chan struct{}
	madeOnce sync.Once
}

type lockSpec struct {
	Name    string `json:"name"`
	Mode    string `json:"mode"`
	Permits *int   `json:"permits"`
	Limit   int    `json:"limit"`
}

// answer is a line to the runner.
type answer map[string]any

// driver is what the runner has made so far.
type driver struct {
	output sync.Mutex

	mu      sync.Mutex
	clients map[string]*holdfast.Client
	locks   map[string]*holdfast.Lock
	threads map[string]*thread
	// cancels are by the id of the command, stops by name.
	cancels map[int]context.CancelCauseFunc
	stops   map[string]context.CancelFunc
	reading sync.WaitGroup
}

func newDriver() *driver {
	return &driver{
		clients: map[string]*holdfast.Client{},
		locks:   map[string]*holdfast.Lock{},
		threads: map[string]*thread{},
		cancels: map[int]context.CancelCauseFunc{},
		stops:   map[string]context.CancelFunc{},
	}
}

// start obeys a command, and returns when the call that it stands for has been made.
func (d *driver) start(c *command) {
	operate := operations[c.Op]
	if operate == nil {
		d.tell(answer{"id": c.ID, "fault": fmt.Sprintf("no operation %q", c.Op)})
		return
	}
	c.made = make(chan struct{})
	go func() {
		defer c.isMade()
		ok, err := operate(d, c)
		switch {
		case err == nil:
			d.tell(answer{"id": c.ID, "ok": ok})
		case reasonOf(err) != "":
			d.tell(answer{"id": c.ID, "error": errorJSON(err)})
		default:
			d.tell(answer{"id": c.ID, "fault": err.Error()})
		}
	}()
	<-c.made
}

func (c *command) isMade() { c.madeOnce.Do(func() { close(c.made) }) }

// context is one for a library call. The library asks it for Done when it begins to wait: then the call has been made.
func (c *command) context(parent context.Context) context.Context { return calling{parent, c} }

type calling struct {
	context.Context
	command *command
}

func (c calling) Done() <-chan struct{} {
	c.command.isMade()
	return c.Context.Done()
}

// nothing to wait for: the next command may start.
func (c *command) inBackground() context.Context {
	c.isMade()
	return context.Background()
}

func (d *driver) tell(line answer) {
	d.output.Lock()
	defer d.output.Unlock()
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(text, '\n'))
}

func (d *driver) closeAll() {
	d.mu.Lock()
	for _, stop := range d.stops {
		stop()
	}
	var closing sync.WaitGroup
	for _, client := range d.clients {
		closing.Go(func() { client.Close() })
	}
	threads := d.threads
	d.threads = nil
	d.mu.Unlock()
	for _, each := range threads {
		each.endAll()
	}
	closing.Wait()
	d.reading.Wait()
}

func (d *driver) client(name string) (*holdfast.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if client := d.clients[name]; client != nil {
		return client, nil
	}
	return nil, fmt.Errorf("no client %q", name)
}

func (d *driver) lock(as string) (*holdfast.Lock, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if lock := d.locks[as]; lock != nil {
		return lock, nil
	}
	return nil, fmt.Errorf("no lock %q", as)
}

func (d *driver) keep(as string, lock *holdfast.Lock) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.locks[as] = lock
}

// reasonOf is the reason of an error of the library; empty: it is none of its own.
func reasonOf(err error) holdfast.Reason {
	if failed := (*holdfast.Error)(nil); errors.As(err, &failed) {
		return failed.Reason
	}
	if lost := (*holdfast.LostError)(nil); errors.As(err, &lost) {
		return lost.Reason
	}
	return ""
}
