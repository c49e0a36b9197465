package ownership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/inbound"
)

// Bounds of what the input is judged by.
const (
	// inputSkew is by how much the clocks of two servers of NATS differ in good
	// order. Beyond, the events themselves are compared.
	inputSkew = 5 * time.Second
	// inputDoubt is how long the inbound stream must be seen to be too short
	// before that is believed where another leader may exist: a deposed one
	// steps down within twice ten seconds.
	inputDoubt = 30 * time.Second
)

// inputDoubts are what of the inbound stream is not what was decided, and not
// believed yet.
type inputDoubts struct {
	short time.Time     // since when it seems too short
	other uint64        // which input seems to be another one
	later time.Duration // by how much it was stored after the decision
}

// checkInput compares the input that the last record, stored at a time, has
// decided with the inbound stream. What its time makes doubtful is for judgeInput.
func (h *holder) checkInput(ctx context.Context, rec *eventlog.Record, stored time.Time) error {
	h.doubts.other = 0
	if h.refilled {
		return nil
	}
	_, end, _, err := h.deps.Input.InboundRange(ctx)
	if err != nil {
		return fmt.Errorf("ownership: state of the inbound stream: %w", err)
	}
	if rec.Input > end {
		return h.doubtInput(halt(DamageInput, "input up to %d is decided, but the inbound stream ends at %d", rec.Input, end))
	}
	if rec.Input == 0 {
		return nil
	}
	at, err := h.deps.Input.InboundTime(ctx, rec.Input)
	switch {
	case errors.Is(err, bus.ErrNoMessage): // trimmed
	case errors.Is(err, bus.ErrDamaged):
		return halt(DamageInput, "input %d: %v", rec.Input, err)
	case err != nil:
		return fmt.Errorf("ownership: input %d: %w", rec.Input, err)
	case !stored.IsZero() && at.After(stored.Add(inputSkew)):
		h.doubts.later, h.doubts.other = at.Sub(stored).Round(time.Second), rec.Input
	}
	h.doubts.short = time.Time{}
	return nil
}

// judgeInput looks whether an input that seems to have been stored after it was
// decided is the one that was decided: then its events are known, and two servers
// have clocks that differ. The store must have all that was decided.
func (h *holder) judgeInput(ctx context.Context) error {
	sequence := h.doubts.other
	if sequence == 0 {
		return nil
	}
	m, err := h.deps.Input.Inbound(ctx, h.partition, sequence)
	if err != nil && !errors.Is(err, bus.ErrNoMessage) && !errors.Is(err, bus.ErrDamaged) {
		return fmt.Errorf("ownership: input %d: %w", sequence, err)
	}
	known := false
	if err == nil {
		if known, err = h.hasDecided(m.Data); err != nil {
			return err
		}
	}
	if !known {
		return halt(DamageInput, "input %d is decided, but the inbound stream has another in its place, stored %s after the decision",
			sequence, h.doubts.later)
	}
	h.log.Warn("an input was stored after it was decided: the clocks of the servers of NATS differ", "input", sequence, "by", h.doubts.later)
	h.doubts.other = 0
	return nil
}

// hasDecided reports whether the store knows all events of an input that are to be
// decided.
func (h *holder) hasDecided(input []byte) (bool, error) {
	events, err := inbound.Parse(nil, input)
	if err != nil {
		return false, nil //nolint:nilerr // who reads it to decide it says so
	}
	var keys [][16]byte
	for i := range events {
		if h.deps.Rosters.Current().Page(events[i].Asset) != nil {
			keys = append(keys, events[i].Dedupe)
		}
	}
	found := 0
	if err := h.part.SeenOf(keys, h.applied.DecidedAt, func(int, control.Millis) { found++ }); err != nil {
		return false, err
	}
	return len(keys) > 0 && found == len(keys), nil
}

// doubtInput passes a halt on once it has been asked for over a while.
func (h *holder) doubtInput(halted error) error {
	if h.doubts.short.IsZero() {
		h.doubts.short = time.Now()
	}
	if h.cfg.Barrier && time.Since(h.doubts.short) < inputDoubt {
		return fmt.Errorf("not believed before it has been so for %s: %s", inputDoubt, halted.Error())
	}
	return halted
}
