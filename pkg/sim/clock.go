package sim

import (
	"sync"
	"time"
	"unsafe"
)

// clock is a node's: time passes in it as it does in the bubble, its wall may
// step against the monotonic reading, and the simulator may move it on. It
// implements ownership.Clock.
type clock struct {
	base   time.Time // from outside of the bubble, where times have a monotonic reading
	begun  time.Time // in the bubble
	mu     sync.Mutex
	wall   int64 // seconds by which the wall is ahead
	offset time.Duration
	jumped chan struct{}
}

func newClock(base time.Time) *clock {
	return &clock{base: base.Add(-time.Duration(base.Nanosecond())), begun: time.Now(), jumped: make(chan struct{})}
}

// Now implements ownership.Clock.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.base.Add(time.Since(c.begun))
	// Package time keeps the seconds of a wall with a monotonic reading from
	// bit 30 of its first word on; there is no other way to step one alone.
	*(*uint64)(unsafe.Pointer(&now)) += uint64(c.begun.Unix()-c.base.Unix()+c.wall) << 30 //nolint:gosec // as said
	return now
}

// Offset implements ownership.Clock.
func (c *clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

// Jumped implements ownership.Clock.
func (c *clock) Jumped() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.jumped
}

// jump moves the simulator's clock on.
func (c *clock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
	close(c.jumped)
	c.jumped = make(chan struct{})
}

// step moves the wall alone.
func (c *clock) step(seconds int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += seconds
}
