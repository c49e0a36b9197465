package fanout

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

// Unable lists the partitions that another node should rather hold: their cursor
// was refused here, or their log cannot be followed.
func (s *Service) Unable() (list []int) {
	for _, p := range s.Partitions() {
		if p.Halted != nil {
			list = append(list, p.Partition)
		}
	}
	return list
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
