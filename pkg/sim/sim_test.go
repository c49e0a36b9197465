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

	"golang.org/x/sync/errgroup"
)

var (
	seeds   = flag.Int("seeds", 20, "how many seeds to run; 8 at most with -short")
	first   = flag.Uint64("seed", 1, "the first seed")
	steps   = flag.Int("steps", 2000, "steps of a run before it comes to rest")
	verbose = flag.Bool("show", false, "print every step")
)

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
		simulate(t, *first, min(*seeds, 8))
	default:
		if err := spread(t.Context(), buildTest(t), os.Stdout, *first, *seeds); err != nil {
			t.Error(err)
		}
	}
}

// Two processes that run the same seeds, one of them from the middle on, see the
// same steps; and no two seeds give the same.
func TestRunsRepeat(t *testing.T) { //nolint:paralleltest // the processors are busy enough
	if testing.Short() || repeatable {
		t.Skip("builds the simulator anew, and runs it twice")
	}
	name, n := buildTest(t), max(*seeds/4, 10)
	var once, again bytes.Buffer
	if err := run(t.Context(), name, &once, *first, n); err != nil {
		t.Fatalf("%v\n%s", err, once.Bytes())
	}
	half := n / 2
	if err := run(t.Context(), name, &again, *first+uint64(half), n-half); err != nil {
		t.Fatalf("%v\n%s", err, again.Bytes())
	}
	if err := run(t.Context(), name, &again, *first, half); err != nil {
		t.Fatalf("%v\n%s", err, again.Bytes())
	}
	a, b := traces(once.String()), traces(again.String())
	all := map[string]uint64{}
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
	var total Counts
	for seed := first; seed < first+uint64(n); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			o := Options{Seed: seed, Steps: *steps, Nodes: 1 + int(seed%3)}
			if *verbose {
				o.Trace = os.Stdout
			}
			r := Run(t, o)
			if r.Violation != "" {
				t.Errorf("%s; again, with every step: go test ./pkg/sim -run TestSimulate -seed %d -seeds 1 -steps %d -show", r.Violation, seed, *steps)
			}
			t.Logf("%+v seed %d trace %x", r.Counts, seed, r.Trace)
			total.Steps += r.Counts.Steps
		})
		if t.Failed() {
			break
		}
	}
	t.Logf("%d steps", total.Steps)
}

// spread runs seeds on all processors, and stops when one has found something.
func spread(ctx context.Context, binary string, out io.Writer, first uint64, n int) error {
	g, ctx := errgroup.WithContext(ctx)
	processes := min(runtime.NumCPU(), n)
	for i := range processes {
		from, to := n*i/processes, n*(i+1)/processes
		g.Go(func() error { return run(ctx, binary, out, first+uint64(from), to-from) })
	}
	return g.Wait()
}

// run runs seeds in a process of its own, on the runtime that leaves nothing
// open.
func run(ctx context.Context, binary string, out io.Writer, first uint64, n int) error {
	cmd := exec.CommandContext(
		ctx, binary, "-test.run", "^TestSimulate$", "-test.v", "-test.timeout", "0",
		"-seed", strconv.FormatUint(first, 10), "-seeds", strconv.Itoa(n), "-steps", strconv.Itoa(*steps), fmt.Sprintf("-show=%t", *verbose),
	)
	whole := &lines{to: out}
	cmd.Stdout, cmd.Stderr = whole, whole
	err := cmd.Run()
	whole.flush()
	if err != nil {
		return fmt.Errorf("seeds from %d on: %w", first, err)
	}
	return nil
}

// lines writes whole lines, one at a time.
type lines struct {
	to   io.Writer
	rest []byte
}

//nolint:gochecknoglobals // one output, several processes
var output sync.Mutex

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	if end := bytes.LastIndexByte(l.rest, '\n') + 1; end > 0 {
		output.Lock()
		defer output.Unlock()
		if _, err := l.to.Write(l.rest[:end]); err != nil {
			return 0, err
		}
		l.rest = append(l.rest[:0], l.rest[end:]...)
	}
	return len(p), nil
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		_, _ = l.Write([]byte("\n")) // the process has failed already
	}
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
