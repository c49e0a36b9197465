package fanout

import "time"

// pace is how many POSTs to an app may be under way: it grows by one for each
// round of answers while all slots are in use, and shrinks when the endpoint
// asks for patience, fails, or answers more and more slowly. Guarded by the
// engine.
type pace struct {
	slots float64
	limit int // App.MaxInFlight
	// usual is the endpoint's latency when it is not pressed, recent that of
	// now, a moving average. measured is when usual was begun anew: with fewer
	// slots, so that an endpoint that has become slower for good is known.
	usual, recent time.Duration
	measured      time.Time
	// share is the share of failures among recent first attempts. Retries do
	// not count: that a thread's event fails again says nothing new.
	share float64
	cut   time.Time // POSTs begun before the last cut say nothing new either
}

const (
	// paceBegin is how many slots an app begins with, paceLeast how few it
	// keeps: two, so that retries and first attempts never share one.
	paceBegin, paceLeast = 4, 2
	paceCut              = 0.5
	paceSlowCut          = 0.9
	// paceSlow is by how much latency may rise before it counts as pressure,
	// beside slowFloor for endpoints that are very quick.
	paceSlow      = 2
	paceSlowFloor = 20 * time.Millisecond
	// paceShare is the share of failures that counts as the endpoint's fault
	// and not as that of some threads.
	paceShare  = 0.25
	paceMemory = 16 // POSTs that averages remember
	// paceMeasure is how long the usual latency is believed.
	paceMeasure = 5 * time.Minute
)

// resize makes limit the most there may be.
func (p *pace) resize(limit int) {
	p.limit = limit
	if p.slots == 0 {
		p.slots = paceBegin
	}
	p.slots = min(p.slots, float64(limit))
}

// now is how many POSTs may be under way.
func (p *pace) now() int { return int(p.slots) }

// count takes note of whether a first attempt failed.
func (p *pace) count(failed bool) {
	p.share -= p.share / paceMemory
	if failed {
		p.share += 1.0 / paceMemory
	}
}

// answered takes note of a POST that was taken; pressed says that all slots were
// in use.
func (p *pace) answered(took time.Duration, pressed bool, started, now time.Time) {
	switch {
	case started.Before(p.cut): // under the pressure of before
		return
	case p.measured.IsZero():
		p.measured = now
	case now.Sub(p.measured) > paceMeasure:
		p.measured, p.usual = now, 0
		if pressed {
			p.shrink(paceCut, started, now)
			return
		}
	}
	if p.usual == 0 {
		p.usual, p.recent = took, took
	}
	p.recent += (took - p.recent) / paceMemory
	p.usual = min(p.usual, p.recent)
	switch {
	case p.recent > paceSlow*p.usual+paceSlowFloor:
		p.shrink(paceSlowCut, started, now)
	case pressed:
		p.slots = min(p.slots+1/p.slots, float64(p.limit))
	}
}

// failed takes note of a POST that was not.
func (p *pace) failed(a answer, started, now time.Time) {
	if a == answerBusy || p.share > paceShare {
		p.shrink(paceCut, started, now)
	}
}

// shrink cuts the slots, once for all POSTs that were under way together.
func (p *pace) shrink(by float64, started, now time.Time) {
	if started.Before(p.cut) {
		return
	}
	p.slots, p.cut = max(p.slots*by, float64(min(paceLeast, p.limit))), now
}
