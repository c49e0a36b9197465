package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// History returns the positions of a thread's events below before, newest
// first, at most limit. before zero is the end of the log.
func (p *Partition) History(thread control.ThreadKey, before control.Position, limit int) (positions []control.Position, err error) {
	if before == 0 {
		before = math.MaxUint64
	}
	defer func() {
		if err != nil {
			positions, err = nil, fmt.Errorf("store: history of thread %d/%d: %w", thread.Asset, thread.Person, err)
		}
	}()
	rows, closer, positions := p.history(thread, before, limit)
	if len(positions) < limit {
		err = rows.eachBefore(before, func(at control.Position, _ []byte) bool {
			positions = append(positions, at)
			return len(positions) < limit
		})
	}
	return positions, errors.Join(err, closer.Close())
}

// history returns the newest positions of a thread's events below before that are
// in no row yet, newest first, and the rows, which have those that lie before them;
// the caller closes closer.
func (p *Partition) history(thread control.ThreadKey, before control.Position, limit int) (rows historyRows, closer io.Closer, late []control.Position) {
	p.writing.Lock()
	defer p.writing.Unlock()
	for i := len(p.index.events) - 1; i >= 0 && len(late) < limit; i-- {
		if e := &p.index.events[i]; e.thread == thread && e.at < before {
			late = append(late, e.at)
		}
	}
	if p.merged != nil {
		return p.historyRows(p.merged, thread), io.NopCloser(nil), late
	}
	snapshot := p.db.NewSnapshot()
	return p.historyRows(snapshot, thread), snapshot, late
}

// Past is a thread as it was.
type Past struct {
	State control.State
	// Last is the position of the last event of the thread that counts, zero
	// when it had none yet.
	Last control.Position
}

// StateAt returns a thread as it was after the event at position at: the fold
// of the thread's own events, from the last state kept among them.
func (p *Partition) StateAt(thread control.ThreadKey, at control.Position) (Past, error) {
	return p.past(thread, func(*pebble.Iterator) (control.Position, error) { return at, nil })
}

// StateAtTime returns a thread as it was decided to be at this partition time.
// A lapse that was due and not decided yet does not show: compare ExpiresAt.
func (p *Partition) StateAtTime(thread control.ThreadKey, at control.Millis) (Past, error) {
	return p.past(thread, func(log *pebble.Iterator) (control.Position, error) { return p.decidedBy(log, at) })
}

// past folds the events of a thread up to the position that until finds in the
// log.
func (p *Partition) past(thread control.ThreadKey, until func(log *pebble.Iterator) (control.Position, error)) (past Past, err error) {
	defer func() {
		if err != nil {
			past, err = Past{}, fmt.Errorf("store: past of thread %d/%d: %w", thread.Asset, thread.Person, err)
		}
	}()
	view, closer, err := p.view()
	if err != nil {
		return Past{}, err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	log, err := p.newLogIter(view)
	if err != nil {
		return Past{}, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	at, err := until(log)
	if err != nil {
		return Past{}, err
	}
	past, positions, err := p.kept(view, thread, at)
	if err != nil {
		return Past{}, err
	}
	return past, p.fold(&past, log, positions)
}

// decidedBy returns the last position of which the record was decided by a
// partition time, zero when there is none. Partition time never goes back, so
// it need not look at each.
func (p *Partition) decidedBy(log *pebble.Iterator, at control.Millis) (control.Position, error) {
	if !log.Last() {
		return 0, log.Error()
	}
	last, err := parseLogKey(log.Key())
	if err != nil {
		return 0, err
	}
	// Up to low the log was decided by then, from high on it was not.
	low, high := control.Position(0), last.First+eventlog.MaxEvents
	for low+1 < high {
		record, err := p.look(log, low+(high-low)/2)
		switch {
		case err != nil:
			return 0, err
		case record.DecidedAt() > at:
			high = record.First()
		case record.Last() <= low: // nothing follows it
			return low, nil
		default:
			low = record.Last()
		}
	}
	return low, nil
}

// kept returns the last state kept along a thread's history, up to position
// until, and the positions of the events after it, oldest first.
func (p *Partition) kept(r pebble.Reader, thread control.ThreadKey, until control.Position) (past Past, positions []control.Position, err error) {
	var bad error
	err = p.historyRows(r, thread).eachBefore(max(until+1, until), func(at control.Position, state []byte) bool {
		if len(state) == 0 {
			positions = append(positions, at)
			return true
		}
		past.Last = at
		past.State, bad = control.ParseState(state)
		return false
	})
	slices.Reverse(positions)
	return past, positions, errors.Join(err, bad)
}

// fold folds the events at these positions into past.
func (p *Partition) fold(past *Past, log *pebble.Iterator, positions []control.Position) error {
	var record eventlog.View
	for _, at := range positions {
		if at >= record.Last()+1 { // the zero View ends before position 0
			var err error
			if record, err = p.look(log, at); err != nil {
				return fmt.Errorf("position %d: %w", at, err)
			}
		}
		e, ok, err := record.At(at)
		if !ok {
			return fmt.Errorf("position %d: %w", at, cmp.Or(err, ErrNoPosition))
		}
		past.Last = at
		if e.Evolves() {
			past.State = control.Evolve(past.State, e.Event)
		}
	}
	return nil
}
