package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// The de-duplication keys and the histories are indexes of the log. A row for each
// event would be put anywhere in them, and written again with all others whenever
// the engine compacts. So those of some thousands of events of a partition are
// written together, in rows that they share. Until then they are in memory, and
// after a crash they are read from the end of the log.

// indexLate is for how many events the indexes of a partition are written. They take
// 50 bytes each until then.
const indexLate = 2048

// index is what the indexes do not have yet.
type index struct {
	keys   []seenKey
	events []filedEvent
	kept   []keptState // of some of events, by position
	states []byte
}

func (x *index) full() bool { return len(x.keys) >= indexLate || len(x.events) >= indexLate }

func (x *index) empty() bool { return len(x.keys) == 0 && len(x.events) == 0 }

func (x *index) forget() {
	x.keys, x.events, x.kept, x.states = x.keys[:0], x.events[:0], x.kept[:0], x.states[:0]
}

// index writes what the indexes do not have yet.
func (b *batch) index() {
	b.indexKeys(b.p.index.keys)
	b.indexEvents(&b.p.index)
}

// orderMost things are brought into the order of their rows at once: a number has
// the row, in rowBits, and the place of one of them.
const (
	rowBits   = 32 + 9
	orderBits = 64 - rowBits
	orderMost = 1 << orderBits
)

//nolint:gochecknoglobals // free buffers of orders
var orders = sync.Pool{New: func() any { return new([]uint64) }}

// eachRow calls use with each row that any of n things belong to, and the places of
// these, ascending. The rows ascend, of orderMost things at a time.
func eachRow(n int, rowOf func(i int) uint64, use func(row uint64, places []uint64)) {
	buf, _ := orders.Get().(*[]uint64)
	defer orders.Put(buf)
	for from := 0; from < n; from += orderMost {
		order := (*buf)[:0]
		for i := range min(n-from, orderMost) {
			order = append(order, rowOf(from+i)<<orderBits|uint64(i))
		}
		slices.Sort(order)
		*buf = order
		for len(order) > 0 {
			row, some := order[0]>>orderBits, 0
			for some < len(order) && order[some]>>orderBits == row {
				order[some] = uint64(from) + order[some]%orderMost
				some++
			}
			use(row, order[:some])
			order = order[some:]
		}
	}
}

// restoreIndex reads what the indexes do not have: the events of the records behind
// the position up to which they have all. A partition of an earlier format also
// has de-duplication keys in rows of their own, which are to be left.
func (p *Partition) restoreIndex(stands *standing) error {
	p.indexed = stands.indexed
	p.index.forget()
	if stands.singles {
		if err := p.readSingles(); err != nil {
			return fmt.Errorf("de-duplication keys: %w", err)
		}
	}
	if stands.indexed >= stands.Position {
		return nil
	}
	it, err := p.newLogIter(p.db)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	_, fault := yieldRecords(it, logKey(p.number, stands.indexed+1, 0), func(s Stored, fault error) bool {
		if err = fault; err == nil && s.First > stands.indexed {
			err = p.indexRecord(s.Raw)
		}
		return err == nil
	})
	if err = errors.Join(fault, err, it.Close()); err != nil {
		return fmt.Errorf("log behind position %d: %w", stands.indexed, err)
	}
	return nil
}

// indexRecord takes what the indexes are to have of a record.
func (p *Partition) indexRecord(raw []byte) error {
	r, err := eventlog.Decode(raw)
	if err == nil {
		eventlog.Project(&r, &p.index)
	}
	return err
}

// mergeRest makes the view of a partition that is only read: its rows with those
// that a writer would have put into their tables.
func (p *Partition) mergeRest() error {
	if len(p.late.rows) == 0 && p.index.empty() {
		return nil
	}
	b := batch{p: p, b: p.db.NewIndexedBatch()}
	b.settle()
	b.index()
	p.merged = b.b
	p.index.forget()
	return b.err
}

// Remember implements eventlog.Tables.
func (x *index) Remember(id [16]byte, at control.Millis) { x.keys = append(x.keys, seenKey{id, at}) }

// Happened implements eventlog.Tables.
func (x *index) Happened(thread control.ThreadKey, at control.Position) {
	x.events = append(x.events, filedEvent{thread, at})
}

// Answer implements eventlog.Tables.
func (*index) Answer([16]byte, eventlog.Answer) {}

// Button implements eventlog.Tables.
func (*index) Button(control.ThreadKey, uint64, control.AppID) {}

// Sent implements eventlog.Tables.
func (*index) Sent(string, control.Position) {}
