package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
)

// Settle writes the late rows and keys to their tables.
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

// Unindexed is how many keys and events the indexes do not have.
func (p *Partition) Unindexed() (keys, events int) {
	p.writing.Lock()
	defer p.writing.Unlock()
	return len(p.index.keys), len(p.index.events)
}

// Lapsing counts the de-duplication keys and the answers that have rows.
func (p *Partition) Lapsing() (dedupe, answers int, err error) {
	count := func(t table, use func(v []byte) error) error {
		prefix := p.key(t)
		return scan(p.db, prefix, after(prefix), func(_, v []byte) (bool, error) { return true, use(v) })
	}
	keys := func(v []byte) error { return eachSeen(v, func(seenKey) { dedupe++ }) }
	rows := func([]byte) error { answers++; return nil }
	return dedupe, answers, errors.Join(p.Settle(), count(tableDedupe, keys), count(tableAnswers, rows))
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
	keys, answers := p.key(tableDedupe), p.key(tableAnswers)
	inBuckets := func(_, v []byte) (bool, error) {
		return true, eachSeen(v, func(k seenKey) { event = event || k.id == id })
	}
	inRows := func(k, _ []byte) (bool, error) {
		call = call || [16]byte(k[len(k)-len(id):]) == id
		return true, nil
	}
	return event, call, errors.Join(p.Settle(), scan(p.db, keys, after(keys), inBuckets), scan(p.db, answers, after(answers), inRows))
}

// GiveUp gives the memory of keys up, as when there are too many.
func (p *Partition) GiveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.seen, p.mu.called = memory{}, memory{}
}

