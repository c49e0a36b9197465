package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// The histories of some threads share a row: those of one bucket, within one span
// of positions. It has sections, those of a thread in the order of the log:
//
//	size    uvarint, of the rest
//	asset   8 bytes
//	person  8 bytes
//	last    uvarint, the position of the last event of the run
//	run
//
// Sections are written as operands of a merge, which is concatenation. Nothing is
// added to a row of a span that is over, so that rows do not grow with the log; who
// looks for what is long ago, or is not there, looks at a row for each span.
const (
	// spanBits: so many positions are a span.
	spanBits = 18
	// historyBuckets rows have the histories of a span: of indexLate events of
	// as many threads, four each.
	historyBuckets = 1 << historyBits
	historyBits    = 9
)

// A run is a thread's events up to one that keeps the state that it left, or to
// the last one that was written with it. It is empty for one position, or the
// canonical encoding of the state after it, or:
//
//	run      0, which no encoding of a state begins with
//	size     uvarint, of the state; 0 for none
//	state
//	earlier  uvarints, each the distance to the position before
//
// Until Format 4 each run was a row of its own, with the last position in its key.
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

// row is the number of the row that has the event: its span and its bucket.
func (e *filedEvent) row() uint64 {
	return uint64(spanOf(e.at))<<historyBits | uint64(historyBucket(e.thread))
}

// spanOf is the span of a position; those that no log reaches are all in the last.
func spanOf(at control.Position) uint32 { return uint32(min(at>>spanBits, math.MaxUint32)) }

// historyBucket is the bucket of a thread: its ids, mixed by two multiplications.
func historyBucket(thread control.ThreadKey) uint16 {
	h := thread.Person*0x9E3779B97F4A7C15 ^ thread.Asset
	return uint16((h ^ h>>32) * 0xD6E8FEB86659FD93 >> (64 - historyBits))
}

func historyKey(prefix []byte, span uint32, bucket uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(prefix, span), bucket)
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

// indexEvents writes events to the histories of their threads.
func (b *batch) indexEvents(x *index) {
	slices.SortFunc(x.kept, func(a, b keptState) int { return cmp.Compare(a.at, b.at) })
	var some []filedEvent
	eachRow(len(x.events), func(i int) uint64 { return x.events[i].row() }, func(row uint64, places []uint64) {
		some = some[:0]
		for _, i := range places {
			some = append(some, x.events[i])
		}
		slices.SortFunc(some, func(a, b filedEvent) int {
			return cmp.Or(cmp.Compare(a.thread.Asset, b.thread.Asset), cmp.Compare(a.thread.Person, b.thread.Person), cmp.Compare(a.at, b.at))
		})
		b.value = b.value[:0]
		for run := some; len(run) > 0; {
			n, state := 1, x.stateAt(run[0].at)
			for state == nil && n < len(run) && run[n].thread == run[0].thread {
				state = x.stateAt(run[n].at)
				n++
			}
			b.section(run[:n], state)
			run = run[n:]
		}
		b.merge(historyKey(b.start(tableHistories), uint32(row>>historyBits), uint16(row%historyBuckets)), b.value)
	})
}

// section appends the section of a run of events of a thread, with the state that
// the last one keeps, to the value.
func (b *batch) section(events []filedEvent, state []byte) {
	last := &events[len(events)-1]
	b.body = binary.AppendUvarint(threadOf(b.body[:0], last.thread), uint64(last.at))
	if len(events) == 1 {
		b.body = append(b.body, state...)
	} else {
		b.body = appendRun(b.body, events, state)
	}
	b.value = append(binary.AppendUvarint(b.value, uint64(len(b.body))), b.body...)
}

// appendRun appends a run of several events.
func appendRun(v []byte, events []filedEvent, state []byte) []byte {
	v = binary.AppendUvarint(append(v, historyRun), uint64(len(state)))
	v = append(v, state...)
	for i := len(events) - 1; i > 0; i-- {
		v = binary.AppendUvarint(v, uint64(events[i].at-events[i-1].at))
	}
	return v
}

