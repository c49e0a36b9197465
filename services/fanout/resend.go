package fanout

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// resend has dead letters of an app delivered again; see Order.Positions. Durable
// on return: the cursor names them until each is delivered or given up once more.
// Errors: ErrBeyondLog, ErrOrder, with nothing changed; or that of the save, after
// which they are delivered again, but may not be after a restart.
func (h *holder) resend(ctx context.Context, app control.AppID, e *engine, positions []uint64) error {
	if err := h.addResent(app, positions); err != nil {
		return err
	}
	e.look()
	h.log.Info("dead letters delivered again", "app_id", app.String(), "count", len(positions))
	return h.saveNow(ctx)
}

// addResent notes positions to be delivered again.
func (h *holder) addResent(app control.AppID, positions []uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	pl := h.mu.places[app]
	if pl == nil || len(positions) == 0 {
		return fmt.Errorf("%w: nothing of partition %d was for app %s", ErrBeyondLog, h.partition, app)
	}
	last := slices.Max(positions)
	switch {
	case last > uint64(h.mu.read.position) || slices.Min(positions) < 1:
		return fmt.Errorf("%w: %d of partition %d, which was read to %d", ErrBeyondLog, last, h.partition, h.mu.read.position)
	case len(pl.again)+len(positions) > maxOpenPerApp:
		return fmt.Errorf("%w: %d dead letters of partition %d to be delivered again, at most %d at a time",
			ErrOrder, len(pl.again)+len(positions), h.partition, maxOpenPerApp)
	}
	if pl.again == nil {
		pl.again = map[control.Position]uint64{}
	}
	for _, at := range positions {
		p := control.Position(at)
		if _, waits := pl.again[p]; !waits && p <= pl.track.read && !pl.track.isOpen(p) {
			pl.again[p] = 0
		}
	}
	h.touch()
	return nil
}

// resent are the positions that are delivered again, ascending, for the cursor.
func (pl *place) resent() []uint64 {
	list := make([]uint64, 0, len(pl.again))
	for p := range pl.again {
		list = append(list, uint64(p))
	}
	slices.Sort(list)
	return list
}

// restoreResent is what a cursor says of them.
func (pl *place) restoreResent(positions []uint64) {
	if len(positions) > 0 {
		pl.again = make(map[control.Position]uint64, len(positions))
	}
	for _, p := range positions {
		pl.again[control.Position(p)] = 0
	}
}

// inRound marks a letter that was offered in the place's round.
func (pl *place) inRound() uint64 { return pl.round + 1 }

// reissue offers the dead letters of an app that are to be delivered again, as
// far as its engine has room. It runs on the goroutine of the app's own reader.
func (s *Service) reissue(ctx context.Context, e *engine) {
	for _, h := range s.allHolders() {
		if err := h.reissue(ctx, e); err != nil && ctx.Err() == nil {
			e.log.Warn("dead letters not planned, trying again", "partition", h.partition, "err", err)
			sleep(ctx, jitter(time.Second))
			e.look()
		}
	}
}

// unissued are the positions that are not in the engine yet, ascending.
func (h *holder) unissued(e *engine) (*place, []control.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pl := h.mu.places[e.id]
	if pl == nil || pl.engine != e || h.stopped.Load() {
		return nil, nil
	}
	var list []control.Position
	for p, round := range pl.again {
		if round != pl.inRound() {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return pl, list
}

func (h *holder) reissue(ctx context.Context, e *engine) error {
	pl, positions := h.unissued(e)
	var p *plan // of the record that holds the position
	var last control.Position
	for _, at := range positions {
		if p == nil || at > last {
			r, before, err := h.recordOf(ctx, at)
			if err != nil {
				return err
			}
			p = h.planFor(func(app control.AppID) bool { return app == pl.app })
			p.begin()
			if err := p.record(ctx, r, before.roster); err != nil {
				return err
			}
			last = r.Last()
		}
		if more, err := h.issue(ctx, pl, p, at); err != nil || !more {
			return err
		}
	}
	return nil
}

// recordOf reads the record that holds a position, and says what lies before it.
func (h *holder) recordOf(ctx context.Context, p control.Position) (*eventlog.Record, *mark, error) {
	before, err := h.find(ctx, func(r *eventlog.Record) bool { return r.Last() < p })
	if err != nil {
		return nil, nil, err
	}
	for after := before.sequence; ; {
		m, err := h.service.deps.Log.NextLog(ctx, h.partition, after)
		if err != nil {
			return nil, nil, fmt.Errorf("fanout: record with position %d of partition %d: %w", p, h.partition, err)
		}
		if r, err := h.decode(ctx, m, before); err != nil || r != nil {
			return r, before, err
		}
		after = m.Sequence
	}
}

// issue offers the letter of one position, or gives it up again when it can no
// longer be made. more is false when the engine has no room.
func (h *holder) issue(ctx context.Context, pl *place, p *plan, at control.Position) (more bool, err error) {
	i := slices.IndexFunc(p.mail.of(pl.app), func(l letter) bool { return l.position == at })
	if i < 0 {
		return true, h.unmakeable(ctx, pl, p, at)
	}
	l := &p.mail.of(pl.app)[i]
	h.mu.Lock()
	defer h.mu.Unlock()
	issued, waits := pl.again[at]
	if !waits || issued == pl.inRound() || h.mu.places[pl.app] != pl || pl.engine == nil {
		return true, nil
	}
	l.from, l.round, l.again = pl, pl.round, true
	if pl.engine.offer([]*letter{l}) == 0 {
		return false, nil
	}
	pl.again[at] = pl.inRound()
	return true, nil
}

// unmakeable buries a letter whose payload is gone meanwhile, or which the event
// never was for.
func (h *holder) unmakeable(ctx context.Context, pl *place, p *plan, at control.Position) error {
	i := slices.IndexFunc(p.losses, func(d DeadLetter) bool { return d.Position == at })
	if j := h.service.deps.Journal; i >= 0 && j != nil {
		if err := j.Bury(ctx, &p.losses[i]); err != nil {
			return err //nolint:wrapcheck // the journal's own
		}
	}
	h.log.Warn("dead letter cannot be delivered again", "app_id", pl.app.String(), "position", uint64(at), "known", i >= 0)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(pl.again, at)
	h.touch()
	return nil
}

// forgetResent gives up the dead letters that wait to be delivered again.
func (h *holder) forgetResent(app control.AppID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if pl := h.mu.places[app]; pl != nil {
		pl.again = nil
	}
}
