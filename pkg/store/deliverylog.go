package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// DeliveryLog is the node's log of deliveries: rows in the order of time, the
// oldest dropped when there are too many bytes or they are too old. It is of
// this node alone, and nothing else depends on it. Safe for concurrent use.
type DeliveryLog struct {
	db       *pebble.DB
	maxBytes int64
	maxAge   control.Millis

	mu       sync.Mutex
	segments []segment // oldest first; the last one is written
	bytes    int64
	last     control.Millis // of the newest row
	count    uint32         // of the newest row, within its millisecond
}

// segment is a run of rows that are dropped together.
type segment struct {
	first control.Millis
	bytes int64
}

// segments is about how many of them the bounds hold: how coarsely is dropped.
const segments = 16

// DeliveryLog opens the node's log of deliveries, bounded by bytes and age, both
// above 0; one is to be open at a time. Rows beyond smaller bounds than before
// are dropped by the next Append.
func (s *Store) DeliveryLog(maxBytes int64, maxAge time.Duration) (*DeliveryLog, error) {
	if maxBytes <= 0 || maxAge < segments*time.Millisecond {
		return nil, fmt.Errorf("store: delivery log bounded by %d bytes and %s", maxBytes, maxAge)
	}
	l := &DeliveryLog{db: s.db, maxBytes: maxBytes, maxAge: control.Millis(maxAge.Milliseconds())}
	prefix := key(ownPartition, tableDeliverySegments)
	err := scan(s.db, prefix, after(prefix), func(k, v []byte) (bool, error) {
		k, err := tail(k, 8)
		if err != nil || len(v) != 8 {
			return false, errors.Join(err, eventlog.ErrDamaged)
		}
		g := segment{parseInstant(k), int64(binary.BigEndian.Uint64(v))}
		l.segments, l.bytes = append(l.segments, g), l.bytes+g.bytes
		return true, nil
	})
	if err = errors.Join(err, l.findLast()); err != nil {
		return nil, fmt.Errorf("store: delivery log: %w", err)
	}
	return l, nil
}

// findLast finds where to go on.
func (l *DeliveryLog) findLast() error {
	it, err := l.rows(minInstant, maxInstant)
	if err != nil {
		return err
	}
	if it.Last() {
		k, err := tail(it.Key(), 12)
		if err != nil {
			return errors.Join(err, it.Close())
		}
		l.last, l.count = parseInstant(k), binary.BigEndian.Uint32(k[8:])
	}
	return errors.Join(it.Error(), it.Close())
}

// Append adds rows of the time at, or of the newest row's when that is later:
// the log's time never goes back. Visible on return, durable with the store's
// next Sync; nothing is kept of the arguments.
func (l *DeliveryLog) Append(at control.Millis, rows ...[]byte) error {
	if len(rows) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.db.NewBatch()
	defer func() { _ = b.Close() }()
	at = max(at, l.last)
	count := l.count
	if at > l.last {
		count = 0
	}
	kept := l.next(at)
	for _, row := range rows {
		count++
		k := binary.BigEndian.AppendUint32(deliveryKey(at), count)
		if err := b.Set(k, row, nil); err != nil {
			return fmt.Errorf("store: delivery log: %w", err)
		}
		kept[len(kept)-1].bytes += int64(len(k) + len(row))
	}
	kept, err := l.trim(b, kept, at)
	if err == nil {
		newest := kept[len(kept)-1]
		err = b.Set(segmentKey(newest.first), number(nil, uint64(newest.bytes)), nil)
	}
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err != nil {
		return fmt.Errorf("store: delivery log: %w", err)
	}
	l.segments, l.last, l.count, l.bytes = kept, at, count, 0
	for _, g := range kept {
		l.bytes += g.bytes
	}
	return nil
}

// next are the segments with one to write to: the last, or a new one when that
// is full.
func (l *DeliveryLog) next(at control.Millis) []segment {
	kept := append([]segment(nil), l.segments...)
	if n := len(kept); n > 0 {
		g := kept[n-1]
		if at == g.first || g.bytes < l.maxBytes/segments && at-g.first < l.maxAge/segments {
			return kept
		}
	}
	return append(kept, segment{first: at})
}

// trim drops the oldest segments that are beyond the bounds, never the one that
// is written.
func (l *DeliveryLog) trim(b *pebble.Batch, kept []segment, now control.Millis) ([]segment, error) {
	total := int64(0)
	for _, g := range kept {
		total += g.bytes
	}
	n := 0
	for n < len(kept)-1 && (total > l.maxBytes || now-kept[n+1].first >= l.maxAge) {
		total -= kept[n].bytes
		n++
	}
	if n == 0 {
		return kept, nil
	}
	limit := kept[n].first
	return kept[n:], errors.Join(
		b.DeleteRange(key(ownPartition, tableDeliveries), deliveryKey(limit), nil),
		b.DeleteRange(key(ownPartition, tableDeliverySegments), segmentKey(limit), nil))
}

func deliveryKey(at control.Millis) []byte { return instant(key(ownPartition, tableDeliveries), at) }

func segmentKey(first control.Millis) []byte {
	return instant(key(ownPartition, tableDeliverySegments), first)
}

// Bytes is how much the log holds.
func (l *DeliveryLog) Bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

func (l *DeliveryLog) rows(since, until control.Millis) (*pebble.Iterator, error) {
	return l.db.NewIter(&pebble.IterOptions{LowerBound: deliveryKey(since), UpperBound: deliveryKey(until)})
}

// Newest calls do with the rows from since to before until, the newest first,
// until it says stop. A row is not to be kept.
func (l *DeliveryLog) Newest(since, until control.Millis, do func(at control.Millis, row []byte) (more bool, err error)) error {
	it, err := l.rows(since, until)
	if err != nil {
		return fmt.Errorf("store: delivery log: %w", err)
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		k, err := tail(it.Key(), 12)
		v, readErr := it.ValueAndErr()
		if err = errors.Join(err, readErr); err != nil {
			return errors.Join(err, it.Close())
		}
		if more, err := do(parseInstant(k), v); err != nil || !more {
			return errors.Join(err, it.Close())
		}
	}
	return errors.Join(it.Error(), it.Close())
}
