package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
)

// ErrNotMended is returned when the log cannot be made whole: what of it cannot be
// read is not in the store either, or the two are different histories.
var ErrNotMended = errors.New("backup: the log cannot be mended")

// Record is a record of the log as a node's store has kept it.
type Record struct {
	Partition int
	Sequence  uint64
	Raw       []byte
}

// Mended is a source whose log is made whole. In the place of a message that the
// servers cannot give any more, or give with other bytes than were written, comes
// what a store has kept of it, with the sequence that it had. Nothing may write to
// the streams meanwhile. A log that is whole with that is proven to be so: every
// partition's chain, and that the store has nothing else.
type Mended struct {
	Source
	// Kept are the records of one store, all of them, of each partition in order.
	Kept []iter.Seq2[Record, error]
	// AcceptLoss is the sequence of the newest message, if it may come out of the
	// store although nothing behind it says that the store has all that was in it.
	AcceptLoss uint64
	// Messages were put in so far.
	Messages int
}

// CopyStream is that of the source, but for the log. Errors also: ErrNotMended,
// those of Kept.
func (s *Mended) CopyStream(ctx context.Context, name string, partitions int, fn func(bus.StoredMessage) error) (bus.Extent, error) {
	if name != bus.StreamLog {
		return s.Source.CopyStream(ctx, name, partitions, fn)
	}
	m := &mending{fn: fn, lasts: make([]uint64, partitions)}
	for _, kept := range s.Kept {
		next, stop := iter.Pull2(kept)
		defer stop()
		if err := m.open(next); err != nil {
			return bus.Extent{}, err
		}
	}
	extent, err := s.Source.CopyStream(ctx, name, partitions, m.take)
	if err == nil {
		err = m.end(extent, s.AcceptLoss)
	}
	s.Messages += m.replaced + m.absent
	if m.extent.Messages == 0 {
		m.extent.First = extent.Last + 1
	}
	m.extent.Last = max(m.extent.Last, extent.Last)
	return m.extent, err
}

// mending is one copy of a log under way.
type mending struct {
	fn     func(bus.StoredMessage) error
	chain  eventlog.Chain
	lasts  []uint64 // sequence of each partition's last record so far
	kept   []*keptLog
	extent bus.Extent
	before time.Time // when the last message was stored

	replaced int    // messages put in the place of others
	absent   int    // and where there was none
	unproven uint64 // sequence of the last bundle that was put in
	last     string // and what it holds
}

// keptLog is the store's log of one partition, read along.
type keptLog struct {
	next func() (Record, error, bool)
	held Record
}

func (m *mending) open(next func() (Record, error, bool)) error {
	k := &keptLog{next: next}
	more, err := k.advance()
	if more {
		m.kept = append(m.kept, k)
	}
	return err
}

func (k *keptLog) advance() (more bool, err error) {
	r, err, more := k.next()
	if err != nil || !more {
		return false, err
	}
	k.held = Record{r.Partition, r.Sequence, bytes.Clone(r.Raw)} // the store's own is gone with the next
	return true, nil
}

// first is the lowest sequence that the store has kept and is not copied yet.
func (m *mending) first() (sequence uint64, more bool) {
	for _, k := range m.kept {
		if !more || k.held.Sequence < sequence {
			sequence, more = k.held.Sequence, true
		}
	}
	return sequence, more
}

// pull takes out what the store has kept of a sequence.
func (m *mending) pull(sequence uint64) (records []bus.Message, err error) {
	m.kept = slices.DeleteFunc(m.kept, func(k *keptLog) bool {
		if err != nil || k.held.Sequence != sequence {
			return false
		}
		records = append(records, bus.Message{Sequence: sequence, Partition: k.held.Partition, Data: k.held.Raw})
		more, fault := k.advance()
		err = fault
		return !more
	})
	return records, err
}

// take copies the next message that the servers give.
func (m *mending) take(sm bus.StoredMessage) error {
	if err := m.fill(sm.Sequence); err != nil {
		return err
	}
	kept, err := m.pull(sm.Sequence)
	if err != nil {
		return err
	}
	records, lasts, err := bus.LogRecords(sm)
	switch damaged := unreadable(records, err); {
	case damaged == nil:
		return m.put(sm, records, lasts, kept)
	case errors.Is(damaged, eventlog.ErrNewerVersion):
		return fmt.Errorf("log sequence %d: %w", sm.Sequence, damaged)
	case len(kept) == 0:
		return fmt.Errorf("%w: sequence %d: %w, and the store has nothing of it", ErrNotMended, sm.Sequence, damaged)
	}
	m.replaced++
	return m.make(sm.Sequence, sm.At, kept)
}

