package fanout

import (
	"context"
	"time"
)

// bury hands a letter that is given up to the journal; only then its thread goes
// on and its origin is told. A journal that cannot keep it leaves it at the head
// of its thread. It blocks for the journal.
func (e *engine) bury(v verdict, r *result) {
	for ln, l := v.lane, v.letter; l != nil; {
		var err error
		if e.journal != nil {
			err = e.journal.Bury(e.ctx, l.dead(e.id, v.outcome, r))
		}
		next, gone := e.buried(ln, err)
		if gone {
			l.from.finished(l)
			e.observers.finished(l.ended(e.id, v.outcome, time.Now()))
		}
		l = next
	}
}

// buried moves a lane on whose head was given up. next is the one behind it when
// that is to be buried too: the app has not taken anything for so long. gone is
// false when the head stays, or is none of ours any more.
func (e *engine) buried(ln *lane, err error) (next *letter, gone bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	switch {
	case ln.stale:
		e.land(ln)
		return nil, false
	case err != nil:
		e.log.Warn("dead letter not kept, trying again", "position", uint64(ln.head().position), "err", err)
		ln.flying = 0
		e.park(ln, now.Add(retryPause(ln.head().attempts)))
		return nil, false
	}
	e.forget(ln.head())
	ln.pop(1)
	if len(ln.queue) > 0 && e.mu.breaker.state != BreakerClosed && !e.mu.paused && e.mu.app.OnExhausted == SkipEvent &&
		e.exhausted(ln, now) {
		return ln.head(), true
	}
	ln.flying = 0
	e.list(ln)
	return nil, true
}

// bury keeps what cannot be delivered at all, and tells the observers: again until
// it succeeds or ctx ends, whose error it returns. It blocks for the journal.
func (h *holder) bury(ctx context.Context, lost []DeadLetter) error {
	for i := range lost {
		d := &lost[i]
		if !h.wants(d) {
			continue
		}
		if j := h.service.deps.Journal; j != nil {
			if err := h.insist(ctx, "keep a dead letter", d.Position, func() error { return j.Bury(ctx, d) }); err != nil {
				return err
			}
		}
		h.log.Warn("delivery lost", "app_id", d.App.String(), "position", uint64(d.Position), "outcome", string(d.Outcome), "err", d.Err)
		h.service.observers.finished(Finished{
			App: d.App, Partition: d.Partition, Position: d.Position, Thread: d.Thread, Channel: d.Channel, Outcome: d.Outcome,
			Since: since(d.DecidedAt),
		})
	}
	return nil
}

// wants reports whether the app still waits for an event: a record may be read
// again.
func (h *holder) wants(d *DeadLetter) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	pl := h.mu.places[d.App]
	return pl == nil || pl.track.wants(d.Position)
}
