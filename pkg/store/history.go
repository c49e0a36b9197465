package store

import (
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
	it, positions, err := p.history(thread, before, limit)
	if err != nil {
		return nil, err
	}
	if len(positions) < limit {
		err = it.eachBefore(before, func(at control.Position, _ []byte) bool {
			positions = append(positions, at)
			return len(positions) < limit
		})
	}
	return positions, errors.Join(err, it.Close())
}

// history returns the newest positions of a thread's events below before that have
// no rows yet, newest first, and the rows, which have those that lie before them.
func (p *Partition) history(thread control.ThreadKey, before control.Position, limit int) (it historyRows, late []control.Position, err error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	it, err = p.historyRows(p.rows(), thread)
	for i := len(p.index.events) - 1; i >= 0 && len(late) < limit; i-- {
		if e := &p.index.events[i]; e.thread == thread && e.at < before {
			late = append(late, e.at)
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

// kept returns the last state kept along a thread's history, up to position
// until, and the positions of the events after it, oldest first.
func (p *Partition) kept(r pebble.Reader, thread control.ThreadKey, until control.Position) (past Past, positions []control.Position, err error) {
	it, err := p.historyRows(r, thread)
	if err != nil {
		return Past{}, nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var bad error
	err = it.eachBefore(max(until+1, until), func(at control.Position, state []byte) bool {
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

// A row of a history has the positions of a run of events, and may keep the state
// of the thread after the last of them. Its key ends with the last position; its
// value is empty for one position, or the canonical encoding of the state after it,
// which is all that the formats before 3 have, or:
//
//	run      0, which no encoding of a state begins with
//	size     uvarint, of the state; 0 for none
//	state
//	earlier  uvarints, each the distance to the position before
const historyRun = 0

// keptEvery is how many events there are to one that keeps the state that it
// left, on average: what a fold of a long history begins with.
const keptEvery = 16

// keeps reports whether the event at a position keeps the state. Which one does is
// as good as random, so that threads with regular positions are not left out.
func keeps(at control.Position) bool {
	return uint64(at)*0x9E3779B97F4A7C15>>32%keptEvery == 0
}

// filedEvent is an event in the history of its thread.
type filedEvent struct {
	thread control.ThreadKey
	at     control.Position
}

// keptState is the state that an event keeps: the part of index.states from one
// place to the other.
type keptState struct {
	at       control.Position
	from, to uint32
}

// Happened implements eventlog.Tables. A record's states are those after it, so
// only the last event that a thread has in it can keep one.
func (b *batch) Happened(thread control.ThreadKey, at control.Position) {
	if len(b.occasions) > 0 {
		b.occasions = slices.DeleteFunc(b.occasions, func(o filedEvent) bool { return o.thread == thread })
	}
	if keeps(at) {
		b.occasions = append(b.occasions, filedEvent{thread, at})
	}
	b.p.index.Happened(thread, at)
}

// keep keeps a thread's encoded state along its history, if this is an occasion.
func (b *batch) keep(thread control.ThreadKey, state []byte) {
	for _, o := range b.occasions {
		if o.thread == thread {
			x, from := &b.p.index, len(b.p.index.states)
			x.states = append(x.states, state...)
			x.kept = append(x.kept, keptState{o.at, uint32(from), uint32(len(x.states))})
		}
	}
}

// stateAt is the state that the event at a position keeps; nil for none. kept must
// be in order.
func (x *index) stateAt(at control.Position) []byte {
	i, ok := slices.BinarySearchFunc(x.kept, at, func(k keptState, at control.Position) int { return cmp.Compare(k.at, at) })
	if !ok {
		return nil
	}
	return x.states[x.kept[i].from:x.kept[i].to]
}

// indexEvents writes events to the histories of their threads, in runs that end
// with a kept state or the thread's last event. It changes their order.
func (b *batch) indexEvents(x *index) {
	slices.SortFunc(x.kept, func(a, b keptState) int { return cmp.Compare(a.at, b.at) })
	slices.SortFunc(x.events, func(a, b filedEvent) int {
		return cmp.Or(cmp.Compare(a.thread.Asset, b.thread.Asset), cmp.Compare(a.thread.Person, b.thread.Person), cmp.Compare(a.at, b.at))
	})
	for run := x.events; len(run) > 0; {
		n, state := 1, x.stateAt(run[0].at)
		for state == nil && n < len(run) && run[n].thread == run[0].thread {
			state = x.stateAt(run[n].at)
			n++
		}
		b.indexRun(run[:n], state)
		run = run[n:]
	}
}

// indexRun writes a run of events of a thread, with the state that the last one
// keeps.
func (b *batch) indexRun(run []filedEvent, state []byte) {
	if b.value = b.value[:0]; len(run) == 1 {
		b.value = append(b.value, state...)
	} else {
		b.value = appendRun(b.value, run, state)
	}
	last := &run[len(run)-1]
	b.set(number(threadOf(b.start(tableHistory), last.thread), uint64(last.at)), b.value)
}

// appendRun appends the value of a run.
func appendRun(v []byte, run []filedEvent, state []byte) []byte {
	v = binary.AppendUvarint(append(v, historyRun), uint64(len(state)))
	v = append(v, state...)
	for i := len(run) - 1; i > 0; i-- {
		v = binary.AppendUvarint(v, uint64(run[i].at-run[i-1].at))
	}
	return v
}

// historyRows are the rows of a thread's history.
type historyRows struct {
	*pebble.Iterator
	prefix []byte
}

func (p *Partition) historyRows(r pebble.Reader, thread control.ThreadKey) (historyRows, error) {
	prefix := threadOf(p.key(tableHistory), thread)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	return historyRows{it, prefix}, err
}

// eachBefore calls use with the positions below before, newest first, each with
// the state kept there, until it returns false. The state is not to be kept.
func (h historyRows) eachBefore(before control.Position, use func(at control.Position, state []byte) bool) error {
	below := func(at control.Position, state []byte) bool { return at >= before || use(at, state) }
	// The run that reaches beyond it may begin before it.
	ok := h.SeekGE(number(h.prefix, uint64(before)))
	if !ok && h.Error() == nil {
		ok = h.Last()
	}
	for ; ok; ok = h.Prev() {
		v, err := h.ValueAndErr()
		if err != nil {
			return err
		}
		if more, err := eachOfRun(positionOf(h.Key()), v, below); err != nil || !more {
			return err
		}
	}
	return h.Error()
}

// eachOfRun calls use with the positions of a row that ends at last, newest first,
// and returns what it returned last.
func eachOfRun(last control.Position, v []byte, use func(at control.Position, state []byte) bool) (more bool, err error) {
	if len(v) == 0 || v[0] != historyRun {
		return use(last, v), nil
	}
	size, n := binary.Uvarint(v[1:])
	v = v[1+max(n, 0):]
	if n <= 0 || size > uint64(len(v)) {
		return false, eventlog.ErrDamaged
	}
	more, v = use(last, v[:size]), v[size:]
	for more && len(v) > 0 {
		back, n := binary.Uvarint(v)
		if n <= 0 || back == 0 || back >= uint64(last) {
			return false, eventlog.ErrDamaged
		}
		last, v = last-control.Position(back), v[n:]
		more = use(last, nil)
	}
	return more, nil
}

// positionOf is the position at the end of a key of the history.
func positionOf(k []byte) control.Position {
	return control.Position(binary.BigEndian.Uint64(k[len(k)-8:]))
}
