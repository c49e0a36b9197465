package main

import (
	"context"
	"sync"
	"time"

	"github.com/baton-router/baton/services/simulator"
)

// nodeClock is the wall clock, ahead by the simulator's offset when the
// simulator is the platform: the one thing it shares with Baton.
type nodeClock struct {
	sim *simulator.Service // nil for a real platform
	mu  struct {
		sync.Mutex
		jumped chan struct{}
	}
}

func newClock(sim *simulator.Service) *nodeClock {
	c := &nodeClock{sim: sim}
	c.mu.jumped = make(chan struct{})
	return c
}

// Now is the wall clock with its monotonic reading.
func (*nodeClock) Now() time.Time { return time.Now() }

// Offset is the simulator's; zero for a real platform.
func (c *nodeClock) Offset() time.Duration {
	if c.sim == nil {
		return 0
	}
	return c.sim.Offset()
}

// Jumped is closed when the offset has grown.
func (c *nodeClock) Jumped() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.jumped
}

// Run tells who waits on Jumped of every jump of the simulator's clock, until
// ctx ends.
func (c *nodeClock) Run(ctx context.Context) error {
	for jumped := c.sim.Jumped(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-jumped:
			jumped = c.sim.Jumped() // before waking anyone: no jump goes unnoticed
		}
		c.mu.Lock()
		close(c.mu.jumped)
		c.mu.jumped = make(chan struct{})
		c.mu.Unlock()
	}
}
