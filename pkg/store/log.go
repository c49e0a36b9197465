package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// Stored is a record as the store has it.
type Stored struct {
	// First is the record's first position, Sequence its place in the stream.
	First    control.Position
	Sequence uint64
	// Raw is the record, byte for byte as in the stream. It may be read until
	// the iteration goes on.
	Raw []byte
}

func logKey(p uint16, first control.Position, sequence uint64) []byte {
	return number(number(key(p, tableLog), uint64(first)), sequence)
}

func parseLogKey(k []byte) (Stored, error) {
	k, err := tail(k, 16)
	if err != nil {
		return Stored{}, err
	}
	return Stored{First: control.Position(binary.BigEndian.Uint64(k)), Sequence: binary.BigEndian.Uint64(k[8:])}, nil
}

// Event returns the entry at a position, with the record that holds it. The
// error is ErrNoPosition when the log does not reach that far, or one for which
// IsDamaged is true.
func (p *Partition) Event(at control.Position) (eventlog.Entry, *eventlog.Record, error) {
	r, err := p.record(at)
	if err != nil {
		return eventlog.Entry{}, nil, fmt.Errorf("store: partition %d, position %d: %w", p.number, at, err)
	}
	e, ok := r.At(at)
	if !ok {
		return eventlog.Entry{}, nil, fmt.Errorf("store: partition %d, position %d: %w", p.number, at, ErrNoPosition)
	}
	return e, r, nil
}

// record reads the last record that begins at or before position at.
func (p *Partition) record(at control.Position) (*eventlog.Record, error) {
	it, err := p.logRows()
	if err != nil {
		return nil, err
	}
	var r eventlog.Record
	raw, err := p.seek(it, at)
	if err == nil {
		r, err = eventlog.Decode(raw)
	}
	return &r, errors.Join(err, it.Close())
}

// look is record without its entries. The view is valid until it moves.
func (p *Partition) look(it *pebble.Iterator, at control.Position) (eventlog.View, error) {
	raw, err := p.seek(it, at)
	if err != nil {
		return eventlog.View{}, err
	}
	return eventlog.Look(raw)
}

// logRows iterates over the log up to the last record that is applied.
func (p *Partition) logRows() (*pebble.Iterator, error) {
	if err := p.flush(); err != nil {
		return nil, err
	}
	return p.newLogIter(p.db)
}

func (p *Partition) newLogIter(r pebble.Reader) (*pebble.Iterator, error) {
	prefix := p.key(tableLog)
	return r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
}

// LastRecord returns the sequence and the hash of the last record that was
// applied; zero when there is none. Applied's sequence may be that of a later
// message, which was skipped. The error may be one for which IsDamaged is true.
func (p *Partition) LastRecord() (sequence uint64, hash [eventlog.HashSize]byte, err error) {
	it, err := p.logRows()
	if err != nil {
		return 0, hash, fmt.Errorf("store: log of partition %d: %w", p.number, err)
	}
	if it.Last() {
		var last Stored
		var raw []byte
		if last, err = parseLogKey(it.Key()); err == nil {
			raw, err = it.ValueAndErr()
		}
		sequence = last.Sequence
		copy(hash[:], raw[max(0, len(raw)-len(hash)):])
	}
	if err = errors.Join(err, it.Error(), it.Close()); err != nil {
		return 0, hash, fmt.Errorf("store: last record of partition %d: %w", p.number, err)
	}
	return sequence, hash, nil
}

// seek moves it to the last record that begins at or before position at, and
// returns its bytes.
func (p *Partition) seek(it *pebble.Iterator, at control.Position) ([]byte, error) {
	if at == 0 || at == math.MaxUint64 {
		return nil, ErrNoPosition
	}
	if !it.SeekLT(logKey(p.number, at+1, 0)) {
		return nil, cmp.Or(it.Error(), ErrNoPosition)
	}
	return it.ValueAndErr()
}

// Records yields the records in order, beginning with the one that holds
// position from, as of the beginning of the iteration. It stops after an error.
func (p *Partition) Records(from control.Position) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		it, err := p.logRows()
		if err != nil {
			yield(Stored{}, fmt.Errorf("store: log of partition %d: %w", p.number, err))
			return
		}
		more, err := yieldRecords(it, logKey(p.number, max(from, 1), 0), yield)
		if err = errors.Join(err, it.Close()); err != nil && more {
			yield(Stored{}, fmt.Errorf("store: log of partition %d: %w", p.number, err))
		}
	}
}

// yieldRecords yields from the record on that holds the position that start
// begins with. more is false when the caller wants no more.
func yieldRecords(it *pebble.Iterator, start []byte, yield func(Stored, error) bool) (more bool, err error) {
	if err := seekRecord(it, start); err != nil {
		return true, err
	}
	for ; it.Valid(); it.Next() {
		record, err := parseLogKey(it.Key())
		if err != nil {
			return true, err
		}
		if record.Raw, err = it.ValueAndErr(); err != nil {
			return true, err
		}
		if !yield(record, nil) {
			return false, nil
		}
	}
	return true, it.Error()
}

// seekRecord moves it to the first record that begins at start, or else to the
// one before, if that reaches so far.
func seekRecord(it *pebble.Iterator, start []byte) error {
	if it.SeekGE(start) {
		if found, err := parseLogKey(it.Key()); err != nil || found.First == parseLogStart(start) {
			return err
		}
		if it.Prev() || it.Error() != nil {
			return it.Error()
		}
		it.First()
		return nil
	}
	if it.Error() != nil || !it.Last() {
		return it.Error()
	}
	raw, err := it.ValueAndErr()
	if err != nil {
		return err
	}
	last, err := eventlog.Decode(raw)
	if err == nil && last.Last() < parseLogStart(start) {
		it.Next()
	}
	return err
}

func parseLogStart(k []byte) control.Position {
	return control.Position(binary.BigEndian.Uint64(k[3:]))
}
