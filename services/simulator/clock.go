package simulator

import (
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// maxOffset bounds how far the clock may be moved in all.
const maxOffset = 20 * 365 * 24 * time.Hour

// Offset is how far the simulator's clock is ahead of the wall clock. It only
// grows, survives a restart, and is what Baton adds to each of its own clocks.
// Safe for concurrent use, cheap enough for every reading of a clock.
func (s *Service) Offset() time.Duration { return time.Duration(s.offset.Load()) }

// Now is the simulator's time. Safe for concurrent use.
func (s *Service) Now() time.Time { return s.clock().Add(s.Offset()) }

// Clock moves the simulator's clock forward and returns the new offset; zero
// only reads. The new offset is on disk before it is in force. ErrInvalid is
// for a negative step or one beyond twenty years in all.
func (s *Service) Clock(forward time.Duration) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.Offset()
	switch {
	case forward == 0:
		return before, nil
	case forward < 0:
		return before, fmt.Errorf("%w: the clock only moves forward, not by %v", ErrInvalid, forward)
	case forward > maxOffset-before:
		return before, fmt.Errorf("%w: the clock moves at most %v in all", ErrInvalid, maxOffset)
	}
	// Written under the lock, so that no turn can happen between the old time
	// and the new one and be lost from the file.
	if err := s.file.save(s.snapshot(before + forward)); err != nil {
		return before, fmt.Errorf("simulator: keeping the clock: %w", err)
	}
	s.offset.Store(int64(before + forward))
	close(s.jumped)
	s.jumped = make(chan struct{})
	return before + forward, nil
}

// Jumped is closed at the next move of the clock.
func (s *Service) Jumped() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jumped
}

func (s *Service) millis() control.Millis { return control.Millis(s.Now().UnixMilli()) }
