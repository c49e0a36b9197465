package ingress

import "runtime"

// Waiting counts the events that wait in lanes, for tests that fill a message.
func Waiting(s *Service) (events int) {
	for i := range s.lanes {
		l := &s.lanes[i]
		l.mu.Lock()
		for _, g := range l.mu.queue {
			events += g.events
		}
		l.mu.Unlock()
	}
	return events
}

// Used is the memory reserved at the moment.
func Used(s *Service) int64 { return s.budget.used.Load() }

// WaitForLanes returns when no message is under way.
func WaitForLanes(s *Service) { s.publishing.Wait() }

// Yield lets other goroutines run.
func Yield() { runtime.Gosched() }
