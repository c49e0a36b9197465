package fanout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	cursorv1 "github.com/baton-router/baton/pkg/gen/baton/cursor/v1"
)

// nearPositions is how far behind the partition's reader an app may be at the
// start for the reader to begin where the app stands, instead of the app reading
// for itself.
const nearPositions = 50_000

// claim takes the cursor over: epoch+1, by compare-and-set. It repeats until it
// is done or ctx ends; a cursor that cannot be used is an error.
func (h *holder) claim(ctx context.Context) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := h.claimOnce(ctx)
		if err == nil || errors.Is(err, ErrCursor) {
			return err
		}
		if ctx.Err() == nil {
			h.log.Warn("claim of the cursor failed, trying again", "err", err)
		}
		if !sleep(ctx, jitter(pause)) {
			return ctx.Err()
		}
	}
}

// claimOnce is not cut off: a claim that landed unknown to us would make the
// successor wait for our lease.
func (h *holder) claimOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.service.config.SaveTimeout)
	defer cancel()
	data, sequence, err := h.service.deps.Cursors.LoadCursor(ctx, h.partition)
	if err != nil {
		return err
	}
	c, err := decodeCursor(data, h.service.config.BatonID)
	if err != nil {
		return err
	}
	if err := h.restore(c); err != nil {
		return err
	}
	if err := h.compareSoon(ctx, h.mu.read); err != nil {
		return err
	}
	h.mu.epoch = c.GetEpoch() + 1
	// A claim of ours whose answer was lost may be what was loaded: then the
	// predecessor is known from the try before.
	if released := len(data) == 0 || c.GetReleased(); !released && !bytes.Equal(c.GetHolder(), h.service.id[:]) {
		h.awaits = !h.service.config.Sole
	}
	started := time.Now()
	if h.mu.sequence, err = h.service.deps.Cursors.SaveCursor(ctx, h.partition, h.encode(false), sequence); err != nil {
		return err
	}
	h.opens = started
	if h.awaits {
		// The predecessor may start POSTs until its last save, at the latest
		// just before this one, has run out.
		h.opens = time.Now().Add(h.service.config.LeaseFor)
		time.AfterFunc(time.Until(h.opens), func() { signal(h.service.hurry) })
	}
	h.grant(started)
	h.log.Info("cursor claimed", "epoch", h.mu.epoch, "position", uint64(h.mu.read.position), "opens_in", time.Until(h.opens))
	return nil
}

// compareSoon is compare, with the record as it was read a moment ago if it was.
func (h *holder) compareSoon(ctx context.Context, at *mark) error {
	if m, ok := h.service.route.saw(h.partition, at.sequence); ok {
		return at.fits(&m)
	}
	return h.compare(ctx, at)
}

// compare checks a mark against the log: positions are checked, not trusted. A log
// that ends before the mark, or has another record where it stands, is not the log
// that was read. The error is an ErrCursor then, else temporary.
func (h *holder) compare(ctx context.Context, at *mark) error {
	if at.sequence == 0 {
		return nil
	}
	m, err := h.service.deps.Log.NextLog(ctx, h.partition, at.sequence-1)
	if errors.Is(err, bus.ErrNoMessage) {
		return h.confirmShort(ctx, at)
	}
	if err != nil {
		return err
	}
	if m.Sequence != at.sequence { // trimmed; whether what follows fits is seen when it is read
		return nil
	}
	return at.fits(&m)
}

// fits compares the mark with the record that stands there.
func (at *mark) fits(m *bus.Message) error {
	r, err := eventlog.Decode(m.Data)
	if err != nil {
		return fmt.Errorf("%w: record at sequence %d: %w", ErrCursor, at.sequence, err)
	}
	if r.Last() != at.position || r.Epoch != at.epoch || at.record != 0 && start(r.Hash) != at.record {
		return fmt.Errorf("%w: it stands at position %d of epoch %d, the log has another record there, of position %d and epoch %d", ErrCursor, at.position, at.epoch, r.Last(), r.Epoch)
	}
	return nil
}

// confirmShort refuses a cursor that stands behind the end of the log, once the
// stream has confirmed by a barrier that it ends there: a leader that was deposed
// may have answered the read.
func (h *holder) confirmShort(ctx context.Context, at *mark) error {
	last, err := h.service.deps.Log.LastLog(ctx, h.partition)
	if err != nil && !errors.Is(err, bus.ErrNoMessage) {
		return err
	}
	if err := h.service.deps.Log.Barrier(ctx, h.partition, last.Sequence); err != nil {
		return fmt.Errorf("fanout: the log was read to end at sequence %d, which the stream does not confirm: %w", last.Sequence, err)
	}
	return fmt.Errorf("%w: it stands at sequence %d, the log ends at %d", ErrCursor, at.sequence, last.Sequence)
}

// restore loads a stored cursor. Apps without an engine keep their place until
// attach.
func (h *holder) restore(c *cursorv1.Cursor) error {
	places := make(map[control.AppID]*place, len(c.GetApps()))
	h.mu.open = 0
	h.mu.read = decodeMark(c.GetRead())
	h.mu.settled = h.mu.read.position
	for _, a := range c.GetApps() {
		t, err := decodeTracker(a)
		if err != nil {
			return err
		}
		app := control.AppID(a.GetApp())
		places[app] = &place{app: app, holder: h, track: t, paused: a.GetPaused(), pauseReason: a.GetPauseReason()}
		places[app].restoreResent(a.GetResent())
		places[app].replayUntil = control.Position(a.GetReplayUntil())
		h.mu.open += len(t.owed)
		if at := t.at; !places[app].replays(at) && at.position < h.mu.read.position && at.position+nearPositions >= h.mu.settled {
			h.mu.read = at
		}
	}
	h.mu.places = places
	return nil
}
