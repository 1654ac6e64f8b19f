package main

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

const (
	// Beyond about this many calls in flight one HTTP/2 connection, not etcd, sets the pace, and a user with
	// more would open another; with one connection each, hundreds of sockets would.
	perConnection = 64
	// openers is how many sessions are opened or closed at a time: enough to be quick, no burst of fsyncs.
	openers = 64
	ttl     = 60
)

// pool is enough connections for a number of operations in flight.
type pool struct{ clients []*clientv3.Client }

func newPool(endpoint string, inFlight int) (*pool, error) {
	p := &pool{}
	for range (inFlight + perConnection - 1) / perConnection {
		client, err := clientv3.New(clientv3.Config{
			Endpoints:   []string{endpoint},
			DialTimeout: 10 * time.Second,
			// Otherwise each lock that is given up when the window is over is a line on stderr.
			Logger: zap.NewNop(),
		})
		if err != nil {
			p.close()
			return nil, err
		}
		p.clients = append(p.clients, client)
	}
	return p, nil
}

// of says whose connection worker i uses.
func (p *pool) of(i int) *clientv3.Client { return p.clients[i%len(p.clients)] }

func (p *pool) close() {
	for _, client := range p.clients {
		client.Close()
	}
}

// sessions opens n leases, kept alive, spread over the connections. What was opened is returned with the error.
func (p *pool) sessions(ctx context.Context, n int) ([]*concurrency.Session, error) {
	opened := make([]*concurrency.Session, n)
	err := inParallel(n, func(i int) (err error) {
		opened[i], err = concurrency.NewSession(p.of(i), concurrency.WithTTL(ttl), concurrency.WithContext(ctx))
		return err
	})
	return opened, err
}

// revoke ends leases, and with them every key of the load.
func revoke(sessions []*concurrency.Session) error {
	return inParallel(len(sessions), func(i int) error {
		if sessions[i] == nil {
			return nil
		}
		return sessions[i].Close()
	})
}

// inParallel calls fn for 0 to n-1, `openers` at a time, and joins the errors.
func inParallel(n int, fn func(i int) error) error {
	errs := make([]error, n)
	slots := make(chan struct{}, openers)
	var all sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			errs[i] = fn(i)
			<-slots
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
