package fanout

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lateAfter is how old an event may be that is posted in time: beyond,
	// another moment does it no harm.
	lateAfter = 2 * time.Second
	// timelyFor is how long after a POST in time late ones are held back: as
	// long as what is in time comes at least that often. What comes more
	// seldom meets no more than the POSTs under way.
	timelyFor = time.Second

	// throttleEvery is how often POSTs that are held back are let go, and how
	// late the processors are is measured; lateTurn is what is too late. An
	// idle machine is up to a millisecond late.
	throttleEvery = 2 * time.Millisecond
	lateTurn      = 2 * time.Millisecond

	// The late POSTs a second: at first, at least, and when there is no use in
	// holding any back.
	throttleBegin, throttleLeast, throttleMost = 1000, 250, 50_000
	throttleGrow                               = 10  // at each turn in time
	throttleCut                                = 0.7 // at one that is late
	throttleCutEvery                           = 20 * time.Millisecond
)

// throttle holds POSTs of late events back while there are others in time, so
// that an app that comes back to a million events does not make the rest wait
// for the processors. It lets as many begin as leave them free: its own timer
// shows how long whatever becomes ready waits to run. The rate grows by a step
// at each turn in time and shrinks by a factor at a late one. While all is late,
// or nothing is, it does nothing. Safe for concurrent use.
type throttle struct {
	timely atomic.Int64 // when a POST in time last began, Unix nanoseconds

	mu      sync.Mutex
	rate    float64 // late POSTs a second
	credit  float64 // of them may begin now
	counted time.Time
	cut     time.Time
	waiting []*engine // in the order in which they asked
	timer   *time.Timer
	due     time.Time // when the timer was to come; zero while it is not set
}

// late reports whether the POST of a lane's head is late already. Retries are
// never: they are few, and innocent threads would wait behind them.
func (l *letter) late(now time.Time) bool {
	return l.attempts == 0 && now.Sub(time.UnixMilli(int64(l.at))) > lateAfter
}

// admits takes note of a POST that is to begin, and reports whether it may. An
// engine that may not is invited later, unless it waits already.
func (t *throttle) admits(e *engine, late, waits bool, now time.Time) bool {
	if !late {
		t.timely.Store(now.UnixNano())
		return true
	}
	if !t.holds(now) {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count(now)
	if t.credit >= 1 {
		t.credit--
		return true
	}
	if !waits {
		t.waiting = append(t.waiting, e)
	}
	t.arm(now)
	return false
}

// rest is how long a reader that has taken in so many late events for an app
// that lags leaves the processors to others.
func (t *throttle) rest(events int, now time.Time) time.Duration {
	if !t.holds(now) {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count(now)
	t.arm(now)
	// Twice as fast as full POSTs go out: reading is not what limits them.
	return time.Duration(float64(events) / (2 * defaultBatch * t.rate) * float64(time.Second))
}

// holds reports whether there are POSTs in time to give way to.
func (t *throttle) holds(now time.Time) bool {
	return now.UnixNano()-t.timely.Load() < int64(timelyFor)
}

// count adds what may begin since it last counted. Called with the lock held.
func (t *throttle) count(now time.Time) {
	if t.rate == 0 {
		t.rate, t.counted = throttleBegin, now.Add(-time.Second)
	}
	t.credit += t.rate * max(now.Sub(t.counted), 0).Seconds()
	t.credit = min(t.credit, 1+2*t.rate*throttleEvery.Seconds())
	t.counted = now
}

// arm sets the timer, unless it is. Called with the lock held.
func (t *throttle) arm(now time.Time) {
	if !t.due.IsZero() {
		return
	}
	t.due = now.Add(throttleEvery)
	if t.timer == nil {
		t.timer = time.AfterFunc(throttleEvery, t.turn)
		return
	}
	t.timer.Reset(throttleEvery)
}

// turn adapts the rate to how late it comes, and invites those that wait.
func (t *throttle) turn() {
	t.mu.Lock()
	now := time.Now()
	t.adapt(now.Sub(t.due), now)
	t.due = time.Time{}
	t.count(now)
	n := len(t.waiting)
	if t.holds(now) {
		n = min(n, int(t.credit))
	}
	invited := slices.Clone(t.waiting[:n])
	t.waiting = slices.Delete(t.waiting, 0, n)
	if len(t.waiting) > 0 {
		t.arm(now)
	}
	t.mu.Unlock()
	for _, e := range invited {
		e.invited()
	}
}

// adapt changes the rate. Called with the lock held.
func (t *throttle) adapt(lateness time.Duration, now time.Time) {
	switch {
	case lateness <= lateTurn:
		t.rate = min(t.rate+throttleGrow, throttleMost)
	case now.Sub(t.cut) >= throttleCutEvery:
		t.rate, t.cut = max(t.rate*throttleCut, throttleLeast), now
	}
}

// stop ends the timer; those that wait are not invited any more.
func (t *throttle) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = nil
	if t.timer != nil {
		t.timer.Stop()
	}
}

// invited tells an engine that was held back to ask again.
func (e *engine) invited() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.throttled = false
	e.pump()
}
