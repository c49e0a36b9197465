package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
)

var (
	seeds   = flag.Int("seeds", 20, "how many seeds to run; 8 at most with -short")
	first   = flag.Uint64("seed", 1, "the first seed")
	steps   = flag.Int("steps", 2000, "steps of a run before it comes to rest")
	verbose = flag.Bool("show", false, "print every step")
)

// One goroutine at a time: a second processor would only wait.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}

// What Baton promises holds in every run.
func TestSimulate(t *testing.T) { //nolint:paralleltest // Run is alone
	if testing.Short() {
		*seeds = min(*seeds, 8)
	}
	var total Counts
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			o := Options{Seed: seed, Steps: *steps, Nodes: 1 + int(seed%3)}
			if *verbose {
				o.Trace = os.Stdout
			}
			r := Run(t, o)
			if r.Violation != "" {
				t.Errorf("%s\nagain, with every step: go test ./pkg/sim -run TestSimulate -seed %d -seeds 1 -steps %d -show", r.Violation, seed, *steps)
			}
			t.Logf("%+v trace %x", r.Counts, r.Trace)
			total.Steps += r.Counts.Steps
		})
		if t.Failed() {
			break
		}
	}
	t.Logf("%d steps", total.Steps)
}
