package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// State returns the state of a thread; false when it has none.
func (p *Partition) State(thread control.ThreadKey) (s control.State, ok bool, err error) {
	k := threadOf(p.key(tableThreads), thread)
	parse := func(v []byte) (err error) {
		s, err = control.ParseState(v)
		return err
	}
	if ok, err = p.lateValue(k, parse); !ok && err == nil {
		ok, err = get(p.db, k, parse)
	}
	if err != nil {
		return control.State{}, false, fmt.Errorf("store: thread %d/%d: %w", thread.Asset, thread.Person, err)
	}
	return s, ok, nil
}

// EachThread calls do for every thread that has a state, by key, until do
// returns an error, which it returns. It reads as of its beginning.
func (p *Partition) EachThread(do func(control.ThreadKey, control.State) error) (err error) {
	view, closer, err := p.view()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	prefix := p.key(tableThreads)
	return scan(view, prefix, after(prefix), func(k, v []byte) (bool, error) {
		k, err := tail(k, 16)
		if err != nil {
			return false, err
		}
		s, err := control.ParseState(v)
		if err != nil {
			return false, fmt.Errorf("store: thread %x: %w", k, err)
		}
		return true, do(parseThread(k), s)
	})
}

// Seen returns when a webhook event with this key was decided on, if that is
// remembered at now. Nearly every event is new, so a miss is what must be cheap:
// it reads memory alone.
func (p *Partition) Seen(id [16]byte, now control.Millis) (at control.Millis, ok bool, err error) {
	err = p.SeenOf([][16]byte{id}, now, func(_ int, decided control.Millis) { at, ok = decided, true })
	return at, ok, err
}

// SeenOf is Seen for many keys at once: it calls found with the index of each key that is remembered, and when it was
// decided on.
func (p *Partition) SeenOf(ids [][16]byte, now control.Millis, found func(i int, at control.Millis)) error {
	if err := p.fill(); err != nil {
		return fmt.Errorf("store: de-duplication keys of partition %d: %w", p.number, err)
	}
	var it *pebble.Iterator
	newest := generation(max(now, p.Applied().DecidedAt))
	for i := range ids {
		if !p.mayKnow(&ids[i]) {
			continue
		}
		at, ok, err := p.seenLate(newest, &ids[i])
		if err == nil && !ok {
			if it == nil {
				it, err = p.seenRows(newest)
			}
			if err == nil {
				at, ok, err = seen(it, p.key(tableDedupe), newest, &ids[i])
			}
		}
		if err != nil {
			return fmt.Errorf("store: de-duplication key %x: %w", ids[i], errors.Join(err, closed(it)))
		}
		if ok && now-at < eventlog.DedupeFor {
			found(i, at)
		}
	}
	return closed(it)
}

// closed closes an iterator, if there is one.
func closed(it *pebble.Iterator) error {
	if it == nil {
		return nil
	}
	return it.Close()
}

// seenLate looks a key up among the late rows.
func (p *Partition) seenLate(newest uint32, id *[16]byte) (at control.Millis, ok bool, err error) {
	for _, g := range [...]uint32{newest, newest - min(newest, 1)} {
		ok, err = p.lateValue(append(generationOf(p.key(tableDedupe), g), id[:]...), func(v []byte) (err error) {
			at, err = parseSeen(v)
			return err
		})
		if ok || err != nil {
			return at, ok, err
		}
	}
	return 0, false, nil
}

func parseSeen(v []byte) (control.Millis, error) {
	if len(v) != 8 {
		return 0, eventlog.ErrDamaged
	}
	return parseInstant(v), nil
}

// seenRows iterates over the rows of the newest generation and of the one before.
func (p *Partition) seenRows(newest uint32) (*pebble.Iterator, error) {
	return p.db.NewIter(&pebble.IterOptions{
		LowerBound: generationOf(p.key(tableDedupe), newest-min(newest, 1)), UpperBound: generationOf(p.key(tableDedupe), newest+1),
		UseL6Filters: true,
	})
}

// seen looks a key up in the newest generation and in the one before. prefix has
// room for the rest of the key.
func seen(it *pebble.Iterator, prefix []byte, newest uint32, id *[16]byte) (control.Millis, bool, error) {
	for _, g := range [...]uint32{newest, newest - min(newest, 1)} {
		k := append(generationOf(prefix, g), id[:]...)
		if !it.SeekPrefixGE(k) {
			if err := it.Error(); err != nil {
				return 0, false, err
			}
			continue
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return 0, false, err
		}
		at, err := parseSeen(v)
		return at, err == nil, err
	}
	return 0, false, nil
}

// mayKnow reports whether a key may be in the store: false for nearly every key
// that is new.
func (p *Partition) mayKnow(id *[16]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.seen.mayKnow(id)
}

