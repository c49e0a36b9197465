package ownership

import (
	"fmt"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// topicKept bounds what waits for the topic in memory, of all partitions of the
// node together, in entries of records. Beyond it a partition keeps its cursor
// alone, and the publisher reads on from there in the store. The bound may be
// passed by the record that reaches it, and by what is read for one partition.
const topicKept = 8 * topicBatch

// committed is a durable record with the states of the threads after each of
// its entries that go to the topic.
type committed struct {
	*eventlog.Record
	after []control.State
}

// topicPart is one partition's share of the publisher.
type topicPart struct {
	epoch   uint64 // 0: not held
	claimed bool   // the cursor carries our epoch
	cursor  topicCursor
	seq     uint64      // of the cursor message
	pending []committed // what follows the cursor, without a gap
	entries int         // of pending
	lagging bool        // more follows in the store than pending has
	missed  bool        // a record was added while lagging
}

// add hands over a committed record and reports whether it is kept: otherwise
// its memory is the caller's. It does not block.
func (t *topic) add(p int, rec committed) (kept bool) {
	if len(rec.after) == 0 {
		return false
	}
	t.mu.Lock()
	part := &t.mu.parts[p]
	if t.mu.entries >= topicKept {
		part.lagging = true
	}
	if part.lagging {
		part.missed = true
	} else {
		part.pending, kept = append(part.pending, rec), true
		part.entries += len(rec.Entries)
		t.mu.entries += len(rec.Entries)
	}
	full := t.mu.entries >= topicBatch
	t.mu.Unlock()
	t.nudge()
	if full {
		signal(t.full)
	}
	return kept
}

// keep makes records all that is kept of a partition; the lock is held.
func (t *topic) keep(part *topicPart, records []committed) {
	t.mu.entries -= part.entries
	part.pending, part.entries = records, 0
	for i := range records {
		part.entries += len(records[i].Entries)
	}
	t.mu.entries += part.entries
}

// drop forgets the first n records of a partition; the lock is held.
func (t *topic) drop(part *topicPart, n int) {
	clear(part.pending[:n]) // the array lives on with those that stay
	if n == len(part.pending) {
		t.keep(part, nil)
	} else {
		t.keep(part, part.pending[n:])
	}
}

// refill reads the records after the cursor of lagging partitions that keep
// none, as far as the bound allows. It goes a batch beyond what add does, so
// that partitions that keep up starve none that lags.
func (t *topic) refill() error {
	for p := range t.inTurn() {
		t.mu.Lock()
		part, room := t.mu.parts[p], t.mu.entries < topicKept+topicBatch
		if room {
			t.mu.parts[p].missed = false
		}
		t.mu.Unlock()
		if !room {
			return nil
		}
		if !part.claimed || !part.lagging || len(part.pending) > 0 {
			continue
		}
		records, complete, err := t.read(p, part.cursor.Position+1)
		if err != nil {
			return fmt.Errorf("records of partition %d after %d: %w", p, part.cursor.Position, err)
		}
		t.update(p, part.epoch, func(part *topicPart) {
			t.keep(part, records)
			part.lagging = !complete || part.missed
		})
	}
	return nil
}

// read returns records with topic entries from a position on, until they have
// a batch of entries. complete says that they reached the end of the store as
// it was.
func (t *topic) read(p int, from control.Position) (records []committed, complete bool, err error) {
	past := pastStates{part: t.s.holders[p].part, known: map[control.ThreadKey]control.State{}}
	entries := 0
	for stored, err := range past.part.Records(from) {
		if err != nil {
			return nil, false, err
		}
		if entries >= topicBatch {
			return records, false, nil
		}
		rec, err := eventlog.Decode(stored.Raw)
		if err != nil {
			return nil, false, err
		}
		after, err := past.after(&rec)
		if err != nil {
			return nil, false, err
		}
		if len(after) > 0 {
			records = append(records, committed{&rec, after})
			entries += len(rec.Entries)
		}
	}
	return records, true, nil
}

// batchWaits reports whether a full batch waits, or records in the store.
func (t *topic) batchWaits() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	changes := 0
	for i := range t.mu.parts {
		part := &t.mu.parts[i]
		if part.claimed && part.lagging {
			return true
		}
		for _, rec := range part.pending {
			changes += len(rec.after)
		}
	}
	return changes >= topicBatch
}
