package bus

import (
	"context"
	"runtime"
	"time"
)

// formation is what a bundle that has landed tells about the next one. Who waited
// for it comes again when he has his answer, and those who are answered at once
// come one after the other. If the first of them took off alone, the others would
// wait for his flight and take the next one: two writes for what fits into one.
type formation struct {
	expected int           // parts of the next bundle, if everybody comes again
	took     time.Duration // from departure to landing
	landed   time.Time
	shy      int // flights on which nobody is waited for
}

const (
	// longestFill is how long a bundle waits for its parts, at most.
	longestFill = 5 * time.Millisecond
	// shyFlights is how many bundles wait for nobody after one that waited in
	// vain: who comes by a clock of his own does not come because of an answer.
	shyFlights = 2
)

// after is the formation behind a bundle, with waiting parts in the next one.
func (b *formation) after(f *flight, waiting int) {
	*b = formation{expected: len(f.parts) + waiting, took: f.took, landed: time.Now(), shy: max(b.shy-1, 0)}
}

// patience is how long the next bundle waits for the expected parts: no longer
// than they would wait if it did not. Nobody is waited for who is alone, and not
// long after the landing.
func (b *formation) patience() time.Duration {
	if b.shy > 0 || b.expected < 2 || time.Since(b.landed) > 2*b.took {
		return 0
	}
	return min(b.took, longestFill)
}

// waited notes that a bundle with some parts waited, and with how many it left.
func (b *formation) waited(had, left int) {
	if 2*(left-had) < b.expected-had {
		b.shy = shyFlights
	}
}

// fill returns the next bundle, when it has the expected parts or has waited for
// them; nil for none. Whoever is ready to run goes first, which costs nothing when
// nobody is: while the processors are busy, more share the write.
func (g *gatherer) fill(ctx context.Context) *flight {
	runtime.Gosched()
	had, patience := g.lacks()
	if patience == 0 {
		return g.depart()
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	for more := patience; more > 0; _, more = g.lacks() {
		select {
		case <-g.wake:
			continue
		case <-late.C:
			g.late(had)
		case <-ctx.Done():
		}
		break
	}
	return g.depart()
}

// late notes that not all came for whom a bundle with some parts has waited.
func (g *gatherer) late(had int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.before.waited(had, g.waiting())
}

// lacks returns how many parts wait, and how long the next bundle may wait for more:
// zero when it has enough, or there is none.
func (g *gatherer) lacks() (parts int, patience time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	parts = g.waiting()
	if len(g.mu.queue) != 1 || parts >= g.mu.before.expected {
		return parts, 0
	}
	return parts, g.mu.before.patience()
}

// waiting is how many parts wait, with the lock held.
func (g *gatherer) waiting() (parts int) {
	for _, f := range g.mu.queue {
		parts += len(f.parts)
	}
	return parts
}
