package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// DefaultStopWithin is the stop deadline of a service that names none.
const DefaultStopWithin = 5 * time.Second

// ErrStopDeadline is returned by Group.Run for each service that did not end in
// time after it was asked to. Its goroutines are left behind.
var ErrStopDeadline = errors.New("lifecycle: service did not stop in time")

// ErrEnded is returned by Group.Run when a service ended without an error
// although nobody had asked it to.
var ErrEnded = errors.New("lifecycle: service ended by itself")

// Group runs services together. Add them in the order in which they start.
// Not safe for concurrent use before Run.
type Group struct {
	logger   *slog.Logger
	services []Service
}

// NewGroup returns an empty group; a nil logger means none.
func NewGroup(logger *slog.Logger) *Group {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Group{logger: logger}
}

// Add appends services: they start after those added before and stop before
// them.
func (g *Group) Add(services ...Service) {
	g.services = append(g.services, services...)
}

// Run starts the services one after the other, each when the one before is
// ready, and blocks until all have ended. When ctx ends, or a service returns
// an error or ends by itself, the services are stopped in reverse order: the
// next one is asked when the one before has ended or its deadline is over.
//
// It returns nil when ctx ended and all services stopped in time, otherwise
// what went wrong first, joined with what went wrong while stopping.
func (g *Group) Run(ctx context.Context) error {
	ended := make(chan *running, len(g.services)) // each service sends once
	var up []*running
	var failed error
	for _, s := range g.services {
		r := start(ctx, s, ended)
		up = append(up, r)
		if failed = r.awaitReady(ctx, ended); failed != nil || ctx.Err() != nil {
			break
		}
		g.logger.Debug("service started", "service", s.Name())
	}
	if failed == nil && len(up) > 0 {
		failed = awaitEnd(ctx, ended)
	}
	if failed != nil {
		g.logger.Error("service failed, stopping", "err", failed)
	}
	return errors.Join(failed, g.stop(up))
}

// running is a service under way. err is set before done is closed.
type running struct {
	service Service
	cancel  context.CancelFunc
	done    chan struct{}
	err     error
	told    bool // its error was returned already
}

// start runs a service under a context that ends only when the group says so:
// the order of stopping is the group's.
func start(ctx context.Context, s Service, ended chan<- *running) *running {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{service: s, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer func() { ended <- r }()
		defer close(r.done)
		r.err = s.Run(ctx)
	}()
	return r
}

// awaitReady blocks until the service is ready, ctx ends, or any service ends.
func (r *running) awaitReady(ctx context.Context, ended <-chan *running) error {
	s, ok := r.service.(Readier)
	if !ok {
		return nil
	}
	select {
	case <-s.Ready():
		return nil
	case <-ctx.Done():
		return nil
	case early := <-ended:
		return early.failure()
	}
}

// awaitEnd blocks until ctx ends or any service ends.
func awaitEnd(ctx context.Context, ended <-chan *running) error {
	select {
	case <-ctx.Done():
		return nil
	case r := <-ended:
		return r.failure()
	}
}

// failure says why a service ended that was not asked to.
func (r *running) failure() error {
	r.told = true
	err := r.err
	if err == nil {
		err = ErrEnded
	}
	return fmt.Errorf("%s: %w", r.service.Name(), err)
}

// stop ends the services, the last one first.
func (g *Group) stop(up []*running) error {
	var faults []error
	for _, r := range slices.Backward(up) {
		began := time.Now()
		if err := r.stop(); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", r.service.Name(), err))
		}
		g.logger.Debug("service stopped", "service", r.service.Name(), "took", time.Since(began))
	}
	return errors.Join(faults...)
}

func (r *running) stop() error {
	r.cancel()
	within := DefaultStopWithin
	if s, ok := r.service.(Stopper); ok {
		within = s.StopWithin()
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-r.done:
	case <-timer.C:
		return fmt.Errorf("%w: %s", ErrStopDeadline, within)
	}
	if r.told || errors.Is(r.err, context.Canceled) {
		return nil
	}
	return r.err
}
