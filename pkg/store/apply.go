package store

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// Change is a thread that a record touched.
type Change struct {
	Thread control.ThreadKey
	// State is the thread after the record.
	State control.State
	// Was and Due move the thread's timer: when its row was due, and when it
	// is to be due now; zero for no row. Equal: the row stays as it is.
	Was, Due control.Millis
}

// Apply takes in everything that follows from one record: the record itself, the
// states of the threads it touched, their timers, and the tables. raw is the
// record as it is in the stream, sequence its place there; changes has each
// thread for which an entry of r Evolves, once. Nothing is kept of the
// arguments.
//
// It is all or nothing, visible on return, and not durable before Sync: the
// stream is. Its rows reach the engine with those of other records, within
// a tenth of a second. The errors are eventlog.ErrStaleEpoch, eventlog.ErrBrokenChain and
// ErrWrongChanges, or that of the engine, also one that an earlier record's rows
// met; nothing is changed then.
func (p *Partition) Apply(r *eventlog.Record, raw []byte, sequence uint64, changes []Change) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	before := p.Applied()
	applied, err := p.check(before, r, raw, sequence)
	if err != nil {
		return err
	}
	if err := p.covers(r, changes); err != nil {
		return err
	}
	b, err := p.collect(lapses(before.DecidedAt, r.DecidedAt))
	if err != nil {
		return err
	}
	b.now = r.DecidedAt
	b.set(logKey(p.number, r.First, sequence), raw)
	b.lapse(before.DecidedAt)
	eventlog.Project(r, b)
	for i := range changes {
		b.thread(&changes[i])
	}
	p.arrived(b, applied)
	return nil
}

// memoryKey is a key that a record brings.
type memoryKey struct {
	id         [16]byte
	generation uint32
	call       bool // not an event
}

// arrived brings memory up to what b has of a record. Called with writing held,
// as the tables are read into memory.
func (p *Partition) arrived(b *batch, applied Applied) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.called.lapse(b.lapsed)
	p.mu.seen.lapse(b.lapsed - min(b.lapsed, 1))
	for i := range b.keys {
		k := &b.keys[i]
		if k.call {
			p.mu.called.remember(k.generation, &k.id)
		} else {
			p.mu.seen.remember(k.generation, &k.id)
		}
	}
	p.mu.lower(b.floor)
	p.mu.applied = applied
}

// check says whether r continues the partition, and where it leads.
func (p *Partition) check(before Applied, r *eventlog.Record, raw []byte, sequence uint64) (Applied, error) {
	switch {
	case r.Partition != uint32(p.number):
		return Applied{}, fmt.Errorf("store: record of partition %d for partition %d: %w", r.Partition, p.number, eventlog.ErrBrokenChain)
	case !bytes.HasSuffix(raw, r.Hash[:]):
		return Applied{}, fmt.Errorf("store: partition %d, position %d: raw is not the record's: %w", p.number, r.First, eventlog.ErrBrokenChain)
	case sequence <= before.Sequence:
		return Applied{}, fmt.Errorf("store: partition %d, position %d: stream sequence %d after %d: %w",
			p.number, r.First, sequence, before.Sequence, eventlog.ErrBrokenChain)
	}
	head, err := before.Next(r)
	if err != nil {
		return Applied{}, fmt.Errorf("store: %w", err)
	}
	return Applied{Head: head, Sequence: sequence}, nil
}

// covers reports whether changes has exactly the threads that r evolves.
func (p *Partition) covers(r *eventlog.Record, changes []Change) error {
	if coversOne(r, changes) {
		return nil
	}
	if p.open == nil {
		p.open = map[control.ThreadKey]bool{}
	}
	open, used := p.open, 0
	defer clear(open)
	for i := range changes {
		open[changes[i].Thread] = true
	}
	if len(open) != len(changes) {
		return fmt.Errorf("partition %d, position %d: a thread twice: %w", r.Partition, r.First, ErrWrongChanges)
	}
	for i := range r.Entries {
		e := &r.Entries[i]
		if !e.Evolves() {
			continue
		}
		unused, given := open[e.Thread]
		if !given {
			return fmt.Errorf("partition %d, position %d: no state of thread %d/%d: %w",
				r.Partition, r.First, e.Thread.Asset, e.Thread.Person, ErrWrongChanges)
		}
		if unused {
			open[e.Thread] = false
			used++
		}
	}
	if used == len(changes) {
		return nil
	}
	for thread, unused := range open {
		if unused {
			return fmt.Errorf("partition %d, position %d: a state of thread %d/%d, which it does not touch: %w",
				r.Partition, r.First, thread.Asset, thread.Person, ErrWrongChanges)
		}
	}
	return nil
}

