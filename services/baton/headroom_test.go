package main

import "testing"

// The headroom is the same however much lives on the heap, between Go's own rule
// and a bound on how often a very large heap is collected.
func TestHeadroomIsBounded(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for live, want := range map[uint64]int{
		0: 100, 40 * mib: 100, 128 * mib: 100, 256 * mib: 50, 512 * mib: 25, 1280 * mib: 10, 100 << 30: 10,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d MiB live: %d %%, want %d", live/mib, got, want)
		}
	}
}
