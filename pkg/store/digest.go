package store

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// Digest returns the state digest of the partition as it stands: equal to that
// of the fold of its log. It reads every thread of the partition.
func (p *Partition) Digest() (eventlog.Digest, error) {
	_, digest, err := p.DigestAt()
	return digest, err
}

// DigestAt is Digest with where the partition stood, of one moment also while
// records are applied.
func (p *Partition) DigestAt() (head eventlog.Head, digest eventlog.Digest, err error) {
	view, closer, err := p.view()
	if err != nil {
		return eventlog.Head{}, eventlog.Digest{}, err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	_, err = get(view, p.key(tableMeta), func(v []byte) error {
		stands, err := parseStanding(v)
		head = stands.Head
		return err
	})
	if err == nil {
		digest, err = p.digest(view, head.DecidedAt)
	}
	if err != nil {
		return eventlog.Head{}, eventlog.Digest{}, fmt.Errorf("store: digest of partition %d: %w", p.number, err)
	}
	return head, digest, nil
}

func (p *Partition) digest(r pebble.Reader, now control.Millis) (eventlog.Digest, error) {
	d := eventlog.NewDigester()
	prefix := p.key(tableThreads)
	err := scan(r, prefix, after(prefix), func(k, v []byte) (bool, error) {
		k, err := tail(k, 16)
		if err == nil {
			d.Thread(parseThread(k), v)
		}
		return true, err
	})
	if err != nil {
		return eventlog.Digest{}, err
	}
	if err := p.digestKeys(r, now, d); err != nil {
		return eventlog.Digest{}, err
	}
	newest := generation(now)
	err = p.merge(r, tableAnswers, [2]uint32{newest, newest + 1}, func(id [16]byte, v []byte) error {
		a, err := eventlog.ParseAnswer(v)
		if err == nil && a.Live(now) {
			d.Answer(id, v)
		}
		return err
	})
	return d.Sum(), err
}

// merge calls use with the rows of two generations of a table, by key. A key in
// both is used as the first has it.
func (p *Partition) merge(r pebble.Reader, t table, generations [2]uint32, use func(id [16]byte, v []byte) error) error {
	first, err := p.generation(r, t, generations[0])
	if err != nil {
		return err
	}
	defer first.Close() //nolint:errcheck // its error is read below
	second, err := p.generation(r, t, generations[1])
	if err != nil {
		return err
	}
	defer second.Close() //nolint:errcheck // its error is read below
	if generations[0] == generations[1] {
		second.Last()
		second.Next()
	}
	for first.Valid() || second.Valid() {
		from := first
		switch order := compare(first, second); {
		case order > 0:
			from = second
		case order == 0:
			second.Next()
		}
		v, err := from.ValueAndErr()
		if err != nil {
			return err
		}
		id, err := tail(from.Key(), 4+16)
		if err != nil {
			return err
		}
		if err := use([16]byte(id[4:]), v); err != nil {
			return err
		}
		from.Next()
	}
	return errors.Join(first.Error(), second.Error())
}

// generation returns an iterator at the first row of a generation.
func (p *Partition) generation(r pebble.Reader, t table, g uint32) (*pebble.Iterator, error) {
	it, err := r.NewIter(&pebble.IterOptions{
		LowerBound: generationOf(p.key(t), g), UpperBound: generationOf(p.key(t), g+1),
	})
	if err != nil {
		return nil, err
	}
	it.First()
	return it, nil
}

// compare orders two iterators by the ids that they stand at; one at its end
// comes last.
func compare(a, b *pebble.Iterator) int {
	switch {
	case !b.Valid():
		return -1
	case !a.Valid():
		return 1
	}
	return bytes.Compare(a.Key()[len(a.Key())-16:], b.Key()[len(b.Key())-16:])
}
