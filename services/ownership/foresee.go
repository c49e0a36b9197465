package ownership

import (
	"context"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
)

// foresight is what was found by a comparison before the giver let a partition go.
type foresight struct {
	trust                  // how long it counts
	topic control.Position // of compareAll
}

// Prepare compares a partition with the streams while another node holds it still,
// so that a Hold soon after has nothing left to ask. It blocks until that is done or
// ctx ends; whether it worked does not matter.
func (s *Service) Prepare(ctx context.Context, p int) {
	h := s.holders[p]
	h.folding.Lock()
	defer h.folding.Unlock()
	if h.tenured || h.halted.Load() != nil || !s.cfg.Standby {
		return
	}
	began := h.trustNow()
	topic, err := h.compareAll(ctx)
	if err == nil {
		err = h.ascertain(ctx)
	}
	if err == nil {
		h.foreseen = foresight{began, topic}
	} else if err = h.haltOr(err); err != nil {
		h.log.Debug("not prepared for the partition", "err", err)
	}
}

// outset is what a claim begins with: a comparison with the streams, unless that was
// done a moment ago. ready says so: the standby has followed the log since, and what
// it has read is the log's end unless the claim's record is refused.
func (h *holder) outset(ctx context.Context) (topic control.Position, ready bool, err error) {
	h.applied = h.part.Applied()
	ahead := h.foreseen
	h.foreseen = foresight{}
	if h.cfg.Barrier && ahead.fresh(h.deps.Log) && ahead.topic <= h.applied.Position {
		return ahead.topic, true, nil
	}
	topic, err = h.compareAll(ctx)
	return topic, false, err
}

// compareAll compares the store and the input with the streams, loads the threads,
// and returns how far the control topic is: what that has, the log had before.
func (h *holder) compareAll(ctx context.Context) (topic control.Position, err error) {
	if _, err := h.checkPositions(ctx); err != nil {
		return 0, err
	}
	if err := h.load(); err != nil {
		return 0, err
	}
	return h.topicPosition(ctx)
}

// fresh reports whether what was found then counts still: no server that the log was
// read from can have lost anything since.
func (t trust) fresh(log Log) bool {
	return log.Reconnects() == t.reconnects && time.Since(t.since) < bus.TrustFor
}