// coversOne reports whether changes is the one thread that all of r evolves, as
// most records do.
func coversOne(r *eventlog.Record, changes []Change) bool {
	if len(changes) != 1 {
		return false
	}
	evolves := false
	for i := range r.Entries {
		if e := &r.Entries[i]; e.Evolves() {
			if e.Thread != changes[0].Thread {
				return false
			}
			evolves = true
		}
	}
	return evolves
}

// batch collects the rows of a partition that are to be written, of one record
// after the other. It is the eventlog.Tables of the store.
type batch struct {
	p *Partition
	b *pebble.Batch // nil when there are none

	// The rest is of the last record.
	now    control.Millis // its decided-at
	floor  control.Millis // the earliest timer armed
	keys   []memoryKey    // of events and calls
	lapsed uint32         // generations of answers before it lapse; zero for none
	// occasions are those of its events that keep a state.
	occasions []filedEvent
	key       []byte
	value     []byte
	body      []byte // of a section
	err       error  // of any record
}

func (b *batch) start(t table) []byte {
	b.key = append(b.key[:0], byte(b.p.number>>8), byte(b.p.number), byte(t))
	return b.key
}

func (b *batch) set(key, value []byte) {
	if err := b.b.Set(key, value, nil); err != nil && b.err == nil {
		b.err = err
	}
}

func (b *batch) merge(key, value []byte) {
	if err := b.b.Merge(key, value, nil); err != nil && b.err == nil {
		b.err = err
	}
}

func (b *batch) delete(key []byte) {
	if err := b.b.Delete(key, nil); err != nil && b.err == nil {
		b.err = err
	}
}

// thread writes a thread's state and moves its timer.
func (b *batch) thread(c *Change) {
	b.value = c.State.AppendCanonical(b.value[:0])
	b.late(threadOf(b.start(tableThreads), c.Thread), b.value)
	b.keep(c.Thread, b.value)
	b.timer(c.Thread, c.Was, c.Due)
}

func (b *batch) timer(thread control.ThreadKey, was, due control.Millis) {
	if was == due {
		return
	}
	if was != 0 {
		b.delete(threadOf(instant(b.start(tableTimers), was), thread))
	}
	if due != 0 {
		b.set(threadOf(instant(b.start(tableTimers), due), thread), nil)
		b.floor = min(b.floor, due)
	}
}

// lapses reports whether time enters another generation.
func lapses(before, now control.Millis) bool {
	return before != 0 && generation(now) != generation(before)
}

// lapse drops the generations that no lookup asks for any more, when time has
// entered another one since before.
func (b *batch) lapse(before control.Millis) {
	if !lapses(before, b.now) {
		return
	}
	now := generation(b.now)
	b.lapsed = now
	b.dropBefore(tableAnswers, now)
	if now > 0 {
		b.dropBefore(tableDedupe, now-1)
	}
}

func (b *batch) dropBefore(t table, g uint32) {
	from, to := generationOf(b.p.key(t), 0), generationOf(b.p.key(t), g)
	if err := b.b.DeleteRange(from, to, nil); err != nil && b.err == nil {
		b.err = err
	}
}

// Answer implements eventlog.Tables. An answer replaces one in another
// generation too, if there may be one.
func (b *batch) Answer(id [16]byte, a eventlog.Answer) {
	now := generation(b.now)
	replaces := b.replaces(&id)
	for _, g := range [...]uint32{now, now + 1} {
		k := append(generationOf(b.start(tableAnswers), g), id[:]...)
		if g == generation(a.Until) && a.Live(b.now) {
			b.value = eventlog.AppendAnswer(b.value[:0], &a)
			b.set(k, b.value)
			b.keys = append(b.keys, memoryKey{id: id, generation: g, call: true})
			continue
		}
		if replaces {
			b.delete(k)
		}
	}
}

// replaces reports whether there may be an answer under the key: in the store,
// or of this very record.
func (b *batch) replaces(id *[16]byte) bool {
	return b.p.mayAnswer(id) || slices.ContainsFunc(b.keys, func(k memoryKey) bool { return k.call && k.id == *id })
}

// Button implements eventlog.Tables.
func (b *batch) Button(thread control.ThreadKey, payload uint64, app control.AppID) {
	b.value = number(b.value[:0], uint64(app))
	b.set(number(threadOf(b.start(tableButtons), thread), payload), b.value)
}

// Sent implements eventlog.Tables.
func (b *batch) Sent(mid string, send control.Position) {
	hash := midHash(mid)
	b.value = number(b.value[:0], uint64(send))
	b.set(append(b.start(tableMids), hash[:]...), b.value)
}
