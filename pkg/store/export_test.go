package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Settle writes the late rows to their tables.
func (p *Partition) Settle() error {
	p.writing.Lock()
	defer p.writing.Unlock()
	return p.write(true)
}

// Late is how many rows are not in their tables, in how many notes.
func (p *Partition) Late() (rows, notes int) {
	p.writing.Lock()
	defer p.writing.Unlock()
	return len(p.late.rows), p.late.notes
}

// Lapsing counts the rows of the tables whose rows lapse.
func (p *Partition) Lapsing() (dedupe, answers int, err error) {
	count := func(t table, n *int) error {
		prefix := p.key(t)
		return scan(p.db, prefix, after(prefix), func(_, _ []byte) (bool, error) {
			*n++
			return true, nil
		})
	}
	return dedupe, answers, errors.Join(p.Settle(), count(tableDedupe, &dedupe), count(tableAnswers, &answers))
}

// WriteBytes and WriteWithin are when rows are written.
const (
	WriteBytes  = writeBytes
	WriteWithin = writeWithin
)

// Pending is how many bytes of rows are not written.
func (p *Partition) Pending() int {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.pending.b == nil {
		return 0
	}
	return p.pending.b.Len()
}

// Spoil makes the next write fail.
func (p *Partition) Spoil(err error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.pending.b == nil {
		p.pending.b = p.db.NewBatch()
	}
	p.pending.err = err
}

// Flush writes what is applied.
func (s *Store) Flush() error { return s.flush() }

// FormatMajorVersion is the pinned one.
const FormatMajorVersion = formatMajorVersion

// OverwriteFormat pretends that a build of another layout wrote the store.
func (s *Store) OverwriteFormat(format uint32) error {
	return s.db.Set(key(ownPartition, tableMeta), []byte{byte(format >> 24), byte(format >> 16), byte(format >> 8), byte(format)}, nil)
}

// Compacting reports whether the engine works in the background.
func (s *Store) Compacting() bool {
	m := s.db.Metrics()
	return m.Compact.NumInProgress > 0 || m.Flush.NumInProgress > 0
}

// Written is how many bytes the engine has written to its tables so far.
func (s *Store) Written() uint64 {
	total := s.db.Metrics().Total()
	return total.TableBytesFlushed + total.TableBytesCompacted
}

// May reports whether memory takes the key for one that the store may have, of
// an event and of a call.
func (p *Partition) May(id [16]byte) (event, call bool, err error) {
	err = p.fill()
	return p.mayKnow(&id), p.mayAnswer(&id), err
}

// Has reports whether the tables have rows of the key, whatever their
// generation.
func (p *Partition) Has(id [16]byte) (event, call bool, err error) {
	look := func(t table, found *bool) error {
		prefix := p.key(t)
		return scan(p.db, prefix, after(prefix), func(k, _ []byte) (bool, error) {
			*found = *found || string(k[len(k)-len(id):]) == string(id[:])
			return !*found, nil
		})
	}
	return event, call, errors.Join(p.Settle(), look(tableDedupe, &event), look(tableAnswers, &call))
}

// GiveUp gives the memory of keys up, as when there are too many.
func (p *Partition) GiveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.seen, p.mu.called = memory{}, memory{}
}

// Kept counts the rows of the histories that keep a state, and all of them.
func (p *Partition) Kept() (kept, all int, err error) {
	if err := p.Settle(); err != nil {
		return 0, 0, err
	}
	prefix := p.key(tableHistory)
	err = scan(p.db, prefix, after(prefix), func(_, v []byte) (bool, error) {
		if all++; len(v) > 0 {
			kept++
		}
		return true, nil
	})
	return kept, all, err
}

// Rows is the SHA-256 of every row of every partition, the delivery log's not.
func (s *Store) Rows() (Sum, error) {
	if err := s.flush(); err != nil {
		return Sum{}, err
	}
	h := sha256.New()
	err := scan(s.db, nil, key(ownPartition, 0), func(k, v []byte) (bool, error) {
		_, err := fmt.Fprintf(h, "%x=%x\n", k, v)
		return true, err
	})
	return Sum(h.Sum(nil)), err
}

// StandAsFormat1 writes where the partition stands as a build of Format 1 does,
// which has no late rows.
func (p *Partition) StandAsFormat1() error {
	stands := standing{Applied: p.Applied()}
	row := stands.encode()[:standingSize1]
	row[0] = 1
	return errors.Join(p.Settle(), p.db.Set(p.key(tableMeta), row, nil))
}

// FormatOnDisk is the format that the store says it has.
func (s *Store) FormatOnDisk() (format uint32, err error) {
	_, err = get(s.db, key(ownPartition, tableMeta), func(v []byte) error {
		format = binary.BigEndian.Uint32(v)
		return nil
	})
	return format, err
}
