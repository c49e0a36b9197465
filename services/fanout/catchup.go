package fanout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// Why a read for apps that lag ends. None of them is a failure.
var (
	errCaughtUp = errors.New("fanout: caught up")
	errNoRoom   = errors.New("fanout: no room")
	errTurn     = errors.New("fanout: it is another's turn")
)

// reading is a place that is brought up, for an engine: in which round, and from
// which sequence on.
type reading struct {
	place  *place
	engine *engine
	round  uint64
	after  uint64
	unread uint64 // positions that the partition's reader is ahead
}

// unreadOf is how many positions some places have not read together.
func unreadOf(places []reading) (n uint64) {
	for _, r := range places {
		n += r.unread
	}
	return n
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
	places := s.lagging(e)
	if len(places) == 0 {
		return false
	}
	var err error
	if min(unreadOf(places), e.space()) <= fewRecords {
		err = s.readFew(ctx, places)
	}
	if err == nil {
		err = s.readInTurn(ctx, e)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, errCaughtUp) && !errors.Is(err, errNoRoom) && !errors.Is(err, errTurn) {
		e.log.Warn("catching up interrupted, trying again", "err", err)
		sleep(ctx, jitter(time.Second))
	}
	return true
}

// lagging are the places of an app that are behind and have room in their cursor.
func (s *Service) lagging(e *engine) (places []reading) {
	for _, h := range s.allHolders() {
		h.mu.Lock()
		if pl := h.mu.places[e.id]; pl != nil && pl.engine == e && pl.behind() && !pl.limited && h.mu.halted == nil {
			places = append(places, reading{
				place: pl, engine: e, round: pl.round, after: pl.track.at.sequence, unread: uint64(h.mu.read.position - pl.track.read),
			})
		}
		h.mu.Unlock()
	}
	return places
}

// fewRecords is how many are read one by one: a consumer costs as much as some
// ten such reads, and then hardly anything for each record.
const fewRecords = 16

// readFew brings the places up record by record: many apps that fall behind are
// only a few events behind, or have room for a few. nil when they need more than
// that.
func (s *Service) readFew(ctx context.Context, places []reading) error {
	n := 0
	for _, r := range places {
		for more := true; more; n++ {
			if n == fewRecords {
				return nil
			}
			p := r.place.holder.partition
			m, err := s.deps.Log.NextLog(ctx, p, r.after)
			if err != nil {
				return fmt.Errorf("fanout: record of partition %d behind sequence %d: %w", p, r.after, err)
			}
			if _, more, err = r.place.feed(ctx, m, r.round); err != nil {
				return err
			}
			r.after = m.Sequence
		}
	}
	return errCaughtUp
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
	all := pl.accept(p.mail.of(pl.app), before, p.after)
	h.plans.taken(p, pl.app) // its letters are in the engine: what it had no room for is planned again
	switch {
	case all:
		return p.events, pl.behind(), nil
	case pl.limited:
		return 0, false, nil
	}
	return p.events, false, errNoRoom
}
