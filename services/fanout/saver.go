package fanout

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

const (
	// renewWithin is how long after the last activity the lease of a partition is
	// still renewed, so that the next event need not wait for it.
	renewWithin = 10 * time.Second
	// hurryAfter is how long after a save began deliveries have the next one made
	// at once.
	hurryAfter = 100 * time.Millisecond
	// batchBytes bounds one write of several cursors.
	batchBytes = 1 << 20
)

// saveLoop saves the cursors of the partitions held, every Config.SaveEvery those
// that have changed or whose lease is to be renewed, and at once those whose lease
// deliveries wait for. It returns when ctx ends; a save under way is not cut off:
// the one that gives the cursor back would meet it at the stream.
func (s *Service) saveLoop(ctx context.Context) {
	turn := time.NewTicker(s.config.SaveEvery)
	defer turn.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
			s.saveHeld(ctx, (*holder).due)
		case <-s.hurry:
			s.saveHeld(ctx, (*holder).awaited)
		}
	}
}

// draft is a cursor that is being saved, with the lock that goes with it.
type draft struct {
	*holder
	move bus.CursorMove
}

// saveHeld saves the cursors of the holders that are wanted, together. One that is
// being saved just now waits for the next turn.
func (s *Service) saveHeld(ctx context.Context, wanted func(*holder) bool) {
	var drafts []draft
	for _, h := range s.allHolders() {
		switch {
		case !h.saving.TryLock():
		case h.gone() || !wanted(h):
			h.saving.Unlock()
		default:
			drafts = append(drafts, draft{h, h.draft(false)})
		}
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.SaveTimeout)
	defer cancel()
	var batches sync.WaitGroup
	for _, batch := range inBatches(drafts) {
		batches.Go(func() { s.saveBatch(limited, batch) })
	}
	batches.Wait()
}

// inBatches cuts drafts into what goes in one write.
func inBatches(drafts []draft) (batches [][]draft) {
	bytes, from := 0, 0
	for i, d := range drafts {
		if bytes += len(d.move.Data); i > from && (bytes > batchBytes || i-from == bus.MaxBatch) {
			batches, bytes, from = append(batches, drafts[from:i]), len(d.move.Data), i
		}
	}
	if from < len(drafts) {
		batches = append(batches, drafts[from:])
	}
	return batches
}

// saveBatch writes drafts together, or, when they are too few for that or none was
// stored, one by one: a partition that another node has taken over keeps no other
// from being saved.
func (s *Service) saveBatch(ctx context.Context, batch []draft) {
	if len(batch) >= s.config.SaveTogether && s.saveTogether(ctx, batch) {
		return
	}
	var crew sync.WaitGroup
	for _, d := range batch {
		crew.Go(func() { d.done(d.saveAlone(ctx, d.move)) })
	}
	crew.Wait()
}

// saveTogether stores drafts in one write; false when they were refused, and none
// was stored.
func (s *Service) saveTogether(ctx context.Context, batch []draft) bool {
	moves := make([]bus.CursorMove, len(batch))
	for i, d := range batch {
		moves[i] = d.move
	}
	started := time.Now()
	sequences, err := s.deps.Cursors.SaveCursors(ctx, moves)
	if err != nil && !errors.Is(err, bus.ErrOutcomeUnknown) {
		s.log.Debug("cursors are saved one by one", "partitions", len(batch), "err", err)
		return false
	}
	for i, d := range batch {
		sequence := uint64(0)
		if err == nil {
			sequence = sequences[i]
		}
		d.done(d.settle(ctx, started, sequence, err))
	}
	return true
}

// done ends a draft; what was not saved comes again with the next turn.
func (d draft) done(err error) {
	if err != nil && !d.gone() {
		d.log.Warn("cursor not saved, trying again", "err", err)
	}
	d.saving.Unlock()
}

// due reports whether the cursor is to be saved with this turn. Before its
// predecessor's right has run out it is not.
func (h *holder) due() bool {
	return !time.Now().Before(h.opens) && (h.changed() || h.expires() && h.busy())
}

// awaited reports whether deliveries wait for the lease, so that it is to be renewed
// at once.
func (h *holder) awaited() bool {
	return h.renewal.Load() && !h.mayStart() && !time.Now().Before(h.opens) && time.Since(h.tried) > hurryAfter
}

// expires reports whether the lease is to be renewed, so that one renewal may fail
// before deliveries have to wait.
func (h *holder) expires() bool {
	until := time.Duration(h.lease.Load())
	return until != always && until-time.Since(h.base) < 2*h.service.config.LeaseFor/3+h.service.config.SaveEvery
}

// busy reports whether deliveries wait, or were made just now.
func (h *holder) busy() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.open > 0 || time.Since(h.mu.active) < renewWithin
}
