package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
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
	it, positions, err := p.historyRows(threadOf(p.key(tableHistory), thread), before, limit)
	if err != nil {
		return nil, err
	}
	for ok := it.Last(); ok && len(positions) < limit; ok = it.Prev() {
		positions = append(positions, positionOf(it.Key()))
	}
	return positions, errors.Join(it.Error(), it.Close())
}

// historyRows returns the late positions of a history below before, newest first,
// and an iterator over those that lie before them.
func (p *Partition) historyRows(prefix []byte, before control.Position, limit int) (it *pebble.Iterator, late []control.Position, err error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	it, err = p.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: number(prefix, uint64(before))})
	for _, r := range slices.Backward(p.late.rows) {
		k := p.late.keyOf(r)
		if !bytes.HasPrefix(k, prefix) || positionOf(k) >= before || len(late) == limit {
			continue
		}
		if at := positionOf(k); len(late) == 0 || late[len(late)-1] != at { // a state was kept along
			late = append(late, at)
		}
	}
	return it, late, err
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

// keptEvery is at how many positions of the log, on average, the event there
// keeps the state that it left: what a fold of a long history begins with.
const keptEvery = 16

// kept returns the last state kept along a thread's history, up to position
// until, and the positions of the events after it, oldest first.
func (p *Partition) kept(r pebble.Reader, thread control.ThreadKey, until control.Position) (past Past, positions []control.Position, err error) {
	prefix := threadOf(p.key(tableHistory), thread)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: number(prefix, untilKey(until))})
	if err != nil {
		return Past{}, nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.Last(); ok; ok = it.Prev() {
		state, err := it.ValueAndErr()
		if err != nil {
			return Past{}, nil, err
		}
		if len(state) > 0 {
			past.Last = positionOf(it.Key())
			past.State, err = control.ParseState(state)
			slices.Reverse(positions)
			return past, positions, err
		}
		positions = append(positions, positionOf(it.Key()))
	}
	slices.Reverse(positions)
	return Past{}, positions, it.Error()
}

// untilKey is the number above until, and the highest is its own.
func untilKey(until control.Position) uint64 { return max(uint64(until)+1, uint64(until)) }

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

// occasion is an event at which its thread's state is kept.
type occasion struct {
	thread control.ThreadKey
	at     control.Position
}

// Happened implements eventlog.Tables. A record's states are those after it, so
// only the last event that a thread has in it can keep one.
func (b *batch) Happened(thread control.ThreadKey, at control.Position) {
	b.late(number(threadOf(b.start(tableHistory), thread), uint64(at)), nil)
	if len(b.occasions) > 0 {
		b.occasions = slices.DeleteFunc(b.occasions, func(o occasion) bool { return o.thread == thread })
	}
	if at%keptEvery == 0 {
		b.occasions = append(b.occasions, occasion{thread, at})
	}
}

// keep writes a thread's encoded state along its history, if this is an
// occasion.
func (b *batch) keep(thread control.ThreadKey, state []byte) {
	for _, o := range b.occasions {
		if o.thread == thread {
			b.late(number(threadOf(b.start(tableHistory), thread), uint64(o.at)), state)
		}
	}
}

// positionOf is the position at the end of a key of the history.
func positionOf(k []byte) control.Position {
	return control.Position(binary.BigEndian.Uint64(k[len(k)-8:]))
}
