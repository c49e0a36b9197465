package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// What is applied is in memory at once; its rows are collected, and written with
// those of the records that follow it. Most of what a write costs is finding the
// places of its rows, and the rows of several records share them: those of the log
// lie one behind the other, and where the partition stands and the note of the
// late rows are one row each for all. The stream has the records, so that a crash
// costs nothing but to apply the last of them again.
//
// Whoever reads rows that are not late ones flushes first. A write that fails ends
// the partition: all that follows meets its error, until it is wiped or the store
// opened again.
const (
	// writeBytes are when the rows of a partition are written, and writeWithin is
	// when they are in any case.
	writeBytes  = 64 << 10
	writeWithin = 100 * time.Millisecond
)

// collect is the batch of what is pending, for a record more. It makes room, and
// settles late rows that are about to lapse: they would come after their removal.
// Called with writing held.
func (p *Partition) collect(lapse bool) (*batch, error) {
	if p.readOnly {
		return nil, fmt.Errorf("store: partition %d: %w", p.number, pebble.ErrReadOnly)
	}
	b := &p.pending
	if lapse || p.late.full() || b.b != nil && b.b.Len() >= writeBytes {
		_ = p.write(lapse) // failed has it
	}
	if p.failed != nil {
		return nil, p.failed
	}
	b.floor, b.keys, b.lapsed, b.occasions = maxInstant, b.keys[:0], 0, b.occasions[:0]
	if b.b == nil {
		b.open()
		select {
		case p.behind <- struct{}{}:
		default:
		}
	}
	return b, nil
}

// flush writes what is pending, for whoever is to read it.
func (p *Partition) flush() error {
	p.writing.Lock()
	defer p.writing.Unlock()
	return p.write(false)
}

// write writes what is pending, with where the partition stands. The late rows
// are settled if all is asked for or there are many, else noted; and so is what
// the indexes do not have, of which the log is the note. Called with writing held.
func (p *Partition) write(all bool) error {
	settle := (all || p.late.full()) && len(p.late.rows) > 0 && !p.readOnly
	index := (all || p.index.full()) && !p.index.empty() && !p.readOnly
	if p.failed != nil || p.pending.b == nil && !settle && !index {
		return p.failed
	}
	b := p.pending.open()
	stands := standing{Applied: p.Applied(), settled: p.settled, indexed: p.indexed}
	if index {
		b.index()
		stands.indexed = stands.Position
	}
	if settle {
		b.settle()
		stands.settled = stands.Position
	} else {
		b.note(stands.Position)
		stands.notes = p.late.notes
	}
	b.set(p.key(tableMeta), stands.encode())
	if err := b.commit(); err != nil {
		p.failed = fmt.Errorf("store: write partition %d up to position %d: %w", p.number, stands.Position, err)
		return p.failed
	}
	if settle {
		p.late.forget()
	}
	if index {
		p.index.forget()
	}
	p.settled, p.indexed = stands.settled, stands.indexed
	return nil
}

// keepValue is the most room for a value that is kept for the next write.
const keepValue = 16 << 10

// open makes room for rows, if there are none yet.
func (b *batch) open() *batch {
	if b.b == nil {
		b.b = b.p.db.NewBatch()
	}
	return b
}

// commit writes the rows. There are none then.
func (b *batch) commit() error {
	err := b.err
	if err == nil {
		err = b.b.Commit(pebble.NoSync)
	}
	return errors.Join(err, b.drop())
}

// drop forgets the rows.
func (b *batch) drop() error {
	rows := b.b
	b.b, b.err = nil, nil
	if cap(b.value) > keepValue {
		b.value = nil
	}
	if rows == nil {
		return nil
	}
	return rows.Close()
}

// flush writes what is pending of all partitions.
func (s *Store) flush() error {
	s.mu.Lock()
	parts := make([]*Partition, 0, len(s.mu.partitions))
	for _, number := range slices.Sorted(maps.Keys(s.mu.partitions)) {
		parts = append(parts, s.mu.partitions[number])
	}
	s.mu.Unlock()
	var failed error
	for _, p := range parts {
		failed = errors.Join(failed, p.flush())
	}
	return failed
}

// behind writes what is pending writeWithin after there is something.
type behind struct {
	wake chan struct{} // something is pending
	stop chan struct{}
	done chan struct{}
}

func newBehind() *behind {
	return &behind{make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
}

// run calls write until end. Its error is met by all who use the partition.
func (w *behind) run(write func() error) {
	defer close(w.done)
	for {
		select {
		case <-w.wake:
		case <-w.stop:
			return
		}
		select {
		case <-time.After(writeWithin):
			_ = write() // kept by the partition
		case <-w.stop:
			return
		}
	}
}

// end ends run, and waits for it.
func (w *behind) end() {
	close(w.stop)
	<-w.done
}
