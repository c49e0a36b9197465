package ownership

import (
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// maxDoubt is how far the wall clock may step against the monotonic one before
// timers stop. Source: design, Time.
const maxDoubt = 5 * time.Second

// partitionClock gives a partition its time: the larger of the last decision's
// and the wall clock at the claim plus the monotonic time since.
type partitionClock struct {
	clock Clock
	base  time.Time // wall and monotonic reading at the claim
	floor control.Millis
}

func newPartitionClock(c Clock, lastDecided control.Millis) partitionClock {
	return partitionClock{clock: c, base: c.Now(), floor: lastDecided}
}

// now returns the partition time and keeps it from going back.
func (c *partitionClock) now() control.Millis {
	wall := c.base.Add(c.clock.Now().Sub(c.base)).Add(c.clock.Offset())
	if t := control.Millis(wall.UnixMilli()); t > c.floor {
		c.floor = t
	}
	return c.floor
}

// doubtful reports whether the wall clock has stepped against the monotonic
// one since the claim by more than maxDoubt.
func (c *partitionClock) doubtful() bool {
	now := c.clock.Now()
	drift := now.Round(0).Sub(c.base.Round(0)) - now.Sub(c.base)
	return drift > maxDoubt || drift < -maxDoubt
}

// until is the wait until partition time t.
func (c *partitionClock) until(t control.Millis) time.Duration {
	return time.Duration(t-c.now()) * time.Millisecond
}
