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
	if err := p.write(false); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.seen, err = p.knownKeys(p.rows()); err != nil {
		return err
	}
	if p.mu.called, err = p.knownAnswers(p.rows()); err != nil {
		return err
	}
	p.mu.filled = true
	return nil
}

// knownAnswers reads the keys of the answers.
func (p *Partition) knownAnswers(r pebble.Reader) (memory, error) {
	m := newMemory()
	prefix := p.key(tableAnswers)
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
