package ownership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
)

// errDeposed is returned when another holder has written to the partition: stop,
// answer nothing, drop what was staged.
var errDeposed = errors.New("ownership: another holder has written to the partition")

// repeatDelay spaces the repeats of a publish whose outcome is unknown.
const repeatDelay = 50 * time.Millisecond

// repeatsPerLine is how many repeats share a line in the process's log.
const repeatsPerLine = 100

// append publishes the record and returns its stream sequence once it is
// durable. An unknown outcome is closed by writing: the byte-identical record is
// repeated until the log acknowledges it or answers that the subject has moved
// on; then the record after the expected sequence tells whether it was ours.
// It gives up only when ctx ends, and then nothing is known; or when the log has
// lost the record before.
func (h *holder) append(ctx context.Context, rec *eventlog.Record, raw []byte) (uint64, error) {
	for try := 0; ; try++ {
		if err := h.ascertain(ctx); err != nil {
			return 0, err
		}
		began := h.trustNow()
		sequence, err := h.deps.Log.AppendLog(ctx, h.partition, raw, h.sequence)
		switch {
		case err == nil:
			if err := h.ascertain(ctx); err != nil { // it took long: nobody is told before
				return 0, err
			}
			h.trusted = began
			return sequence, nil
		case errors.Is(err, bus.ErrWrongSequence):
			return h.whose(ctx, rec)
		case errors.Is(err, bus.ErrInvalid), errors.Is(err, bus.ErrTooLarge), errors.Is(err, bus.ErrClosed):
			return 0, fmt.Errorf("ownership: record of %d bytes: %w", len(raw), err)
		}
		if try%repeatsPerLine == 0 {
			h.log.Warn("log append has no outcome yet, repeating it", "tries", try+1, "err", err)
		}
		h.deps.Observe.repeated(h.partition)
		if err := pause(ctx, repeatDelay); err != nil {
			return 0, err
		}
	}
}

// whose reads the record after the expected sequence: this holder's own group
// means committed, another means deposed.
func (h *holder) whose(ctx context.Context, rec *eventlog.Record) (uint64, error) {
	for {
		msg, err := h.deps.Log.NextLog(ctx, h.partition, h.sequence)
		if errors.Is(err, bus.ErrNoMessage) || errors.Is(err, bus.ErrClosed) {
			// The log does not reach as far as this holder has read: the next
			// claim says so.
			return 0, fmt.Errorf("ownership: the log of partition %d after sequence %d: %w", h.partition, h.sequence, err)
		}
		if err != nil {
			h.log.Warn("reading back the log", "err", err)
			if err := pause(ctx, repeatDelay); err != nil {
				return 0, err
			}
			continue
		}
		landed, err := eventlog.Decode(msg.Data)
		if err != nil {
			return 0, fmt.Errorf("ownership: record at sequence %d: %w", msg.Sequence, err)
		}
		if landed.Group == rec.Group {
			return msg.Sequence, nil
		}
		return 0, errDeposed
	}
}

// barrier proves that no other holder has written since the last record. A
// barrier without outcome has no effect on anything and is repeated.
func (h *holder) barrier(ctx context.Context) error {
	for {
		if err := h.ascertain(ctx); err != nil {
			return err
		}
		began := h.trustNow()
		err := h.deps.Log.Barrier(ctx, h.partition, h.sequence)
		switch {
		case err == nil:
			if err := h.ascertain(ctx); err != nil {
				return err
			}
			h.trusted = began
			return nil
		case errors.Is(err, bus.ErrWrongSequence):
			return errDeposed
		case errors.Is(err, bus.ErrClosed):
			return err
		}
		h.deps.Observe.repeated(h.partition)
		if err := pause(ctx, repeatDelay); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
