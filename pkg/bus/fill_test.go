package bus

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// landed is a gatherer whose last bundle had some parts and took a while.
func landed(parts int, took time.Duration) *gatherer {
	g := &gatherer{wake: make(chan struct{}, 1)}
	g.mu.lasts, g.mu.newest = make([]uint64, 64), make([]*flight, 64)
	g.mu.before.after(&flight{parts: make([]flightPart, parts), took: took}, 0)
	return g
}

// come boards partitions one after the other, spaced by a time each.
func come(t *testing.T, g *gatherer, from, to int, spacing time.Duration) {
	t.Helper()
	for p := from; p < to; p++ {
		time.Sleep(spacing)
		if _, err := g.board([]byte("part"), flightPart{partition: p}); err != nil {
			t.Error(err)
		}
	}
}

// TestABundleWaitsForThoseWhoWereInTheLast: until all are there, and not for ever.
func TestABundleWaitsForThoseWhoWereInTheLast(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		name         string
		last         int
		took         time.Duration
		idle         time.Duration // between the landing and the first part
		come         int
		spacing      time.Duration
		parts        int
		waits        time.Duration
		shyAfterward bool
	}{
		{name: "all come", last: 5, took: 2 * ms, come: 5, spacing: ms / 10, parts: 5, waits: 4 * ms / 10},
		{name: "more come than were there", last: 3, took: 2 * ms, come: 9, spacing: ms / 10, parts: 3, waits: 2 * ms / 10},
		{name: "most come", last: 5, took: 2 * ms, come: 4, spacing: ms / 10, parts: 4, waits: 2 * ms},
		{name: "few come", last: 9, took: 2 * ms, come: 2, spacing: ms / 10, parts: 2, waits: 2 * ms, shyAfterward: true},
		{name: "a slow disk", last: 9, took: time.Second, come: 2, spacing: ms / 10, parts: 2, waits: longestFill, shyAfterward: true},
		{name: "one was there", last: 1, took: 2 * ms, come: 1, spacing: ms / 10, parts: 1},
		{name: "it is long ago", last: 5, took: 2 * ms, idle: 10 * ms, come: 1, spacing: ms / 10, parts: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := landed(c.last, c.took)
				time.Sleep(c.idle)
				var callers sync.WaitGroup
				defer callers.Wait()
				callers.Go(func() { come(t, g, 0, c.come, c.spacing) })
				<-g.wake
				began := time.Now()
				f := g.fill(context.Background())
				if waited := time.Since(began); len(f.parts) != c.parts || waited != c.waits {
					t.Errorf("%d parts after %v", len(f.parts), waited)
				}
				if shy := g.mu.before.shy > 0; shy != c.shyAfterward {
					t.Errorf("waits for nobody next: %v", shy)
				}
			})
		})
	}
}

// TestABundleDoesNotWaitWithAnotherBehindIt: a partition that comes twice begins
// the next one.
func TestABundleDoesNotWaitWithAnotherBehindIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := landed(5, 2*time.Millisecond)
		come(t, g, 0, 2, 0)
		began := time.Now()
		go come(t, g, 1, 2, time.Millisecond)
		if f := g.fill(context.Background()); len(f.parts) != 2 || time.Since(began) != time.Millisecond {
			t.Errorf("%d parts after %v", len(f.parts), time.Since(began))
		}
	})
}

// TestWhoComesByHisOwnClockIsNotWaitedFor: after a wait in vain some bundles take
// off as they are.
func TestWhoComesByHisOwnClockIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	b := formation{expected: 4, took: time.Hour, landed: time.Now()}
	b.waited(1, 1)
	for range shyFlights {
		if b.patience() != 0 {
			t.Fatal("it waits")
		}
		b.after(&flight{parts: make([]flightPart, 2), took: time.Hour}, 3)
	}
	if b.expected != 5 || b.patience() != longestFill {
		t.Error(b.expected, b.patience())
	}
}
