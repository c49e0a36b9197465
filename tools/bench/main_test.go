package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/baton-router/baton/tools/bench/proc"
	"github.com/baton-router/baton/tools/bench/report"
	"github.com/baton-router/baton/tools/bench/wire"
)

// TestMain makes the test binary its own children.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childWord {
		os.Exit(runChild(context.Background(), os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

// smoke is a run as small as can be.
func smoke() size {
	return size{
		threads: 320, saturated: 60 * time.Millisecond, paced: 60 * time.Millisecond, floor: 20 * time.Millisecond,
		changes: 1, crowd: []int{1}, turns: 200 * time.Millisecond, profile: time.Second, idle: 100 * time.Millisecond, past: 20, largest: 1600,
		profiled: []string{"control"}, partitions: 4,
	}
}

// TestSmoke runs every part that needs nothing but Go on the real program, and
// looks for figures and for what a run leaves behind.
func TestSmoke(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "baton")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../services/baton").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var out bytes.Buffer
	o, err := parse([]string{"--quick", "--baton", program, "--out", filepath.Join(dir, "results"), "--pgbaseline", ""}, &out)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBench(o, nil, &out)
	if err != nil {
		t.Fatal(err)
	}
	b.size = smoke()
	measured := partNames()
	if testing.Short() {
		measured = []string{"floors", "e2e"}
	}
	some, err := chosen(strings.Join(measured, ","))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.finish(b.measure(t.Context(), some)); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	r, err := report.Read(filepath.Join(o.out, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		part, _, _ := strings.Cut(target.Of, "/")
		if strings.HasPrefix(target.Over, "baseline/") || part == "scale" || !slices.Contains(measured, part) {
			continue // needs PostgreSQL, or more threads
		}
		for _, name := range []string{target.Of, target.Over} {
			if f := r.Figure(name); name != "" && (f == nil || f.Median() <= 0 && f.Unit != "MiB") {
				t.Errorf("the target %q has no figure %q: %+v", target.Text, name, f)
			}
		}
	}
	if slices.Contains(measured, "baseline") && (len(r.Skipped) == 0 || !strings.Contains(r.Skipped[0], "BATON_BENCH_PGBASELINE")) {
		t.Errorf("skipped: %q", r.Skipped)
	}
	if left, err := filepath.Glob(filepath.Join(o.out, "runs", "*")); err != nil || len(left) > 0 {
		t.Errorf("a good run leaves %v behind, %v", left, err)
	}
	if !strings.Contains(out.String(), "TARGETS") {
		t.Errorf("no table:\n%s", &out)
	}
}

// faulty is a router that forwards every POST to one app, and does with the
// nth what it is told.
type faulty struct {
	host string
	path string
}

func (f *faulty) webhooks() (host, target string)  { return f.host, f.path }
func (f *faulty) usage() (u proc.Usage, err error) { return proc.Read(os.Getpid()) }
func (f *faulty) serve(t *testing.T, callback string, nth func(forward func() int) int) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.host, f.path = ln.Addr().String(), "/"
	host, path, _ := strings.Cut(strings.TrimPrefix(callback, "http://"), "/")
	count := make(chan int, 1)
	count <- 0
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- wire.Serve(ctx, ln, func(r *wire.Request) (int, []byte) {
			forward := func() int {
				c, err := wire.Dial(ctx, host, 10*time.Second)
				if err != nil {
					return 500
				}
				defer func() { _ = c.Close() }()
				status, _, err := c.Post("/"+path, string(r.Signature), "", r.Body)
				if err != nil {
					return 500
				}
				return status
			}
			n := <-count
			count <- n + 1
			if n == 20 {
				return nth(forward), nil
			}
			return forward(), nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestFaultsFailTheRun: a router that loses, doubles or spoils one event of
// many does not pass; one that does nothing wrong does.
func TestFaultsFailTheRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		nth  func(forward func() int) int
		want string
	}{
		"forwards": {func(forward func() int) int { return forward() }, ""},
		"loses":    {func(func() int) int { return 200 }, "too early"},
		"doubles":  {func(forward func() int) int { forward(); return forward() }, "1 came again"},
		"refuses":  {func(func() int) int { return 404 }, "status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := newStage(t.Context(), 1, connections)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.close(); err != nil {
					t.Error(err)
				}
			}()
			f := new(faulty)
			f.serve(t, s.callbacks[0], c.nth)
			s.router = f
			s.quiet = 50 * time.Millisecond
			_, err = s.play(t.Context(), shape{events: 320, perPost: 1})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestUsage: a wrong command line is refused before anything is measured.
func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--only", "nothing"}, {"--rounds", "-1"}, {"--nothing"}, {"word"}, {"--baton", "/does/not/exist"}, {"--threads", "0"},
	} {
		var out bytes.Buffer
		args = append([]string{"--out", t.TempDir()}, args...)
		if code := run(t.Context(), args, &out); code != 2 || out.Len() == 0 {
			t.Errorf("%v: exit code %d, %s", args, code, &out)
		}
	}
	if code := run(t.Context(), []string{"--help"}, new(bytes.Buffer)); code != 0 {
		t.Errorf("--help: exit code %d", code)
	}
	some, err := chosen("e2e,floors")
	if err != nil || !slices.EqualFunc(some, []string{"floors", "e2e"}, func(p part, name string) bool { return p.name == name }) {
		t.Errorf("chosen: %v, %v", some, err)
	}
	if err := runSink(t.Context(), strings.NewReader("{"), new(bytes.Buffer)); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a sink without a specification: %v", err)
	}
}
