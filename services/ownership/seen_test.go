package ownership

import (
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// seen counts what the Observer was told.
type seen struct {
	mu         sync.Mutex
	duplicates int
	fenced     int
	repeated   int
	alone      int
	drift      int
	records    []int // events of each record
	commands   map[string]int
	halted     map[int]string
	owned      map[control.AppID]int
	// reached is called at each Point, outside the lock; nil for none.
	reached func(Point, int)
}

func (s *seen) get(f func(*seen) int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f(s)
}

func (s *seen) at(f func(Point, int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reached = f
}

func (s *seen) observer(p *pulse) Observer {
	s.mu.Lock()
	s.commands, s.halted, s.owned = map[string]int{}, map[int]string{}, map[control.AppID]int{}
	s.mu.Unlock()
	note := func(f func()) {
		s.mu.Lock()
		f()
		s.mu.Unlock()
		p.beat()
	}
	return Observer{
		Reached: func(at Point, partition int) {
			s.mu.Lock()
			f := s.reached
			s.mu.Unlock()
			if f != nil {
				f(at, partition)
			}
			p.beat()
		},
		Decided:    func(control.Event) {},
		Refused:    func(control.Verb, control.Reason) {},
		Owned:      func(a control.AppID, d int) { note(func() { s.owned[a] += d }) },
		Appended:   func(_ time.Duration, n int) { note(func() { s.records = append(s.records, n) }) },
		Command:    func(_, result string) { note(func() { s.commands[result]++ }) },
		Duplicate:  func() { note(func() { s.duplicates++ }) },
		Fenced:     func(int) { note(func() { s.fenced++ }) },
		Halted:     func(p int, why string) { note(func() { s.halted[p] = why }) },
		Stepped:    func(int) { p.beat() },
		Repeated:   func(int) { note(func() { s.repeated++ }) },
		ReadsAlone: func(int) { note(func() { s.alone++ }) },
		Drift:      func() { note(func() { s.drift++ }) },
	}
}

func TestObserverMayBeEmpty(t *testing.T) {
	t.Parallel()
	var o Observer
	o.reached(PointApplied, 0)
	o.decided(control.Routed{})
	o.refused(control.Refusal{})
	o.owned(1, 1)
	o.appended(0, 0)
	o.command("", "")
	o.duplicate()
	o.fenced(0)
	o.halted(0, "")
	o.stepped(0)
	o.repeated(0)
	o.aside(0)
	o.drift()
}
