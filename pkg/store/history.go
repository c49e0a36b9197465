package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// History returns the positions of a thread's events below before, newest
// first, at most limit. before zero is the end of the log.
func (p *Partition) History(thread control.ThreadKey, before control.Position, limit int) ([]control.Position, error) {
	if before == 0 {
		before = math.MaxUint64
	}
	prefix := threadOf(p.key(tableHistory), thread)
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: number(prefix, uint64(before))})
	if err != nil {
		return nil, fmt.Errorf("store: history of thread %d/%d: %w", thread.Asset, thread.Person, err)
	}
	var positions []control.Position
	for ok := it.Last(); ok && len(positions) < limit; ok = it.Prev() {
		positions = append(positions, positionOf(it.Key()))
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return nil, fmt.Errorf("store: history of thread %d/%d: %w", thread.Asset, thread.Person, err)
	}
	return positions, nil
}

// Past is a thread as it was.
type Past struct {
	State control.State
	// Last is the position of the last event of the thread that counts, zero
	// when it had none yet. Chain are the positions of the events that made
	// the state, in order.
	Last  control.Position
	Chain []control.Position
}

// StateAt returns a thread as it was after the event at position at: the fold
// of the thread's own events.
func (p *Partition) StateAt(thread control.ThreadKey, at control.Position) (Past, error) {
	return p.past(thread, func(position control.Position, _ control.Millis) bool { return position <= at })
}

// StateAtTime returns a thread as it was decided to be at this partition time.
// A lapse that was due and not decided yet does not show: compare ExpiresAt.
func (p *Partition) StateAtTime(thread control.ThreadKey, at control.Millis) (Past, error) {
	return p.past(thread, func(_ control.Position, decided control.Millis) bool { return decided <= at })
}

// past folds the events of a thread as long as they count.
func (p *Partition) past(thread control.ThreadKey, counts func(control.Position, control.Millis) bool) (Past, error) {
	snapshot := p.db.NewSnapshot()
	past, err := p.pastOf(snapshot, thread, counts)
	if err = errors.Join(err, snapshot.Close()); err != nil {
		return Past{}, fmt.Errorf("store: past of thread %d/%d: %w", thread.Asset, thread.Person, err)
	}
	return past, nil
}

func (p *Partition) pastOf(
	r pebble.Reader, thread control.ThreadKey, counts func(control.Position, control.Millis) bool,
) (past Past, err error) {
	log, err := p.newLogIter(r)
	if err != nil {
		return Past{}, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	var record eventlog.View
	prefix := threadOf(p.key(tableHistory), thread)
	err = scan(r, prefix, after(prefix), func(k, _ []byte) (bool, error) {
		at := positionOf(k)
		if at >= record.Last()+1 {
			var err error
			if record, err = p.look(log, at); err != nil {
				return false, fmt.Errorf("position %d: %w", at, err)
			}
		}
		if !counts(at, record.DecidedAt()) {
			return false, nil
		}
		e, ok, err := record.At(at)
		if !ok {
			return false, fmt.Errorf("position %d: %w", at, cmp.Or(err, ErrNoPosition))
		}
		past.add(&e, at)
		return true, nil
	})
	return past, err
}

// add folds the entry at position at in.
func (past *Past) add(e *eventlog.Entry, at control.Position) {
	past.Last = at
	if e.Evolves() {
		past.State = control.Evolve(past.State, e.Event)
		past.Chain = append(past.Chain, at)
	}
}

// positionOf is the position at the end of a key of the history.
func positionOf(k []byte) control.Position {
	return control.Position(binary.BigEndian.Uint64(k[len(k)-8:]))
}
