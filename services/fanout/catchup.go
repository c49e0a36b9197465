package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// Why an app's own reader ends a read. None of them is a failure.
var (
	errCaughtUp = errors.New("fanout: caught up")
	errNoRoom   = errors.New("fanout: no room")
	errTurn     = errors.New("fanout: it is another's turn")
)

// reading is a place that its app's own reader brings up: from which sequence
// on, and in which round.
type reading struct {
	place *place
	round uint64
	after uint64
}

// catchUp reads the log for an app that fell behind, whenever its engine has
// room, until it stands where the partitions' reader stands; then that one
// carries on. It returns when ctx ends.
func (s *Service) catchUp(ctx context.Context, e *engine) {
	var again <-chan time.Time // while it starves, others may give room back
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.room:
		case <-again:
		}
		again = nil
		for ctx.Err() == nil && !e.starves() && s.catchUpOnce(ctx, e) {
		}
		s.reissue(ctx, e)
		if e.starves() {
			again = time.After(time.Second)
		}
	}
}

// catchUpOnce reads for an app that lags; false when there is nothing to do.
func (s *Service) catchUpOnce(ctx context.Context, e *engine) bool {
	places, unread := s.lagging(e)
	if len(places) == 0 {
		return false
	}
	var err error
	if min(unread, e.space()) <= fewRecords {
		err = s.readFew(ctx, places)
	}
	if err == nil {
		err = s.readFor(ctx, places)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, errCaughtUp) && !errors.Is(err, errNoRoom) && !errors.Is(err, errTurn) {
		e.log.Warn("catching up interrupted, trying again", "err", err)
		sleep(ctx, jitter(time.Second))
	}
	return true
}

// lagging are the places of an app, by partition, that are behind and have room
// in their cursor, and how many positions they have not read together.
func (s *Service) lagging(e *engine) (places map[int]reading, unread uint64) {
	places = map[int]reading{}
	for _, h := range s.allHolders() {
		h.mu.Lock()
		if pl := h.mu.places[e.id]; pl != nil && pl.engine == e && pl.behind() && !pl.limited && h.mu.halted == nil {
			places[h.partition] = reading{place: pl, round: pl.round, after: pl.track.at.sequence}
			unread += uint64(h.mu.read.position - pl.track.read)
		}
		h.mu.Unlock()
	}
	return places, unread
}

// fewRecords is how many are read one by one: a consumer costs as much as some
// ten such reads, and then hardly anything for each record.
const fewRecords = 16

// readFew brings the places up record by record: many apps that fall behind are
// only a few events behind, or have room for a few. nil when they need more than
// that.
func (s *Service) readFew(ctx context.Context, places map[int]reading) error {
	n := 0
	for p, r := range places {
		for more := true; more; n++ {
			if n == fewRecords {
				return nil
			}
			m, err := s.deps.Log.NextLog(ctx, p, r.after)
			if err != nil {
				return fmt.Errorf("fanout: record of partition %d behind sequence %d: %w", p, r.after, err)
			}
			if _, more, err = r.place.feed(ctx, m, r.round); err != nil {
				return err
			}
			r.after = m.Sequence
			places[p] = r
		}
		delete(places, p)
	}
	return errCaughtUp
}

// Bounds of the reads for apps that lag: how many apps are read for at once, and
// how many messages wait for each of them. All of it is memory, and what a full
// engine leaves unread was read in vain. While others wait, a turn ends after
// catchUpTurn events: so apps that lag stay near one another, and what was planned
// for one is still kept when the others come to it.
const (
	maxCatchUps  = 2
	catchUpAhead = 64
	catchUpTurn  = 2048
)

// turns bounds how many read at once. The others wait in the order in which they
// came. Safe for concurrent use.
type turns struct {
	slots   chan struct{}
	waiting atomic.Int32
}

// begin waits for a turn, which end ends; false when ctx ended first.
func (t *turns) begin(ctx context.Context) bool {
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	select {
	case t.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *turns) end() { <-t.slots }

// over reports whether so many events are a turn's worth, and another waits.
func (t *turns) over(events int) bool { return events >= catchUpTurn && t.waiting.Load() > 0 }

// readFor reads the log with a consumer from where the places stand until all
// have caught up, the engine is full, or it is another's turn.
func (s *Service) readFor(ctx context.Context, places map[int]reading) error {
	if !s.catchUps.begin(ctx) {
		return ctx.Err()
	}
	defer s.catchUps.end()
	o := bus.ReadOptions{After: ^uint64(0), Ahead: catchUpAhead}
	for p, r := range places {
		o.Partitions = append(o.Partitions, p)
		o.After = min(o.After, r.after)
	}
	slices.Sort(o.Partitions)
	var rest time.Duration
	events := 0
	return s.deps.Log.ReadLog(ctx, o, func(m bus.Message) error {
		r, open := places[m.Partition]
		if !open {
			return nil
		}
		n, more, err := r.place.feed(ctx, m, r.round)
		if err != nil {
			return err
		}
		if rest += s.throttle.rest(n, time.Now()); rest > throttleEvery {
			sleep(ctx, rest)
			rest = 0
		}
		if !more {
			delete(places, m.Partition)
		}
		events += n
		switch {
		case len(places) == 0:
			return errCaughtUp
		case s.catchUps.over(events):
			return errTurn
		}
		return nil
	})
}

// feed takes a record of n events in for one app. more is false when the place has caught
// up, was moved by hand, or can take no more for now; the error is errNoRoom
// when the whole engine cannot.
func (pl *place) feed(ctx context.Context, m bus.Message, round uint64) (n int, more bool, err error) {
	h := pl.holder
	h.mu.Lock()
	before, replays := pl.track.at, pl.replays(pl.track.at)
	current := pl.round == round && pl.behind() && h.mu.places[pl.app] == pl && !h.gone() && h.mu.halted == nil
	h.mu.Unlock()
	if !current {
		return 0, false, nil
	}
	if m.Sequence <= before.sequence {
		return 0, true, nil
	}
	p, err := pl.plan(ctx, m, before, replays)
	if err != nil {
		return 0, false, err
	}
	if p == nil {
		return 0, !h.isHalted(), nil
	}
	if err := h.bury(ctx, p.lost(pl.app)); err != nil {
		return 0, false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if pl.round != round {
		return 0, false, nil
	}
	h.touch()
	// The plan is kept, and may be taken from again: its letters stay drafts.
	if !pl.accept(slices.Clone(p.mail.of(pl.app)), before, p.after) {
		if pl.limited {
			return 0, false, nil
		}
		return p.events, false, errNoRoom
	}
	h.plans.taken(p, pl.app)
	return p.events, pl.behind(), nil
}
