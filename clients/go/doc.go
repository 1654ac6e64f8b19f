// Package holdfast is the Go client of Holdfast, a distributed lock service.
//
//	client, err := holdfast.Dial([]string{"127.0.0.1:7400"})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//
//	return client.WithLock(ctx, "orders/42", func(ctx context.Context, lock *holdfast.Lock) error {
//		return charge(ctx, order, lock.Token())
//	})
//
// A lock is held until it is unlocked, or lost. The loss is known here before anybody else can be granted the lock
// (with the default options), provided that the program looks: [Lock.Held] and the Err of [Lock.Context] read the clock
// first, and the context is cancelled, with a [LostError] as its cause. A program that stands still sees nothing, and
// may act after the loss when it goes on. Only the fencing token guards against that: hand [Lock.Token] to what the lock
// protects with each write, and let that refuse tokens smaller than the largest that it has seen.
//
// # Threads of control
//
// The context carries the thread of control. What is locked with the context of a held lock (that of [Lock.Context], or
// what the function of [Client.WithLock] is given) is nested in it: a lock that an enclosing one holds no more weakly is
// entered again at once, with the same token, and nothing is sent; other nested claims carry the id of their thread, so
// that the service finds threads that wait for each other in a circle, and refuses the youngest with [ErrDeadlock].
// Calls with contexts that come from no held lock exclude each other like strangers. Of several calls made side by side
// with the context of one lock, the first carries its thread on and the others start threads of their own: none of them
// waits for the others, and they exclude each other.
//
// # Errors
//
// Every error of this package is an [*Error] or a [*LostError], which tell the reason, the lock and who holds it; compare
// with errors.Is: busy, timed out, lost, not permitted, invalid and store unavailable are told apart. An error that came
// because the caller's context ended matches that context's error and cause too.
package holdfast

// Version is this library's version.
const Version = "0.1.0"
