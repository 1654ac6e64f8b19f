// Two consumers are delivered every message twice, as a queue does that delivers at least once. Each looks whether the
// message was dealt with, and withdraws if not: two steps, and between them the other may have done the same.
//
// The ledger also refuses old fencing tokens: a consumer that stands still between its look and its write, loses the lock
// and goes on, does not withdraw a second time.
//
// Run: go run -C examples ./one-withdrawal
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

// ledger is what the locks guard. In a database each method is a statement.
type ledger struct {
	mu          sync.Mutex
	balance     int
	done        map[string]bool
	fence       map[string]uint64
	withdrawals int
}

func (l *ledger) isDone(message string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done[message]
}

func (l *ledger) withdraw(message string, amount int, token uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if token < l.fence[message] {
		return fmt.Errorf("token %d for %s is too old", token, message)
	}
	l.fence[message] = token
	l.done[message] = true
	l.balance -= amount
	l.withdrawals++
	return nil
}

func consume(client *holdfast.Client, books *ledger, deliveries <-chan string) {
	for message := range deliveries {
		err := client.WithLock(context.Background(), "messages/"+message, func(_ context.Context, lock *holdfast.Lock) error {
			if books.isDone(message) {
				return nil
			}
			return books.withdraw(message, 10, lock.Token())
		})
		if err != nil {
			log.Fatal(err)
		}
	}
}

func main() {
	server := "127.0.0.1:7400"
	if given := os.Getenv("HOLDFAST_SERVER"); given != "" {
		server = given
	}
	books := &ledger{balance: 1000, done: map[string]bool{}, fence: map[string]uint64{}}
	var consumers sync.WaitGroup
	for range 2 {
		client, err := holdfast.Dial([]string{server})
		if err != nil {
			log.Fatal(err)
		}
		deliveries := make(chan string)
		consumers.Go(func() {
			defer client.Close()
			consume(client, books, deliveries)
		})
		go func() {
			for i := range 50 {
				message := fmt.Sprint(i)
				deliveries <- message
				deliveries <- message
			}
			close(deliveries)
		}()
	}
	consumers.Wait()
	fmt.Printf("50 messages, 200 deliveries: %d withdrawals, balance %d\n", books.withdrawals, books.balance)
}
