package ownership

import (
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// maxDoubt is how far the wall clock may step against the monotonic one, or be
// from the time of NATS, before timers stop. Source: design, Time.
const maxDoubt = 5 * time.Second

// partitionClock gives a partition its time: the larger of the last decision's
// and the wall clock at the claim plus the monotonic time since.
type partitionClock struct {
	clock   Clock
	base    time.Time // wall and monotonic reading at the claim
	floor   control.Millis
	checked time.Time // when compare was called last
	apart   bool      // from the time of NATS
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

// tenure is how long ago the partition was claimed.
func (c *partitionClock) tenure() time.Duration { return c.clock.Now().Sub(c.base) }

// wall is the wall clock as partition time goes on from it: that of the claim
// plus the monotonic time since, without the simulator's offset.
func (c *partitionClock) wall() time.Time {
	return c.base.Round(0).Add(c.clock.Now().Sub(c.base))
}

// How often the clock is compared with the time of NATS.
const (
	compareEvery      = 30 * time.Second
	compareWhileApart = time.Second
)

// compareDue reports whether compare should be called for the next record.
func (c *partitionClock) compareDue() bool {
	wait := compareEvery
	if c.apart {
		wait = compareWhileApart
	}
	return c.unknown() || c.clock.Now().Sub(c.checked) >= wait
}

// unknown reports whether compare has not been called yet.
func (c *partitionClock) unknown() bool { return c.checked.IsZero() }

// compare notes whether the time that NATS put on a record that was written
// between two readings of wall differs from both by more than maxDoubt.
func (c *partitionClock) compare(at, from, to time.Time) {
	c.checked = c.clock.Now()
	c.apart = at.Before(from.Add(-maxDoubt)) || at.After(to.Add(maxDoubt))
}

// doubtful reports whether the wall clock has stepped against the monotonic
// one since the claim by more than maxDoubt, or is that far from the time of
// NATS.
func (c *partitionClock) doubtful() bool {
	if c.apart {
		return true
	}
	now := c.clock.Now()
	drift := now.Round(0).Sub(c.base.Round(0)) - now.Sub(c.base)
	return drift > maxDoubt || drift < -maxDoubt
}

// until is the wait until partition time t.
func (c *partitionClock) until(t control.Millis) time.Duration {
	return time.Duration(t-c.now()) * time.Millisecond
}
