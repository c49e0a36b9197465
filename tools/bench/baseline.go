package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/baton-router/baton/pkg/lifecycle/porttest"
	"github.com/baton-router/baton/tools/bench/proc"
	"github.com/baton-router/baton/tools/bench/report"
	"github.com/baton-router/baton/tools/bench/traffic"
)

// baseline measures the router of one file and PostgreSQL, when both are there.
func (b *bench) baseline(ctx context.Context) error {
	if b.postgres == nil {
		missing, err := b.openBaseline(ctx)
		if err != nil {
			return err
		}
		if missing != "" {
			b.report.Skip("baseline: " + missing)
			b.say("skipped: %s", missing)
			return nil
		}
	}
	if err := b.baselineWebhooks(ctx); err != nil {
		return err
	}
	return b.baselineControl(ctx)
}

// openBaseline builds the baseline and starts its database; missing says what
// is not there.
func (b *bench) openBaseline(ctx context.Context) (missing string, err error) {
	source := b.options.yardstick
	if source == "" {
		return "no --pgbaseline and no BATON_BENCH_PGBASELINE says where its source is", nil
	}
	if _, err := os.Stat(source); err != nil {
		return err.Error(), nil //nolint:nilerr // said, and left out
	}
	programs, ok := postgresPrograms(b.options.postgres)
	if !ok {
		return "PostgreSQL is not installed: make bench-deps", nil
	}
	program, err := filepath.Abs(filepath.Join(b.options.out, "pgbaseline"))
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".") //nolint:gosec // a program that is measured
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Sprintf("it does not build: %v: %s", err, out), nil
	}
	if b.postgres, err = startCluster(ctx, programs); err != nil {
		return "", err
	}
	b.postgres.router = program
	b.closers = append(b.closers, b.postgres.stop, func() error { return os.Remove(program) })
	return "", nil
}

// peer is the running baseline.
type peer struct {
	cmd      *exec.Cmd
	addr     string
	ended    chan struct{}
	postgres *cluster
}

func (p *peer) webhooks() (host, target string) { return p.addr, "/webhook" }

// usage is that of the router and of its database.
func (p *peer) usage() (proc.Usage, error) {
	router, err1 := proc.Read(p.cmd.Process.Pid)
	database, err2 := proc.ReadTree(p.postgres.cmd.Process.Pid)
	return proc.Usage{CPU: router.CPU + database.CPU, Resident: router.Resident, Written: router.Written + database.Written}, errors.Join(err1, err2)
}

// startPeer starts the baseline as its author recommends: ordered, batches of
// 20, 16 workers, on empty tables.
func (c *cluster) startPeer(ctx context.Context, callbacks []string) (*peer, error) {
	addrs, err := porttest.Reserve(1)
	if err != nil {
		return nil, err
	}
	var apps []string
	for i, url := range callbacks {
		apps = append(apps, fmt.Sprintf("app%d=%s", i, url))
	}
	p := &peer{addr: addrs[0], ended: make(chan struct{}), postgres: c}
	p.cmd = exec.CommandContext(ctx, c.router, "-addr", addrs[0], "-dsn", c.dsn(), "-wipe", "-order", "thread", //nolint:gosec // a program that is measured
		"-batch", "20", "-workers", "16", "-apps", strings.Join(apps, ","))
	log, err := os.Create(filepath.Join(c.dir, "router.log"))
	if err != nil {
		return nil, err
	}
	p.cmd.Stderr = log
	if err := errors.Join(p.cmd.Start(), log.Close()); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	if err := reachable(ctx, p.addr, p.ended); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// stop ends it; it has no way of its own to do so, so that its exit says
// nothing.
func (p *peer) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.ended
}

// onPeer measures with a fresh baseline, warmed up.
func (b *bench) onPeer(ctx context.Context, measure func(*stage) error) (err error) {
	s, err := newStage(ctx, subscribers, b.size.threads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	p, err := b.postgres.startPeer(ctx, s.callbacks)
	if err != nil {
		return err
	}
	defer p.stop()
	s.router = p
	if _, err := s.warm(ctx); err != nil {
		return err
	}
	return measure(s)
}

func (b *bench) baselineWebhooks(ctx context.Context) error {
	return b.onPeer(ctx, func(s *stage) error {
		var one outcome
		for _, perPost := range []int{1, 20} {
			o, err := s.play(ctx, shape{during: b.size.saturated, perPost: perPost})
			if err != nil {
				return err
			}
			if perPost == 1 {
				one = o
			}
			b.noteLoad(fmt.Sprintf("baseline/%d per POST", perPost), o)
		}
		for name, rate := range map[string]float64{"baseline/at 300 per s": pacedRate, "baseline/at half of that": one.rate() / 2} {
			o, err := s.play(ctx, steady(rate, b.size.paced))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			b.noteDelay(name, o)
		}
		return nil
	})
}

// baselineControl moves control as often as the Graph API does, one row lock
// each.
func (b *bench) baselineControl(ctx context.Context) error {
	return b.onPeer(ctx, func(s *stage) error {
		host, _ := s.router.webhooks()
		spec := traffic.CallSpec{Host: host, Threads: b.size.threads, Conns: controlClients, Times: b.size.changes}
		for _, app := range []string{"app0", "app1", "app2"} {
			spec.Steps = append(spec.Steps, traffic.Step{Target: "/pass", Before: fmt.Sprintf(`{"thread":"%d:`, page), After: `","app":"` + app + `"}`})
		}
		before, err := s.router.usage()
		if err != nil {
			return err
		}
		r, _, err := callFrom(ctx, spec)
		if err != nil {
			return err
		}
		after, err := s.router.usage()
		if err != nil {
			return err
		}
		b.noteCalls("baseline/control", r, after.Since(before))
		return nil
	})
}

func (b *bench) noteCalls(name string, r traffic.CallResult, used proc.Usage) {
	changes := perSecond(int(r.Calls), r.Took)
	b.note(name+"/changes", report.PerSecond, changes)
	b.note(name+"/p50", report.Millis, millis(r.Latency.P50))
	b.note(name+"/p99", report.Millis, millis(r.Latency.P99))
	b.note(name+"/CPU per change", report.Micros, perEvent(used, int(r.Calls)))
	b.say("%-40s %8.0f /s  %6.1f us CPU per change  p50 %.2f  p99 %.2f ms", name, changes, perEvent(used, int(r.Calls)), millis(r.Latency.P50), millis(r.Latency.P99))
}

// reachable waits until something answers at addr.
func reachable(ctx context.Context, addr string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			return resp.Body.Close()
		}
		select {
		case <-ended:
			return fmt.Errorf("%s: ended at its start", addr)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", addr, ctx.Err())
		case <-t.C:
		}
	}
}
