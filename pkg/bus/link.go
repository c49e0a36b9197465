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
