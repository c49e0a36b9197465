package fanout

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	cursorv1 "github.com/baton-router/baton/pkg/gen/baton/cursor/v1"
	"github.com/baton-router/baton/pkg/lifecycle"
)

// holder holds a partition's cursor: the places of all apps, and the right to
// deliver. The service saves it; readers and engines move the places.
type holder struct {
	service   *Service
	partition int
	log       *slog.Logger

	// lease is until when a POST may start, in nanoseconds since base; 0 for
	// not at all. opens is when the predecessor's right has run out.
	base    time.Time
	lease   atomic.Int64
	opens   time.Time
	awaits  bool          // a predecessor that did not release the cursor
	stopped atomic.Bool   // deposed
	lost    chan struct{} // closed then
	ending  atomic.Bool   // being given back
	alone   atomic.Bool   // no app kept up with the partition's reader when it last looked
	renewal atomic.Bool   // wanted: deliveries wait for it

	plans *plans

	// saving lets one save at a time be under way; tried is when the last one began.
	saving lifecycle.Lock
	tried  time.Time
	// following lets one record at a time be taken in.
	following lifecycle.Lock

	mu struct {
		sync.Mutex
		epoch    uint64
		sequence uint64 // of the stored cursor
		read     *mark  // of the partition's reader
		settled  control.Position
		places   map[control.AppID]*place
		wanted   []*letter
		open     int // undelivered positions above the watermarks, all apps
		dirty    bool
		active   time.Time
		halted   error
	}
}

func newHolder(s *Service, p int) *holder {
	h := &holder{
		service: s, partition: p, log: s.log.With("partition", p), base: time.Now(), lost: make(chan struct{}),
		plans:  newPlans(s.config.CacheBytes/s.config.All, s.anyFlows),
		saving: lifecycle.NewLock(), following: lifecycle.NewLock(),
	}
	h.mu.places = map[control.AppID]*place{}
	h.mu.read = &mark{}
	return h
}

// mayStart reports whether a POST for the partition may start now. It does not
// block.
func (h *holder) mayStart() bool {
	until := time.Duration(h.lease.Load())
	return until == always || time.Since(h.base) < until
}

// always is the lease of one that nobody can depose.
const always = time.Duration(1 << 62)

// gone reports whether the partition is no longer ours to read.
func (h *holder) gone() bool { return h.stopped.Load() || h.ending.Load() }

// wantRenewal asks for the right to start.
func (h *holder) wantRenewal() {
	if !h.gone() && !h.renewal.Swap(true) {
		signal(h.service.hurry)
	}
}

// touch notes a change that is to be saved. Called with the lock held.
func (h *holder) touch() { h.mu.dirty = true }

// attach joins the places to the engines of today's apps and drops those of apps
// that are gone.
func (h *holder) attach() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for app, pl := range h.mu.places {
		e, known := h.service.receiver(app, h.mu.read.roster)
		switch {
		case !known:
			h.remove(pl)
		case pl.engine != e:
			h.join(pl, e)
		}
		if pl.engine != nil && len(pl.again) > 0 {
			pl.engine.look() // its reader may have looked before the partition was there
		}
	}
}

// join gives a place to an engine; nil for none. What the one before had not
// delivered is read again. Called with the lock held.
func (h *holder) join(pl *place, e *engine) {
	if pl.engine != nil {
		pl.round++
		pl.track.reload()
	}
	pl.engine = e
	if e == nil {
		return
	}
	if pl.paused {
		e.setPaused(true)
	}
	e.look()
}

// remove ends the place of an app that no longer exists. Called with the lock
// held.
func (h *holder) remove(pl *place) {
	lost := pl.track.undelivered(nil)
	for _, p := range lost {
		h.service.observers.finished(Finished{App: pl.app, Partition: h.partition, Position: p, Outcome: OutcomeAppGone})
	}
	h.mu.open -= len(lost)
	pl.round++
	delete(h.mu.places, pl.app)
	h.touch()
}

// encode writes the cursor as it is now.
func (h *holder) encode(released bool) []byte {
	return encodeCursor(&cursorv1.Cursor{
		Epoch: h.mu.epoch, Holder: h.service.id[:], Node: h.service.config.Node, BatonId: h.service.config.BatonID[:],
		SavedAtMs: time.Now().UnixMilli(), Released: released, Read: encodeMark(h.mu.read),
	}, h.mu.places)
}

