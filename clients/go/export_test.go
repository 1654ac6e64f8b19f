package holdfast

// ConnectionProblem is for tests.
var ConnectionProblem = connectionProblem

// StopTimer has the client of a lock do nothing by itself from now on, as if the program stood still.
func (l *Lock) StopTimer() {
	r := l.claim.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer.Stop()
}
