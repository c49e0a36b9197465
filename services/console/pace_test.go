package console

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPaceRestsLongerOnABusyMachine(t *testing.T) {
	t.Parallel()
	var p pace
	for _, want := range []int64{2, 4, 4} {
		if p.rested(max(p.rest, paceRest) + paceLate); p.rest.Milliseconds() != want {
			t.Errorf("after a late timer it rests %v, want %v ms", p.rest, want)
		}
	}
	for _, want := range []int64{2, 1, 1} {
		if p.rested(p.rest); p.rest.Milliseconds() != want {
			t.Errorf("after one in time it rests %v, want %v ms", p.rest, want)
		}
	}
}

// TestPaceTakesHalfAtMost: as much rest as work, and no rest before there was work.
func TestPaceTakesHalfAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pace
		began, worked := time.Now(), time.Duration(0)
		for range 1000 {
			if err := p.step(t.Context()); err != nil {
				t.Fatal(err)
			}
			<-time.After(paceWork / 4)
			worked += paceWork / 4
		}
		if took := time.Since(began); worked*2 > took+2*paceWork || took > 3*worked {
			t.Errorf("%v of work took %v", worked, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.step(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("ended: %v", err)
		}
	})
}
