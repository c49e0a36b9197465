package sim

import (
	"context"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"
)

// collectEvery is how many steps are between two collections of garbage.
const collectEvery = 500

// end is one way in which a waiting call may end. What do does happens between
// two steps, while nothing else runs.
type end struct {
	name   string
	weight int
	do     func()
}

// op is a call that waits for the scheduler.
type op struct {
	link  *link
	key   string      // the same in every run of a seed
	ready func() bool // nil: at once
	ends  []end       // the first is the good one
	left  func()      // the caller has stopped waiting; nil for nothing to do
	// broken is how it ends when the servers go down; nil where that is nothing to
	// it.
	broken *end
	done   chan struct{}
	order  uint64
}

// action is a step that the scheduler may take.
type action struct {
	name   string
	weight int
	do     func()
}

// scheduler chooses what happens next.
type scheduler struct {
	rng   *rand.Rand
	trace hash.Hash64
	out   io.Writer
	steps int
	begun time.Time

	mu struct {
		sync.Mutex
		waiting []*op
		orders  uint64
	}
}

func newScheduler(seed uint64, out io.Writer) *scheduler {
	return &scheduler{
		rng: rand.New(rand.NewPCG(seed, 0xBA70)), trace: fnv.New64a(), out: out, begun: time.Now(), //nolint:gosec // repeatable on purpose
	}
}

// wait blocks until the scheduler has ended o, or ctx ends first.
func (s *scheduler) wait(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.done = make(chan struct{})
	s.mu.Lock()
	s.mu.orders++
	o.order = s.mu.orders
	s.mu.waiting = append(s.mu.waiting, o)
	s.mu.Unlock()
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.mu.waiting, o)
	if i < 0 {
		return nil // ended in the same moment
	}
	s.mu.waiting = slices.Delete(s.mu.waiting, i, i+1)
	if o.left != nil {
		o.left()
	}
	return ctx.Err()
}

// waiting are the calls that wait, by name.
func (s *scheduler) waiting() []*op {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.mu.waiting)
	slices.SortFunc(list, func(a, b *op) int {
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		return int(a.order) - int(b.order)
	})
	return list
}

// alter changes the calls that wait. They may end of themselves meanwhile: time
// goes on within a step, too.
func (s *scheduler) alter(change func(*op)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.mu.waiting {
		change(o)
	}
}

// release lets a waiting call go on.
func (s *scheduler) release(o *op) {
	s.mu.Lock()
	if i := slices.Index(s.mu.waiting, o); i >= 0 {
		s.mu.waiting = slices.Delete(s.mu.waiting, i, i+1)
	}
	s.mu.Unlock()
	close(o.done)
}

// settle waits until everything in the bubble is blocked, and says what the
// runtime draws from now on.
func (s *scheduler) settle() {
	synctest.Wait()
	if repeatable && s.steps%collectEvery == 0 {
		runtime.GC() // what it would do in the midst of a step, it would do at a moment of its own choice
	}
	seedRuntime(s.rng.Uint64() | 1)
}

// note makes a step part of the trace.
func (s *scheduler) note(format string, args ...any) {
	line := fmt.Sprintf("%d %v ", s.steps, time.Since(s.begun)) + fmt.Sprintf(format, args...) + "\n"
	_, _ = io.WriteString(s.trace, line) // a hash takes everything
	_, _ = io.WriteString(s.out, line)
}

// choose takes one of several weights.
func choose[T any](s *scheduler, list []T, weight func(T) int) (chosen T, ok bool) {
	total := 0
	for _, x := range list {
		total += weight(x)
	}
	if total == 0 {
		return chosen, false
	}
	n := s.rng.IntN(total)
	for _, x := range list {
		if n -= weight(x); n < 0 {
			return x, true
		}
	}
	return chosen, false
}

// chance is true percent times of a hundred.
func (s *scheduler) chance(percent int) bool { return s.rng.IntN(100) < percent }
