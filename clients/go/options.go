package holdfast

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/resolver"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
	"github.com/holdfast-lock/holdfast/clients/go/internal/session"
)

// Option is how a client behaves. Everything has a default that is safe.
type Option func(*settings)

// settings are options with nothing left open.
type settings struct {
	addresses      []string
	ttl            time.Duration
	release        bool
	transport      bool
	tls            *tls.Config
	clientName     string
	labels         map[string]string
	connectTimeout time.Duration
	callTimeout    time.Duration
	closeTimeout   time.Duration
	traceparent    func(ctx context.Context) string
}

// WithTTL says how long the locks outlive this client's last heartbeat. Default 15 s; from 2 s to 10 min unless the
// server allows more, rounded up to whole seconds. Short: a crashed holder's locks are free sooner, and a shorter hiccup
// of network, store or program costs all locks. Below 5 s a change of etcd's leader may do so.
func WithTTL(ttl time.Duration) Option { return func(s *settings) { s.ttl = ttl } }

// WithReleaseOnDisconnect has a broken connection end the session: its locks are free as soon as a server notices,
// perhaps before this client does, and every break loses every lock. Use it only where a fencing token guards. Default:
// claims and places are kept for a TTL, and the client resumes by itself.
func WithReleaseOnDisconnect() Option { return func(s *settings) { s.release = true } }

// WithTransportLiveness lets the connection prove that this client lives. A program that hangs keeps its locks, and
// there is no validity deadline: a network that fails silently is noticed only by gRPC's pings, which it sends at most
// every 10 s, so later than the TTL if that is less than 12 s. Use it only where a fencing token guards. Default: the
// program itself proves it, by a heartbeat each third of the TTL.
func WithTransportLiveness() Option { return func(s *settings) { s.transport = true } }

// WithTLS has connections use TLS; nil means the machine's certificate authorities and no client certificate. Default:
// no TLS, which is for loopback and networks that you trust.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) {
		if config == nil {
			config = &tls.Config{}
		}
		s.tls = config.Clone()
	}
}

// WithClientName is the program's name, shown to those who look. At most 128 bytes. Default: the name of its file.
func WithClientName(name string) Option { return func(s *settings) { s.clientName = name } }

// WithLabels are shown with the session, to be found by. At most 16; keys of 1 to 63 bytes, values of at most 255.
// Default: none.
func WithLabels(labels map[string]string) Option { return func(s *settings) { s.labels = labels } }

// WithConnectTimeout is how long to go without a server before a claim fails. Default 10 s; from 100 ms. The failure is
// [ErrUnreachable], or what the last server said. Short: a restart of all servers shows as errors.
func WithConnectTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.connectTimeout = timeout }
}

// WithCallTimeout is how long one look at locks ([Client.GetLock] and so on) may take. Default 5 s; from 100 ms.
func WithCallTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.callTimeout = timeout }
}

// WithCloseTimeout is how long [Client.Close] may take to tell a server. Default 2 s; from 0. When it has passed the
// locks go at the TTL instead of at once.
func WithCloseTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.closeTimeout = timeout }
}

// WithTraceparent is asked at each claim for the caller's place in a trace, as W3C Trace Context writes it, with the
// context that the claim was made with; the server's spans are then part of that trace. Empty: none. With OpenTelemetry:
//
//	func(ctx context.Context) string {
//		to := propagation.MapCarrier{}
//		propagation.TraceContext{}.Inject(ctx, to)
//		return to["traceparent"]
//	}
//
// Default: none.
func WithTraceparent(of func(ctx context.Context) string) Option {
	return func(s *settings) { s.traceparent = of }
}

func settingsFrom(addresses []string, options []Option) (*settings, error) {
	s := &settings{
		addresses:      slices.Clone(addresses),
		ttl:            15 * time.Second,
		clientName:     cut(filepath.Base(os.Args[0])),
		connectTimeout: 10 * time.Second,
		callTimeout:    5 * time.Second,
		closeTimeout:   2 * time.Second,
	}
	for _, option := range options {
		option(s)
	}
	return s, s.check()
}

