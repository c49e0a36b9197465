package ownership

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// comparison is the log of a partition, read from its beginning, beside what the
// store has of it.
type comparison struct {
	// head and sequence are where the log ends.
	head     eventlog.Head
	sequence uint64
	// logFault is why the log cannot be read to its end, storeFault why the
	// store cannot; nil when they can.
	logFault, storeFault error
	// extra are the records that only the store has: how many, their events,
	// and the key of the first. forked says that the log has gone on otherwise.
	extra       int
	extraEvents int
	extraFirst  control.Position
	extraAfter  uint64 // the store's sequence of the last record that both have
	forked      bool
}

// storedLog is what the store has of a partition's log, read along.
type storedLog struct {
	next func() (store.Stored, error, bool)
	last uint64 // sequence of the last record that was the log's too
	held store.Stored
	ok   bool
	err  error
}

func (l *storedLog) advance() {
	var err error
	if l.held, err, l.ok = l.next(); l.ok && err != nil {
		l.ok, l.err = false, err
	}
}

// errCompared ends the reading of a log at its end.
var errCompared = errors.New("ownership: the log is read")

// compareLogs reads the whole log of the partition and what the store has of it.
// The error is temporary.
func (h *holder) compareLogs(ctx context.Context) (*comparison, error) {
	c := &comparison{}
	next, stop := iter.Pull2(h.part.Records(1))
	defer stop()
	stored := &storedLog{next: next}
	stored.advance()
	err := h.eachRecord(ctx, func(m bus.Message) error {
		return c.take(m, stored)
	})
	if err != nil {
		return nil, err
	}
	c.count(stored)
	return c, nil
}

// eachRecord reads the partition's log from its beginning to its end as it is
// now.
func (h *holder) eachRecord(ctx context.Context, fn func(bus.Message) error) error {
	last, err := h.deps.Log.LastLog(ctx, h.partition)
	if errors.Is(err, bus.ErrNoMessage) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ownership: end of the log of partition %d: %w", h.partition, err)
	}
	err = h.deps.Log.ReadLog(ctx, bus.ReadOptions{Partitions: []int{h.partition}}, func(m bus.Message) error {
		if err := fn(m); err != nil {
			return err
		}
		if m.Sequence >= last.Sequence {
			return errCompared
		}
		return nil
	})
	if errors.Is(err, errCompared) {
		return nil
	}
	return err
}

// take takes the next record of the log.
func (c *comparison) take(m bus.Message, stored *storedLog) error {
	rec, err := eventlog.Decode(m.Data)
	if err != nil {
		c.logFault = fmt.Errorf("record at log sequence %d: %w", m.Sequence, err)
		return errCompared
	}
	head, err := c.head.Next(&rec)
	if errors.Is(err, eventlog.ErrStaleEpoch) {
		c.sequence = m.Sequence
		return nil
	}
	if err != nil {
		c.logFault = fmt.Errorf("record at log sequence %d: %w", m.Sequence, err)
		return errCompared
	}
	c.head, c.sequence = head, m.Sequence
	switch {
	case !stored.ok || c.forked:
	case bytes.HasSuffix(stored.held.Raw, rec.Hash[:]):
		stored.last = stored.held.Sequence
		stored.advance()
	default:
		c.forked = true
	}
	return nil
}

// count counts what the store has beyond the log.
func (c *comparison) count(stored *storedLog) {
	c.extraAfter = stored.last
	if stored.ok {
		c.extraFirst = stored.held.First
	}
	for ; stored.ok; stored.advance() {
		c.extra++
		if v, err := eventlog.Look(stored.held.Raw); err == nil {
			c.extraEvents += int(v.Last() + 1 - v.First())
		}
	}
	c.storeFault = stored.err
}

// extras yields the records that only the store has, in order, as far as they
// can be read.
func (h *holder) extras(c *comparison) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if c.extra == 0 {
			return
		}
		for stored, err := range h.part.Records(c.extraFirst) {
			if err == nil && stored.Sequence <= c.extraAfter {
				continue
			}
			if err != nil || !yield(stored.Raw) {
				return
			}
		}
	}
}
