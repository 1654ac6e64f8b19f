package session

import "time"

// heartbeats knows when to send them, and when those that are answered were sent. The numbers never restart in a
// session.
type heartbeats struct {
	interval time.Duration
	// due is when the next one is to be sent.
	due        time.Duration
	last       uint64
	unanswered []sentHeartbeat
}

type sentHeartbeat struct {
	seq  uint64
	sent Instant
}

// restart lets another stream carry them, whose first frame was sent then. What earlier streams answer means nothing.
func (h *heartbeats) restart(openSent Instant) {
	h.unanswered = nil
	h.due = after(openSent.Now, h.interval)
}

// next is the number of the one to send now.
func (h *heartbeats) next(at Instant) uint64 {
	h.last++
	h.unanswered = append(h.unanswered, sentHeartbeat{h.last, at})
	h.due = after(at.Now, h.interval)
	return h.last
}

// answered tells when the heartbeat that an ack answers was sent. It answers all before it too.
func (h *heartbeats) answered(seq uint64) (sent Instant, ok bool) {
	for i, each := range h.unanswered {
		if each.seq == seq {
			h.unanswered = h.unanswered[i+1:]
			return each.sent, true
		}
	}
	return Instant{}, false
}

// mute tells whether one has waited a whole interval for its answer: the stream may be dead without a word.
func (h *heartbeats) mute(now time.Duration) bool {
	return len(h.unanswered) > 0 && now-h.unanswered[0].sent.Now >= h.interval
}