// unreadable says why the records of a message are not as they were written; nil
// when they are.
func unreadable(records []bus.Message, err error) error {
	for _, r := range records {
		if _, fault := eventlog.Look(r.Data); err == nil {
			err = fault
		}
	}
	return err
}

// fill puts in what the store has kept below a sequence.
func (m *mending) fill(below uint64) error {
	for {
		sequence, more := m.first()
		if !more || sequence >= below {
			return nil
		}
		kept, err := m.pull(sequence)
		if err != nil {
			return err
		}
		m.absent++
		if err := m.make(sequence, m.stored(kept), kept); err != nil {
			return err
		}
	}
}

// stored is about when records were stored: when they were decided, as far as that
// fits between what is before and now.
func (m *mending) stored(records []bus.Message) time.Time {
	at := m.before
	for _, r := range records {
		if rec, err := eventlog.Decode(r.Data); err == nil {
			if decided := time.UnixMilli(int64(rec.DecidedAt)); decided.After(at) {
				at = decided
			}
		}
	}
	if now := time.Now(); at.After(now) {
		at = now
	}
	return at
}

// make puts in a message out of what the store has kept.
func (m *mending) make(sequence uint64, at time.Time, kept []bus.Message) error {
	lasts := m.lasts
	if !m.extent.Bundled && len(kept) == 1 {
		lasts = nil
	}
	if lasts != nil {
		m.unproven, m.last = sequence, fmt.Sprintf("records of %d partitions", len(kept))
	}
	return m.put(bus.LogMessage(sequence, at, kept, lasts), kept, slices.Clone(lasts), kept)
}

// put copies a message, once it fits to everything before it and to the store.
func (m *mending) put(sm bus.StoredMessage, records []bus.Message, lasts []uint64, kept []bus.Message) error {
	for _, k := range kept {
		same := func(r bus.Message) bool { return r.Partition == k.Partition && bytes.Equal(r.Data, k.Data) }
		if !slices.ContainsFunc(records, same) {
			return fmt.Errorf("%w: at sequence %d the store has another record of partition %d", ErrNotMended, sm.Sequence, k.Partition)
		}
	}
	for p, last := range lasts {
		if p < len(m.lasts) && last != m.lasts[p] {
			return fmt.Errorf("%w: partition %d had a record at sequence %d, which neither the log nor the store has", ErrNotMended, p, last)
		}
	}
	for _, r := range records {
		if err := m.follow(r); err != nil {
			return fmt.Errorf("%w: sequence %d: %w", ErrNotMended, sm.Sequence, err)
		}
	}
	if m.extent.Messages == 0 {
		m.extent.First = sm.Sequence
	}
	m.extent.Messages++
	m.extent.Last, m.before = sm.Sequence, sm.At
	m.extent.Bundled = m.extent.Bundled || lasts != nil
	return m.fn(sm)
}

// follow checks that a record continues its partition's chain.
func (m *mending) follow(r bus.Message) error {
	rec, err := eventlog.Decode(r.Data)
	if err != nil {
		return err
	}
	if r.Partition >= len(m.lasts) || int(rec.Partition) != r.Partition {
		return fmt.Errorf("a record of partition %d as one of %d", rec.Partition, r.Partition)
	}
	m.lasts[r.Partition] = r.Sequence
	return m.chain.Check(&rec)
}

// end puts in what the servers have lost behind the last message that they gave, and
// compares how many they say they have. Bundles name the ones before them, so the
// newest alone is not proven to hold all that it held.
func (m *mending) end(given bus.Extent, accepted uint64) error {
	if err := m.fill(math.MaxUint64); err != nil {
		return err
	}
	if given.Unread > uint64(m.absent) {
		return fmt.Errorf("%w: the servers cannot give %d messages, and the store has %d of them", ErrNotMended, given.Unread, m.absent)
	}
	if m.unproven != 0 && m.unproven == m.extent.Last && m.unproven != accepted {
		return fmt.Errorf("%w: its newest message, sequence %d, is one that the servers cannot give. The store has %s, and nothing behind it says that this is all "+
			"that was in it. It is, unless the machine lost power before the node stopped; then --accept-loss %[2]d", ErrNotMended, m.unproven, m.last)
	}
	return nil
}
