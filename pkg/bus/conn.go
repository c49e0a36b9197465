package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// defaultTimeout bounds a call whose context has no deadline.
const defaultTimeout = 5 * time.Second

// InProcess is a NATS server in this process, as embedded.Server is one.
type InProcess interface {
	// InProcessConn returns a new connection to the server.
	InProcessConn() (net.Conn, error)
}

// Options say how to reach NATS. Exactly one of URL and InProcess is set.
type Options struct {
	// URL of the server, or several separated by commas.
	URL string
	// InProcess is the embedded server.
	InProcess InProcess
	// User and Password authenticate the connection; empty for none.
	User, Password string
	// CredentialsFile is a NATS .creds file; empty for none.
	CredentialsFile string
	// NKeyFile holds the seed of an nkey; empty for none.
	NKeyFile string
	// TLS is used for URLs; nil means the system's roots when the URL asks for
	// TLS.
	TLS *tls.Config
	// Sole says that this Conn is the only one that writes BATON_LOG and
	// BATON_IN, as the lock on the data directory of an embedded server makes
	// sure. Partitions then share messages and their fsync.
	Sole bool
	// Name shows in the server's list of connections; empty means baton.
	Name string
	// Timeout bounds every call whose context has no deadline; 0 means 5 s.
	Timeout time.Duration
	// Logger gets losses of the connection and its return; nil means none.
	Logger *slog.Logger
}

// Conn is Baton's connection to NATS. All methods are safe for concurrent use.
//
// It holds three connections: one for writing the log alone, one for all other
// requests, one for the consumers, so that acknowledgements never queue behind
// bulk reads. The only writer has one more for the input. None of them keeps
// messages back while it is disconnected.
type Conn struct {
	logs, work, reads *link
	inputs            *link               // nil when not sole
	js                jetstream.JetStream // on reads
	timeout           time.Duration
	logger            *slog.Logger
	partitions        atomic.Int64 // 0 until EnsureStreams
	sole              bool
	logWriter         *gatherer   // nil when not sole, and until EnsureStreams
	inWriter          *gatherer   // likewise
	together          atomic.Bool // BATON_CURSOR takes batches
	plain             atomic.Bool // the streams have no bundles: others write too, and EnsureStreams has looked
	bundles           bundleCache
	served            served
	closed            chan struct{}
	close             sync.Once
}

// Dial connects. It tries each server once and returns an error when none can
// be reached; later losses are repaired in the background. The caller closes
// the Conn.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if (o.URL == "") == (o.InProcess == nil) {
		return nil, fmt.Errorf("%w: either a NATS URL or an embedded server", ErrInvalid)
	}
	if o.Sole && o.InProcess == nil {
		return nil, fmt.Errorf("%w: only the process of an embedded server can be the only writer", ErrInvalid)
	}
	o = o.withDefaults()
	c := &Conn{timeout: o.Timeout, logger: o.Logger, sole: o.Sole, closed: make(chan struct{})}
	if err := c.connect(ctx, o); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to NATS %s: %w", o.target(), err)
	}
	js, err := jetstream.New(c.reads.Conn)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to JetStream: %w", err)
	}
	c.js = js
	return c, nil
}

func (c *Conn) connect(ctx context.Context, o Options) (err error) {
	var writes []nats.Option
	if o.Sole {
		// A bundle is gathered already: it is written by who sends it.
		writes = []nats.Option{nats.WriteBufferSize(1)}
		if c.inputs, err = o.connect(ctx, "input", writes...); err != nil {
			return err
		}
	}
	if c.logs, err = o.connect(ctx, "log", writes...); err != nil {
		return err
	}
	if c.work, err = o.connect(ctx, "work"); err != nil {
		return err
	}
	c.reads, err = o.connect(ctx, "read")
	return err
}

// links are the connections that are there.
func (c *Conn) links() []*link {
	return slices.DeleteFunc([]*link{c.logs, c.inputs, c.work, c.reads}, func(l *link) bool { return l == nil })
}

// Close closes the connections. Calls under way end with an error.
func (c *Conn) Close() {
	c.close.Do(func() { close(c.closed) })
	c.logWriter.close()
	c.inWriter.close()
	for _, l := range c.links() {
		l.Close()
	}
}

// Connected reports whether the server is reachable at the moment, for health
// checks.
func (c *Conn) Connected() bool {
	return !slices.ContainsFunc(c.links(), func(l *link) bool { return !l.IsConnected() })
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = "baton"
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// target is what to call the server in an error: never with a password.
func (o Options) target() string {
	if o.InProcess != nil {
		return "(embedded)"
	}
	return redactURLs(o.URL)
}

func (o Options) connect(ctx context.Context, part string, more ...nats.Option) (*link, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := &link{timeout: o.Timeout}
	l.mu.waiting = make(map[uint64]context.CancelCauseFunc)
	opts := []nats.Option{
		nats.Name(o.Name + "/" + part),
		nats.Timeout(remaining(ctx, o.Timeout)),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectBufSize(-1), // a message is sent now or refused now
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
	}
	opts = append(opts, o.identity()...)
	opts = append(append(opts, o.observers(part, l)...), more...)
	nc, err := nats.Connect(o.URL, opts...)
	if err != nil {
		return nil, err
	}
	l.Conn, l.largest = nc, nc.MaxPayload()
	return l, nil
}

func (o Options) observers(part string, l *link) []nats.Option {
	log := o.Logger.With("connection", part)
	return []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			l.broken()
			if err != nil {
				log.Warn("nats connection lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("nats connection restored") }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if sub != nil {
				log.Warn("nats reported an error", "subject", sub.Subject, "err", err)
				return
			}
			log.Warn("nats reported an error", "err", err)
		}),
	}
}

func remaining(ctx context.Context, most time.Duration) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return max(min(most, time.Until(d)), time.Millisecond)
	}
	return most
}

// check refuses a partition that does not exist, as far as is known.
func (c *Conn) check(partition int) error {
	if n := c.partitions.Load(); partition < 0 || partition >= maxPartitions || (n > 0 && int64(partition) >= n) {
		return fmt.Errorf("%w: partition %d of %d", ErrInvalid, partition, n)
	}
	return nil
}

// connectionError maps what nats.go says about a message that it refused to
// send; nil when the message may have been sent.
func connectionError(err error) error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return ErrTooLarge
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrReconnectBufExceeded):
		return ErrUnavailable
	}
	return nil
}
