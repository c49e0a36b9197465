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
	db     *pebble.DB
	number uint16

	mu struct {
		sync.Mutex
		applied Applied
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
	var applied Applied
	_, err := get(p.db, p.key(tableMeta), func(v []byte) (err error) {
		applied, err = parseApplied(v)
		return err
	})
	if err != nil {
		err = fmt.Errorf("store: partition %d: applied position: %w", p.number, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.applied, p.mu.damaged, p.mu.floor = applied, err, minInstant
	p.mu.seen, p.mu.called, p.mu.filled = memory{}, memory{}, false
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
	prefix := binary.BigEndian.AppendUint16(nil, p.number)
	if err := p.db.Excise(ctx, pebble.KeyRange{Start: prefix, End: after(prefix)}); err != nil {
		return fmt.Errorf("store: wipe partition %d: %w", p.number, err)
	}
	return p.load()
}

// Skip notes that the message at this stream sequence was a record of an ended
// epoch and was passed over: the fence counts messages, also skipped ones.
func (p *Partition) Skip(sequence uint64) error {
	applied := p.Applied()
	if sequence <= applied.Sequence {
		return fmt.Errorf("store: partition %d: skip sequence %d after %d: %w", p.number, sequence, applied.Sequence, eventlog.ErrBrokenChain)
	}
	applied.Sequence = sequence
	if err := p.db.Set(p.key(tableMeta), applied.append(nil), pebble.NoSync); err != nil {
		return fmt.Errorf("store: partition %d: skip sequence %d: %w", p.number, sequence, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.applied = applied
	return nil
}

func (p *Partition) key(t table) []byte { return key(p.number, t) }

// appliedSize is the size of the encoding of Applied, version included.
const appliedSize = 1 + 6*8 + eventlog.HashSize + 16

func (a *Applied) append(b []byte) []byte {
	b = append(b, Format)
	for _, v := range [...]uint64{a.Sequence, uint64(a.Position), a.Epoch, uint64(a.DecidedAt), a.RosterVersion, a.Input} {
		b = number(b, v)
	}
	b = append(b, a.Hash[:]...)
	return append(b, a.BatonID[:]...)
}

func parseApplied(b []byte) (Applied, error) {
	if len(b) != appliedSize || b[0] != Format {
		return Applied{}, eventlog.ErrDamaged
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	a := Applied{Sequence: at(0)}
	a.Position, a.Epoch, a.DecidedAt = control.Position(at(1)), at(2), control.Millis(at(3))
	a.RosterVersion, a.Input = at(4), at(5)
	copy(a.Hash[:], b[1+6*8:])
	copy(a.BatonID[:], b[1+6*8+eventlog.HashSize:])
	return a, nil
}
