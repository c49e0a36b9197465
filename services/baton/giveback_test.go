package main

import "testing"

// TestLeftover: memory is given back in the quiet after a burst, a few times,
// and then not before the next one.
func TestLeftover(t *testing.T) {
	t.Parallel()
	const burst, little = 100 << 20, 1 << 10
	var l leftover
	var total uint64
	second := func(bytes uint64) bool {
		total += bytes
		return l.due(total)
	}
	quiet := func(name string, want int) {
		t.Helper()
		got := 0
		for range 60 {
			if second(little) {
				got++
			}
		}
		if got != want {
			t.Errorf("%s: given back %d times, want %d", name, got, want)
		}
	}
	quiet("nothing was done", 0)
	for range 100 {
		if second(burst) {
			t.Error("given back under load")
		}
	}
	if second(little) || !second(little) {
		t.Error("not given back after two quiet seconds")
	}
	if second(burst) || second(little) {
		t.Error("given back although work went on")
	}
	quiet("after the load", len(giveBackAfter))
	quiet("long after the load", 0)
	second(burst)
	quiet("after another burst", len(giveBackAfter))
}