// grant gives the right to start POSTs, counted from the start of an accepted
// save.
func (h *holder) grant(started time.Time) {
	lease := started.Add(h.service.config.LeaseFor).Sub(h.base)
	if h.service.config.Sole {
		lease = always
	}
	if h.gone() || time.Now().Before(h.opens) {
		return
	}
	h.lease.Store(int64(lease))
	if h.renewal.Swap(false) {
		for _, e := range h.service.allEngines() {
			e.renewed()
		}
	}
}

// save writes the cursor alone. nil when it is stored, or when there was nothing
// to save; durable on return. A save under way is waited for.
func (h *holder) save(ctx context.Context, released bool) error {
	h.saving.Lock()
	defer h.saving.Unlock()
	if !released && !h.changed() {
		return nil
	}
	return h.saveAlone(ctx, h.draft(released))
}

// changed reports whether there is something to save, or a renewal is wanted.
func (h *holder) changed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.dirty || h.renewal.Load()
}

// draft is the cursor as it is to be saved now; what changes from here on is for
// the next save. Called with saving held, until settle has noted what became of it.
func (h *holder) draft(released bool) bus.CursorMove {
	h.tried = time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.dirty = false
	return bus.CursorMove{Partition: h.partition, Data: h.encode(released), Expected: h.mu.sequence}
}

// saveAlone writes a draft by itself.
func (h *holder) saveAlone(ctx context.Context, d bus.CursorMove) error {
	ctx, cancel := context.WithTimeout(ctx, h.service.config.SaveTimeout)
	defer cancel()
	started := time.Now()
	sequence, err := h.service.deps.Cursors.SaveCursor(ctx, d.Partition, d.Data, d.Expected)
	return h.settle(ctx, started, sequence, err)
}

// settle notes what became of a draft, and why it was refused.
func (h *holder) settle(ctx context.Context, started time.Time, sequence uint64, err error) error {
	h.service.observers.saved(h.partition, time.Since(started), err)
	if errors.Is(err, bus.ErrWrongSequence) {
		err = h.reread(ctx)
	}
	h.mu.Lock()
	if err != nil {
		h.mu.dirty = true
	} else {
		h.mu.sequence = sequence
	}
	h.mu.Unlock()
	if err == nil {
		h.grant(started)
	}
	return err
}

// reread finds out why a save was refused: an earlier save of ours whose answer
// was lost has landed, or we are deposed.
func (h *holder) reread(ctx context.Context) error {
	data, sequence, err := h.service.deps.Cursors.LoadCursor(ctx, h.partition)
	if err != nil {
		return err
	}
	var c *cursorv1.Cursor
	if c, err = decodeCursor(data, h.service.config.BatonID); err != nil {
		return err
	}
	h.mu.Lock()
	ours := bytes.Equal(c.GetHolder(), h.service.id[:]) && c.GetEpoch() == h.mu.epoch
	if ours {
		h.mu.sequence = sequence
	}
	h.mu.Unlock()
	if ours {
		return errLanded
	}
	h.depose()
	return errDeposed
}

var (
	errLanded  = errors.New("fanout: an earlier save had landed")
	errDeposed = errors.New("fanout: another node holds the cursor")
)

// depose stops delivering for the partition: another node holds it.
func (h *holder) depose() {
	if h.stopped.Swap(true) {
		return
	}
	close(h.lost)
	h.lease.Store(0)
	h.log.Warn("deposed: another node holds the cursor")
	h.service.observers.deposed(h.partition)
	h.service.leave(h)
	h.dropAll()
}

func (h *holder) dropAll() {
	h.mu.Lock()
	places := make([]*place, 0, len(h.mu.places))
	for _, pl := range h.mu.places {
		pl.round++
		places = append(places, pl)
	}
	h.mu.Unlock()
	for _, pl := range places {
		if pl.engine != nil {
			pl.engine.drop(pl, true)
		}
	}
}

// release saves for the last time and says that a successor need not wait. The
// engines must have stopped.
func (h *holder) release(ctx context.Context) {
	if h.stopped.Load() {
		return
	}
	if err := h.saveAgain(ctx, true); err != nil && !h.stopped.Load() && ctx.Err() == nil {
		h.log.Warn("cursor not saved at the end", "err", err)
	}
}

// halt stops following the partition's log: it cannot be understood. What is
// queued is still delivered.
func (h *holder) halt(err error) {
	h.mu.Lock()
	again := h.mu.halted != nil
	h.mu.halted = err
	h.mu.Unlock()
	if !again {
		h.log.Error("partition halted", "err", err)
		h.service.observers.halted(h.partition, err)
	}
}

func (h *holder) isHalted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.halted != nil
}
