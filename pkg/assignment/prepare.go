package assignment

import (
	"context"
	"time"
)

// prepareFor bounds the time that a role has to prepare for a partition before its
// holder is asked for it all the same.
const prepareFor = time.Second

// preparation is which partition the role prepares for, or is prepared for. Owned by
// Run's goroutine, but for done.
type preparation struct {
	ctx   context.Context //nolint:containedctx // of Run, for what its goroutine begins
	under int             // the one under way; nothing for none
	ready int             // the one that may be asked for
	done  chan int
}

func newPreparation(ctx context.Context) preparation {
	return preparation{ctx: ctx, under: nothing, ready: nothing, done: make(chan int, 1)}
}

// prepare is the partition to ask for: the one that the table says, once the role is
// prepared for it, so that it has no holder for as short as can be.
func (s *Service) prepare(want int) int {
	a := &s.prepares
	switch {
	case want == nothing:
		a.ready = nothing
	case want == a.ready:
		return want
	case a.under == nothing:
		a.under = want
		s.crew.Go(func() {
			ctx, cancel := context.WithTimeout(a.ctx, prepareFor)
			defer cancel()
			s.role.Prepare(ctx, want)
			a.done <- want
		})
	}
	return nothing
}

// isPrepared notes that the role is, and asks.
func (s *Service) isPrepared(p int) {
	s.log.Debug("prepared for the partition", "partition", p)
	s.prepares.under, s.prepares.ready = nothing, p
	if s.act() {
		s.say()
	}
}
