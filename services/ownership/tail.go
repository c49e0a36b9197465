package ownership

import (
	"context"
	"errors"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/baton-router/baton/pkg/bus"
)

// errTailRead ends the reader of the log's tail.
var errTailRead = errors.New("ownership: the tail of the log is read")

// replayTail applies what the log holds beyond the store, for all partitions
// with one reader. It only saves the claims their way record by record: what it
// cannot apply, or is written after it, they find themselves.
func (s *Service) replayTail(ctx context.Context) {
	ends, start := s.tails(ctx)
	if len(ends) == 0 {
		return
	}
	err := s.deps.Log.ReadLog(ctx, bus.ReadOptions{After: start}, func(m bus.Message) error {
		end, behind := ends[m.Partition]
		if !behind {
			return nil
		}
		h := s.holders[m.Partition]
		if m.Sequence > h.applied.Sequence && h.replay(ctx, m) != nil || m.Sequence >= end {
			delete(ends, m.Partition)
		}
		if len(ends) == 0 {
			return errTailRead
		}
		return nil
	})
	if err != nil && !errors.Is(err, errTailRead) && ctx.Err() == nil {
		s.deps.Logger.Warn("reading the tail of the log, the partitions go on alone", "err", err)
	}
}

// tails returns the last sequence of each partition whose store is behind the
// log and fits it, and where the first of them begins. Their threads are loaded,
// on all processors.
func (s *Service) tails(ctx context.Context) (ends map[int]uint64, start uint64) {
	lasts := make([]uint64, len(s.holders))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for p, h := range s.holders {
		g.Go(func() error {
			lasts[p] = h.tail(ctx)
			return nil
		})
	}
	_ = g.Wait() // none fails
	ends, start = map[int]uint64{}, ^uint64(0)
	for p, h := range s.holders {
		if lasts[p] > 0 {
			ends[p], start = lasts[p], min(start, h.applied.Sequence)
		}
	}
	return ends, start
}

// tail makes the partition ready for what the log holds beyond the store, and
// returns the last sequence of that; zero for nothing that fits.
func (h *holder) tail(ctx context.Context) uint64 {
	if h.halted.Load() != nil {
		return 0
	}
	last, err := h.deps.Log.LastLog(ctx, h.partition)
	if err != nil || last.Sequence <= h.part.Applied().Sequence {
		return 0
	}
	if _, err := h.checkPositions(ctx); err != nil || h.load() != nil {
		return 0
	}
	return last.Sequence
}

// fewRecords is how many records are read one by one before a reader is made:
// it costs a few requests, and then nothing per record.
const fewRecords = 8

// replayRest applies what the log holds of the partition beyond the store, up to
// its end as it is now, with one reader.
func (h *holder) replayRest(ctx context.Context) error {
	last, err := h.deps.Log.LastLog(ctx, h.partition)
	if err != nil || last.Sequence <= h.applied.Sequence {
		return err
	}
	o := bus.ReadOptions{Partitions: []int{h.partition}, After: h.applied.Sequence}
	err = h.deps.Log.ReadLog(ctx, o, func(m bus.Message) error {
		if err := h.replay(ctx, m); err != nil {
			return err
		}
		if m.Sequence >= last.Sequence {
			return errTailRead
		}
		return nil
	})
	if errors.Is(err, errTailRead) {
		return nil
	}
	return err
}
