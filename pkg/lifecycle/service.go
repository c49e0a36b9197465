package lifecycle

import (
	"context"
	"time"
)

// Service is one part of a process.
type Service interface {
	// Name is short and constant; it shows in logs and errors.
	Name() string
	// Run does the service's work and blocks until it is done. It returns soon
	// after ctx ends, when everything it started has ended; nil and ctx's own
	// error both mean that it ended as asked.
	Run(ctx context.Context) error
}

// Readier is a Service that takes a while before others can build on it.
type Readier interface {
	Service
	// Ready is closed when services that come later may start.
	Ready() <-chan struct{}
}

// Stopper is a Service with a stop deadline of its own.
type Stopper interface {
	Service
	// StopWithin is how long Run may take after its context has ended.
	StopWithin() time.Duration
}

// Func makes a Service from a function.
func Func(name string, run func(ctx context.Context) error) Service {
	return funcService{name, run}
}

type funcService struct {
	name string
	run  func(ctx context.Context) error
}

func (f funcService) Name() string                  { return f.name }
func (f funcService) Run(ctx context.Context) error { return f.run(ctx) }
