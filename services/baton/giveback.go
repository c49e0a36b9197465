package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"
)

// Rules of giving memory back.
const (
	// quietBytes allocated in a second are still quiet: conditions renewed, apps
	// asked again.
	quietBytes = 2 << 20
	// burstBytes allocated since memory was last given back are worth it.
	burstBytes = 16 << 20
)

// giveBackAfter are the seconds of quiet after which memory is given back. The
// streams' pools of blocks outlive two collections, and their caches ten
// seconds.
//
//nolint:gochecknoglobals // a constant table
var giveBackAfter = []int{2, 3, 4, 14, 15, 16}

// leftover watches what a start or a burst leaves behind. Without work nothing
// is allocated, so nothing would be collected for minutes, and what was
// collected stays with the process: half of what it has in memory.
type leftover struct {
	allocated uint64 // bytes since the process began
	burst     uint64 // of those since memory was given back
	quiet     int    // seconds
}

// due takes the second's reading of all bytes ever allocated and reports whether
// memory is to be given back now.
func (l *leftover) due(allocated uint64) bool {
	recent := allocated - l.allocated
	l.allocated = allocated
	l.burst += recent
	if recent > quietBytes {
		l.quiet = 0
		return false
	}
	l.quiet++
	if l.burst < burstBytes || !slices.Contains(giveBackAfter, l.quiet) {
		return false
	}
	if l.quiet == giveBackAfter[len(giveBackAfter)-1] {
		l.burst = 0
	}
	return true
}

// giveBack gives memory back to the system when a start or a burst is over,
// until ctx ends.
func (n *node) giveBack(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	var l leftover
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		metrics.Read(sample)
		if l.due(sample[0].Value.Uint64()) {
			debug.FreeOSMemory()
		}
	}
}