func (s *settings) check() error {
	switch {
	case len(s.addresses) == 0:
		return invalid("addresses: give at least one, such as 127.0.0.1:7400")
	case s.ttl < 2*time.Second:
		return invalid("WithTTL: %v is less than 2 s", s.ttl)
	case s.connectTimeout < 100*time.Millisecond:
		return invalid("WithConnectTimeout: %v is less than 100 ms", s.connectTimeout)
	case s.callTimeout < 100*time.Millisecond:
		return invalid("WithCallTimeout: %v is less than 100 ms", s.callTimeout)
	case s.closeTimeout < 0:
		return invalid("WithCloseTimeout: %v is less than 0", s.closeTimeout)
	case len(s.clientName) > 128 || !utf8.ValidString(s.clientName):
		return invalid("WithClientName: at most 128 bytes of UTF-8")
	case len(s.labels) > 16:
		return invalid("WithLabels: at most 16, not %d", len(s.labels))
	}
	for _, address := range s.addresses {
		if !isUsable(address) {
			return invalid(`addresses: %q is not "host:port", such as 127.0.0.1:7400`, address)
		}
	}
	if err := checkTLS(s.tls); err != nil {
		return err
	}
	for key, value := range s.labels {
		if key == "" || len(key) > 63 || !utf8.ValidString(key) {
			return invalid("WithLabels: key %q: 1 to 63 bytes of UTF-8", key)
		}
		if len(value) > 255 || !utf8.ValidString(value) {
			return invalid("WithLabels: value of %q: at most 255 bytes of UTF-8", key)
		}
	}
	return nil
}

// isUsable tells whether an address is "host:port", or a target with a scheme for which gRPC has a resolver. What has any
// other scheme is a name for gRPC, which it would look up for as long as it may.
func isUsable(address string) bool {
	scheme, rest, _ := strings.Cut(address, ":")
	isURL := scheme == "http" || scheme == "https"
	return session.IsHostPort(address) || rest != "" && !isURL && resolver.Get(scheme) != nil
}

// checkTLS finds what is left empty when the error of reading PEM was not looked at.
func checkTLS(config *tls.Config) error {
	switch {
	case config == nil:
		return nil
	case config.RootCAs != nil && config.RootCAs.Equal(x509.NewCertPool()) && !config.InsecureSkipVerify:
		return invalid("WithTLS: RootCAs has no certificate: AppendCertsFromPEM wants PEM, and says false of anything else")
	case slices.ContainsFunc(config.Certificates, func(c tls.Certificate) bool { return len(c.Certificate) == 0 }):
		return invalid("WithTLS: one of Certificates is empty: look at the error of LoadX509KeyPair")
	default:
		return nil
	}
}

// cut is for what was not chosen by the user, and must not be refused for its length.
func cut(text string) string {
	text = strings.ToValidUTF8(text, "?")
	for len(text) > 128 {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

func (s *settings) clientInfo() *pb.ClientInfo {
	host, _ := os.Hostname()
	return &pb.ClientInfo{
		Name: s.clientName, Host: cut(host), Pid: uint32(os.Getpid()), Language: "go", Version: Version,
	}
}

// LockOption is how to wait for a lock, and what to tell others about the claim.
type LockOption func(*lockOptions)

type lockOptions struct {
	wait      time.Duration
	purpose   string
	value     []byte
	onWaiting func(Place)
	stranger  bool
	// scoped: the lock's context ends with the caller's.
	scoped bool
}

// Wait is how long to wait for the lock. Default: for ever. 0: be granted or refused, [ErrBusy], as soon as a server
// answers. Otherwise refused with [ErrTimeout] when it has passed, at the latest 1 s after it if the server that was asked
// does not answer. When no server could be asked it fails as [Client.Lock] does, after [WithConnectTimeout] or when the
// time to wait has passed, if that is sooner.
func Wait(wait time.Duration) LockOption { return func(o *lockOptions) { o.wait = wait } }

// Purpose says in words why, for those who wait behind the claim or look. At most 256 bytes. Default: nothing.
func Purpose(purpose string) LockOption { return func(o *lockOptions) { o.purpose = purpose } }

// Value is what the holder announces to those who look, such as a leader's address. At most 4 KiB. Default: nothing.
func Value(value []byte) LockOption {
	return func(o *lockOptions) { o.value = slices.Clone(value) }
}

// OnWaiting is called when the claim enters the queue, and as it moves up: each time its place has halved, and at the
// last ten. It is called by the goroutine that waits, one call after the other; a slow one misses steps between.
func OnWaiting(listener func(Place)) LockOption {
	return func(o *lockOptions) { o.onWaiting = listener }
}

// WithoutReentry has the claim belong to no thread of control: it excludes every other one, also those of the locks
// around it, and waits for ever if one of them has the lock.
func WithoutReentry() LockOption { return func(o *lockOptions) { o.stranger = true } }

func lockOptionsFrom(options []LockOption) lockOptions {
	o := lockOptions{wait: session.Never}
	for _, option := range options {
		option(&o)
	}
	return o
}

// with is a list of options with more of them, which go before.
func with(options []LockOption, more ...LockOption) []LockOption { return slices.Concat(options, more) }
