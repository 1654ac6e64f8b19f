package session

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// IsHostPort tells whether an address is "host:port": a name or an IPv4 address, or an IPv6 address in brackets, and a
// port from 1 to 65535.
func IsHostPort(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return false
	}
	if strings.HasPrefix(address, "[") {
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Is6() {
			return false
		}
	} else if strings.ContainsAny(host, "/ \t\r\n") {
		return false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	return err == nil && number > 0
}

// addressList is where a service can be reached: what the program gave, and what servers tell of the others. The next
// one to try is that which was tried longest ago, so that a server that has just failed or goes away is tried last.
type addressList struct {
	configured []string
	random     func() float64
	// queue has the next to try first.
	queue []string
	last  string
}

// newAddressList takes the program's own, at least one, in turn from a random one on.
func newAddressList(configured []string, random func() float64) *addressList {
	first := int(random() * float64(len(configured)))
	inTurn := slices.Concat(configured[first:], configured[:first])
	return &addressList{configured: configured, random: random, queue: withoutRepeats(inTurn)}
}

func withoutRepeats(addresses []string) []string {
	var once []string
	for _, address := range addresses {
		if address != "" && !slices.Contains(once, address) {
			once = append(once, address)
		}
	}
	return once
}

// next is the next to try. It comes last from now on.
func (l *addressList) next() string {
	first := l.queue[0]
	l.queue = append(slices.Clone(l.queue[1:]), first)
	l.last = first
	return first
}

// learn takes what a server tells of the others, in place of those that were told of before, but for the one that was
// tried last, which does not name itself. New ones are tried before all else, in random order, so that the clients of a
// server that fails do not all go to the same one.
func (l *addressList) learn(told []string) {
	var fresh, kept []string
	for _, address := range withoutRepeats(told) {
		if !slices.Contains(l.queue, address) {
			fresh = append(fresh, address)
		}
	}
	for _, address := range l.queue {
		if slices.Contains(l.configured, address) || slices.Contains(told, address) || address == l.last {
			kept = append(kept, address)
		}
	}
	for i := len(fresh) - 1; i > 0; i-- {
		j := int(l.random() * float64(i+1))
		fresh[i], fresh[j] = fresh[j], fresh[i]
	}
	l.queue = append(fresh, kept...)
}
