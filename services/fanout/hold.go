package fanout

import (
	"context"
	"fmt"
	"sync"
)

// tenure is a partition that this node is to deliver for, until it ends.
type tenure struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the partition is given back
}

// Hold makes a partition one that this node delivers for, from Run on and until
// Yield. It takes the cursor over, also from a node that holds it; when another
// node takes it in turn, it is claimed again after a while. It does not block.
func (s *Service) Hold(p int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.tenures[p] != nil {
		return
	}
	t := &tenure{done: make(chan struct{})}
	s.mu.tenures[p] = t
	if s.mu.begun { // until then Run begins all of them
		s.begin(p, t)
	}
}

// begin starts a tenure. Called with the lock held.
func (s *Service) begin(p int, t *tenure) {
	var ctx context.Context
	ctx, t.cancel = context.WithCancel(s.work)
	s.crew.Go(func() {
		defer close(t.done)
		s.hold(ctx, p)
	})
}

// Yield ends a partition's tenure: nothing more is started, POSTs under way may
// end (Config.DrainFor), and the cursor says that a successor need not wait. It
// returns when all of that is done; false for a partition that was not to be
// held.
func (s *Service) Yield(p int) bool {
	s.shun(p)
	s.mu.Lock()
	t := s.mu.tenures[p]
	delete(s.mu.tenures, p)
	delete(s.mu.refused, p)
	s.mu.Unlock()
	if t == nil {
		return false
	}
	if t.cancel != nil {
		t.cancel()
		<-t.done
	}
	return true
}

// hold holds a partition until ctx ends, claiming it again when another node has
// taken it over.
func (s *Service) hold(ctx context.Context, p int) {
	for ctx.Err() == nil {
		h := newHolder(s, p)
		if err := h.claim(ctx); err != nil {
			if ctx.Err() == nil {
				s.refuse(h, fmt.Errorf("fanout: claim: %w", err))
			}
			return
		}
		s.join(ctx, h)
		s.run(ctx, h)
		if !h.stopped.Load() {
			break
		}
		sleep(ctx, jitter(s.config.ReclaimAfter))
	}
	if h := s.holder(p); h != nil && s.work.Err() == nil { // else drain does it for all
		s.handOver(h)
	}
}

// run carries out the orders for a claimed partition, until ctx ends or another
// node has taken it over.
func (s *Service) run(ctx context.Context, h *holder) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { h.obey(ctx) })
	select {
	case <-ctx.Done():
	case <-h.lost:
	}
	cancel()
	wg.Wait()
}

// join makes a claimed partition one of those that are read and delivered.
func (s *Service) join(ctx context.Context, h *holder) {
	h.attach()
	s.mu.Lock()
	s.mu.holders[h.partition] = h
	s.mu.Unlock()
	h.attach() // again: the roster may have changed in between
	if !h.joinReader(ctx) {
		signal(s.joined)
	}
	s.observers.claimed(h.partition)
}

// handOver gives a partition back while the others go on.
func (s *Service) handOver(h *holder) {
	h.ending.Store(true)
	h.lease.Store(0)
	s.leave(h)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.work), s.config.DrainFor)
	defer cancel()
	var wg sync.WaitGroup
	for _, pl := range h.places() {
		wg.Go(func() {
			pl.engine.drop(pl, false)
			if !pl.engine.quiet(ctx, pl) {
				pl.engine.drop(pl, true)
				pl.engine.quiet(context.WithoutCancel(ctx), pl)
			}
		})
	}
	wg.Wait()
	saving, done := context.WithTimeout(context.WithoutCancel(s.work), s.config.SaveTimeout)
	defer done()
	h.release(saving)
	h.log.Info("partition given back", "epoch", h.mu.epoch)
}

// places are those that deliver.
func (h *holder) places() []*place {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*place, 0, len(h.mu.places))
	for _, pl := range h.mu.places {
		if pl.engine != nil {
			list = append(list, pl)
		}
	}
	return list
}

// quiet waits until no POST carries a letter of an origin; false when ctx ended
// first.
func (e *engine) quiet(ctx context.Context, from origin) bool {
	for {
		e.mu.Lock()
		busy := false
		for b := range e.mu.batches {
			busy = busy || b.carries(from)
		}
		if e.mu.landed == nil {
			e.mu.landed = make(chan struct{})
		}
		landed := e.mu.landed
		e.mu.Unlock()
		if !busy {
			return true
		}
		select {
		case <-landed:
		case <-ctx.Done():
			return false
		}
	}
}

// refuse notes a partition whose cursor cannot be used.
func (s *Service) refuse(h *holder, err error) {
	s.mu.Lock()
	s.mu.refused[h.partition] = err
	s.mu.Unlock()
	h.halt(err)
}

// leave takes a partition out of the readers: it is no longer held.
func (s *Service) leave(h *holder) {
	s.mu.Lock()
	if s.mu.holders[h.partition] == h {
		delete(s.mu.holders, h.partition)
	}
	s.mu.Unlock()
	s.route.remove(h)
	s.payloads.drop(h.partition)
}
