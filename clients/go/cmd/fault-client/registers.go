//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// touch and touchAnswer are Touch and TouchAnswer of test/faults/client-log.ts.
type touch struct {
	Op    int    `json:"op"`
	Lock  string `json:"lock"`
	Token uint64 `json:"token"`
	What  string `json:"what"`
	Value int    `json:"value"`
}

type touchAnswer struct {
	Op       int  `json:"op"`
	Accepted bool `json:"accepted"`
	Value    int  `json:"value"`
}

// registers are what the locks guard. They are in the process that started this one, which speaks as Node does with
// its children: JSON, line by line, over a socket that both have.
type registers struct {
	channel *os.File
	mu      sync.Mutex
	waiting map[int]chan touchAnswer
}

func openRegisters() *registers {
	fd, err := strconv.Atoi(os.Getenv("NODE_CHANNEL_FD"))
	if err != nil {
		fail(err)
	}
	return &registers{channel: os.NewFile(uintptr(fd), "channel"), waiting: map[int]chan touchAnswer{}}
}

func (r *registers) ask(t touch) touchAnswer {
	answer := make(chan touchAnswer, 1)
	line, _ := json.Marshal(t)
	r.mu.Lock()
	r.waiting[t.Op] = answer
	_, _ = r.channel.Write(append(line, '\n'))
	r.mu.Unlock()
	return <-answer
}

// listen takes answers and orders until the other process has gone; then this one goes, too.
func (r *registers) listen(finishing *atomic.Bool) {
	lines := bufio.NewScanner(r.channel)
	for lines.Scan() {
		var order struct {
			Kind   string      `json:"kind"`
			Answer touchAnswer `json:"answer"`
		}
		if json.Unmarshal(lines.Bytes(), &order) != nil {
			continue
		}
		switch order.Kind {
		case "finish":
			finishing.Store(true)
		case "answer":
			r.mu.Lock()
			answer := r.waiting[order.Answer.Op]
			delete(r.waiting, order.Answer.Op)
			r.mu.Unlock()
			answer <- order.Answer
		}
	}
	os.Exit(1)
}

// monotonicMs is the clock that all processes of a machine share: the one that Go keeps to itself.
func monotonicMs() float64 {
	const clockMonotonic = 1
	var now syscall.Timespec
	_, _, _ = syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	return float64(time.Duration(now.Nano())) / 1e6
}
