package ingress

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Service is the ingress role: an http.Handler for the webhook address. Its
// methods are safe for concurrent use.
type Service struct {
	config Config
	deps   Deps
	budget budget
	lanes  []lane
	timers sync.Pool // of *time.Timer, stopped
	// publishing counts the lanes with a message under way.
	publishing sync.WaitGroup
	stop       struct {
		sync.RWMutex // held for reading while a request adds its events
		stopped      bool
	}
}

// New returns the role. It handles requests at once; Run ends it in good order.
// The error lists every fault of the configuration and the dependencies.
func New(c Config, d Deps) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("ingress: %w", err)
	}
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("ingress: %w", err)
	}
	c = c.WithDefaults()
	s := &Service{config: c, deps: d, lanes: make([]lane, c.Partitions)}
	s.budget.limit = int64(c.MaxPendingBytes)
	for p := range s.lanes {
		s.lanes[p].partition, s.lanes[p].service = p, s
	}
	return s, nil
}

// Name is the role's.
func (s *Service) Name() string { return "ingress" }

// Run blocks until ctx ends; then it refuses new requests with 503 and returns
// when every message under way has been stored or given up, or after
// AnswerWithin: by then no request waits for one.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	s.stop.Lock()
	s.stop.stopped = true
	s.stop.Unlock()
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		s.publishing.Wait()
	}()
	late := time.NewTimer(s.config.AnswerWithin)
	defer late.Stop()
	select {
	case <-idle:
	case <-late.C:
	}
	return nil
}
