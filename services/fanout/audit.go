package fanout

import (
	"context"
	"errors"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// auditEvery is how often a node looks whether the log still has the newest record
// that it has read, whatever partition that is of.
const auditEvery = 2 * time.Second

// auditLoop finds servers that have lost the end of the log while this node was
// reading it: its reader waits behind that end and would go on with what comes
// there later.
func (s *Service) auditLoop(ctx context.Context) {
	for sleep(ctx, auditEvery) {
		if err := s.audit(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("comparing the log with what was read", "err", err)
		}
	}
}

// audit compares the newest record that was read with the log. A stream that
// loses its end loses that first; so only if it is gone, or the log was seen to
// have lost something, all partitions are compared, until that is known of each.
// What contradicts the log halts.
func (s *Service) audit(ctx context.Context) error {
	if !s.shrunk.Load() {
		err := s.auditNewest(ctx)
		if !errors.Is(err, ErrCursor) {
			return err
		}
		s.shrunk.Store(true)
	}
	signal(s.joined) // the reader waits behind an end that is gone
	var unknown error
	for _, h := range s.allHolders() {
		if err := h.compare(ctx, h.readerAt()); errors.Is(err, ErrCursor) {
			h.halt(err)
		} else if err != nil {
			unknown = errors.Join(unknown, err)
		}
	}
	if unknown == nil {
		s.shrunk.Store(false)
	}
	return unknown
}

func (s *Service) auditNewest(ctx context.Context) error {
	var newest *holder
	at := &mark{}
	for _, h := range s.allHolders() {
		if read := h.readerAt(); read.sequence > at.sequence && !h.isHalted() {
			newest, at = h, read
		}
	}
	if newest == nil {
		return nil
	}
	return newest.compare(ctx, at)
}

// passedOver reports whether the log has a record between a mark and a message, or
// ctx ended before that was known: a reader that waits behind an end that is gone
// passes over what other partitions write before it.
func (h *holder) passedOver(ctx context.Context, m bus.Message, before *mark) bool {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		next, err := h.service.deps.Log.NextLog(ctx, h.partition, before.sequence)
		if err == nil || errors.Is(err, bus.ErrNoMessage) || errors.Is(err, bus.ErrDamaged) || !sleep(ctx, jitter(pause)) {
			return err == nil && next.Sequence < m.Sequence || ctx.Err() != nil
		}
	}
}

// stillThere compares a mark with the log, again until that can be told or ctx
// ends. The error says that the log has lost it.
func (h *holder) stillThere(ctx context.Context, at *mark) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := h.compare(ctx, at)
		if err == nil || errors.Is(err, ErrCursor) || !sleep(ctx, jitter(pause)) {
			return err
		}
	}
}
