package fanout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// Errors of what operators ask for. Nothing was changed.
var (
	// ErrNotHeld: this node does not hold the partition's cursor; ask the node
	// that does.
	ErrNotHeld = errors.New("fanout: the partition is not held by this node")
	// ErrUnknownApp: no such app, or it has no callback.
	ErrUnknownApp = errors.New("fanout: no such receiving app")
	// ErrBeyondLog: the position has not been read yet.
	ErrBeyondLog = errors.New("fanout: position is beyond what was read of the log")
)

// Pause stops deliveries to an app on the partitions that this node holds; what
// is decided meanwhile waits in the log. Durable on return. Errors:
// ErrUnknownApp, or that of a save, after which the app is paused but may not be
// so after a restart.
func (s *Service) Pause(ctx context.Context, app control.AppID, reason string) error {
	return s.setPaused(ctx, app, true, reason)
}

// Resume lets deliveries to an app go on: failing events get their full time
// again, blocked threads are opened. Durable on return; errors as for Pause.
func (s *Service) Resume(ctx context.Context, app control.AppID) error {
	return s.setPaused(ctx, app, false, "")
}

func (s *Service) setPaused(ctx context.Context, app control.AppID, paused bool, reason string) error {
	e, _ := s.receiver(app, 0)
	if e == nil {
		return fmt.Errorf("%w: %s", ErrUnknownApp, app)
	}
	if paused {
		e.setPaused(true)
	}
	var faults []error
	for _, h := range s.allHolders() {
		h.mu.Lock()
		pl := h.ensure(app, e)
		changed := pl.paused != paused || pl.pauseReason != reason
		pl.paused, pl.pauseReason = paused, reason
		h.mu.Unlock()
		if changed {
			faults = append(faults, h.saveNow(ctx))
		}
	}
	if !paused {
		e.setPaused(false)
	}
	e.log.Info("app paused or resumed", "paused", paused, "reason", reason)
	return errors.Join(faults...)
}

// pauseByApp makes a pause durable that an engine has begun: the app answered
// 410, or its policy says so.
func (s *Service) pauseByApp(app control.AppID, reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.SaveTimeout)
	defer cancel()
	if err := s.Pause(ctx, app, reason); err != nil && !errors.Is(err, ErrUnknownApp) {
		s.log.Warn("pause not saved", "app_id", app.String(), "err", err)
	}
}

// Rewind makes an app's next delivery in a partition the first one at or above
// the position from, in all partitions held when partition is negative: it is
// planned again, by the rosters of then, and delivered again with the same ids.
// What waits is forgotten; it comes again. Durable on return. Errors:
// ErrNotHeld, ErrUnknownApp, ErrBeyondLog, or that of the bus.
func (s *Service) Rewind(ctx context.Context, app control.AppID, partition int, from control.Position) error {
	return s.steer(app, partition, func(h *holder, e *engine) error {
		to := max(from, 1) - 1
		if partition < 0 { // partitions differ in length
			to = min(to, h.readerAt().position)
		}
		at, err := h.find(ctx, func(r *eventlog.Record) bool { return r.Last() <= to })
		if err != nil {
			return err
		}
		return h.move(ctx, app, e, at, to)
	})
}

// RewindTime is Rewind to the first position decided at or after a point in
// time.
func (s *Service) RewindTime(ctx context.Context, app control.AppID, partition int, from time.Time) error {
	return s.steer(app, partition, func(h *holder, e *engine) error {
		at, err := h.find(ctx, func(r *eventlog.Record) bool { return int64(r.DecidedAt) < from.UnixMilli() })
		if err != nil {
			return err
		}
		return h.move(ctx, app, e, at, at.position)
	})
}

// Skip gives up everything that waits for an app in a partition, read or not, in
// all partitions held when it is negative: its next delivery is of an event that
// is decided from now on. Durable on return; errors as for Rewind.
func (s *Service) Skip(ctx context.Context, app control.AppID, partition int) error {
	return s.steer(app, partition, func(h *holder, e *engine) error {
		h.forgetResent(app)
		at := h.readerAt()
		return h.move(ctx, app, e, at, at.position)
	})
}

// steer does something with an app's place in one partition, or in all held.
func (s *Service) steer(app control.AppID, partition int, do func(*holder, *engine) error) error {
	e, _ := s.receiver(app, 0)
	if e == nil {
		return fmt.Errorf("%w: %s", ErrUnknownApp, app)
	}
	holders := s.allHolders()
	if partition >= 0 {
		h := s.holder(partition)
		if h == nil {
			return fmt.Errorf("%w: %d", ErrNotHeld, partition)
		}
		holders = []*holder{h}
	}
	var faults []error
	for _, h := range holders {
		faults = append(faults, do(h, e))
	}
	return errors.Join(faults...)
}

// ensure is the app's place, made where the partition's reader stands when there
// is none. Called with the lock held.
func (h *holder) ensure(app control.AppID, e *engine) *place {
	pl := h.mu.places[app]
	if pl == nil {
		pl = &place{app: app, engine: e, holder: h, track: newTracker(h.mu.read)}
		h.mu.places[app] = pl
	}
	h.touch()
	return pl
}

// move puts an app's place to a position, which lies behind the mark, and saves
// that.
func (h *holder) move(ctx context.Context, app control.AppID, e *engine, at *mark, to control.Position) error {
	h.mu.Lock()
	if to > h.mu.read.position {
		h.mu.Unlock()
		return fmt.Errorf("%w: %d of partition %d, which was read to %d", ErrBeyondLog, to, h.partition, h.mu.read.position)
	}
	pl := h.ensure(app, e)
	h.mu.open -= pl.track.unfinished()
	pl.round++
	pl.limited = false
	pl.track = newTracker(at)
	pl.track.read = max(at.position, to)
	pl.track.upTo = pl.track.read
	// Under the lock, so that nothing that is offered anew is dropped.
	e.drop(pl, false)
	h.mu.Unlock()
	e.look()
	h.log.Info("cursor moved", "app_id", app.String(), "position", uint64(to))
	return h.saveNow(ctx)
}

// saveNow saves without waiting for the next turn.
func (h *holder) saveNow(ctx context.Context) error { return h.saveAgain(ctx, false) }

// saveAgain saves, and again when a save that was cut off turns out to have
// landed; the last one says that a successor need not wait.
func (h *holder) saveAgain(ctx context.Context, last bool) error {
	var err error
	for range 3 {
		if err = h.save(ctx, last); !errors.Is(err, errLanded) {
			break
		}
	}
	return err
}

// find returns the mark behind the last record that lies before what is sought;
// the log's beginning when none does. before must hold for a beginning of the
// log and for none of the rest. Costs a few dozen reads.
func (h *holder) find(ctx context.Context, before func(*eventlog.Record) bool) (*mark, error) {
	found := &mark{}
	low, high := uint64(0), h.readerAt().sequence // the sought record lies behind low
	for low < high {
		middle := low + (high-low)/2
		m, err := h.service.deps.Log.NextLog(ctx, h.partition, middle)
		if errors.Is(err, bus.ErrNoMessage) || err == nil && m.Sequence > high {
			high = middle
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("fanout: find in the log of partition %d: %w", h.partition, err)
		}
		r, err := eventlog.Decode(m.Data)
		if err != nil {
			return nil, fmt.Errorf("fanout: find in the log of partition %d: sequence %d: %w", h.partition, m.Sequence, err)
		}
		if before(&r) {
			found, low = markAfter(&r, m.Sequence), m.Sequence
			continue
		}
		high = middle
	}
	return found, nil
}