// sections calls use with the sections of the histories' rows.
func (p *Partition) sections(use func(control.ThreadKey, section) error) error {
	prefix := p.key(tableHistories)
	return scan(p.db, prefix, after(prefix), func(_, v []byte) (bool, error) {
		for len(v) > 0 {
			body, rest, err := nextSection(v)
			if err != nil {
				return false, err
			}
			s, err := parseSection(body[16:])
			if v = rest; err == nil {
				err = use(parseThread(body), s)
			}
			if err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

// Histories counts the rows that threads share for their histories, and those that
// a thread has for itself.
func (p *Partition) Histories() (shared, alone int, err error) {
	count := func(t table, n *int) error {
		prefix := p.key(t)
		return scan(p.db, prefix, after(prefix), func(_, _ []byte) (bool, error) { *n++; return true, nil })
	}
	return shared, alone, errors.Join(count(tableHistories, &shared), count(tableHistory, &alone))
}

// Kept counts the events of the histories that keep a state, and all of them.
func (p *Partition) Kept() (kept, all int, err error) {
	if err := p.Settle(); err != nil {
		return 0, 0, err
	}
	return kept, all, p.sections(func(_ control.ThreadKey, s section) error {
		_, err := eachOfRun(s.last, s.run, func(_ control.Position, state []byte) bool {
			if all++; len(state) > 0 {
				kept++
			}
			return true
		})
		return err
	})
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

// StandAsFormat leaves the partition as a build of an earlier format does: 1, which
// has no late rows, 2, which has noted them, or 3, which reads what the indexes do
// not have from the log. The first two have a row for each de-duplication key and for
// each event of a history, the third a row for each run.
func (p *Partition) StandAsFormat(format byte) error {
	if format == 1 {
		if err := p.Settle(); err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	b, buckets, histories := p.db.NewBatch(), p.key(tableDedupe), p.key(tableHistories)
	alone := func(thread control.ThreadKey, at control.Position, run []byte) error {
		return b.Set(number(threadOf(p.key(tableHistory), thread), uint64(at)), run, nil)
	}
	row := (&standing{Applied: p.Applied(), settled: p.settled, notes: p.late.notes, indexed: p.indexed}).encode()
	if row[0] = format; format == 3 {
		runs := p.sections(func(thread control.ThreadKey, s section) error { return alone(thread, s.last, s.run) })
		return errors.Join(runs, b.DeleteRange(histories, after(histories), nil), b.Set(p.key(tableMeta), row, nil), b.Commit(pebble.Sync))
	}
	dedupe := scan(p.db, buckets, after(buckets), func(_, v []byte) (bool, error) {
		return true, eachSeen(v, func(k seenKey) {
			_ = b.Set(append(generationOf(p.key(tableSingles), generation(k.at)), k.id[:]...), instant(nil, k.at), nil)
		})
	})
	history := p.sections(func(thread control.ThreadKey, s section) error {
		_, err := eachOfRun(s.last, s.run, func(at control.Position, state []byte) bool { return alone(thread, at, state) == nil })
		return err
	})
	var noted lateRows
	for _, k := range p.index.keys {
		noted.add(append(generationOf(p.key(tableSingles), generation(k.at)), k.id[:]...), instant(nil, k.at))
	}
	for _, e := range p.index.events {
		noted.add(number(threadOf(p.key(tableHistory), e.thread), uint64(e.at)), nil)
	}
	row = row[:map[byte]int{1: standingSize1, 2: standingSize2}[format]]
	if len(noted.rows) > 0 {
		_ = b.Set(p.noteKey(p.late.notes), append(number(nil, uint64(p.Applied().Position)), noted.buf...), nil)
		row[len(row)-1]++
	}
	return errors.Join(dedupe, history, b.DeleteRange(buckets, after(buckets), nil), b.DeleteRange(histories, after(histories), nil),
		b.Set(p.key(tableMeta), row, nil), b.Commit(pebble.Sync))
}

// Singles is how many de-duplication keys have a row of their own.
func (p *Partition) Singles() (n int, err error) {
	prefix := p.key(tableSingles)
	return n, scan(p.db, prefix, after(prefix), func(_, _ []byte) (bool, error) {
		n++
		return true, nil
	})
}

// FormatOnDisk is the format that the store says it has.
func (s *Store) FormatOnDisk() (format uint32, err error) {
	_, err = get(s.db, key(ownPartition, tableMeta), func(v []byte) error {
		format = binary.BigEndian.Uint32(v)
		return nil
	})
	return format, err
}

// HistoryBuckets is how many buckets there are, HistoryBucket that of a thread.
const HistoryBuckets = historyBuckets

func HistoryBucket(thread control.ThreadKey) uint16 { return historyBucket(thread) }

// Span is how many positions a row of a history spans.
const Span = 1 << spanBits

// File writes events at ascending positions to the histories, each with the state
// that keep says it keeps, if any.
func (p *Partition) File(threads []control.ThreadKey, at []control.Position, keep func(at control.Position) []byte) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	x := &p.index
	for i, at := range at {
		x.Happened(threads[i], at)
		if state := keep(at); state != nil {
			from := uint32(len(x.states))
			x.states = append(x.states, state...)
			x.kept = append(x.kept, keptState{at, from, uint32(len(x.states))})
		}
	}
	p.mu.Lock()
	p.mu.applied.Position = at[len(at)-1]
	p.mu.Unlock()
	return p.write(true)
}

// Walk calls use with the events of a thread below before, newest first, and the
// states kept there.
func (p *Partition) Walk(thread control.ThreadKey, before control.Position, use func(at control.Position, state []byte) bool) error {
	return p.historyRows(p.rows(), thread).eachBefore(before, use)
}

// ReadSections counts the sections of a row of histories.
func ReadSections(v []byte) (n int, err error) {
	own, err := sectionsOf(v, control.ThreadKey{Asset: 1, Person: 2})
	return len(own), err
}

// MakeSection makes the section of thread 1/2 with one event.
func MakeSection(at control.Position, state []byte) []byte {
	b := batch{}
	b.section([]filedEvent{{control.ThreadKey{Asset: 1, Person: 2}, at}}, state)
	return b.value
}

// HistoryRun begins a run.
const HistoryRun = historyRun

// MakeRun makes a row of ascending positions that keeps a state.
func MakeRun(positions []control.Position, state []byte) []byte {
	run := make([]filedEvent, len(positions))
	for i, at := range positions {
		run[i].at = at
	}
	return appendRun(nil, run, state)
}

// ReadRun returns the positions of a row that ends at last, ascending, and the
// state that it keeps.
func ReadRun(last control.Position, v []byte) (positions []control.Position, state []byte, err error) {
	_, err = eachOfRun(last, v, func(at control.Position, kept []byte) bool {
		if positions = append(positions, at); at == last {
			state = kept
		}
		return true
	})
	slices.Reverse(positions)
	return positions, state, err
}

// ReadBucket returns when a key of a bucket was last decided on, and how many keys
// the bucket has.
func ReadBucket(v []byte, id [16]byte) (last control.Millis, keys int, err error) {
	last, _, err = lastSeen(v, &id)
	return last, keys, errors.Join(err, eachSeen(v, func(seenKey) { keys++ }))
}
