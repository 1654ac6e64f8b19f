package holdfast

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
	"github.com/holdfast-lock/holdfast/clients/go/internal/session"
)

// Spec is one lock of a claim, and how to take it. Made by [Exclusive], [Shared] and [Permits].
type Spec struct {
	// Name is 1 to 512 bytes of UTF-8: segments separated by "/", none of them empty, without control characters. "a"
	// and "a/b" are unrelated locks.
	Name string
	Mode Mode
	// Permits are how many permits of a semaphore to take, and Limit is how many it has; 0 for every other mode.
	Permits, Limit int
}

// Exclusive is a lock held alone.
func Exclusive(name string) Spec { return Spec{Name: name} }

// Shared is a lock held together with others that take it shared, and by nobody who takes it exclusively.
func Shared(name string) Spec { return Spec{Name: name, Mode: ModeShared} }

// Permits are n of the limit permits of a semaphore. Everybody who takes it must say the same limit; another one is
// refused with [ErrConflictingMode].
func Permits(name string, n, limit int) Spec { return Spec{name, ModeSemaphore, n, limit} }

// thirtyYears is longer than any wait that does not mean for ever.
const thirtyYears = 30 * 365 * 24 * time.Hour

// requestFor is the claim that these options ask for. What is wrong is found here, so that a mistake in one call does
// not end the session of all others.
func requestFor(specs []Spec, o lockOptions) (session.Request, error) {
	if len(specs) < 1 || len(specs) > 16 {
		return session.Request{}, invalid("a claim is on 1 to 16 locks, not %d", len(specs))
	}
	request := session.Request{Wait: o.wait, Purpose: o.purpose, Value: o.value}
	seen := make(map[string]bool, len(specs))
	for _, spec := range specs {
		if err := spec.check(); err != nil {
			return session.Request{}, err
		}
		if seen[spec.Name] {
			return session.Request{}, invalid("a claim names each lock once, and %q is there twice", spec.Name)
		}
		seen[spec.Name] = true
		request.Locks = append(request.Locks, &pb.LockSpec{
			Name: spec.Name, Mode: modeTo(spec.Mode), Permits: uint32(spec.Permits), Limit: uint32(spec.Limit),
		})
	}
	if o.wait < 0 {
		return session.Request{}, invalid("Wait is %v: say 0 for a try, or more to wait", o.wait)
	}
	if o.wait > thirtyYears {
		request.Wait = session.Never
	}
	if len(o.purpose) > 256 || !utf8.ValidString(o.purpose) {
		return session.Request{}, invalid("the purpose is longer than 256 bytes, or not UTF-8")
	}
	return request, checkValue(o.value)
}

func checkValue(value []byte) error {
	if len(value) > 4096 {
		return invalid("the value has %d bytes, and may have 4096", len(value))
	}
	return nil
}

func (s Spec) check() error {
	if problem := nameProblem(s.Name); problem != "" {
		return invalid("lock name %q %s", s.Name, problem)
	}
	const most = 1<<32 - 1
	if s.Mode == ModeSemaphore {
		if s.Permits < 1 || s.Limit < s.Permits || int64(s.Limit) > most {
			return invalid("permits %d of limit %d: say 1 <= permits <= limit < 2^32", s.Permits, s.Limit)
		}
	} else if s.Mode != ModeExclusive && s.Mode != ModeShared {
		return invalid("lock %q has mode %d, and there is none", s.Name, s.Mode)
	} else if s.Permits != 0 || s.Limit != 0 {
		return invalid("lock %q is %s, so it has neither permits nor limit", s.Name, s.Mode)
	}
	return nil
}

// nameProblem says what is wrong with a lock name; empty if nothing is. The server has the last word.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "is empty"
	case !utf8.ValidString(name):
		return "is not valid UTF-8"
	case len(name) > 512:
		return "is longer than 512 bytes of UTF-8"
	case strings.HasPrefix(name, "/"), strings.HasSuffix(name, "/"), strings.Contains(name, "//"):
		return `has an empty segment between "/"`
	case strings.ContainsFunc(name, unicode.IsControl):
		return "contains a control character"
	}
	return ""
}

// quoted are the names of locks for a message.
func quoted(locks []*pb.LockSpec) string {
	names := make([]string, len(locks))
	for i, lock := range locks {
		names[i] = fmt.Sprintf("%q", lock.Name)
	}
	return strings.Join(names, ", ")
}
