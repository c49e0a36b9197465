package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// settleFor is how long the readers wait for further partitions before they
// begin anew, so that claims at the start do not each restart them.
const settleFor = 20 * time.Millisecond

// read runs the readers of the log and of the payloads while partitions are held,
// anew when one is held that lies behind them, until ctx ends.
func (s *Service) read(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-s.joined:
		}
		if !sleep(ctx, settleFor) {
			return
		}
		s.readHeld(ctx)
	}
}

// readHeld reads until a partition lies behind the readers or ctx ends.
func (s *Service) readHeld(ctx context.Context) {
	if len(s.readable()) == 0 && s.route.aimedAt() == 0 {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{}, 2)
	go func() {
		s.again(ctx, "payloads", s.readPayloads)
		done <- struct{}{}
	}()
	go func() {
		s.again(ctx, "log", s.readLog)
		done <- struct{}{}
	}()
	select {
	case <-ctx.Done():
	case <-s.joined:
		signal(s.joined) // for read
	}
	cancel()
	<-done
	<-done
}

// again runs a reader until ctx ends; one that fails begins anew.
func (s *Service) again(ctx context.Context, what string, run func(context.Context) error) {
	for ctx.Err() == nil {
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("reader ended, starting again", "reader", what, "err", err)
		sleep(ctx, jitter(time.Second))
	}
}

// readPayloads fills the cache with what comes from now on, but for partitions
// where every app lags: what comes now would be gone when they come to it.
func (s *Service) readPayloads(ctx context.Context) error {
	_, last, _, err := s.deps.Inbound.InboundRange(ctx)
	if err != nil {
		return fmt.Errorf("fanout: inbound range: %w", err)
	}
	return s.deps.Inbound.ReadInbound(ctx, bus.ReadOptions{After: last}, func(m bus.Message) error {
		if h := s.holder(m.Partition); h != nil && !h.alone.Load() {
			s.payloads.fill(m)
		}
		return nil
	})
}

// readLog hands every record to the holder of its partition. It reads those of
// all partitions: one that is taken over joins it where it is, and the others wait
// for a few questions at most.
func (s *Service) readLog(ctx context.Context) error {
	s.route.stop()
	defer s.route.stop()
	holders := s.readable()
	after, err := s.startAt(ctx, holders)
	if err != nil {
		return err
	}
	s.route.start(after, holders)
	err = s.deps.Log.ReadLog(ctx, bus.ReadOptions{After: after}, func(m bus.Message) error {
		if h := s.route.come(m); h != nil {
			return h.follow(ctx, m)
		}
		return nil
	})
	if errors.Is(err, bus.ErrDamaged) { // whose records it held is not known
		for _, h := range s.allHolders() {
			h.halt(err)
		}
	}
	return err
}

// startAt is the sequence behind which all that the partitions have not read
// begins. A partition that is quiet for a year has its mark a year back: what
// counts is its next record.
func (s *Service) startAt(ctx context.Context, holders []*holder) (uint64, error) {
	if len(holders) == 0 {
		return s.route.aimedAt(), nil
	}
	newest, oldest := uint64(0), ^uint64(0)
	for _, h := range holders {
		at := h.readerAt().sequence
		newest = max(newest, at)
		next, err := s.deps.Log.NextLog(ctx, h.partition, at)
		switch {
		case errors.Is(err, bus.ErrNoMessage):
		case err != nil:
			return 0, fmt.Errorf("fanout: next record of partition %d: %w", h.partition, err)
		default:
			oldest = min(oldest, next.Sequence-1)
		}
	}
	// Without a next record anywhere, whatever comes lies behind the newest.
	return min(oldest, newest), nil
}

// readable are the partitions that the reader reads for. One that is halted wants
// nothing, and its mark may lie behind an end that is gone.
func (s *Service) readable() []*holder {
	return slices.DeleteFunc(s.allHolders(), (*holder).isHalted)
}

func (h *holder) readerAt() *mark {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.read
}
