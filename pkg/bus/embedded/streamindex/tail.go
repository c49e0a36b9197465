package streamindex

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/nats-io/nats-server/v2/server/avl"
)

// Names of headers that the index counts. Source: nats-server, stream.go.
const (
	headerTTL      = "Nats-TTL"
	headerSchedule = "Nats-Schedule"
)

// tail carries an index on over the records behind it.
type tail struct {
	*index
	stream string
	dir    string
	places map[uint32][]place // of the blocks in which something was deleted
	read   int64              // bytes
}

// place is a message of a block.
type place struct {
	edge
	size    int
	subject string
}

func (t *tail) file(number uint32) string {
	return filepath.Join(t.dir, fmt.Sprintf("%d.blk", number))
}

// resume reads on in the block that was the last when the index was written.
func (t *tail) resume() error {
	b := t.blocks[len(t.blocks)-1]
	raw, err := os.ReadFile(t.file(b.number))
	if err != nil {
		return err
	}
	if bytes.Equal(t.sum, make([]byte, sumSize)) { // nothing was in it
		if b.bytes != 0 || b.messages() != 0 {
			return fmt.Errorf("%w: block %d has no newest record", errUnusable, b.number)
		}
		return t.carryOn(b, raw)
	}
	for rest := raw; ; {
		r, ok := readRecord(rest)
		if !ok {
			return fmt.Errorf("%w: block %d lacks the newest record of the index", errUnusable, b.number)
		}
		rest = rest[len(r.raw):]
		if bytes.Equal(r.sum(), t.sum) {
			return t.carryOn(b, rest)
		}
	}
}

// begin reads a block that has come since.
func (t *tail) begin(number uint32) error {
	if t.blocks[len(t.blocks)-1].messages() == 0 {
		return fmt.Errorf("%w: an empty block before %d", errUnusable, number)
	}
	raw, err := os.ReadFile(t.file(number))
	if err != nil {
		return err
	}
	b := &block{number: number, deleted: &avl.SequenceSet{}}
	b.first.sequence, b.last = t.last.sequence+1, t.last
	t.blocks = append(t.blocks, b)
	t.sum = make([]byte, sumSize)
	return t.carryOn(b, raw)
}

// carryOn takes records of the newest block into the books.
func (t *tail) carryOn(b *block, records []byte) error {
	sums := newSummer(t.stream, b.number)
	t.read += int64(len(records))
	for len(records) > 0 {
		r, ok := readRecord(records)
		if !ok || !sums.fits(&r) {
			return fmt.Errorf("%w: block %d has a broken record behind sequence %d", errUnusable, b.number, t.last.sequence)
		}
		if err := t.take(b, &r); err != nil {
			return err
		}
		t.sum = bytes.Clone(r.sum())
		records = records[len(r.raw):]
	}
	return nil
}

func (t *tail) take(b *block, r *record) error {
	switch {
	case r.buries:
		return t.delete(r.sequence)
	case r.erased, r.sequence <= t.last.sequence, r.hasHeader(headerSchedule):
		return fmt.Errorf("%w: sequence %d behind %d", errUnusable, r.sequence, t.last.sequence)
	}
	at := edge{r.sequence, r.at}
	if b.messages() == 0 {
		b.first = at
	} else {
		for gap := b.last.sequence + 1; gap < r.sequence; gap++ {
			b.deleted.Insert(gap)
		}
	}
	if t.messages == 0 {
		t.first = at
	}
	b.last, t.last = at, at
	b.bytes += uint64(len(r.raw))
	t.bytes += uint64(len(r.raw))
	t.messages++
	if r.hasHeader(headerTTL) {
		b.mortal++
	}
	s := t.subjects[string(r.subject)]
	if s == nil {
		s = &subject{firstBlock: b.number}
		t.subjects[string(r.subject)] = s
	}
	s.messages++
	s.latestBlock = b.number
	return nil
}

// delete takes a message out of the books, unless that was done.
func (t *tail) delete(sequence uint64) error {
	b := t.at(sequence)
	if b == nil || sequence < b.first.sequence || b.deleted.Exists(sequence) {
		return nil
	}
	m, err := t.message(b, sequence)
	if err != nil {
		return err
	}
	s := t.subjects[m.subject]
	if b.messages() < 2 || s == nil || s.messages == 0 || b.bytes < uint64(m.size) {
		return fmt.Errorf("%w: deleting %d leaves block %d empty", errUnusable, sequence, b.number)
	}
	t.messages--
	t.bytes -= uint64(m.size)
	b.bytes -= uint64(m.size)
	if s.messages--; s.messages == 0 {
		delete(t.subjects, m.subject)
	}
	if sequence != b.first.sequence {
		b.deleted.Insert(sequence)
		return nil
	}
	return t.advance(b)
}

// advance moves a block's first message to the next one that is there.
func (t *tail) advance(b *block) error {
	was := b.first.sequence
	next := was + 1
	for b.deleted.Exists(next) {
		b.deleted.Delete(next)
		next++
	}
	m, err := t.message(b, next)
	if err != nil {
		return err
	}
	if b.first = m.edge; was == t.first.sequence {
		t.first = m.edge
	}
	return nil
}

// message looks up a message of a block.
func (t *tail) message(b *block, sequence uint64) (place, error) {
	places, ok := t.places[b.number]
	if !ok {
		var err error
		if places, err = t.placesOf(b.number); err != nil {
			return place{}, err
		}
		t.places[b.number] = places
	}
	i, found := slices.BinarySearchFunc(places, sequence, func(p place, sequence uint64) int { return cmp.Compare(p.sequence, sequence) })
	if !found {
		return place{}, fmt.Errorf("%w: block %d has no message %d", errUnusable, b.number, sequence)
	}
	return places[i], nil
}

// placesOf lists the messages in a block's file.
func (t *tail) placesOf(number uint32) ([]place, error) {
	raw, err := os.ReadFile(t.file(number))
	if err != nil {
		return nil, err
	}
	t.read += int64(len(raw))
	names := map[string]string{}
	var places []place
	last := uint64(0)
	for len(raw) > 0 {
		r, ok := readRecord(raw)
		if !ok {
			return nil, fmt.Errorf("%w: block %d has a broken record", errUnusable, number)
		}
		if raw = raw[len(r.raw):]; r.buries || r.erased || r.sequence <= last {
			continue
		}
		name, known := names[string(r.subject)]
		if !known {
			name = string(r.subject)
			names[name] = name
		}
		last = r.sequence
		places = append(places, place{edge{r.sequence, r.at}, len(r.raw), name})
	}
	return places, nil
}
