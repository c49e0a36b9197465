package ownership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
)

// trust is why a holder looks at the log beside its fence.
//
// A fence of sequence numbers holds as long as the stream never gives a number
// twice. Servers that lose the end of what they had acknowledged (a disk that
// lies, an older copy of their data) do: once others have written as much again,
// the number that a holder expects is there, with another record.
//
// It is when, and over which connection, the log was last known to have this
// holder's last record.
type trust struct {
	since      time.Time
	reconnects uint64
}

// trustNow is of no use where no other process can write, and not found out there.
func (h *holder) trustNow() trust {
	if !h.cfg.Barrier {
		return trust{}
	}
	return trust{time.Now(), h.deps.Log.Reconnects()}
}

// trusts is true in a repair, which puts back what the log has lost.
func (h *holder) trusts() bool {
	return !h.cfg.Barrier || h.repairing.Load() || h.trusted.fresh(h.deps.Log)
}

// ascertain makes sure that the log still has this holder's last record, unless
// that is known. It repeats what cannot be told yet; the error is a halt, or
// ctx's.
func (h *holder) ascertain(ctx context.Context) error {
	for !h.trusts() {
		began := h.trustNow()
		err := h.sameHistorySoon(ctx)
		if _, halts := asHalt(err); halts || errors.Is(err, bus.ErrClosed) {
			return err
		}
		if err == nil {
			h.trusted = began
			return nil
		}
		h.log.Warn("the log cannot be compared yet", "err", err)
		if err := pause(ctx, repeatDelay); err != nil {
			return err
		}
	}
	return nil
}

// sameHistorySoon is sameHistory for those whose callers wait: a leader that was
// killed gives no answer to the first look.
func (h *holder) sameHistorySoon(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, outcomeWithin)
	defer cancel()
	return h.sameHistoryBy(ctx, soon)
}

// sameHistory compares the last record that the store has applied with what the
// log has in its place: a log that ends before, or has another one there, has
// lost it. The error is a halt then, else temporary.
func (h *holder) sameHistory(ctx context.Context) error { return h.sameHistoryBy(ctx, ctx) }

func (h *holder) sameHistoryBy(ctx, look context.Context) error {
	at, hash, err := h.part.LastRecord()
	if err != nil || at == 0 {
		return err
	}
	m, err := h.deps.Log.NextLog(look, h.partition, at-1)
	switch {
	case errors.Is(err, bus.ErrNoMessage):
		return h.endsBefore(ctx, at)
	case errors.Is(err, bus.ErrDamaged):
		return halt(DamageRecord, "log sequence %d: %v", at, err)
	case err != nil:
		return fmt.Errorf("ownership: log sequence %d of partition %d: %w", at, h.partition, err)
	}
	return differs(at, hash, &m)
}

// differs halts when the log's next message is not the record that was applied at
// a sequence.
func differs(at uint64, hash [eventlog.HashSize]byte, m *bus.Message) error {
	if m.Sequence != at {
		return halt(DamageFork, "the store has applied a record at log sequence %d, the log has none there; its next is at %d", at, m.Sequence)
	}
	rec, err := eventlog.Decode(m.Data)
	if err != nil {
		return unreadable("record", m.Sequence, err)
	}
	if rec.Hash != hash {
		return halt(DamageFork, "the record at log sequence %d has hash %x, the store applied %x", at, rec.Hash, hash)
	}
	return nil
}

// endsBefore halts once the stream has confirmed that it ends before a sequence.
func (h *holder) endsBefore(ctx context.Context, at uint64) error {
	last, err := h.deps.Log.LastLog(ctx, h.partition)
	if err != nil && !errors.Is(err, bus.ErrNoMessage) {
		return fmt.Errorf("ownership: last record of partition %d: %w", h.partition, err)
	}
	if last.Sequence >= at {
		return fmt.Errorf("ownership: the log of partition %d was read to end before sequence %d, and ends at %d", h.partition, at, last.Sequence)
	}
	return h.shorter(ctx, last.Sequence, "the store has applied log sequence %d, the log ends at %d", at, last.Sequence)
}

// auditLoop looks now and then whether the log still has what this node has
// applied, so that also who neither writes nor reads hears of a loss.
func (s *Service) auditLoop(ctx context.Context) error {
	for pause(ctx, s.cfg.AuditEvery) == nil {
		if err := errors.Join(s.audit(ctx), s.auditInput(ctx)); err != nil && ctx.Err() == nil {
			s.deps.Logger.Warn("comparing the streams with what was read of them", "err", err)
		}
	}
	return nil
}

// audit compares the newest record that this node has applied with the log. A
// stream that loses its end loses that first; so only if it is gone, or the log was
// seen to have lost something, all partitions are compared, until that is known of
// each.
func (s *Service) audit(ctx context.Context) error {
	if !s.shrunk.Load() {
		newest := s.newest()
		if newest == nil {
			return nil
		}
		err := newest.sameHistory(ctx)
		if _, halts := asHalt(err); !halts {
			return err
		}
		s.shrunk.Store(true)
	}
	s.readAgain()
	var unknown error
	for _, h := range s.holders {
		if h.halted.Load() != nil {
			continue
		}
		err := h.sameHistory(ctx)
		if _, halts := asHalt(err); halts {
			h.lost(err)
		} else {
			unknown = errors.Join(unknown, err)
		}
	}
	if unknown == nil {
		s.shrunk.Store(false)
	}
	return unknown
}

// newest is the partition that has applied what is farthest behind on the log;
// nil for none. Those that are halted do not count.
func (s *Service) newest() (newest *holder) {
	most := uint64(0)
	for _, h := range s.holders {
		if at := h.part.Applied().Sequence; at > most && h.halted.Load() == nil {
			newest, most = h, at
		}
	}
	return newest
}

// lost halts the partition if that is what the error says, and ends its tenure.
func (h *holder) lost(err error) {
	halted, halts := asHalt(err)
	if !halts {
		h.log.Warn("comparing the log with the store", "err", err)
		return
	}
	h.folding.Lock()
	defer h.folding.Unlock()
	if end := h.depose.Load(); h.tenured && end != nil {
		(*end)(halted)
	} else if !h.tenured && h.halted.Load() == nil {
		h.setHalted(halted)
	}
}
