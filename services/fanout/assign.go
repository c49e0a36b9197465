package fanout

import (
	"slices"
	"time"
)

// shunFor is for how long a partition that was given up halted is left to other
// nodes, as long as one of them has not halted it: damage of the log halts
// everybody, and would be passed round without end.
const shunFor = 10 * time.Minute

// Epoch is that of the partition's cursor here; 0 while it is not held.
func (s *Service) Epoch(p int) uint64 {
	h := s.holder(p)
	if h == nil || h.stopped.Load() {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.epoch
}

// Unable lists the partitions that another node should rather hold, ascending:
// their cursor was refused here, or their log cannot be followed, or that was so
// when they were given up a while ago.
func (s *Service) Unable() (list []int) {
	for _, p := range s.Partitions() {
		if p.Halted != nil {
			list = append(list, p.Partition)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, since := range s.mu.shunned {
		if s.mu.tenures[p] == nil && time.Since(since) < shunFor {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return list
}

// shun notes a partition that is given up halted.
func (s *Service) shun(p int) {
	h := s.holder(p)
	halted := h != nil && h.isHalted()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.shunned, p)
	if halted || s.mu.refused[p] != nil {
		s.mu.shunned[p] = time.Now()
	}
}

// Load is how many positions wait to be delivered in the partitions held here.
func (s *Service) Load() (waiting int) {
	s.mu.Lock()
	held := make([]*holder, 0, len(s.mu.holders))
	for _, h := range s.mu.holders {
		held = append(held, h)
	}
	s.mu.Unlock()
	for _, h := range held {
		h.mu.Lock()
		waiting += h.mu.open
		h.mu.Unlock()
	}
	return waiting
}
