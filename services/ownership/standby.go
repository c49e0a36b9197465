package ownership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
)

// standbyRetry spaces the beginnings of the standby's reader.
const standbyRetry = 200 * time.Millisecond

// standBy follows the log of all partitions until ctx ends, so that this node's
// store and memory are those of a holder a moment ago.
func (s *Service) standBy(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.followAll(ctx); ctx.Err() == nil {
			s.deps.Logger.Warn("standby: reading the log begins again", "err", err)
			_ = pause(ctx, standbyRetry) // the end of ctx ends the loop
		}
	}
	return nil
}

// Follow is Run of a node that holds nothing: it only stands by.
func (s *Service) Follow(ctx context.Context) error { return s.standBy(ctx) }

func (s *Service) followAll(ctx context.Context) error {
	ctx, again := context.WithCancelCause(ctx)
	defer again(nil)
	s.again.Store(&again)
	defer s.again.Store(nil)
	after, end, err := s.standbyStart(ctx)
	if err != nil {
		return err
	}
	if after >= end {
		s.near.Store(true)
	}
	for _, h := range s.holders {
		h.folding.Lock()
		h.passed = after
		h.folding.Unlock()
	}
	err = s.deps.Log.ReadLog(ctx, bus.ReadOptions{After: after}, func(m bus.Message) error {
		if m.Partition < len(s.holders) {
			if err := s.holders[m.Partition].follow(ctx, m); err != nil {
				return err
			}
		}
		if m.Sequence >= end {
			s.near.Store(true)
		}
		return nil
	})
	return cmp.Or(context.Cause(ctx), err)
}

// errLogLost ends the standby's reader: it waits behind an end of the log that is
// gone, and passes over what is written before it.
var errLogLost = errors.New("ownership: the log has lost its end, reading it again")

// readAgain makes the standby's reader begin where the partitions are.
func (s *Service) readAgain() {
	if again := s.again.Load(); again != nil {
		(*again)(errLogLost)
	}
}

// standbyStart compares each partition with its log, and returns the sequence
// behind which everything lies that some partition lacks, and the end of what it
// does. A partition that is quiet for a year has its last record a year back: what
// counts is its next.
func (s *Service) standbyStart(ctx context.Context) (after, end uint64, err error) {
	stood := make([]uint64, len(s.holders)) // first: what comes behind a look at a partition lies behind all this
	for p, h := range s.holders {
		stood[p] = h.part.Applied().Sequence
	}
	newest, oldest := uint64(0), ^uint64(0)
	for p, h := range s.holders {
		next, err := h.stand(ctx)
		if err != nil {
			return 0, 0, err
		}
		if h.halted.Load() == nil { // else it may stand behind an end that is gone
			newest, end = max(newest, stood[p]), max(end, h.behind.Load())
		}
		if next > 0 {
			oldest = min(oldest, next-1)
		}
	}
	return min(newest, oldest), end, nil
}

// stand looks where the partition stands against its log. It returns the
// sequence of its next record, zero when it has all of them.
func (h *holder) stand(ctx context.Context) (next uint64, err error) {
	h.folding.Lock()
	defer h.folding.Unlock()
	if h.tenured || h.halted.Load() != nil {
		h.behind.Store(0) // the tenure has read everything; see Unable for the other
		return 0, nil
	}
	end, err := h.checkPositions(ctx)
	if err != nil {
		return 0, h.haltOr(err)
	}
	h.behind.Store(end)
	if end <= h.applied.Sequence {
		return 0, nil
	}
	m, err := h.deps.Log.NextLog(ctx, h.partition, h.applied.Sequence)
	if errors.Is(err, bus.ErrNoMessage) {
		return 0, nil
	}
	if errors.Is(err, bus.ErrDamaged) {
		return 0, h.haltOr(halt(DamageRecord, "log after sequence %d: %v", h.applied.Sequence, err))
	}
	if err != nil {
		return 0, fmt.Errorf("ownership: next record of partition %d: %w", h.partition, err)
	}
	return m.Sequence, nil
}

// haltOr halts the partition if that is what the error says.
func (h *holder) haltOr(err error) error {
	if halted, ok := asHalt(err); ok {
		h.setHalted(halted)
		return nil
	}
	return err
}

// follow takes a record of the standby's reader in.
func (h *holder) follow(ctx context.Context, m bus.Message) error {
	h.folding.Lock()
	defer h.folding.Unlock()
	before := h.passed
	h.passed = m.Sequence
	switch {
	case h.halted.Load() != nil:
		return nil
	case h.tenured:
		h.noticeSuccessor(m)
		return nil
	}
	h.applied = h.part.Applied()
	switch {
	case m.Sequence <= h.applied.Sequence:
		return nil
	case h.applied.Sequence < before: // records may have gone by that are not folded: a tenure had the state
		return h.haltOr(h.catchUp(ctx))
	}
	err := h.replay(ctx, m)
	if halted, ok := asHalt(err); ok && halted.damage == DamageChain { // unless what it follows was passed over
		if err = h.catchUp(ctx); err == nil {
			h.shrunk.Store(true)
		}
	}
	return h.haltOr(err)
}

// noticeSuccessor ends the tenure when the log holds a record of a later epoch:
// a holder that writes nothing would not hear of it.
func (h *holder) noticeSuccessor(m bus.Message) {
	st := h.current.Load()
	if !st.Held || m.Sequence <= h.part.Applied().Sequence {
		return
	}
	look, err := eventlog.Look(m.Data)
	if end := h.depose.Load(); err == nil && end != nil && look.Epoch() > st.Epoch {
		(*end)(errDeposed)
	}
}

// CatchUp brings this node's store up to the end of a partition's log as it is
// now, unless the partition is held here: then it is. Blocks until that is so;
// the error is that of the bus, or says that the partition is halted.
func (s *Service) CatchUp(ctx context.Context, p int) error {
	h := s.holders[p]
	h.folding.Lock()
	defer h.folding.Unlock()
	if h.tenured || !s.cfg.Standby {
		return nil
	}
	if halted := h.halted.Load(); halted != nil {
		return halt(halted.damage, "partition %d: %s", p, halted.reason)
	}
	h.applied = h.part.Applied()
	return h.catchUp(ctx)
}

// Unable lists the partitions that another node should rather hold: they are
// halted here, or have far to go until they could be.
func (s *Service) Unable() (list []int) {
	for p, h := range s.holders {
		if h.halted.Load() != nil || s.far(h) {
			list = append(list, p)
		}
	}
	return list
}

// CatchingUp reports whether what Unable lists is soon less.
func (s *Service) CatchingUp() bool {
	return slices.ContainsFunc(s.holders, func(h *holder) bool { return h.halted.Load() == nil && s.far(h) })
}

// far reports whether the partition is not near the end of its log here, or would
// not stay there: a node that has just started compares and reads the others first.
func (s *Service) far(h *holder) bool {
	return s.cfg.Standby && (!s.near.Load() && !h.current.Load().Held || h.part.Applied().Sequence < h.behind.Load())
}

// unknown is more than any sequence: where a standby, or its reader of the
// input, stands is not known yet.
const unknown = ^uint64(0)
