package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/baton-router/baton/pkg/bus"
)

// air carries the nodes' beats to each other: most at once, some late or twice,
// some never. Beats are many, so their fates are no steps of their own; they are
// drawn here, where they are sent.
type air struct {
	calm atomic.Bool
	mu   struct {
		sync.Mutex
		rng  *rand.Rand
		ears []*ear
		late []late
	}
}

// ear is somebody who listens.
type ear struct {
	link *link
	name string
	hear func(name string, data []byte)
}

// lateBeats bounds how many are on their way.
const lateBeats = 6

func newAir(seed uint64) *air {
	a := new(air)
	a.mu.rng = rand.New(rand.NewPCG(seed, 0xA17)) //nolint:gosec // repeatable on purpose
	return a
}

// Announce implements assignment.Notes.
func (l *link) Announce(name string, data []byte) error {
	if l.dead.Load() {
		return bus.ErrClosed
	}
	for _, hear := range l.w.air.fates(l, name, slices.Clone(data)) {
		hear(name, data)
	}
	return nil
}

// fates draws what becomes of a beat, and returns who hears it at once.
func (a *air) fates(from *link, name string, data []byte) (now []func(string, []byte)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.mu.ears {
		if e.name != name || e.link.dead.Load() {
			continue
		}
		to, fate := e.link.node, a.mu.rng.IntN(100)
		switch {
		case a.calm.Load(), from == e.link && !to.frozen.Load() && !to.deaf.Load() && fate < 97:
			now = append(now, e.hear)
		case from.node.deaf.Load() || to.deaf.Load():
		case from.node.frozen.Load() || to.frozen.Load() || fate < 5:
			a.mu.late = append(a.mu.late, late{fmt.Sprintf("beat of %s to %s", from.name, e.link.name), func() {
				if !e.link.dead.Load() {
					e.hear(name, data)
				}
			}})
		case fate < 8:
			now = append(now, e.hear, e.hear)
		case fate < 95:
			now = append(now, e.hear)
		}
	}
	a.mu.late = a.mu.late[max(0, len(a.mu.late)-lateBeats):]
	return now
}

// Listen implements assignment.Notes.
func (l *link) Listen(name string, fn func(name string, data []byte)) (stop func(), err error) {
	if l.dead.Load() {
		return nil, bus.ErrClosed
	}
	a, e := l.w.air, &ear{l, name, fn}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.ears = append(a.mu.ears, e)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.mu.ears = slices.DeleteFunc(a.mu.ears, func(other *ear) bool { return other == e })
	}, nil
}

// beats are the late ones, which arrive or are lost.
func (w *World) beats() (list []action) {
	a := w.air
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, b := range a.mu.late {
		drop := func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.mu.late = slices.Delete(a.mu.late, i, i+1)
		}
		list = append(list, action{"late: " + b.key, 4, func() { drop(); b.arrive() }}, action{"lost: " + b.key, 2, drop})
	}
	return list
}
