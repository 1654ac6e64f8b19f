// A process with many buyers, in Go: each takes the lock of the stock, looks what is left, and buys a piece if there is
// one. All of them share one client, and so one session and one stream. demo/main.ts starts it, beside those in TypeScript
// and Java, and talks with it by lines of JSON.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

var order struct {
	Server  string
	Store   string
	TTLMs   int64
	Buyers  []int
	AtOnce  int
	Trouble string
}

type news map[string]any

var (
	client      *holdfast.Client
	words       = bufio.NewScanner(os.Stdin)
	telling     sync.Mutex
	isInTrouble atomic.Bool
)

func tell(what news) {
	telling.Lock()
	defer telling.Unlock()
	must(json.NewEncoder(os.Stdout).Encode(what))
}

// hear waits for the next word of whoever started it; without one it has nobody to work for.
func hear() {
	if !words.Scan() {
		os.Exit(0)
	}
}

type answer struct {
	Kind      string
	Left      int
	HasBought bool
}

func store(step string, token uint64, buyer, left int) (answered answer) {
	body, err := json.Marshal(news{"step": step, "token": strconv.FormatUint(token, 10), "buyer": buyer, "left": left})
	must(err)
	response, err := http.Post(order.Store, "application/json", bytes.NewReader(body))
	must(err)
	defer response.Body.Close()
	must(json.NewDecoder(response.Body).Decode(&answered))
	return answered
}

// visit takes the lock, and buys. False: the store refused, since the lock was another's by then.
func visit(ctx context.Context, buyer int) bool {
	start := time.Now()
	lock, err := client.Lock(ctx, "demo/stock", holdfast.Purpose(fmt.Sprintf("buyer %d", buyer)))
	must(err)
	tell(news{"kind": "granted", "waitedMs": float64(time.Since(start).Microseconds()) / 1000})
	done := buy(buyer, lock)
	if err := lock.Unlock(ctx); errors.Is(err, holdfast.ErrLost) {
		tell(news{"kind": "lost"})
	} else {
		must(err)
	}
	return done
}

func buy(buyer int, lock *holdfast.Lock) bool {
	token := lock.Token()
	entered := store("enter", token, buyer, 0)
	if entered.Kind == "stale" {
		return false
	}
	mayBuy := entered.Left > 0 && !entered.HasBought
	if mayBuy {
		if order.Trouble != "" && isInTrouble.CompareAndSwap(false, true) {
			// It has the lock, and waits to be killed; or, after a pause that it does not notice, to go on.
			tell(news{"kind": "in-trouble", "token": strconv.FormatUint(token, 10)})
			hear()
		}
		hadBeenTold := lock.Context().Err() != nil
		// As if nothing had been: what holds is that the store refuses an old token.
		if store("write", token, buyer, entered.Left-1).Kind == "stale" {
			tell(news{"kind": "refused", "hadBeenTold": hadBeenTold})
			return false
		}
	}
	store("leave", token, buyer, 0)
	tell(news{"kind": "served", "buyer": buyer, "bought": mayBuy || entered.HasBought})
	return true
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	ctx := context.Background()
	must(json.Unmarshal([]byte(os.Args[1]), &order))
	var err error
	client, err = holdfast.Dial([]string{order.Server}, holdfast.WithTTL(time.Duration(order.TTLMs)*time.Millisecond))
	must(err)
	must(client.Ready(ctx))
	tell(news{"kind": "ready"})
	hear()

	queue := make(chan int, len(order.Buyers))
	for _, buyer := range order.Buyers {
		queue <- buyer
	}
	close(queue)
	var all sync.WaitGroup
	for range order.AtOnce {
		all.Go(func() {
			for buyer := range queue {
				for !visit(ctx, buyer) {
					// Refused: again, at the end of the queue.
				}
			}
		})
	}
	all.Wait()
	must(client.Close())
}
