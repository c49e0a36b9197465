package conformance

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// timeline is the clock that all trials share. It moves forward when every
// trial under way waits for it, to the time that the first of them waits for,
// and only when the server is at rest.
type timeline struct {
	steward Steward
	// rest blocks until the server is at rest.
	rest func(context.Context) error

	mu struct {
		sync.Mutex
		ahead   time.Duration // of the server's clock
		running int           // trials that are neither waiting nor done
		waiting map[*sleeper]bool
		err     error
	}
}

// sleeper is a trial that waits until a time of the server's clock.
type sleeper struct {
	until time.Time
	woken chan struct{}
}

func newTimeline(steward Steward, rest func(context.Context) error, trials int) *timeline {
	t := &timeline{steward: steward, rest: rest}
	t.mu.running, t.mu.waiting = trials, map[*sleeper]bool{}
	return t
}

// now is the server's time.
func (t *timeline) now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Add(t.mu.ahead)
}

// sleep blocks until the server's clock has moved on by d.
func (t *timeline) sleep(ctx context.Context, d time.Duration) error {
	s := &sleeper{until: t.now().Add(d), woken: make(chan struct{})}
	t.mu.Lock()
	t.mu.waiting[s] = true
	t.mu.Unlock()
	t.leave(ctx)
	select {
	case <-s.woken:
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.mu.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave says that a trial is done, or waits; the last one moves the clock.
func (t *timeline) leave(ctx context.Context) {
	t.mu.Lock()
	t.mu.running--
	last := t.mu.running == 0 && len(t.mu.waiting) > 0
	t.mu.Unlock()
	if last {
		t.advance(ctx)
	}
}

// advance moves the clock and wakes who waited for it. Nobody else runs.
func (t *timeline) advance(ctx context.Context) {
	err := t.rest(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	next := time.Time{}
	for s := range t.mu.waiting {
		if next.IsZero() || s.until.Before(next) {
			next = s.until
		}
	}
	forward := next.Sub(time.Now().Add(t.mu.ahead)).Round(time.Millisecond) + time.Millisecond
	if err == nil && forward > 0 {
		var ahead time.Duration
		if ahead, err = t.steward.Clock(ctx, forward); err == nil {
			t.mu.ahead = ahead
		}
	}
	if err != nil {
		t.mu.err = fmt.Errorf("moving the clock: %w", err)
	}
	now := time.Now().Add(t.mu.ahead)
	for s := range t.mu.waiting {
		if err != nil || !s.until.After(now) {
			delete(t.mu.waiting, s)
			t.mu.running++
			close(s.woken)
		}
	}
}
