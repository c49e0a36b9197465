package fanout

import (
	"net/http"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
)

// result is how a POST ended.
type result struct {
	answer     answer
	status     int
	retryAfter time.Duration
	took       time.Duration
	err        error
	// Of the exchange, for the journal.
	failure   egress.Class
	reused    bool
	connect   time.Duration
	firstByte time.Duration
	header    http.Header
	kept      []byte
}

// verdict is what a letter's origin is told after a POST, outside of the lock:
// finished with an outcome, or, without one, failed with its retry clock. With a
// lane it is given up, and first to be buried.
type verdict struct {
	letter  *letter
	outcome Outcome
	clock   failure
	lane    *lane
}

// again is the verdict for a letter that stays.
func again(l *letter, next time.Time) verdict {
	return verdict{letter: l, clock: failure{attempts: l.attempts, first: l.first, next: next}}
}

// settle takes a POST's result in, tells the origins, and returns the batch that
// the calling goroutine posts next; nil for none.
func (e *engine) settle(b *batch, r result) *batch {
	now := time.Now()
	e.mu.Lock()
	was := e.mu.breaker.state
	e.mu.flying--
	if b.retry {
		e.mu.retrying--
	}
	e.giveBack(b.lent)
	e.adapt(b, &r, now)
	verdicts := e.judge(b, r, now)
	state := e.mu.breaker.state
	e.mu.Unlock()

	e.announce(b, &r, verdicts, now)
	if state != was {
		e.observers.breaker(e.id, state)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.mu.batches, b)
	e.finish(b)
	if e.mu.landed != nil {
		close(e.mu.landed)
		e.mu.landed = nil
	}
	e.makeRoom()
	next := e.gather(now)
	e.pump()
	return next
}

// adapt lets a POST's end have its say about how many there may be.
func (e *engine) adapt(b *batch, r *result, now time.Time) {
	first := b.letters[0].attempts == 0
	switch r.answer {
	case answerTaken:
		if first {
			e.mu.pace.count(false)
		}
		e.mu.pace.answered(r.took, e.mu.flying+1 >= e.concurrency(), b.begun, now)
	case answerCancelled, answerGone, answerRejected, answerOutdated, answerProxy:
	case answerFailed, answerBusy, answerTimeout, answerUnreachable, answerBroken:
		if first {
			e.mu.pace.count(true)
		}
		e.mu.pace.failed(r.answer, b.begun, now)
	}
}

// announce tells the observers and the origins. It comes before the next POST,
// so that what a cursor says is never far behind what was posted.
func (e *engine) announce(b *batch, r *result, verdicts []verdict, now time.Time) {
	e.tell(b, r, verdicts)
	if r.answer != answerOutdated {
		e.observers.attempt(Attempt{
			App: e.id, Channel: b.letters[0].channel, Events: len(b.letters), Answer: r.answer.String(), Failure: r.failure, Status: r.status,
			Took: r.took,
		})
	}
	for _, v := range verdicts {
		switch {
		case v.outcome == "":
			v.letter.from.failed(v.letter, v.clock)
		case v.lane != nil:
			e.bury(v, r)
		}
	}
	if r.answer == answerTaken || r.answer == answerOutdated {
		e.announceEnds(b.letters, verdicts, now)
	}
	if r.answer != answerTaken && r.answer != answerCancelled && r.answer != answerOutdated {
		e.log.Warn("delivery failed", "answer", r.answer.String(), "status", r.status, "events", len(b.letters),
			"partition", b.letters[0].partition, "position", uint64(b.letters[0].position), "err", r.err)
	}
}

// announceEnds tells that all letters of a batch have ended: those of one origin
// that lie side by side together.
func (e *engine) announceEnds(letters []*letter, verdicts []verdict, now time.Time) {
	for i := 0; i < len(letters); {
		run := i
		for i < len(letters) && letters[i].from == letters[run].from {
			i++
		}
		letters[run].from.finished(letters[run:i]...)
	}
	for _, v := range verdicts {
		e.observers.finished(v.letter.ended(e.id, v.outcome, now))
	}
}

// ended describes the letter's end to the observers.
func (l *letter) ended(app control.AppID, o Outcome, now time.Time) Finished {
	return Finished{
		App: app, Partition: l.partition, Position: l.position, Thread: l.thread, Channel: l.channel, Outcome: o,
		Attempts: l.attempts, Since: max(0, now.Sub(time.UnixMilli(int64(l.at)))),
	}
}

// judge moves the lanes of a settled batch on. Called with the lock held.
func (e *engine) judge(b *batch, r result, now time.Time) []verdict {
	switch r.answer {
	case answerTaken:
		e.mu.breaker.succeeded(e.mu.pace.share)
		return e.done(b, OutcomeDelivered)
	case answerOutdated:
		e.mu.breaker.abandoned()
		return e.done(b, OutcomeOutdated)
	case answerCancelled:
		e.mu.breaker.abandoned()
		e.landAll(b)
		return nil
	case answerProxy:
		e.mu.breaker.abandoned()
		e.mu.until = now.Add(jitter(proxyPause))
		e.landAll(b)
		return nil
	case answerGone:
		e.mu.breaker.abandoned()
		e.landAll(b)
		e.pause("the app answered 410 Gone")
		return nil
	case answerFailed, answerBusy, answerTimeout, answerUnreachable, answerBroken, answerRejected:
		return e.failedBatch(b, r, now)
	}
	return nil
}

