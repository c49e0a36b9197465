package ownership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// What a holder reads for itself at once, and how long that may take.
const (
	gapMessages = 512
	gapBytes    = 1 << 20
	gapWithin   = 5 * time.Second
)

// gap is the input that a holder has not got from the shared reader: it missed
// it because its queue was full, or the reader had passed it when the holder
// claimed again. The holder reads it for itself, in order, before anything that
// comes after it.
type gap struct {
	upTo uint64        // to be read from the stream
	read []bus.Message // read and not decided
	then *inbound      // decided when the gap is closed
}

var errGapRead = errors.New("ownership: enough of the gap is read")

// openGap looks, at a claim after the first, how far the shared reader may have
// gone already.
func (h *holder) openGap(ctx context.Context) error {
	h.gap = gap{}
	if h.epoch == h.firstEpoch {
		return nil // the reader began where this partition stood
	}
	last, err := h.deps.Input.LastInbound(ctx, h.partition)
	if err != nil {
		return fmt.Errorf("ownership: end of the input: %w", err)
	}
	h.gap.upTo = last
	return nil
}

// takeInput decides the next input message that waits, from the gap first, and
// reports whether there was one.
func (h *holder) takeInput(ctx context.Context, s *step) (bool, error) {
	if err := h.readGap(ctx); err != nil {
		return false, err
	}
	switch g := &h.gap; {
	case len(g.read) > 0:
		m := g.read[0]
		g.read = g.read[1:]
		h.decideInput(s, m)
	case g.then != nil:
		m := *g.then
		g.then = nil
		h.decideInput(s, m.Message)
	default:
		return h.takeOffered(s), nil
	}
	return true, nil
}

// takeOffered takes a message of the shared reader. One that does not follow on
// what was consumed opens a gap and waits behind it.
func (h *holder) takeOffered(s *step) bool {
	select {
	case m := <-h.inputs:
		h.received(s, m)
		return true
	default:
	}
	if missed := h.missed.Load(); missed > h.consumed {
		h.gap.upTo = missed
		return true
	}
	return false
}

func (h *holder) received(s *step, m inbound) {
	if m.prev > h.consumed {
		h.gap.upTo, h.gap.then = m.prev, &m
		return
	}
	h.decideInput(s, m.Message)
}

// readGap reads the next part of the gap, if there is one.
func (h *holder) readGap(ctx context.Context) error {
	g := &h.gap
	if len(g.read) > 0 || g.upTo <= h.consumed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, gapWithin)
	defer cancel()
	size := 0
	err := h.deps.Input.ReadInbound(ctx, bus.ReadOptions{After: h.consumed, Partitions: []int{h.partition}}, func(m bus.Message) error {
		if m.Sequence <= g.upTo {
			g.read = append(g.read, m)
			size += len(m.Data)
		}
		if m.Sequence >= g.upTo || len(g.read) == gapMessages || size >= gapBytes {
			return errGapRead
		}
		return nil
	})
	if !errors.Is(err, errGapRead) {
		return fmt.Errorf("ownership: input from %d to %d: %w", h.consumed, g.upTo, err)
	}
	return nil
}
