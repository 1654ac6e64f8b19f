package main

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
)

// Operation is what a client did and saw, with the times between which it took effect.
type Operation struct {
	// Object is the lock or the register that it is about.
	Object string `json:"object"`
	// Client tells those apart that act at the same time.
	Client int `json:"client"`
	// Call and Return are nanoseconds by one clock; an end that nobody saw returns at the end of time.
	Call   int64 `json:"call"`
	Return int64 `json:"return"`
	// Kind is "acquire" (granted, and told so) or "end" (of what the client believes to hold) for a lock, and "read"
	// or "write" for a register.
	Kind string `json:"kind"`
	// Token is the fencing token of the grant under which it happened.
	Token uint64 `json:"token"`
	// Mode is how it shares the lock: "exclusive", "shared" or "semaphore", the latter with its permits and limit.
	Mode    string `json:"mode"`
	Permits int    `json:"permits"`
	Limit   int    `json:"limit"`
	// Value is what was read or written; Accepted is whether the register did it.
	Value    uint64 `json:"value"`
	Accepted bool   `json:"accepted"`
}

func modelOf(history []porcupine.Operation) porcupine.Model {
	if kind := operationOf(history[0].Input).Kind; kind == "read" || kind == "write" {
		return registerModel
	}
	return lockModel(history)
}

func operationOf(input any) Operation { return input.(Operation) }

// lockState is who believes to hold a lock, oldest first, and the youngest token that was ever granted.
type lockState struct {
	holders []Operation
	last    uint64
}

// lockModel is a lock: its holders are compatible with each other, and its tokens grow from grant to grant.
//
// All grants of a history take effect in the order of their tokens, so which of them is next is known beforehand. That
// spares the search all other orders, of which there are too many where clients wait for seconds.
func lockModel(history []porcupine.Operation) porcupine.Model {
	before := map[uint64]uint64{}
	tokens := []uint64{}
	for _, each := range history {
		if op := operationOf(each.Input); op.Kind == "acquire" {
			tokens = append(tokens, op.Token)
		}
	}
	slices.Sort(tokens)
	for i, token := range tokens[min(1, len(tokens)):] {
		before[token] = tokens[i]
	}
	return porcupine.Model{
		Init: func() any { return lockState{} },
		Step: func(state, input, _ any) (bool, any) {
			return stepLock(state.(lockState), operationOf(input), before)
		},
		Equal: func(a, b any) bool {
			x, y := a.(lockState), b.(lockState)
			return x.last == y.last && slices.Equal(x.holders, y.holders)
		},
		DescribeOperation: describe,
		DescribeState: func(state any) string {
			tokens := []uint64{}
			for _, holder := range state.(lockState).holders {
				tokens = append(tokens, holder.Token)
			}
			return fmt.Sprint(tokens)
		},
	}
}

func stepLock(state lockState, op Operation, before map[uint64]uint64) (bool, lockState) {
	if op.Kind == "end" {
		at := slices.IndexFunc(state.holders, func(holder Operation) bool { return holder.Token == op.Token })
		if at < 0 {
			return false, state
		}
		return true, lockState{slices.Delete(slices.Clone(state.holders), at, at+1), state.last}
	}
	holders := append(slices.Clone(state.holders), op)
	// A token that is granted twice has itself before it.
	if before[op.Token] != state.last || op.Token == state.last || !compatible(holders) {
		return false, state
	}
	return true, lockState{holders, op.Token}
}

// compatible is whether claims on one lock may hold it together.
func compatible(holders []Operation) bool {
	first, permits := holders[0], 0
	for _, holder := range holders {
		permits += holder.Permits
		if holder.Mode != first.Mode || holder.Limit != first.Limit {
			return false
		}
	}
	return len(holders) == 1 || first.Mode == "shared" || first.Mode == "semaphore" && permits <= first.Limit
}

// registerState is the value of a register, and the largest token it has seen.
type registerState struct{ largest, value uint64 }

// registerModel is a register that refuses tokens smaller than the largest it has seen, in reads too: who reads and
// then writes what follows from it loses nobody's write.
var registerModel = porcupine.Model{
	Init: func() any { return registerState{} },
	Step: func(state, input, _ any) (bool, any) {
		s, op := state.(registerState), operationOf(input)
		if op.Token < s.largest {
			return !op.Accepted, s
		}
		if !op.Accepted || op.Kind == "read" && op.Value != s.value {
			return false, s
		}
		return true, registerState{op.Token, op.Value}
	},
	DescribeOperation: describe,
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}

func describe(input, _ any) string {
	op := operationOf(input)
	switch op.Kind {
	case "read", "write":
		return fmt.Sprintf("%s %d with %d: %t", op.Kind, op.Value, op.Token, op.Accepted)
	case "acquire":
		return fmt.Sprintf("acquire %s %d", op.Mode, op.Token)
	default:
		return fmt.Sprintf("end %d", op.Token)
	}
}
