// Command porcupine judges histories of locks and of registers behind them: whether what clients saw can be put into
// one order that a lock and a fenced register would have followed.
//
//	porcupine [-timeout 60s] [-pictures folder] < history.jsonl
//
// Each line of its input is one Operation. It prints a Verdict as JSON and ends with exit code 0 only if every object
// was judged correct: one that could not be judged in time counts as failed.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict is what became of the objects of a history, by name, in order.
type Verdict struct {
	Operations int      `json:"operations"`
	Objects    int      `json:"objects"`
	Illegal    []string `json:"illegal"`
	Unknown    []string `json:"unknown"`
}

func main() {
	timeout := flag.Duration("timeout", time.Minute, "for each object; one that takes longer is unknown")
	pictures := flag.String("pictures", "", "folder for a page on each object that is not correct")
	flag.Parse()
	histories, err := readHistories(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "porcupine:", err)
		os.Exit(2)
	}
	verdict := judge(histories, *timeout, *pictures)
	_ = json.NewEncoder(os.Stdout).Encode(verdict)
	if len(verdict.Illegal)+len(verdict.Unknown) > 0 {
		os.Exit(1)
	}
}

// readHistories reads operations line by line and sorts them by the object they are about.
func readHistories(input io.Reader) (map[string][]porcupine.Operation, error) {
	histories := map[string][]porcupine.Operation{}
	lines := bufio.NewScanner(input)
	for number := 1; lines.Scan(); number++ {
		var op Operation
		if err := json.Unmarshal(lines.Bytes(), &op); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if op.Return < op.Call {
			return nil, fmt.Errorf("line %d: returns before its call", number)
		}
		histories[op.Object] = append(histories[op.Object], porcupine.Operation{
			ClientId: op.Client, Input: op, Call: op.Call, Return: op.Return,
		})
	}
	return histories, lines.Err()
}

func judge(histories map[string][]porcupine.Operation, timeout time.Duration, pictures string) Verdict {
	verdict := Verdict{Illegal: []string{}, Unknown: []string{}}
	names := make([]string, 0, len(histories))
	for name := range histories {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		history := histories[name]
		verdict.Operations += len(history)
		verdict.Objects++
		model := modelOf(history)
		result, info := porcupine.CheckOperationsVerbose(model, history, timeout)
		switch result {
		case porcupine.Ok:
			continue
		case porcupine.Illegal:
			verdict.Illegal = append(verdict.Illegal, name)
		default:
			verdict.Unknown = append(verdict.Unknown, name)
		}
		if pictures != "" {
			path := filepath.Join(pictures, fmt.Sprintf("object-%d.html", verdict.Objects))
			if err := porcupine.VisualizePath(model, info, path); err != nil {
				fmt.Fprintln(os.Stderr, "porcupine:", err)
			}
		}
	}
	return verdict
}
