package fanout

import (
	"context"
	"errors"
	"time"
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
// loses its end loses that first; so only if it is gone, all partitions are
// compared. What contradicts the log halts.
func (s *Service) audit(ctx context.Context) error {
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
	if err := newest.compare(ctx, at); !errors.Is(err, ErrCursor) {
		return err
	}
	for _, h := range s.allHolders() {
		if err := h.compare(ctx, h.readerAt()); errors.Is(err, ErrCursor) {
			h.halt(err)
		}
	}
	return nil
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
