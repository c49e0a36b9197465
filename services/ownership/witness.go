package ownership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// errInputLost ends the tenure of a partition that has decided nothing of what the
// inbound stream has lost: its reader waits behind an end that is gone.
var errInputLost = errors.New("ownership: the inbound stream has lost its end, reading it again")

// witnessed is how many messages a witness remembers, at least.
const witnessed = 4096

// witness remembers the messages of the inbound stream that this node has read
// last. Two messages with one number are told apart by when they were stored.
type witness struct {
	mu struct {
		sync.Mutex
		marks []inputMark // ascending
		short time.Time   // since when the stream was read to end before the last
	}
}

// inputMark is a message of the inbound stream.
type inputMark struct {
	sequence uint64
	at       time.Time
}

// see remembers a message that a reader comes by, the shared one or that of a
// partition: the other is slower, and may find another message in the place when the
// stream has lost its end meanwhile. So the first with a number stays.
func (w *witness) see(m bus.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.mu.marks); n > 0 && m.Sequence <= w.mu.marks[n-1].sequence {
		return
	}
	if len(w.mu.marks) >= 2*witnessed {
		w.mu.marks = append(w.mu.marks[:0], w.mu.marks[witnessed:]...)
	}
	w.mu.marks = append(w.mu.marks, inputMark{m.Sequence, m.At})
}

// seen are the messages remembered.
func (w *witness) seen() []inputMark {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.marks)
}

// judge notes whether the stream still has the last message, and reports whether it
// is known to have lost it: another is in its place, or it was short for longer
// than a deposed leader lives.
func (w *witness) judge(fate inputFate) (lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case fate == inputThere:
		w.mu.short = time.Time{}
		return false
	case fate == inputShort && w.mu.short.IsZero():
		w.mu.short = time.Now()
	}
	return fate == inputOther || time.Since(w.mu.short) >= inputDoubt
}

// forget begins anew.
func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.marks, w.mu.short = nil, time.Time{}
}

// inputFate is what became of a message of the inbound stream.
type inputFate int

const (
	inputThere inputFate = iota // or trimmed
	inputShort                  // the stream ends before it
	inputOther                  // another one has its number
)

// fate looks what became of a message of the inbound stream.
func (s *Service) fate(ctx context.Context, mark inputMark) (inputFate, error) {
	at, err := s.deps.Input.InboundTime(ctx, mark.sequence)
	switch {
	case err == nil && at.Equal(mark.at):
		return inputThere, nil
	case err == nil:
		return inputOther, nil
	case !errors.Is(err, bus.ErrNoMessage):
		return inputThere, fmt.Errorf("ownership: input %d: %w", mark.sequence, err)
	}
	_, end, _, err := s.deps.Input.InboundRange(ctx)
	if err != nil || end >= mark.sequence { // trimmed
		return inputThere, err
	}
	return inputShort, nil
}

// auditInput compares the newest message of the inbound stream that this node has
// read with the stream. If that is lost, the partitions that have decided more than
// is known to be left halt: what comes now may have numbers that are decided. The
// others read it again from where they are.
func (s *Service) auditInput(ctx context.Context) error {
	marks := s.witness.seen()
	if len(marks) == 0 {
		return nil
	}
	newest := marks[len(marks)-1]
	fate, err := s.fate(ctx, newest)
	if err != nil || !s.witness.judge(fate) {
		return err
	}
	left, err := s.inputLeft(ctx, marks)
	if err != nil {
		return err
	}
	for _, h := range s.holders {
		h.inputLost(newest.sequence, left)
	}
	s.witness.forget()
	return nil
}

// inputLeft is the last of the messages that the stream still has; 0 for none of
// them.
func (s *Service) inputLeft(ctx context.Context, marks []inputMark) (left uint64, err error) {
	n := sort.Search(len(marks), func(i int) bool {
		fate, failed := s.fate(ctx, marks[i])
		err = errors.Join(err, failed)
		return fate != inputThere
	})
	if n > 0 {
		left = marks[n-1].sequence
	}
	return left, err
}

// inputLost halts the partition if it has decided input behind what is left.
func (h *holder) inputLost(newest, left uint64) {
	if decided := max(h.part.Applied().Input, h.decidedTo.Load()); decided > left {
		h.lost(halt(DamageInput, "input up to %d is decided, and the inbound stream has lost what it had up to %d, of which up to %d is known to be left",
			decided, newest, left))
		return
	}
	h.intake.pass(newest) // where the shared reader stands: until then the next tenure reads by itself
	if end := h.depose.Load(); end != nil {
		(*end)(errInputLost)
	}
}
