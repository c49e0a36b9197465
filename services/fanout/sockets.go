package fanout

import "sync"

// sockets bounds the POSTs under way of all apps together. Half of them are
// shared out evenly: an app may always have that many, whatever the others do.
// The other half goes to whoever asks first. Safe for concurrent use.
type sockets struct {
	limit int

	mu      sync.Mutex
	engines int
	lent    int
	waiting []*engine // in the order in which they asked
}

func (s *sockets) join() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engines++
}

func (s *sockets) quit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engines--
}

// enter asks for one more POST of an engine that has own of its own share and
// others lent to it. One that waits to be called for a lent one may ask all the
// same: its share is never refused.
func (s *sockets) enter(e *engine, own int, waits bool) (ok, lent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own < max(s.limit/2/max(s.engines, 1), 1) {
		return true, false
	}
	if waits {
		return false, false
	}
	if s.lent >= s.limit/2 {
		s.waiting = append(s.waiting, e)
		return false, false
	}
	s.lent++
	return true, true
}

// giveBack ends a lent one and returns those that waited for it, to be called in
// their order.
func (s *sockets) giveBack() (waiting []*engine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent--
	waiting, s.waiting = s.waiting, nil
	return waiting
}
