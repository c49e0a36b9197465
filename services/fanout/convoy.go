package fanout

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// Bounds of the reads for apps that lag. All that waits is memory, and what full
// engines leave unread was read in vain. While another waits that is not read for,
// a turn ends after catchUpTurn events; apps that are so near the end of the log go
// alone. Those that are at most catchUpNear events apart go together.
const (
	catchUpAhead = 16
	catchUpTurn  = 1024
	catchUpNear  = 16384
)

// turns lets one app at a time read the log to catch up, and for those that wait
// near it as well. The others wait in the order in which they came. Safe for
// concurrent use.
type turns struct {
	mu struct {
		sync.Mutex
		taken   bool
		waiting []*turn
	}
}

// turn is one that is waited for.
type turn struct {
	engine *engine
	begun  chan struct{} // closed when it begins
}

// begin waits for a turn, which end ends; false when ctx ended first. While it
// waits, whoever has the turn may read for the engine.
func (t *turns) begin(ctx context.Context, e *engine) bool {
	t.mu.Lock()
	if !t.mu.taken {
		t.mu.taken = true
		t.mu.Unlock()
		return true
	}
	mine := &turn{engine: e, begun: make(chan struct{})}
	t.mu.waiting = append(t.mu.waiting, mine)
	t.mu.Unlock()
	select {
	case <-mine.begun:
		return true
	case <-ctx.Done():
		t.leave(mine)
		return false
	}
}

// leave waits no longer.
func (t *turns) leave(mine *turn) {
	t.mu.Lock()
	i := slices.Index(t.mu.waiting, mine)
	if i >= 0 {
		t.mu.waiting = slices.Delete(t.mu.waiting, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 { // it has just begun
		t.end()
	}
}

func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.mu.waiting) == 0 {
		t.mu.taken = false
		return
	}
	close(t.mu.waiting[0].begun)
	t.mu.waiting = slices.Delete(t.mu.waiting, 0, 1)
}

// others are the engines that wait for a turn.
func (t *turns) others() []*engine {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*engine, len(t.mu.waiting))
	for i, w := range t.mu.waiting {
		list[i] = w.engine
	}
	return list
}

// convoy is what one turn reads for: an app that lags, and those near it that wait.
// What is read is decoded and planned once for all of them.
type convoy struct {
	service *Service
	by      map[int][]reading // the places that are brought up, by partition
	open    map[*engine]int   // how many of them each engine has
	after   uint64
	events  int
	rest    time.Duration // owed to what is in time
}

// readInTurn reads for an app when it is its turn.
func (s *Service) readInTurn(ctx context.Context, e *engine) error {
	if !s.catchUps.begin(ctx, e) {
		return ctx.Err()
	}
	defer s.catchUps.end()
	places := s.lagging(e) // others may have read for it meanwhile
	if len(places) == 0 || e.starves() {
		return errTurn
	}
	c := s.convoy(e, places)
	return s.deps.Log.ReadLog(ctx, c.options(), func(m bus.Message) error { return c.take(ctx, m) })
}

// convoy is an app with its places and those that wait near it. One near the end of
// the log goes alone.
func (s *Service) convoy(e *engine, places []reading) *convoy {
	c := &convoy{service: s, by: map[int][]reading{}, open: map[*engine]int{}, after: ^uint64(0)}
	c.join(e, places)
	unread := unreadOf(places)
	if unread <= catchUpTurn {
		return c
	}
	for _, other := range s.catchUps.others() {
		if other.starves() {
			continue
		}
		places := s.lagging(other)
		theirs := unreadOf(places)
		if theirs > catchUpTurn && max(unread, theirs)-min(unread, theirs) <= catchUpNear {
			c.join(other, places)
		}
	}
	return c
}

// join adds the places of an engine.
func (c *convoy) join(e *engine, places []reading) {
	c.open[e] = len(places)
	for _, r := range places {
		p := r.place.holder.partition
		c.by[p] = append(c.by[p], r)
		c.after = min(c.after, r.after)
	}
}

func (c *convoy) options() bus.ReadOptions {
	o := bus.ReadOptions{After: c.after, Ahead: catchUpAhead}
	for p := range c.by {
		o.Partitions = append(o.Partitions, p)
	}
	slices.Sort(o.Partitions)
	return o
}

// take hands a record to the places of its partition. It ends the turn when all have
// caught up or their engines are full, or another's turn has come.
func (c *convoy) take(ctx context.Context, m bus.Message) error {
	list := c.by[m.Partition]
	left := list[:0]
	for _, r := range list {
		stays, err := c.feed(ctx, r, m)
		if err != nil {
			return err
		}
		if stays {
			left = append(left, r)
		}
	}
	c.by[m.Partition] = left
	switch {
	case len(c.open) == 0:
		return errCaughtUp
	case c.over():
		return errTurn
	}
	return nil
}

// feed hands a record to a place, and reports whether it wants more.
func (c *convoy) feed(ctx context.Context, r reading, m bus.Message) (more bool, err error) {
	e := r.engine
	if c.open[e] == 0 { // full
		return false, nil
	}
	n, more, err := r.place.feed(ctx, m, r.round)
	if errors.Is(err, errNoRoom) {
		delete(c.open, e)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.events += n
	if c.rest += c.service.throttle.rest(n, time.Now()); c.rest > throttleEvery {
		sleep(ctx, c.rest)
		c.rest = 0
	}
	if !more {
		if c.open[e]--; c.open[e] == 0 {
			delete(c.open, e)
		}
	}
	return more, nil
}

// over reports whether a turn's worth was read, and another waits that has room and
// is not read for.
func (c *convoy) over() bool {
	return c.events >= catchUpTurn && slices.ContainsFunc(c.service.catchUps.others(), func(e *engine) bool {
		return c.open[e] == 0 && !e.starves()
	})
}
