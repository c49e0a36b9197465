package fanout

import "time"

// companyFor is for how long after a POST began another one begins beside it only
// if it is full. What comes meanwhile goes together, when a POST under way ends or
// this time is over: under load POSTs fill by themselves, without load nobody
// waits, and one that takes long holds nobody up.
const companyFor = 2 * time.Millisecond

// pump starts what may start now. What goes into a POST is chosen when its
// goroutine runs: what has come by then, of the same message of the log for one,
// goes with it. Called with the lock held.
func (e *engine) pump() {
	now := time.Now()
	if !e.mu.starting && e.stirs(now) {
		e.mu.starting = true
		e.flights.Go(e.start)
	}
	e.arm(now)
}

// start begins a POST, has the next one started beside it, and carries it out.
func (e *engine) start() {
	e.mu.Lock()
	e.mu.starting = false
	now := time.Now()
	b := e.gather(now)
	if b != nil {
		e.pump()
	} else {
		e.arm(now)
	}
	e.mu.Unlock()
	e.carry(b)
}

// stirs reports whether a POST may begin, as far as that can be seen without
// taking anything for it. Called with the lock held.
func (e *engine) stirs(now time.Time) bool {
	ok, probe := e.open(now)
	if !ok {
		return false
	}
	e.unpark(now)
	in, _ := e.source(probe)
	return in != nil && !e.waits(in.first, now)
}

// waits reports whether a lane that may go now rather waits for company. First
// attempts alone do. Called with the lock held.
func (e *engine) waits(ln *lane, now time.Time) bool {
	return ln.in != &e.mu.split && ln.in != &e.mu.due && ln.in.len < e.mu.app.MaxBatch && e.accompanied(now)
}

// accompanied reports whether a first attempt began just now and is under way.
func (e *engine) accompanied(now time.Time) bool {
	return e.mu.flying > e.mu.retrying && now.Sub(e.mu.begun) < companyFor
}

// arm sets the timer to the next time at which something may start that may not
// now. Called with the lock held.
func (e *engine) arm(now time.Time) {
	at := e.nextStart(now)
	if at.Equal(e.mu.alarm) {
		return
	}
	e.mu.alarm = at
	if at.IsZero() {
		e.mu.timer.Stop()
		return
	}
	e.mu.timer.Reset(max(at.Sub(now), time.Millisecond))
}

// ring is what the timer does.
func (e *engine) ring() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.alarm = time.Time{}
	e.pump()
}

// nextStart is when the timer is to come; zero when another call will pump.
func (e *engine) nextStart(now time.Time) time.Time {
	if !e.mu.verified || e.mu.paused || e.mu.closing || e.mu.flying >= e.concurrency() {
		return time.Time{}
	}
	waiting := e.oldest() != nil || e.mu.due.len > 0
	closed := e.mu.until
	if e.mu.breaker.state == BreakerOpen && e.mu.breaker.until.After(closed) {
		closed = e.mu.breaker.until
	}
	if waiting && closed.After(now) {
		return closed
	}
	next := time.Time{}
	if waiting && e.accompanied(now) {
		next = e.mu.begun.Add(companyFor)
	}
	if len(e.mu.parked) == 0 {
		return next
	}
	at := e.mu.parked[0].retryAt
	if closed.After(at) {
		at = closed
	}
	if next.IsZero() || at.Before(next) {
		return at
	}
	return next
}
