package ownership

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// trimEvery is how often decided input past its retention is removed.
const trimEvery = time.Minute

func (s *Service) trimLoop(ctx context.Context) error {
	for pause(ctx, trimEvery) == nil {
		if !s.holders[0].current.Load().Held {
			continue // the holder of the first partition trims for all
		}
		if err := s.Trim(ctx); err != nil && ctx.Err() == nil {
			s.deps.Logger.Warn("trimming the inbound stream", "err", err)
		}
	}
	return nil
}

// Trim removes the inbound messages that every partition has decided and that
// are older than the retention. It never removes what is undecided: the stream
// has no age limit of its own.
func (s *Service) Trim(ctx context.Context) error {
	retain := s.retainInbound()
	if retain == 0 {
		return nil
	}
	first, last, _, err := s.deps.Input.InboundRange(ctx)
	if err != nil || first == 0 || first > last {
		return err
	}
	upTo, err := s.decided(ctx, last)
	if err != nil {
		return err
	}
	if upTo, err = s.olderThan(ctx, first, upTo, s.deps.Clock.Now().Add(-retain)); err != nil || upTo < first {
		return err
	}
	return s.deps.Input.TrimInbound(ctx, upTo)
}

// retainInbound is how long decided input is kept, never shorter than the
// longest retry of an app in the present roster; zero for ever.
func (s *Service) retainInbound() time.Duration {
	if s.cfg.RetainInbound == 0 {
		return 0
	}
	return max(s.cfg.RetainInbound, s.deps.Rosters.Current().LongestRetry())
}

// decided is the largest sequence up to which every partition has decided its
// input durably.
func (s *Service) decided(ctx context.Context, last uint64) (uint64, error) {
	upTo := last
	for p, h := range s.holders {
		// What was decided without an event, such as a duplicate, is in no
		// record, but nothing is lost with it.
		input := h.status().Input
		end, err := s.deps.Input.LastInbound(ctx, p)
		if err != nil {
			return 0, fmt.Errorf("ownership: end of the input of partition %d: %w", p, err)
		}
		if end > input {
			upTo = min(upTo, input)
		}
	}
	return upTo, nil
}

// olderThan is the largest sequence in [first, upTo] whose message is older than
// t; first-1 when there is none.
func (s *Service) olderThan(ctx context.Context, first, upTo uint64, t time.Time) (uint64, error) {
	if upTo < first {
		return first - 1, nil
	}
	var failed error
	n := sort.Search(int(upTo-first+1), func(i int) bool {
		at, err := s.deps.Input.InboundTime(ctx, first+uint64(i))
		if err != nil {
			if !errors.Is(err, bus.ErrNoMessage) {
				failed = err
			}
			return !errors.Is(err, bus.ErrNoMessage)
		}
		return !at.Before(t)
	})
	return first + uint64(n) - 1, failed
}
