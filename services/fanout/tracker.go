package fanout

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// Bounds of what a cursor remembers above a watermark. Source: design.md
// section 6.
const (
	maxOpenPerApp       = 20_000
	maxOpenPerPartition = 200_000
	// maxFailures is how many retry clocks a cursor keeps, per partition; the
	// clocks of more start anew after a restart.
	maxFailures = 20_000
)

// mark is a place between two records of a partition's log; see the cursor's
// proto. Marks are shared and never changed.
type mark struct {
	position control.Position
	sequence uint64
	epoch    uint64
	roster   uint64
	decided  control.Millis // of the record before
	record   uint64         // first bytes of its hash; 0 where it is not known
}

// failure is the retry clock of an undelivered event.
type failure struct {
	attempts int
	first    time.Time
	next     time.Time
}

// open is an event that was offered and is not finished.
type open struct {
	position control.Position
	before   *mark // of its record
	done     bool
}

// tracker is an app's place in a partition. Not safe for concurrent use; the
// holder's lock guards it.
type tracker struct {
	// read: everything up to here was offered or was not for the app. at is
	// where reading goes on.
	read control.Position
	at   *mark
	// open are ascending positions; the finished ones among them, done many,
	// are removed when they are half.
	open []open
	done int
	// owed are the positions up to upTo that a cursor named as undelivered
	// and that were not read again yet; the rest up to upTo is finished.
	owed    []control.Position
	upTo    control.Position
	failing map[control.Position]failure
}

func newTracker(at *mark) tracker {
	return tracker{read: at.position, at: at, upTo: at.position, failing: map[control.Position]failure{}}
}

// wants reports whether the event at a position must be delivered.
func (t *tracker) wants(p control.Position) bool {
	if p <= t.read {
		return false
	}
	if p > t.upTo {
		return true
	}
	_, owed := slices.BinarySearch(t.owed, p)
	return owed
}

// unfinished is how many positions above the watermark are undelivered.
func (t *tracker) unfinished() int { return len(t.open) - t.done + len(t.owed) }

// offered notes that the event at a position waits in the engine; positions come
// in ascending order.
func (t *tracker) offered(p control.Position, before *mark) {
	if n := len(t.open); n > 0 && t.open[n-1].position >= p {
		panic(fmt.Sprintf("fanout: position %d offered after %d", p, t.open[n-1].position)) //nolint:forbidigo // a broken invariant
	}
	t.open = append(t.open, open{position: p, before: before})
}

// advance notes that everything up to a position was read for the app, and from
// where reading goes on.
func (t *tracker) advance(to control.Position, at *mark) {
	t.read, t.at = max(t.read, to), at
	n := 0
	for n < len(t.owed) && t.owed[n] <= t.read {
		n++
	}
	t.owed = t.owed[n:]
}

// isOpen reports whether the event at a position is undelivered.
func (t *tracker) isOpen(p control.Position) bool {
	i, found := t.search(p)
	if found && !t.open[i].done {
		return true
	}
	_, owed := slices.BinarySearch(t.owed, p)
	return owed
}

func (t *tracker) search(p control.Position) (i int, found bool) {
	return slices.BinarySearchFunc(t.open, p, func(o open, p control.Position) int { return cmp.Compare(o.position, p) })
}

// finish notes that nothing more is done about an event. False for one that is
// not open.
func (t *tracker) finish(p control.Position) bool {
	i, found := t.search(p)
	if !found || t.open[i].done {
		return false
	}
	t.open[i].done = true
	t.done++
	if len(t.failing) > 0 {
		delete(t.failing, p)
	}
	t.compact()
	return true
}

// compact drops finished positions: those at the front at once, the others when
// they are half.
func (t *tracker) compact() {
	n := 0
	for n < len(t.open) && t.open[n].done {
		n++
	}
	t.open, t.done = t.open[n:], t.done-n
	if t.done > 32 && t.done > len(t.open)/2 {
		t.open = slices.DeleteFunc(t.open, func(o open) bool { return o.done })
		t.done = 0
	}
	if len(t.open) == 0 {
		t.open = nil
	}
}

// reload goes back to what a cursor would say now: everything undelivered is
// read again.
func (t *tracker) reload() {
	owed, upTo, watermark, from := t.undelivered(nil), t.known(), t.watermark(), t.from()
	t.owed, t.upTo, t.read, t.at = owed, upTo, watermark, from
	t.open, t.done = nil, 0
}

// fail notes the retry clock of an open event.
func (t *tracker) fail(p control.Position, f failure) { t.failing[p] = f }

// watermark is the position up to which everything is finished.
func (t *tracker) watermark() control.Position {
	switch {
	case len(t.open) > 0:
		return t.open[0].position - 1
	case len(t.owed) > 0:
		return t.owed[0] - 1
	}
	return t.known()
}

// from is where reading must begin to see everything undelivered again.
func (t *tracker) from() *mark {
	if len(t.open) > 0 {
		return t.open[0].before
	}
	return t.at
}

// undelivered appends the positions that are not finished, ascending.
func (t *tracker) undelivered(dst []control.Position) []control.Position {
	for _, o := range t.open {
		if !o.done {
			dst = append(dst, o.position)
		}
	}
	return append(dst, t.owed...)
}

// known is the position up to which the cursor may say: undelivered or finished.
func (t *tracker) known() control.Position { return max(t.read, t.upTo) }
