package fanout

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// BreakerState says whether an app's deliveries flow.
type BreakerState uint8

// The states of a breaker.
const (
	// BreakerClosed: deliveries flow.
	BreakerClosed BreakerState = iota
	// BreakerOpen: nothing is posted until the pause is over.
	BreakerOpen
	// BreakerHalfOpen: one thread's head is tried.
	BreakerHalfOpen
)

// String is the state's name in metrics.
func (s BreakerState) String() string {
	return [...]string{"closed", "open", "half_open"}[s]
}

const (
	// breakerThreads is how many different threads must fail in a row. One
	// thread that the app chokes on must not stop the others: a permanent 5xx
	// on one kind of event is normal (clients.md).
	breakerThreads = 5
	// breakerShare of all recent POSTs failing opens it too, when as many
	// threads take part in it.
	breakerShare    = 0.5
	breakerPauseMin = time.Second
	breakerPauseMax = 30 * time.Second
)

// breaker stops an app's deliveries while its endpoint does not work. It is
// small state inside the engine rather than a library's, because it counts
// threads, not calls. Guarded by the engine.
type breaker struct {
	state  BreakerState
	failed []control.ThreadKey // different ones, since the last success
	dials  int                 // failures to connect since the last success
	// suspects are different threads that failed while some failed all the
	// time.
	suspects []control.ThreadKey
	until    time.Time // open: end of the pause
	pause    time.Duration
	since    time.Time // first failure since the last success
}

// admits reports whether a POST may start, and whether it is the probe.
func (b *breaker) admits(now time.Time) (ok, probe bool) {
	switch b.state {
	case BreakerClosed:
		return true, false
	case BreakerOpen:
		return !now.Before(b.until), true
	case BreakerHalfOpen:
		return false, false
	}
	return false, false
}

// probing notes that the probe is under way.
func (b *breaker) probing() { b.state = BreakerHalfOpen }

// abandoned notes that the probe ended without an answer about the endpoint.
func (b *breaker) abandoned() {
	if b.state == BreakerHalfOpen {
		b.state = BreakerOpen
	}
}

// succeeded notes a 2xx; share is that of failures among recent POSTs.
func (b *breaker) succeeded(share float64) {
	suspects := b.suspects
	if b.state != BreakerClosed || share < breakerShare/4 {
		suspects = suspects[:0]
	}
	*b = breaker{failed: b.failed[:0], suspects: suspects}
}

// failure notes a failed POST whose first letter was of thread.
func (b *breaker) failure(thread control.ThreadKey, unreachable bool, share float64, now time.Time) {
	if b.since.IsZero() {
		b.since = now
	}
	if unreachable {
		b.dials++
	}
	b.failed, b.suspects = remember(b.failed, thread), remember(b.suspects, thread)
	flapping := len(b.suspects) >= breakerThreads && share > breakerShare
	switch {
	case b.state == BreakerHalfOpen:
		b.open(min(2*b.pause, breakerPauseMax), now)
	case b.state == BreakerClosed && (len(b.failed) >= breakerThreads || b.dials >= breakerThreads || flapping):
		b.open(breakerPauseMin, now)
	}
}

// remember adds a thread to those that failed, up to as many as count.
func remember(threads []control.ThreadKey, thread control.ThreadKey) []control.ThreadKey {
	if len(threads) >= breakerThreads || slices.Contains(threads, thread) {
		return threads
	}
	return append(threads, thread)
}

func (b *breaker) open(pause time.Duration, now time.Time) {
	b.state, b.pause = BreakerOpen, pause
	b.until = now.Add(jitter(pause))
}

// jitter spreads d by a fifth to either side, so that what failed together is
// not tried together. Its source is the one that a simulation can seed.
func jitter(d time.Duration) time.Duration {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return d*4/5 + time.Duration(binary.LittleEndian.Uint64(random[:])%uint64(d*2/5+1))
}
