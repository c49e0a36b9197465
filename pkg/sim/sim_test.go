package sim

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	seeds   = flag.Int("seeds", 20, "how many seeds to run; 4 at most with -short")
	first   = flag.Uint64("seed", 1, "the first seed")
	steps   = flag.Int("steps", 2000, "steps of a run before it comes to rest")
	verbose = flag.Bool("show", false, "print every step")
)

// lossSeeds: of so many seeds, one is of a world whose log loses its end.
const lossSeeds = 5

// One goroutine at a time: a second processor would only wait. Garbage is
// collected between steps alone, where a run says so.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	if repeatable {
		debug.SetGCPercent(-1)
	}
	os.Exit(m.Run())
}

// What Baton promises holds in every run. With -short the runs are made here, on
// Go as it is; they do not repeat, and the race detector can look on.
func TestSimulate(t *testing.T) { //nolint:paralleltest // Run is alone
	switch {
	case repeatable:
		simulate(t, *first, *seeds)
	case testing.Short():
		simulate(t, *first, min(*seeds, 4))
	default:
		began := time.Now()
		if err := spread(t.Context(), buildTest(t), os.Stdout, seedsOf(*seeds, 1)); err != nil {
			t.Error(err)
		}
		t.Logf("%d seeds in %v", *seeds, time.Since(began))
	}
}

// Two processes see the same steps of a seed; and no two seeds give the same.
func TestRunsRepeat(t *testing.T) { //nolint:paralleltest // the processors are busy enough
	if testing.Short() || repeatable {
		t.Skip("builds the simulator anew, and runs it twice")
	}
	name, n := buildTest(t), max(*seeds/8, 6)
	var once, again bytes.Buffer
	for _, out := range []io.Writer{&once, &again} {
		if err := spread(t.Context(), name, out, seedsOf(n, 1)); err != nil {
			t.Fatalf("%v\n%s%s", err, once.Bytes(), again.Bytes())
		}
	}
	a, b, all := traces(once.String()), traces(again.String()), map[string]uint64{}
	for seed := *first; seed < *first+uint64(n); seed++ {
		if a[seed] == "" || a[seed] != b[seed] {
			t.Errorf("seed %d: %q, and then %q", seed, a[seed], b[seed])
		}
		if other, ok := all[a[seed]]; ok {
			t.Errorf("seeds %d and %d are the same run", other, seed)
		}
		all[a[seed]] = seed
	}
	t.Logf("%d seeds, twice", n)
}

func simulate(t *testing.T, first uint64, n int) {
	t.Helper()
	for seed := first; seed < first+uint64(n); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			o := Options{Seed: seed, Steps: *steps, Nodes: 1 + int(seed%3), Beats: seed%6 == 1 || seed%6 == 2, Loss: seed%lossSeeds == 0, Tails: seed%lossSeeds == 2, Flip: seed%lossSeeds == 3}
			if *verbose {
				o.Trace = os.Stdout
			}
			r := Run(t, o)
			if r.Violation != "" {
				t.Errorf("%s; again, with every step: go test ./pkg/sim -run TestSimulate -seed %d -seeds 1 -steps %d -show", r.Violation, seed, *steps)
			}
			t.Logf("%+v seed %d trace %x", r.Counts, seed, r.Trace)
		})
		if t.Failed() {
			break
		}
	}
}

// spread runs seeds, as many at a time as there are processors, and stops when
// one has found something. Each has a process of its own: what another has left
// in the caches of this one would be another beginning.
func spread(ctx context.Context, binary string, out io.Writer, seeds []uint64) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	var writing sync.Mutex
	for _, seed := range seeds {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			text, err := run(ctx, binary, seed)
			writing.Lock()
			defer writing.Unlock()
			if _, failed := out.Write(text); failed != nil || err == nil {
				return failed
			}
			return fmt.Errorf("seed %d: %w", seed, err)
		})
	}
	return g.Wait()
}

// seedsOf are n seeds from the first on, of those that every divides.
func seedsOf(n int, every uint64) (list []uint64) {
	for seed := *first; len(list) < n; seed++ {
		if seed%every == 0 {
			list = append(list, seed)
		}
	}
	return list
}

// run runs a seed on the runtime that leaves nothing open, and returns what it
// says.
func run(ctx context.Context, binary string, seed uint64) ([]byte, error) {
	return exec.CommandContext(
		ctx, binary, "-test.run", "^TestSimulate$", "-test.v", "-test.timeout", "0",
		"-seed", strconv.FormatUint(seed, 10), "-seeds", "1", "-steps", strconv.Itoa(*steps), fmt.Sprintf("-show=%t", *verbose),
	).CombinedOutput()
}

// traces are those of each seed in the output of runs.
func traces(out string) map[uint64]string {
	all := map[uint64]string{}
	for _, m := range regexp.MustCompile(`seed (\d+) trace (\w+)`).FindAllStringSubmatch(out, -1) {
		seed, _ := strconv.ParseUint(m[1], 10, 64)
		all[seed] = m[2]
	}
	return all
}