// done ends all letters of a batch.
func (e *engine) done(b *batch, o Outcome) []verdict {
	verdicts := b.parcel.verdicts[:0]
	for _, l := range b.letters {
		if o == OutcomeDelivered {
			l.attempts++
		}
		verdicts = append(verdicts, verdict{letter: l, outcome: o})
		e.forget(l)
	}
	for _, ln := range b.lanes {
		ln.pop(ln.flying)
		ln.flying, ln.stale, ln.since = 0, false, time.Time{}
		e.list(ln)
	}
	b.parcel.verdicts = verdicts
	return verdicts
}

// landAll puts the lanes back as they were before the POST.
func (e *engine) landAll(b *batch) {
	for _, ln := range b.lanes {
		e.land(ln)
	}
}

func (e *engine) land(ln *lane) {
	n := ln.flying
	ln.flying = 0
	if ln.stale {
		ln.stale = false
		for _, l := range ln.queue[:n] {
			e.forget(l)
		}
		ln.pop(n)
	}
	e.list(ln)
}

// failedBatch counts the attempt and decides lane by lane. A batch that failed
// for what may be one event's fault is split: its events go out at once, one
// per POST, so that the innocent do not wait.
func (e *engine) failedBatch(b *batch, r result, now time.Time) []verdict {
	e.mu.breaker.failure(b.letters[0].thread, r.answer == answerUnreachable, e.mu.pace.share, now)
	if r.answer == answerBusy {
		e.mu.until = now.Add(r.retryAfter)
	}
	for _, l := range b.letters {
		l.attempts++
		l.next = time.Time{}
		if l.first.IsZero() {
			l.first = now
		}
	}
	var verdicts []verdict
	split := len(b.letters) > 1 && !r.answer.endpointWide()
	for _, ln := range b.lanes {
		if split || ln.stale {
			e.land(ln)
			continue
		}
		verdicts = e.failLane(verdicts, ln, r, now)
	}
	if b.probe {
		verdicts = e.sweep(verdicts, now)
	}
	return verdicts
}

// failLane decides about a lane whose head failed: again later, or given up.
func (e *engine) failLane(verdicts []verdict, ln *lane, r result, now time.Time) []verdict {
	ln.flying = 0
	head := ln.head()
	if ln.since.IsZero() {
		ln.since = head.first
	}
	switch {
	case r.answer == answerRejected:
		ln.since = time.Time{}
		return e.giveUp(verdicts, ln, OutcomeRejected)
	case e.exhausted(ln, now):
		return e.giveUp(verdicts, ln, OutcomeExhausted)
	}
	next := now.Add(max(retryPause(head.attempts), r.retryAfter))
	if last := e.deadline(ln); next.After(last) {
		next = last // one more try, then it is given up
	}
	e.park(ln, next)
	return append(verdicts, again(head, next))
}

// exhausted reports whether the lane's head was tried long enough.
func (e *engine) exhausted(ln *lane, now time.Time) bool {
	last := e.deadline(ln)
	return !last.IsZero() && !now.Before(last)
}

// deadline is until when the lane's head is tried: App.RetryFor since its thread
// began to fail, or the app as a whole, or since it was decided when that was
// later. Zero while nothing fails.
func (e *engine) deadline(ln *lane) time.Time {
	since := ln.since
	if all := e.mu.breaker.since; since.IsZero() || !all.IsZero() && all.Before(since) {
		since = all
	}
	if since.IsZero() {
		return time.Time{}
	}
	// A time to come is of the simulator's clock.
	if decided := time.UnixMilli(int64(ln.head().at)); decided.After(since) && decided.Before(time.Now()) {
		since = decided
	}
	return since.Add(e.mu.app.RetryFor)
}

// giveUp ends the head of a lane by the app's policy.
func (e *engine) giveUp(verdicts []verdict, ln *lane, o Outcome) []verdict {
	head := ln.head()
	switch e.mu.app.OnExhausted {
	case BlockThread:
		ln.state = laneBlocked
		e.mu.blocked++
		return append(verdicts, again(head, time.Now()))
	case PauseApp:
		e.list(ln)
		e.pause("an event was " + string(o))
		return append(verdicts, again(head, time.Now()))
	case SkipEvent:
	}
	ln.state, ln.flying = laneFlying, 1 // until it is buried
	return append(verdicts, verdict{letter: head, outcome: o, lane: ln})
}

// sweep gives up what has waited behind an open breaker for too long: heads that
// were never posted would otherwise wait for ever.
func (e *engine) sweep(verdicts []verdict, now time.Time) []verdict {
	for _, ln := range e.mu.lanes {
		if len(ln.queue) > 0 && !e.mu.paused && ln.sweepable() && e.exhausted(ln, now) {
			e.unlist(ln)
			verdicts = e.giveUp(verdicts, ln, OutcomeExhausted)
		}
	}
	return verdicts
}

func (l *lane) sweepable() bool {
	return l.state == laneReady || l.state == laneParked || l.state == laneHeld
}

// pause stops the app on this node at once and tells the service, which makes
// it durable.
func (e *engine) pause(reason string) {
	if e.mu.paused {
		return
	}
	e.mu.paused = true
	if e.onPause != nil {
		e.flights.Go(func() { e.onPause(e.id, reason) })
	}
}
