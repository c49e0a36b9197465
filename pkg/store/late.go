package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// The rows of the threads are written late: with their records they are only noted, those of a write all as one row of
// the table late. When enough have come together they are settled: written to
// their tables by key, of a thread only the last state. A row that is put where
// the one before it was costs a fraction of one that is put anywhere.
//
// The places of the notes are used again from the first on after rows were
// settled, so that nothing has to be deleted: a note counts when it is of records
// behind the settled position.
const (
	// lateBytes and lateNotes are when the rows of a partition are settled.
	lateBytes = 64 << 10
	lateNotes = 256
)

// lateRows are the rows of a partition that are not settled.
type lateRows struct {
	// buf has the rows one after the other, as they are noted: of each the
	// sizes of key and value, then both.
	buf   []byte
	rows  []lateRow
	notes int // writes whose rows these are
	noted int // bytes of buf that were written with them
	order []lateRow
}

// lateRow is a row in the buffer: the key begins at key, the value at value.
type lateRow struct{ key, value, end uint32 }

func (l *lateRows) forget() { l.buf, l.rows, l.notes, l.noted = l.buf[:0], l.rows[:0], 0, 0 }

func (l *lateRows) full() bool { return len(l.buf) >= lateBytes || l.notes >= lateNotes }

func (l *lateRows) add(key, value []byte) {
	l.buf = binary.AppendUvarint(l.buf, uint64(len(key)))
	l.buf = binary.AppendUvarint(l.buf, uint64(len(value)))
	at := uint32(len(l.buf))
	l.buf = append(append(l.buf, key...), value...)
	l.rows = append(l.rows, lateRow{at, at + uint32(len(key)), uint32(len(l.buf))})
}

// restore adds the rows of a note.
func (l *lateRows) restore(note []byte) error {
	for len(note) > 0 {
		key, n := binary.Uvarint(note)
		value, m := binary.Uvarint(note[max(n, 0):])
		rest := note[max(n, 0)+max(m, 0):]
		if n <= 0 || m <= 0 || key <= 2 || key > uint64(len(rest)) || value > uint64(len(rest))-key {
			return eventlog.ErrDamaged
		}
		if table(rest[2]) == tableThreads { // Format 2 has noted those of the indexes too
			l.add(rest[:key], rest[key:key+value])
		}
		note = rest[key+value:]
	}
	l.notes++
	l.noted = len(l.buf)
	return nil
}

func (l *lateRows) keyOf(r lateRow) []byte   { return l.buf[r.key:r.value] }
func (l *lateRows) valueOf(r lateRow) []byte { return l.buf[r.value:r.end:r.end] }

// get returns the newest value of a key.
func (l *lateRows) get(key []byte) (value []byte, ok bool) {
	for _, r := range slices.Backward(l.rows) {
		if int(r.value-r.key) == len(key) && bytes.Equal(l.keyOf(r), key) {
			return l.valueOf(r), true
		}
	}
	return nil, false
}

// writeTo puts the rows into a batch by key, of each key the newest.
func (l *lateRows) writeTo(b *pebble.Batch) error {
	l.order = append(l.order[:0], l.rows...)
	slices.SortFunc(l.order, func(a, b lateRow) int {
		return cmp.Or(bytes.Compare(l.keyOf(a), l.keyOf(b)), cmp.Compare(a.key, b.key))
	})
	for i, r := range l.order {
		if i+1 < len(l.order) && bytes.Equal(l.keyOf(r), l.keyOf(l.order[i+1])) {
			continue
		}
		if err := b.Set(l.keyOf(r), l.valueOf(r), nil); err != nil {
			return err
		}
	}
	return nil
}

// noteKey is the key of the note in a place.
func (p *Partition) noteKey(place int) []byte {
	return binary.BigEndian.AppendUint16(p.key(tableLate), uint16(place))
}

// late adds a row that is written late.
func (b *batch) late(key, value []byte) { b.p.late.add(key, value) }

// note notes the late rows that are not yet, of records of which the last ends at
// last.
func (b *batch) note(last control.Position) {
	late := &b.p.late
	if late.noted == len(late.buf) {
		return
	}
	b.value = append(number(b.value[:0], uint64(last)), late.buf[late.noted:]...)
	b.set(b.p.noteKey(late.notes), b.value)
	late.notes++
	late.noted = len(late.buf)
}

// settle writes the late rows to their tables.
func (b *batch) settle() {
	if err := b.p.late.writeTo(b.b); err != nil && b.err == nil {
		b.err = err
	}
}

// view is the partition as it stands, all rows in their tables. The caller
// closes it.
func (p *Partition) view() (pebble.Reader, io.Closer, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.merged != nil {
		return p.rows(), io.NopCloser(nil), nil
	}
	if err := p.write(true); err != nil {
		return nil, nil, err
	}
	snapshot := p.db.NewSnapshot()
	return snapshot, snapshot, nil
}

// rows are the rows of a partition without late ones.
func (p *Partition) rows() pebble.Reader {
	if p.merged != nil {
		return p.merged
	}
	return p.db
}

// lateValue calls use with the value of a key whose row is late; false when it
// is not.
func (p *Partition) lateValue(key []byte, use func(v []byte) error) (bool, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	v, ok := p.late.get(key)
	if !ok {
		return false, nil
	}
	return true, use(v)
}

// restore reads the late rows back: those of the notes behind the settled
// position, of which there must be as many as were counted.
func (p *Partition) restore(notes int) error {
	p.late.forget()
	for place := range notes {
		ok, err := get(p.db, p.noteKey(place), func(v []byte) error {
			if len(v) < 8 || control.Position(binary.BigEndian.Uint64(v)) <= p.settled {
				return eventlog.ErrDamaged
			}
			return p.late.restore(v[8:])
		})
		if err == nil && !ok {
			err = eventlog.ErrDamaged
		}
		if err != nil {
			return fmt.Errorf("late rows: %w", err)
		}
	}
	return nil
}
