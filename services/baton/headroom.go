package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// headroom is how much garbage may lie on the heap beside what lives on it.
	// Go's own rule, as much again as lives, makes each idle thread in memory
	// cost double, although a collection does not look into it.
	headroom = 128 << 20
	// leastGCPercent bounds how often a very large heap is collected.
	leastGCPercent = 10
	goGCPercent    = 100
	headroomEvery  = 5 * time.Second
)

// keepHeadroom sets, until ctx ends, how far the heap may grow before it is
// collected. An operator's GOGC stays as it is.
func keepHeadroom(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(headroomEvery)
	defer tick.Stop()
	defer debug.SetGCPercent(goGCPercent)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for now := goGCPercent; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		metrics.Read(live)
		// Setting it stops the world for a moment: not for nothing.
		if wanted := gcPercent(live[0].Value.Uint64()); wanted*10 < now*9 || wanted*10 > now*11 {
			now = wanted
			debug.SetGCPercent(now)
		}
	}
}

// gcPercent is the percentage of what lives that the headroom is.
func gcPercent(live uint64) int {
	return int(min(max(headroom*100/max(live, 1), leastGCPercent), goGCPercent))
}
