package sim

import (
	"testing"
	"testing/synctest"
	"time"
)

// A step of the wall does not show in what has elapsed.
func TestClockStepsItsWallAlone(t *testing.T) {
	t.Parallel()
	base := time.Now()
	synctest.Test(t, func(t *testing.T) {
		c := newClock(base)
		before := c.Now()
		if !before.Round(0).Equal(time.Now()) {
			t.Errorf("the wall is %v, in the bubble it is %v", before, time.Now())
		}
		time.Sleep(time.Second)
		c.step(-17)
		now := c.Now()
		if elapsed, wall := now.Sub(before), now.Round(0).Sub(before.Round(0)); elapsed != time.Second || wall != -16*time.Second {
			t.Errorf("%v have elapsed, and the wall moved by %v", elapsed, wall)
		}
	})
}