// section is a run of a thread's events.
type section struct {
	last control.Position
	run  []byte
}

// nextSection returns the first section of v without its size, and what follows it.
func nextSection(v []byte) (body, rest []byte, err error) {
	size, n := binary.Uvarint(v)
	if n <= 0 || size < 16+1 || size > uint64(len(v)-n) {
		return nil, nil, eventlog.ErrDamaged
	}
	return v[n : n+int(size)], v[n+int(size):], nil
}

// parseSection reads what follows the thread in a section.
func parseSection(b []byte) (section, error) {
	last, n := binary.Uvarint(b)
	if n <= 0 {
		return section{}, eventlog.ErrDamaged
	}
	return section{control.Position(last), b[n:]}, nil
}

// historyRows are the rows that have a thread's history.
type historyRows struct {
	pebble.Reader
	p      *Partition
	thread control.ThreadKey
	newest control.Position // no row has a later one
	alone  bool             // there are rows that threads do not share
}

func (p *Partition) historyRows(r pebble.Reader, thread control.ThreadKey) historyRows {
	p.mu.Lock()
	defer p.mu.Unlock()
	return historyRows{r, p, thread, p.mu.applied.Position, p.mu.alone}
}

// eachBefore calls use with the positions below before, newest first, each with
// the state kept there, until it returns false. The state is not to be kept.
func (h historyRows) eachBefore(before control.Position, use func(at control.Position, state []byte) bool) error {
	below := func(at control.Position, state []byte) bool { return at >= before || use(at, state) }
	last := min(before-min(before, 1), h.newest)
	prefix, bucket := h.p.key(tableHistories), historyBucket(h.thread)
	for span, more := int64(spanOf(last)), true; span >= 0; span-- {
		_, err := get(h, historyKey(prefix, uint32(span), bucket), func(v []byte) (err error) {
			more, err = eachOfRow(v, h.thread, below)
			return err
		})
		if err != nil || !more {
			return err
		}
	}
	if h.alone {
		return h.eachAlone(before, below)
	}
	return nil
}

// eachOfRow calls use with the positions that a row has of a thread, newest first,
// and returns what it returned last.
func eachOfRow(v []byte, thread control.ThreadKey, use func(at control.Position, state []byte) bool) (more bool, err error) {
	own, err := sectionsOf(v, thread)
	more = err == nil
	for i := len(own) - 1; more && i >= 0; i-- {
		more, err = eachOfRun(own[i].last, own[i].run, use)
	}
	return more, err
}

// sectionsOf lists the sections of a thread that a row has.
func sectionsOf(v []byte, thread control.ThreadKey) (own []section, err error) {
	for len(v) > 0 {
		body, rest, err := nextSection(v)
		if err != nil {
			return nil, err
		}
		if v = rest; parseThread(body) != thread {
			continue
		}
		s, err := parseSection(body[16:])
		if err != nil {
			return nil, err
		}
		own = append(own, s)
	}
	return own, nil
}

// holdsAlone reports whether there are rows of the formats before 4, or whether
// nobody can tell.
func (p *Partition) holdsAlone() bool {
	found, prefix := false, p.key(tableHistory)
	err := scan(p.db, prefix, after(prefix), func(_, _ []byte) (bool, error) {
		found = true
		return false, nil
	})
	return found || err != nil
}

// eachAlone is eachBefore for the rows of the formats before 4, the positions of
// which lie before all others. use may be called with what lies beyond before.
func (h historyRows) eachAlone(before control.Position, use func(at control.Position, state []byte) bool) error {
	prefix := threadOf(h.p.key(tableHistory), h.thread)
	it, err := h.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	// The run that reaches beyond it may begin before it.
	ok := it.SeekGE(number(prefix, uint64(before)))
	if !ok && it.Error() == nil {
		ok = it.Last()
	}
	for more := true; ok && more; ok = it.Prev() {
		v, err := it.ValueAndErr()
		if err == nil {
			more, err = eachOfRun(positionOf(it.Key()), v, use)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return errors.Join(it.Error(), it.Close())
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
