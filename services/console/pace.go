package console

import (
	"context"
	"time"
)

// How a reading of the whole log makes way for live traffic: after so much work it
// rests, and longer while the machine is busy, which shows by timers that come late.
const (
	paceWork  = time.Millisecond
	paceRest  = time.Millisecond
	paceMost  = 4 * time.Millisecond
	paceLate  = time.Millisecond
	paceEvery = 32 // records between two looks at the clock
)

// pace spaces work that can wait: it takes half of one processor at most, and on a
// busy machine a fifth. The zero pace has not begun. It belongs to one
// goroutine.
type pace struct {
	began time.Time // of the work since the last rest
	rest  time.Duration
}

// step is called between pieces of work; it blocks for a rest when one is due. The
// error is that of ctx.
func (p *pace) step(ctx context.Context) error {
	now := time.Now()
	if p.began.IsZero() {
		p.began = now
	}
	if now.Sub(p.began) < paceWork {
		return ctx.Err()
	}
	timer := time.NewTimer(max(p.rest, paceRest))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	p.began = time.Now()
	p.rested(p.began.Sub(now))
	return nil
}

// rested sets the next rest by how long this one has taken.
func (p *pace) rested(took time.Duration) {
	wanted := max(p.rest, paceRest)
	if took-wanted >= paceLate {
		p.rest = min(2*wanted, paceMost)
	} else {
		p.rest = max(wanted/2, paceRest)
	}
}
