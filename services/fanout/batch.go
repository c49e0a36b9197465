package fanout

import (
	"container/heap"
	"context"
	"sync/atomic"
	"time"
)

// maxBodyBytes bounds the elements that share one POST; a larger one goes alone.
const maxBodyBytes = 512 << 10

// batch is one POST: letters of one class, from the fronts of their lanes.
type batch struct {
	lanes   []*lane // each with lane.flying letters in the POST
	letters []*letter
	app     App
	via     Transport
	stopped atomic.Bool // cancelled by us, not by its time-out
	probe   bool        // the breaker's
	old     bool        // too old to be posted
	retry   bool        // of a parked head
	lent    bool        // its socket is
	begun   time.Time
	parcel  *parcel
	attempt int // of the head
	started time.Time
}

// stop cancels the POST. Called with the engine's lock held, while the batch is one
// of its batches.
func (b *batch) stop() {
	b.stopped.Store(true)
	b.parcel.flight.end(context.Canceled)
}

func (b *batch) carries(from origin) bool {
	for _, l := range b.letters {
		if l.from == from {
			return true
		}
	}
	return false
}

// carry posts a batch, and then whatever is ready, until nothing is.
func (e *engine) carry(b *batch) {
	for b != nil {
		b = e.settle(b, e.post(b))
	}
}

// gather takes the next batch from the ready lanes; nil when none may start.
// Called with the lock held.
func (e *engine) gather(now time.Time) *batch {
	ok, probe := e.open(now)
	if !ok {
		return nil
	}
	e.unpark(now)
	ln, retry := e.pick(probe)
	if ln == nil || e.waits(ln, now) {
		return nil
	}
	if !e.throttle.admits(e, ln.head().late(now), e.mu.throttled, now) {
		e.mu.throttled = true
		return nil
	}
	lent, ok := e.admit(now)
	if !ok {
		return nil
	}
	b := &batch{app: e.mu.app, via: e.mu.transport, probe: probe, retry: retry, lent: lent, begun: now}
	e.begin(b)
	b.letters, b.lanes = b.parcel.letters[:0], b.parcel.lanes[:0]
	e.load(b, ln)
	e.mu.batches[b] = struct{}{}
	e.mu.flying++
	e.mu.lastRetry = retry
	if retry {
		e.mu.retrying++
	} else {
		e.mu.begun = now
	}
	if probe {
		e.mu.breaker.probing()
		e.observers.breaker(e.id, BreakerHalfOpen)
	}
	return b
}

// admit asks for a socket and for a place in the rate.
func (e *engine) admit(now time.Time) (lent, ok bool) {
	if ok, lent = e.sockets.enter(e, e.mu.flying-e.mu.lent, e.mu.asked); !ok {
		e.mu.asked = true
		return false, false
	}
	if lent {
		e.mu.lent++
	}
	if e.mu.rate == nil {
		return lent, true
	}
	r := e.mu.rate.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		e.mu.until = now.Add(wait)
		e.giveBack(lent)
		return false, false
	}
	return lent, true
}

// giveBack gives a socket back that was lent.
func (e *engine) giveBack(lent bool) {
	if !lent {
		return
	}
	e.mu.lent--
	if waiting := e.sockets.giveBack(); len(waiting) > 0 {
		e.flights.Go(func() { // not under this engine's lock
			for _, other := range waiting {
				other.called()
			}
		})
	}
}

// open reports whether the app may be posted to now, and whether as a probe.
func (e *engine) open(now time.Time) (ok, probe bool) {
	if !e.mu.verified || e.mu.paused || e.mu.closing || e.mu.flying >= e.concurrency() || now.Before(e.mu.until) {
		return false, false
	}
	return e.mu.breaker.admits(now)
}

// lives reports whether the app would take deliveries, as far as is known, and flows
// whether they are not held back by hand.
func (e *engine) lives() (lives, flows bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	lives = e.mu.verified && !e.mu.closing && e.mu.breaker.state == BreakerClosed
	return lives, lives && !e.mu.paused
}

// concurrency is how many POSTs may be under way.
func (e *engine) concurrency() int { return e.mu.pace.now() }

// retrySlots is how many of them are for retries of parked heads, and not for
// first attempts while there are any: neither waits for the other.
func (e *engine) retrySlots() int { return max(1, e.concurrency()/4) }

