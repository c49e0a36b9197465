package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// errLost ends the requests that were under way when their connection broke:
// no answer will come, and waiting for the deadline would only delay the
// repeat.
var errLost = errors.New("connection lost")

// link is one connection and the requests under way on it.
type link struct {
	*nats.Conn
	timeout time.Duration
	largest int64    // payload that the server takes, as it said at the connect
	mu      struct { // cancel functions are called under it; they do not block
		sync.Mutex
		last    uint64
		waiting map[uint64]context.CancelCauseFunc
	}
}

// request sends m and waits for its answer. It ends early when ctx ends or the
// connection breaks; without a deadline in ctx, after the link's time-out. The
// error is the cause of that, or what nats.go says.
func (l *link) request(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.timeout)
		defer cancel()
	}
	ctx, done := l.watch(ctx)
	defer done()
	reply, err := l.RequestMsgWithContext(ctx, m)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	return reply, err
}

// reachRetry spaces the questions whether a consumer can be reached.
const reachRetry = 5 * time.Millisecond

// unfitPull is a pull that every consumer refuses, since its heartbeat is too
// long for it, and that has no other effect.
const unfitPull = `{"batch":1,"expires":1000000000,"idle_heartbeat":1000000000}`

// reached waits until a new consumer of the given pull subject can be asked. In
// a cluster the answer to its creation may overtake the news that it listens; a
// pull before that is lost, and shows only by its missing heartbeats, a second
// later.
func (l *link) reached(ctx context.Context, pulls string) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	for {
		_, err := l.request(ctx, &nats.Msg{Subject: pulls, Data: []byte(unfitPull)})
		if !errors.Is(err, nats.ErrNoResponders) {
			return err
		}
		if !pause(ctx, reachRetry) {
			return context.Cause(ctx)
		}
	}
}

// watch returns a context that ends when the connection breaks.
func (l *link) watch(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.last++
	id := l.mu.last
	l.mu.waiting[id] = cancel
	return ctx, func() {
		l.mu.Lock()
		delete(l.mu.waiting, id)
		l.mu.Unlock()
		cancel(nil)
	}
}

// broken ends all requests under way.
func (l *link) broken() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, cancel := range l.mu.waiting {
		cancel(errLost)
	}
}