// fill reads the keys of events and of calls into memory, once; not those of a
// kind of which there are too many.
func (p *Partition) fill() (err error) {
	p.mu.Lock()
	filled := p.mu.filled
	p.mu.Unlock()
	if filled {
		return nil
	}
	p.writing.Lock() // a record that is applied now would be in neither
	defer p.writing.Unlock()
	if err := p.write(true); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	rows := p.rows()
	if p.mu.seen, err = p.keysOf(rows, tableDedupe); err != nil {
		return err
	}
	if p.mu.called, err = p.keysOf(rows, tableAnswers); err != nil {
		return err
	}
	p.mu.filled = true
	return nil
}

// keysOf reads the keys of a table of generations.
func (p *Partition) keysOf(r pebble.Reader, t table) (memory, error) {
	m := newMemory()
	prefix := p.key(t)
	err := scan(r, prefix, after(prefix), func(k, _ []byte) (bool, error) {
		k, err := tail(k, 4+16)
		if err != nil {
			return false, err
		}
		id := [16]byte(k[4:])
		m.remember(binary.BigEndian.Uint32(k), &id)
		return m.complete, nil
	})
	return m, err
}

// Answer returns the answer of a command id or an idempotency key, if it counts
// at now, which is not before the last decided-at.
func (p *Partition) Answer(id [16]byte, now control.Millis) (a eventlog.Answer, ok bool, err error) {
	if err := p.fill(); err != nil {
		return eventlog.Answer{}, false, fmt.Errorf("store: answers of partition %d: %w", p.number, err)
	}
	if !p.mayAnswer(&id) {
		return eventlog.Answer{}, false, nil
	}
	first := generation(max(now, p.Applied().DecidedAt))
	for _, g := range [...]uint32{first, first + 1} {
		ok, err = p.row(append(generationOf(p.key(tableAnswers), g), id[:]...), func(v []byte) (err error) {
			a, err = eventlog.ParseAnswer(v)
			return err
		})
		if err != nil {
			return eventlog.Answer{}, false, fmt.Errorf("store: answer %x: %w", id, err)
		}
		if ok {
			break
		}
	}
	if !ok || !a.Live(now) {
		return eventlog.Answer{}, false, nil
	}
	return a, true, nil
}

// mayAnswer reports whether there may be an answer under a key.
func (p *Partition) mayAnswer(id *[16]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.called.mayKnow(id)
}

// Button returns the app that sent a button with this payload on the thread.
func (p *Partition) Button(thread control.ThreadKey, payload uint64) (control.AppID, bool, error) {
	v, ok, err := p.word(number(threadOf(p.key(tableButtons), thread), payload))
	if err != nil {
		return 0, false, fmt.Errorf("store: button %x of thread %d/%d: %w", payload, thread.Asset, thread.Person, err)
	}
	return control.AppID(v), ok, nil
}

// Send returns the position of the send with this message id.
func (p *Partition) Send(mid string) (control.Position, bool, error) {
	hash := midHash(mid)
	v, ok, err := p.word(append(p.key(tableMids), hash[:]...))
	if err != nil {
		return 0, false, fmt.Errorf("store: send of message %x: %w", hash, err)
	}
	return control.Position(v), ok, nil
}

// word reads a row whose value is one number.
func (p *Partition) word(k []byte) (word uint64, ok bool, err error) {
	ok, err = p.row(k, func(v []byte) error {
		if len(v) != 8 {
			return eventlog.ErrDamaged
		}
		word = binary.BigEndian.Uint64(v)
		return nil
	})
	return word, ok, err
}

// row is get for a row that is not written late.
func (p *Partition) row(k []byte, use func(v []byte) error) (bool, error) {
	if err := p.flush(); err != nil {
		return false, err
	}
	return get(p.db, k, use)
}

// get calls use with the value of k; false when there is none. The value is not
// to be kept.
func get(r pebble.Reader, k []byte, use func(v []byte) error) (bool, error) {
	v, closer, err := r.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = use(v)
	return err == nil, errors.Join(err, closer.Close())
}

// scan calls use with the rows of [from, to) until it says stop. An iterator
// that meets damage only ends: its error counts.
func scan(r pebble.Reader, from, to []byte, use func(k, v []byte) (more bool, err error)) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if more, err := use(it.Key(), v); err != nil || !more {
			return errors.Join(err, it.Close())
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// tail is what k adds to the partition and the table: exactly size bytes.
func tail(k []byte, size int) ([]byte, error) {
	if len(k) != 3+size {
		return nil, fmt.Errorf("store: key %x: %w", k, eventlog.ErrDamaged)
	}
	return k[3:], nil
}
