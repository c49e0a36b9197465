package fanout

import (
	"context"
	"slices"
	"sync"
	"time"
)

// flight is the context of a POST, and of the next one of its parcel if nothing
// but the POST's own exchange was told of it: then what a context is made of, most
// of all its timer, is made once. Safe for concurrent use, but for begin and land.
type flight struct {
	context.Context //nolint:containedctx // it is a context itself; this one has its values and never ends
	timer           *time.Timer

	mu       sync.Mutex
	deadline time.Time
	ended    error
	done     chan struct{} // closed at the end; nil until somebody asks
	watchers []*func()     // to be called at the end
}

func newFlight(values context.Context) *flight {
	f := &flight{Context: values}
	f.timer = time.AfterFunc(time.Hour, func() { f.end(context.DeadlineExceeded) })
	f.timer.Stop()
	return f
}

// begin starts a POST that may take so long. The flight is new or has landed.
func (f *flight) begin(within time.Duration) {
	f.deadline = time.Now().Add(within)
	f.timer.Reset(within)
}

// land ends a POST and reports whether the flight can begin another one.
func (f *flight) land() bool {
	unheard := f.timer.Stop() && f.unheard()
	if !unheard {
		f.end(context.Canceled)
	}
	return unheard
}

// unheard reports whether nobody was told of an end or can still be.
func (f *flight) unheard() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended == nil && f.done == nil && len(f.watchers) == 0
}

// end ends the context, once.
func (f *flight) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended != nil {
		return
	}
	f.ended = err
	if f.done != nil {
		close(f.done)
	}
	for _, call := range f.watchers {
		go (*call)()
	}
	f.watchers = nil
}

// AfterFunc is what context.AfterFunc asks a context for.
func (f *flight) AfterFunc(call func()) (stop func() bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended != nil {
		go call()
		return func() bool { return false }
	}
	f.watchers = append(f.watchers, &call)
	return func() bool { return f.forget(&call) }
}

func (f *flight) forget(call *func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.watchers, call)
	if i < 0 {
		return false
	}
	f.watchers = slices.Delete(f.watchers, i, i+1)
	return true
}

// Deadline implements context.Context.
func (f *flight) Deadline() (time.Time, bool) { return f.deadline, true }

// Done implements context.Context.
func (f *flight) Done() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done == nil {
		f.done = make(chan struct{})
		if f.ended != nil {
			close(f.done)
		}
	}
	return f.done
}

// Err implements context.Context.
func (f *flight) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended
}
