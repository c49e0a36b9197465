package egress

import (
	"context"
	"slices"
	"sync"
	"time"
)

// pool keeps the idle connections of a round tripper and bounds how many there
// are to an origin. No goroutine watches a connection: one timer closes those
// that are idle for too long, and one that is about to be used is looked at
// (conn.quiet). Safe for concurrent use.
type pool struct {
	limit int // of the connections to an origin; 0 for none
	idle  time.Duration

	mu struct {
		sync.Mutex
		sites map[origin]*site
		armed bool // the timer will call sweep
		timer *time.Timer
	}
}

// site is what a pool knows of an origin, while there is a connection to it or
// somebody wants one.
type site struct {
	idle   []*conn // the one used last at the end
	users  int     // exchanges that have a place or wait for one
	places chan struct{}
}

func newPool(limit int, idle time.Duration) *pool {
	p := &pool{limit: limit, idle: idle}
	p.mu.sites = map[origin]*site{}
	return p
}

// enter waits for a place among the connections to an origin; leave gives it
// back. The error is that of ctx.
func (p *pool) enter(ctx context.Context, to origin) error {
	p.mu.Lock()
	s := p.mu.sites[to]
	if s == nil {
		s = &site{}
		if p.limit > 0 {
			s.places = make(chan struct{}, p.limit)
		}
		p.mu.sites[to] = s
	}
	s.users++
	p.mu.Unlock()
	if s.places == nil {
		return nil
	}
	select {
	case s.places <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		p.quit(to, s)
		return ctx.Err() //nolint:wrapcheck // the caller's own
	}
}

// leave gives a place back, and the connection that was used there if it is worth
// keeping, else nil.
func (p *pool) leave(to origin, c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.mu.sites[to]
	if c != nil {
		c.since = time.Now()
		s.idle = append(s.idle, c)
		p.arm(p.idle)
	}
	if s.places != nil {
		<-s.places
	}
	p.quit(to, s)
}

func (p *pool) quit(to origin, s *site) {
	s.users--
	p.forget(to, s)
}

func (p *pool) forget(to origin, s *site) {
	if s.users == 0 && len(s.idle) == 0 {
		delete(p.mu.sites, to)
	}
}

// take returns the idle connection that was used last, nil when there is none.
// Those that are no longer as they were left are closed. The caller has a place.
func (p *pool) take(to origin) *conn {
	for {
		c := p.pop(to)
		if c == nil || c.quiet() {
			return c
		}
		c.abort()
	}
}

func (p *pool) pop(to origin) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.mu.sites[to]
	last := len(s.idle) - 1
	if last < 0 {
		return nil
	}
	c := s.idle[last]
	s.idle[last] = nil
	s.idle = s.idle[:last]
	return c
}

// arm has sweep called after d, unless it will be called anyway.
func (p *pool) arm(d time.Duration) {
	switch {
	case p.mu.armed:
	case p.mu.timer == nil:
		p.mu.timer = time.AfterFunc(d, p.sweep)
	default:
		p.mu.timer.Reset(d)
	}
	p.mu.armed = true
}

// sweep closes the connections that are idle for too long.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.armed = false
	now := time.Now()
	for to, s := range p.mu.sites {
		n := 0
		for n < len(s.idle) && now.Sub(s.idle[n].since) >= p.idle {
			n++
		}
		dismiss(s.idle[:n])
		s.idle = slices.Delete(s.idle, 0, n)
		if len(s.idle) > 0 {
			p.arm(p.idle - now.Sub(s.idle[0].since))
		}
		p.forget(to, s)
	}
}

// clear closes all idle connections.
func (p *pool) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for to, s := range p.mu.sites {
		dismiss(s.idle)
		s.idle = nil
		p.forget(to, s)
	}
}

// dismiss closes idle connections. Nothing of theirs waits to be sent, so a
// goodbye of TLS does not block.
func dismiss(list []*conn) {
	for _, c := range list {
		_ = c.Close()
	}
}
