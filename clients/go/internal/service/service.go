// Package service starts real Holdfast servers over a real etcd, as processes, for tests.
package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long something may take to start.
const patience = 2 * time.Minute

// Root is the root of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "../../../..")
}

// Service is any number of servers over one etcd.
type Service struct {
	Etcd    *Process
	Servers []*Server
	// Endpoint is the etcd's.
	Endpoint string

	folder string
}

// Server is a server that is a process of its own.
type Server struct {
	*Process
	// Address is "127.0.0.1:port", where clients connect; HTTP is "http://127.0.0.1:port".
	Address, HTTP string
}

// Start starts an etcd and so many servers with these flags, and returns when they serve. The pinned etcd is built first
// where that has not been done.
func Start(servers int, flags ...string) (service *Service, err error) {
	folder, err := os.MkdirTemp("", "holdfast-go-")
	if err != nil {
		return nil, err
	}
	s := &Service{folder: folder}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if err := s.startEtcd(); err != nil {
		return nil, err
	}
	started := make(chan error, servers)
	s.Servers = make([]*Server, servers)
	for i := range s.Servers {
		go func() {
			var err error
			s.Servers[i], err = s.StartServer(flags...)
			started <- err
		}()
	}
	for range s.Servers {
		err = errors.Join(err, <-started)
	}
	return s, err
}

func (s *Service) startEtcd() error {
	build := exec.Command(filepath.Join(Root(), "tools/build.sh"), "etcd")
	build.Stderr = os.Stderr
	path, err := build.Output()
	if err != nil {
		return fmt.Errorf("tools/build.sh etcd: %w", err)
	}
	clients, peers := freeAddress(), freeAddress()
	s.Endpoint = clients
	s.Etcd, err = start(strings.TrimSpace(string(path)),
		"--data-dir", s.folder, "--log-level", "error", "--unsafe-no-fsync",
		"--listen-client-urls", "http://"+clients, "--advertise-client-urls", "http://"+clients,
		"--listen-peer-urls", "http://"+peers, "--initial-advertise-peer-urls", "http://"+peers,
		"--initial-cluster", "default=http://"+peers)
	if err != nil {
		return err
	}
	return s.Etcd.until("http://"+clients+"/health", `"health":"true"`)
}

// StartServer starts one more server, and returns when it serves.
func (s *Service) StartServer(flags ...string) (*Server, error) {
	root := Root()
	node := filepath.Join(root, "node_modules/.bin/node")
	args := append([]string{
		filepath.Join(root, "clients/cli/main.ts"), "server", "--etcd-endpoints", s.Endpoint,
		"--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0",
	}, flags...)
	process, err := start(node, args...)
	if err != nil {
		return nil, err
	}
	server := &Server{Process: process}
	for _, part := range []struct {
		line string
		into *string
	}{{`gRPC +(\S+)`, &server.Address}, {`HTTP +(\S+)`, &server.HTTP}} {
		if *part.into, err = process.said(part.line); err != nil {
			process.Kill()
			return nil, err
		}
	}
	if err := process.until(server.HTTP+"/readyz", "serving"); err != nil {
		process.Kill()
		return nil, err
	}
	return server, nil
}

// Addresses are those of the servers.
func (s *Service) Addresses() []string {
	var addresses []string
	for _, server := range s.Servers {
		addresses = append(addresses, server.Address)
	}
	return addresses
}

// Leftovers are how many keys of sessions and claims there are in etcd.
func (s *Service) Leftovers() (int, error) {
	total := 0
	for _, prefix := range []string{"holdfast/session/", "holdfast/claim/"} {
		request, err := json.Marshal(map[string]any{
			"key": []byte(prefix), "range_end": []byte(prefix[:len(prefix)-1] + "0"), "count_only": true,
		})
		if err != nil {
			return 0, err
		}
		response, err := quick.Post("http://"+s.Endpoint+"/v3/kv/range", "application/json", bytes.NewReader(request))
		if err != nil {
			return 0, err
		}
		var answer struct {
			Count string `json:"count"`
		}
		err = json.NewDecoder(response.Body).Decode(&answer)
		response.Body.Close()
		if err != nil {
			return 0, err
		}
		if answer.Count != "" {
			count, err := strconv.Atoi(answer.Count)
			if err != nil {
				return 0, err
			}
			total += count
		}
	}
	return total, nil
}

// Stop ends everything and removes its data.
func (s *Service) Stop() {
	for _, server := range s.Servers {
		if server != nil {
			server.Kill()
		}
	}
	if s.Etcd != nil {
		s.Etcd.Kill()
	}
	os.RemoveAll(s.folder)
}

// freeAddress is an address of loopback that nobody listens on.
func freeAddress() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// Process is a process that a test has started.
type Process struct {
	command *exec.Cmd
	ended   chan struct{}

	mu     sync.Mutex
	stdout string
	stderr tail
	// news is closed when there is more on stdout.
	news chan struct{}
}

func start(program string, args ...string) (*Process, error) {
	p := &Process{command: exec.Command(program, args...), ended: make(chan struct{}), news: make(chan struct{})}
	p.command.Env = append(withoutSettings(os.Environ()),
		"PATH="+filepath.Join(Root(), "node_modules/.bin")+":"+os.Getenv("PATH"))
	dieWithParent(p.command)
	p.command.Stderr = &p.stderr
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			p.hear(lines.Text())
		}
		_ = p.command.Wait()
	}()
	return p, nil
}

// withoutSettings leaves out what is set for another server.
func withoutSettings(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "HOLDFAST_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (p *Process) hear(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stdout += line + "\n"
	close(p.news)
	p.news = make(chan struct{})
}

// said waits for a line on stdout, and is what is in its parentheses.
func (p *Process) said(pattern string) (string, error) {
	expression := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		match, news := expression.FindStringSubmatch(p.stdout), p.news
		p.mu.Unlock()
		if match != nil {
			return match[1], nil
		}
		select {
		case <-news:
		case <-p.ended:
			return "", fmt.Errorf("it ended without %q: %s", pattern, p.stderr.String())
		case <-timeout:
			return "", fmt.Errorf("it did not say %q: %s", pattern, p.stderr.String())
		}
	}
}

// until waits for an answer to HTTP that contains a text.
func (p *Process) until(url, text string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for last := ""; ; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if response, err := quick.Do(request); err == nil {
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if last = strings.TrimSpace(string(body)); strings.Contains(last, text) && response.StatusCode == 200 {
				return nil
			}
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it ended before %s said %q: %s", url, text, p.stderr.String())
		case <-ctx.Done():
			return fmt.Errorf("%s says %q, not %q: %s", url, last, text, p.stderr.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// quick keeps no connections, and no goroutines with them.
var quick = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

// PID is its number.
func (p *Process) PID() int { return p.command.Process.Pid }

// Log is the end of what it wrote to stderr.
func (p *Process) Log() string { return p.stderr.String() }

// Signal sends it a signal.
func (p *Process) Signal(signal syscall.Signal) { _ = p.command.Process.Signal(signal) }

// Kill ends it as a crash does, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.command.Process.Kill()
	<-p.ended
}

// Terminate asks it to end, and returns when it has.
func (p *Process) Terminate() {
	p.Signal(syscall.SIGTERM)
	<-p.ended
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, text...)
	t.text = t.text[max(0, len(t.text)-64*1024):]
	return len(text), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
