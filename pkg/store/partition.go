package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// Partition is one partition of a store. Reads are safe for concurrent use with
// everything; Apply, Skip, Rearm and Wipe are for one goroutine, the holder's
// or follower's.
type Partition struct {
	db       *pebble.DB
	number   uint16
	readOnly bool

	// writing is held while records are applied and their rows written, and
	// before mu. Up to settled all rows are in their tables; late has the rest.
	// Up to indexed the indexes have all; index has the rest.
	// pending are the rows that are not written yet, behind is told of the first.
	writing sync.Mutex
	settled control.Position
	late    lateRows
	indexed control.Position
	index   index
	pending batch
	behind  chan<- struct{}
	failed  error         // why the partition cannot be written any more
	merged  *pebble.Batch // the store with the late rows, when it is only read
	open    map[control.ThreadKey]bool

	mu partitionMemory
}

// partitionMemory is what is known of a partition without reading its rows.
type partitionMemory struct {
	sync.Mutex
	applied Applied
	// alone: there are rows of histories that threads do not share.
	alone bool
	// damaged is why it is not known where the partition stands.
	damaged error
	// floor: no timer is due before it. lowered counts when it was.
	floor   control.Millis
	lowered uint64
	// seen and called have the keys of events and of calls, once they were
	// filled.
	seen, called memory
	filled       bool
}

// Applied is where a partition of the store stands.
type Applied struct {
	// Head is that of the last record applied; zero when there is none.
	eventlog.Head
	// Sequence is the BATON_LOG sequence of the last message applied or
	// skipped; zero when there is none.
	Sequence uint64
}

// Applied returns where the partition stands.
func (p *Partition) Applied() Applied {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.applied
}

// Number returns the partition's number.
func (p *Partition) Number() int { return int(p.number) }

// load reads where the partition stands.
func (p *Partition) load() error {
	var stands standing
	_, err := get(p.db, p.key(tableMeta), func(v []byte) (err error) {
		stands, err = parseStanding(v)
		return err
	})
	p.settled = stands.settled
	if err == nil {
		err = p.restore(stands.notes)
	}
	if err == nil {
		err = p.restoreIndex(&stands)
	}
	if err == nil && p.readOnly {
		err = p.mergeRest()
	}
	if err != nil {
		stands = standing{}
		p.late.forget()
		p.index.forget()
		err = fmt.Errorf("store: partition %d: applied position: %w", p.number, err)
	}
	alone := p.holdsAlone()
	p.mu.Lock()
	p.mu.applied, p.mu.alone, p.mu.damaged, p.mu.floor = stands.Applied, alone, err, minInstant
	p.mu.seen, p.mu.called, p.mu.filled = memory{}, memory{}, false
	p.mu.Unlock()
	if stands.singles && !p.readOnly {
		return p.leaveSingles()
	}
	return err
}

// damage is why it is not known where the partition stands; nil when it is.
func (p *Partition) damage() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.damaged
}

// Wipe forgets the partition: the log, the threads, everything. Its rows are
// cut out of the files they are in, without being read, so that damaged ones go
// too. It is durable on return. An error for which IsDamaged is true says that
// the damage reaches beyond the partition: the whole store must be rebuilt.
func (p *Partition) Wipe(ctx context.Context) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	prefix := binary.BigEndian.AppendUint16(nil, p.number)
	if err := p.db.Excise(ctx, pebble.KeyRange{Start: prefix, End: after(prefix)}); err != nil {
		return fmt.Errorf("store: wipe partition %d: %w", p.number, err)
	}
	p.failed = p.pending.drop()
	return p.load()
}

// Skip notes that the message at this stream sequence was a record of an ended
// epoch and was passed over: the fence counts messages, also skipped ones.
func (p *Partition) Skip(sequence uint64) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if last := p.Applied().Sequence; sequence <= last {
		return fmt.Errorf("store: partition %d: skip sequence %d after %d: %w", p.number, sequence, last, eventlog.ErrBrokenChain)
	}
	if _, err := p.collect(false); err != nil { // the row that says where it stands is written with any
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.applied.Sequence = sequence
	return nil
}

func (p *Partition) key(t table) []byte { return key(p.number, t) }

// standing is where a partition stands as its row has it: settled is the
// position up to which all rows are in their tables, notes are how many notes of
// late rows there are behind it, indexed is the position up to which
// the indexes have all. singles: the de-duplication keys up to there have a row
// each, as in the formats before 3.
type standing struct {
	Applied
	settled control.Position
	notes   int
	indexed control.Position
	singles bool
}

// Sizes of the encoding of a standing: of Format 1, which had no late rows, of 2,
// which had them, and with indexes that follow.
const (
	standingSize1 = 1 + 6*8 + eventlog.HashSize + 16
	standingSize2 = standingSize1 + 8 + 2
	standingSize  = standingSize2 + 8
)

func (s *standing) encode() []byte {
	b := append(make([]byte, 0, standingSize), Format)
	for _, v := range [...]uint64{s.Sequence, uint64(s.Position), s.Epoch, uint64(s.DecidedAt), s.RosterVersion, s.Input} {
		b = number(b, v)
	}
	b = append(append(b, s.Hash[:]...), s.BatonID[:]...)
	b = binary.BigEndian.AppendUint16(number(b, uint64(s.settled)), uint16(s.notes))
	return number(b, uint64(s.indexed))
}

func parseStanding(b []byte) (standing, error) {
	switch {
	case len(b) == standingSize && 3 <= b[0] && b[0] <= Format, len(b) == standingSize2 && b[0] == 2, len(b) == standingSize1 && b[0] == 1:
	default:
		return standing{}, eventlog.ErrDamaged
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	s := standing{Applied: Applied{Sequence: at(0)}}
	s.Position, s.Epoch, s.DecidedAt = control.Position(at(1)), at(2), control.Millis(at(3))
	s.RosterVersion, s.Input = at(4), at(5)
	copy(s.Hash[:], b[1+6*8:])
	copy(s.BatonID[:], b[1+6*8+eventlog.HashSize:])
	if s.settled = s.Position; len(b) >= standingSize2 {
		s.settled = control.Position(binary.BigEndian.Uint64(b[standingSize1:]))
		s.notes = int(binary.BigEndian.Uint16(b[standingSize1+8:]))
	}
	if s.indexed, s.singles = s.settled, b[0] < 3; len(b) == standingSize {
		s.indexed = control.Position(binary.BigEndian.Uint64(b[standingSize2:]))
	}
	return s, nil
}
