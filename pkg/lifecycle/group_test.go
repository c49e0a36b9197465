package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/baton-router/baton/pkg/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary collects what services do, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, " ")
}

// scripted is a service for tests.
type scripted struct {
	name       string
	diary      *diary
	readyAfter time.Duration
	stopsAfter time.Duration
	stopWithin time.Duration
	failAfter  time.Duration // 0 means never
	err        error
	ready      chan struct{}
}

func (s *scripted) Name() string              { return s.name }
func (s *scripted) Ready() <-chan struct{}    { return s.ready }
func (s *scripted) StopWithin() time.Duration { return s.stopWithin }

func (s *scripted) Run(ctx context.Context) error {
	s.diary.add("+" + s.name)
	defer s.diary.add("-" + s.name)
	if s.readyAfter > 0 {
		<-time.After(s.readyAfter)
	}
	close(s.ready)
	var fail <-chan time.Time
	if s.failAfter > 0 {
		fail = time.After(s.failAfter)
	}
	select {
	case <-ctx.Done():
		<-time.After(s.stopsAfter)
		return ctx.Err()
	case <-fail:
		return s.err
	}
}

func service(d *diary, name string) *scripted {
	return &scripted{name: name, diary: d, stopWithin: time.Second, ready: make(chan struct{})}
}

func TestGroupStartsInOrderAndStopsInReverse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		a, b, c := service(&d, "a"), service(&d, "b"), service(&d, "c")
		a.readyAfter, b.readyAfter = 3*time.Second, time.Second
		c.stopsAfter = time.Second / 2
		g := lifecycle.NewGroup(nil)
		g.Add(a, b)
		g.Add(c)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
		if got := d.String(); got != "+a +b +c -c -b -a" {
			t.Error(got)
		}
	})
}

func TestFirstErrorStopsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		disk := errors.New("disk gone")
		a, b, c := service(&d, "a"), service(&d, "b"), service(&d, "c")
		b.failAfter, b.err = time.Minute, disk
		g := lifecycle.NewGroup(nil)
		g.Add(a, b, c)
		err := g.Run(t.Context())
		if !errors.Is(err, disk) || !strings.HasPrefix(err.Error(), "b: ") {
			t.Error(err)
		}
		if got := d.String(); !strings.HasSuffix(got, "-b -c -a") {
			t.Error(got)
		}
	})
}

func TestFailureWhileStartingStopsTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		broken := errors.New("broken")
		a, b, c := service(&d, "a"), service(&d, "b"), service(&d, "c")
		a.failAfter, a.err = time.Second, broken
		b.readyAfter = 1500 * time.Millisecond
		g := lifecycle.NewGroup(nil)
		g.Add(a, b, c)
		if err := g.Run(t.Context()); !errors.Is(err, broken) {
			t.Error(err)
		}
		if got := d.String(); strings.Contains(got, "c") || !strings.HasSuffix(got, "-b") {
			t.Error(got)
		}
	})
}

func TestServiceThatEndsByItselfIsAnError(t *testing.T) {
	t.Parallel()
	g := lifecycle.NewGroup(nil)
	g.Add(lifecycle.Func("short", func(context.Context) error { return nil }))
	if err := g.Run(t.Context()); !errors.Is(err, lifecycle.ErrEnded) {
		t.Error(err)
	}
}

func TestStopDeadlineIsPerService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		a, slow, c := service(&d, "a"), service(&d, "slow"), service(&d, "c")
		slow.stopsAfter = time.Hour
		g := lifecycle.NewGroup(nil)
		g.Add(a, slow, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := g.Run(ctx)
		if !errors.Is(err, lifecycle.ErrStopDeadline) || !strings.Contains(err.Error(), "slow") {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Minute+time.Second {
			t.Errorf("took %s", took)
		}
		if got := d.String(); !strings.HasSuffix(got, "-c -a") {
			t.Errorf("the services before the slow one were not stopped: %s", got)
		}
		<-time.After(2 * time.Hour) // let the slow one end
	})
}

func TestErrorWhileStoppingIsReturned(t *testing.T) {
	t.Parallel()
	flush := errors.New("flush failed")
	ctx, cancel := context.WithCancel(t.Context())
	g := lifecycle.NewGroup(nil)
	g.Add(lifecycle.Func("a", func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return flush
	}))
	if err := g.Run(ctx); !errors.Is(err, flush) {
		t.Error(err)
	}
}

func TestEndedContextStartsOneServiceAtMost(t *testing.T) {
	t.Parallel()
	var d diary
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := lifecycle.NewGroup(nil)
	for _, name := range []string{"a", "b"} {
		g.Add(service(&d, name))
	}
	if err := g.Run(ctx); err != nil {
		t.Error(err)
	}
	if got := strings.Fields(d.String()); slices.Contains(got, "+b") {
		t.Error(got)
	}
	if err := lifecycle.NewGroup(nil).Run(ctx); err != nil {
		t.Errorf("empty group: %v", err)
	}
}
