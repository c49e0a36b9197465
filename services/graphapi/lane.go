package graphapi

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// errLaneFull: too many sends of one app wait on one thread.
var errLaneFull = errors.New("graphapi: too many sends wait on this thread")

// lane is where the sends of one app on one thread go one after the other.
type lane struct {
	thread control.ThreadKey
	app    control.AppID
}

// lanes lets one send per lane through at a time, first come first served, and
// at most depth wait.
type lanes struct {
	depth int
	mu    struct {
		sync.Mutex // held for a moment; nobody waits under it
		open       map[lane]*turnstile
	}
}

// turnstile holds a token for whoever has passed it. Waiters of a channel are
// served in their order.
type turnstile struct {
	token chan struct{}
	users int
}

func newLanes(depth int) *lanes {
	l := &lanes{depth: depth}
	l.mu.open = map[lane]*turnstile{}
	return l
}

// enter waits for its turn; leave must be called once. Errors: errLaneFull,
// errNoAnswer when the turn does not come in time, ctx's.
func (l *lanes) enter(ctx context.Context, key lane, within time.Duration) (leave func(), err error) {
	t, ok := l.join(key)
	if !ok {
		return nil, errLaneFull
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case t.token <- struct{}{}:
		return func() { <-t.token; l.quit(key, t) }, nil
	case <-timer.C:
		l.quit(key, t)
		return nil, errNoAnswer
	case <-ctx.Done():
		l.quit(key, t)
		return nil, ctx.Err()
	}
}

func (l *lanes) join(key lane) (*turnstile, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.mu.open[key]
	if !ok {
		t = &turnstile{token: make(chan struct{}, 1)}
		l.mu.open[key] = t
	}
	if t.users > l.depth {
		return nil, false
	}
	t.users++
	return t, true
}

func (l *lanes) quit(key lane, t *turnstile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(l.mu.open, key)
	}
}
