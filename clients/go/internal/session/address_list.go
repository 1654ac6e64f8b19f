package session

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// schemes are gRPC's own.
var schemes = []string{"dns", "unix", "unix-abstract", "ipv4", "ipv6", "passthrough", "vsock", "xds"}

// IsHostPort tells whether an address is "host:port": a name or an IPv4 address, or an IPv6 address in brackets, and a
// port from 1 to 65535.
func IsHostPort(address string) bool {
	host, port, err := net.SplitHostPort(address)
	// "unix:7400" is a file for gRPC.
	if err != nil || host == "" || len(port) > 5 || slices.Contains(schemes, host) {
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
	// queue has the next to try first; tried are those of it that were.
	queue, tried []string
	// told is what a server told last.
	told []string
	// last was tried last; current is where the client is.
	last, current string
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
		if !slices.Contains(once, address) {
			once = append(once, address)
		}
	}
	return once
}

// next is the next to try. It comes last from now on.
func (l *addressList) next() string {
	first := l.queue[0]
	l.queue = append(slices.Clone(l.queue[1:]), first)
	l.tried = append(l.tried, first)
	l.last = first
	return first
}

// arrived says that the client is now where it tried last.
func (l *addressList) arrived() { l.current = l.last }

// learn takes what a server tells of the others; what is not "host:port" is left out. Those that it does not name any
// more are forgotten when they are not named the next time either, for one that restarts is away for a moment; but never
// the program's own, nor that where the client is, which does not name itself. What is new is tried before all that was
// tried, and at a random place among what was not, so that the clients of a server that fails do not all go to the same
// one.
func (l *addressList) learn(told []string) {
	told = slices.DeleteFunc(withoutRepeats(told), func(address string) bool { return !IsHostPort(address) })
	var first, named, others []string
	for _, address := range l.queue {
		isTold := slices.Contains(told, address)
		switch {
		case isTold && !slices.Contains(l.tried, address):
			first = append(first, address)
		case isTold || slices.Contains(l.configured, address):
			named = append(named, address)
		case slices.Contains(l.told, address) || address == l.last || address == l.current:
			others = append(others, address)
		}
	}
	for _, address := range told {
		if !slices.Contains(l.queue, address) {
			first = slices.Insert(first, int(l.random()*float64(len(first)+1)), address)
		}
	}
	rest := append(named, others...)
	l.tried = slices.DeleteFunc(withoutRepeats(l.tried), func(address string) bool { return !slices.Contains(rest, address) })
	l.queue, l.told = append(first, rest...), told
}