// firstSlots is how many are for first attempts.
func (e *engine) firstSlots() int {
	if e.concurrency() == 1 || e.mu.due.len == 0 && e.mu.retrying == 0 {
		return e.concurrency()
	}
	return e.concurrency() - e.retrySlots()
}

// unpark moves the parked lanes whose time has come to those that are due.
func (e *engine) unpark(now time.Time) {
	for len(e.mu.parked) > 0 && !e.mu.parked[0].retryAt.After(now) {
		ln := e.mu.parked[0]
		heap.Remove(&e.mu.parked, 0)
		ln.enter(&e.mu.due, laneParked)
	}
}

// pick chooses the lane that goes next, and says whether it retries a parked
// head. Lanes whose origin may not start are set aside.
func (e *engine) pick(probe bool) (ln *lane, retry bool) {
	for {
		in, retry := e.source(probe)
		if in == nil {
			return nil, false
		}
		ln := in.first
		if ln.head().from.mayStart() {
			return ln, retry
		}
		e.hold(ln)
	}
}

// source is the list to take the next lane from.
func (e *engine) source(probe bool) (in *line, retry bool) {
	if e.mu.flying-e.mu.retrying < e.firstSlots() {
		in = e.oldest()
	}
	if e.mu.due.len == 0 || e.mu.retrying >= e.retrySlots() {
		return in, false
	}
	// A probe tries a thread that is not known to fail, when there is one;
	// with a single slot, retries and first attempts take turns.
	if in != nil && (probe || e.concurrency() == 1 && e.mu.lastRetry) {
		return in, false
	}
	return &e.mu.due, true
}

// oldest is the list of first attempts whose front waits longest.
func (e *engine) oldest() *line {
	var found *line
	var ticket uint64
	for i := range e.mu.fresh {
		if ln := e.mu.fresh[i].first; ln != nil && (found == nil || ln.ticket < ticket) {
			found, ticket = &e.mu.fresh[i], ln.ticket
		}
	}
	if ln := e.mu.split.first; ln != nil && (found == nil || ln.ticket < ticket) {
		found = &e.mu.split
	}
	return found
}

// hold sets a lane aside until its origin may start again.
func (e *engine) hold(ln *lane) {
	ln.leave()
	ln.enter(&e.mu.held, laneHeld)
	ln.head().from.renew()
}

// load fills a batch: a run from the chosen lane, then from others of the same
// class that are ready. What has failed, and a probe, goes alone.
func (e *engine) load(b *batch, ln *lane) {
	head := ln.head()
	b.old = b.dated(head)
	if head.attempts > 0 || b.probe {
		e.board(b, ln, 1)
		return
	}
	room, bytes := e.mu.app.MaxBatch, maxBodyBytes
	same := &e.mu.fresh[head.class()]
	for ln != nil {
		n := b.run(ln, room, bytes)
		if n == 0 && len(b.letters) == 0 {
			n = 1
		}
		if n == 0 {
			return
		}
		e.board(b, ln, n)
		for _, l := range b.letters[len(b.letters)-n:] {
			bytes -= len(l.element)
		}
		if room -= n; room == 0 {
			return
		}
		ln = e.nextReady(same)
	}
}

// dated reports whether a letter is too old to be posted.
func (b *batch) dated(l *letter) bool { return l.outdated(b.app.StandbyWithin, b.begun) }

// run is how many letters from the front of a lane may share the POST: fresh, of
// the class of the first, as old as the others, at most limit and bytes.
func (b *batch) run(ln *lane, limit, bytes int) int {
	class, n := ln.head().class(), 0
	for n < len(ln.queue) && n < limit {
		next := ln.queue[n]
		if next.attempts > 0 || next.class() != class || len(next.element) > bytes || b.dated(next) != b.old {
			break
		}
		bytes -= len(next.element)
		n++
	}
	return n
}

// nextReady is the first lane of a list whose origin may start.
func (e *engine) nextReady(in *line) *lane {
	for {
		ln := in.first
		if ln == nil || ln.head().from.mayStart() {
			return ln
		}
		e.hold(ln)
	}
}

// board puts the first n letters of a lane on the batch.
func (e *engine) board(b *batch, ln *lane, n int) {
	ln.leave()
	ln.state, ln.flying = laneFlying, n
	b.lanes = append(b.lanes, ln)
	b.letters = append(b.letters, ln.queue[:n]...)
}
