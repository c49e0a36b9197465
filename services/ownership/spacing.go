package ownership

import (
	"errors"
	"math/rand/v2"
	"time"
)

// Bounds of the pause between a claim, or a tenure, that failed and the next
// claim.
const (
	soonest = 50 * time.Millisecond
	latest  = time.Second
)

// spacing is how a holder spaces its claims. What failed is tried again soon, since
// the partition may have nobody, and less and less often, since what is in the way
// may last. The zero value is ready for use.
type spacing struct{ step time.Duration }

// after is how long to wait after a tenure that took a while and ended with an
// error. One that took longer than the longest pause has spaced itself. A holder
// that was deposed knows that somebody has the partition; it is given the time to
// hear from whom, or the two would take it from each other.
func (s *spacing) after(err error, took time.Duration) time.Duration {
	switch {
	case errors.Is(err, errDeposed):
		s.step = latest
	case s.step == 0, took >= latest:
		s.step = soonest
	default:
		s.step = min(2*s.step, latest)
	}
	return s.step/2 + rand.N(s.step/2) //nolint:gosec // jitter, no secret
}
