package service

import (
	"net"
	"sync"
)

// Relay is a TCP relay to a server that can fail in the ways in which networks do.
type Relay struct {
	// Address is "127.0.0.1:port": connect here instead of to the target.
	Address string

	listener net.Listener
	target   string
	done     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	cut   bool
	// mended is open while nothing is let through.
	mended chan struct{}
}

// StartRelay starts a relay to "host:port".
func StartRelay(target string) (*Relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{
		Address: listener.Addr().String(), listener: listener, target: target,
		conns: map[net.Conn]bool{}, mended: make(chan struct{}),
	}
	close(r.mended)
	r.done.Go(r.accept)
	return r, nil
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.target)
		if err != nil || !r.keep(client, server) {
			client.Close()
			continue
		}
		r.done.Go(func() { r.copy(client, server) })
		r.done.Go(func() { r.copy(server, client) })
	}
}

func (r *Relay) keep(client, server net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		server.Close()
		return false
	}
	r.conns[client], r.conns[server] = true, true
	return true
}

func (r *Relay) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64*1024)
	for {
		n, err := from.Read(buffer)
		r.mu.Lock()
		mended := r.mended
		r.mu.Unlock()
		<-mended
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

// Cut breaks all connections, and refuses new ones until Mend.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	for conn := range r.conns {
		conn.Close()
	}
	clear(r.conns)
}

// BlackHole lets nothing through, with connections open; what was sent meanwhile comes after Mend.
func (r *Relay) BlackHole() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mended = make(chan struct{})
}

// Mend lets everything through again.
func (r *Relay) Mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = false
	select {
	case <-r.mended:
	default:
		close(r.mended)
	}
}

// Close ends it, and returns when nothing of it is left.
func (r *Relay) Close() {
	r.listener.Close()
	r.Cut()
	r.Mend()
	r.done.Wait()
}
