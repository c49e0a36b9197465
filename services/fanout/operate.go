package fanout

import (
	"context"
	"errors"
	"fmt"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	fanoutv1 "github.com/baton-router/baton/pkg/gen/baton/fanout/v1"
)

// pause stops deliveries to an app; what is decided meanwhile waits in the log.
// Durable on return.
func (h *holder) pause(ctx context.Context, app control.AppID, e *engine, reason string) error {
	e.setPaused(true)
	if !h.note(app, e, true, reason) {
		return nil
	}
	h.log.Info("deliveries paused", "app_id", app.String(), "reason", reason)
	return h.saveNow(ctx)
}

// resume lets deliveries to an app go on, once none of its places here is
// paused: failing events get their full time again, blocked threads are opened.
// Durable on return.
func (h *holder) resume(ctx context.Context, app control.AppID, e *engine) error {
	if h.note(app, e, false, "") {
		h.log.Info("deliveries resumed", "app_id", app.String())
		if err := h.saveNow(ctx); err != nil {
			return err
		}
	}
	for _, other := range h.service.allHolders() {
		other.mu.Lock()
		pl := other.mu.places[app]
		paused := pl != nil && pl.paused
		other.mu.Unlock()
		if paused {
			return nil
		}
	}
	e.setPaused(false)
	return nil
}

// note makes a place paused or not; false when it was so already.
func (h *holder) note(app control.AppID, e *engine, paused bool, reason string) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pl := h.ensure(app, e)
	changed = pl.paused != paused || pl.pauseReason != reason
	pl.paused, pl.pauseReason = paused, reason
	return changed
}

// pauseByApp makes a pause durable that an engine has begun, on all nodes: the
// app answered 410, or its policy says so.
func (s *Service) pauseByApp(app control.AppID, reason string) {
	if e, _ := s.receiver(app, 0); e != nil {
		for _, h := range s.allHolders() {
			h.note(app, e, true, reason) // whatever comes of the rest, the next saves say so
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.config.SaveTimeout)
	defer cancel()
	o := Order{Verb: "pause", App: app, Partition: -1, Reason: reason}
	if err := (Remote{Bus: s.deps.Steering, Partitions: s.config.All}).Steer(ctx, o); err != nil {
		s.log.Warn("not paused everywhere", "app_id", app.String(), "err", err)
	}
}

// rewind makes the app's next delivery the first one at or above a position, or
// the first one decided at or after a point in time: it is planned again, by the
// rosters of then, and delivered again with the same ids. What waits is
// forgotten; it comes again. Durable on return.
func (h *holder) rewind(ctx context.Context, app control.AppID, e *engine, req *fanoutv1.SteerRequest) error {
	if from := req.GetFromMs(); from != 0 {
		at, err := h.findTime(ctx, from)
		if err != nil {
			return err
		}
		return h.move(ctx, app, e, target{mark: at, position: at.position})
	}
	to := control.Position(max(req.GetPosition(), 1) - 1)
	if head := h.readerAt().position; to >= head && req.GetClamp() {
		return nil // there is nothing to deliver again
	}
	at, err := h.find(ctx, func(r *eventlog.Record) bool { return r.Last() <= to })
	if err != nil {
		return err
	}
	return h.move(ctx, app, e, target{mark: at, position: to})
}

// findTime finds the mark before the first record decided at or after a time.
func (h *holder) findTime(ctx context.Context, fromMs int64) (*mark, error) {
	return h.find(ctx, func(r *eventlog.Record) bool { return int64(r.DecidedAt) < fromMs })
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

// target is where a place is moved to: a position that lies behind a mark. With
// replay, what follows up to the reader is planned as if the app had been
// connected as it is today.
type target struct {
	mark     *mark
	position control.Position
	replay   bool
}

// move puts an app's place somewhere else, and saves that.
func (h *holder) move(ctx context.Context, app control.AppID, e *engine, t target) error {
	h.mu.Lock()
	if t.position > h.mu.read.position {
		h.mu.Unlock()
		return fmt.Errorf("%w: %d of partition %d, which was read to %d", ErrBeyondLog, t.position+1, h.partition, h.mu.read.position)
	}
	pl := h.ensure(app, e)
	h.mu.open -= pl.track.unfinished()
	pl.round++
	pl.limited, pl.replayUntil, pl.unread = false, 0, 0
	if t.replay {
		pl.replayUntil = h.mu.read.position
	}
	pl.track = newTracker(t.mark)
	pl.track.read = max(t.mark.position, t.position)
	pl.track.upTo = pl.track.read
	// Under the lock, so that nothing that is offered anew is dropped.
	e.drop(pl, false)
	h.mu.Unlock()
	e.look()
	h.log.Info("cursor moved", "app_id", app.String(), "position", uint64(t.position), "replay", t.replay)
	return h.saveNow(ctx)
}

// saveNow saves without waiting for the next turn.
func (h *holder) saveNow(ctx context.Context) error { return h.saveAgain(ctx, false) }

// saveAgain saves, and again when that was cut off, or an earlier one that was
// turns out to have landed; the last one says that a successor need not wait.
func (h *holder) saveAgain(ctx context.Context, last bool) error {
	var err error
	for range 3 {
		if err = h.save(ctx, last); err == nil || errors.Is(err, errDeposed) || ctx.Err() != nil {
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
