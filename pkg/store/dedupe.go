package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// De-duplication keys are hashes. Those that begin alike share a row, their bucket:
// each with the time at which it was decided on, in no order. Keys are written to a
// bucket as an operand of a merge, which is concatenation; the engine joins them
// when it compacts.
const (
	// dedupeBuckets rows have the keys of a generation, chosen by their first bits:
	// of indexLate keys, four each.
	dedupeBuckets = 1 << dedupeBits
	dedupeBits    = 9
	// dedupeSize is what a key takes in its row: itself and a time.
	dedupeSize = 16 + 8
)

// seenKey is a de-duplication key, and when it was decided on.
type seenKey struct {
	id [16]byte
	at control.Millis
}

func (k *seenKey) bucket() uint16 { return bucketOf(&k.id) }

func bucketOf(id *[16]byte) uint16 { return binary.BigEndian.Uint16(id[:]) >> (16 - dedupeBits) }

// compareSeen orders by key, of equal ones the newest first.
func compareSeen(a, b seenKey) int {
	return cmp.Or(bytes.Compare(a.id[:], b.id[:]), cmp.Compare(b.at, a.at))
}

func bucketKey(prefix []byte, g uint32, bucket uint16) []byte {
	return binary.BigEndian.AppendUint16(generationOf(prefix, g), bucket)
}

// eachSeen calls use with the keys of a bucket's row.
func eachSeen(v []byte, use func(k seenKey)) error {
	if len(v)%dedupeSize != 0 {
		return eventlog.ErrDamaged
	}
	for ; len(v) > 0; v = v[dedupeSize:] {
		use(seenKey{[16]byte(v), parseInstant(v[16:])})
	}
	return nil
}

// lastSeen is when a key of a bucket's row was last decided on.
func lastSeen(v []byte, id *[16]byte) (at control.Millis, ok bool, err error) {
	if len(v)%dedupeSize != 0 {
		return 0, false, eventlog.ErrDamaged
	}
	for ; len(v) > 0; v = v[dedupeSize:] {
		if [16]byte(v) == *id {
			if last := parseInstant(v[16:]); !ok || last > at {
				at, ok = last, true
			}
		}
	}
	return at, ok, nil
}

// Remember implements eventlog.Tables.
func (b *batch) Remember(id [16]byte, at control.Millis) {
	b.p.index.Remember(id, at)
	b.keys = append(b.keys, memoryKey{id: id, generation: generation(at)})
}

// indexKeys writes keys to their buckets.
func (b *batch) indexKeys(keys []seenKey) {
	rowOf := func(i int) uint64 { return uint64(generation(keys[i].at))<<dedupeBits | uint64(keys[i].bucket()) }
	eachRow(len(keys), rowOf, func(row uint64, places []uint64) {
		b.value = b.value[:0]
		for _, i := range places {
			b.value = instant(append(b.value, keys[i].id[:]...), keys[i].at)
		}
		b.merge(bucketKey(b.start(tableDedupe), uint32(row>>dedupeBits), uint16(row%dedupeBuckets)), b.value)
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
	newest := generation(max(now, p.Applied().DecidedAt))
	for i := range ids {
		if !p.mayKnow(&ids[i]) {
			continue
		}
		at, ok, err := p.seen(&ids[i], newest)
		if err != nil {
			return fmt.Errorf("store: de-duplication key %x: %w", ids[i], err)
		}
		if ok && now-at < eventlog.DedupeFor {
			found(i, at)
		}
	}
	return nil
}

// seen looks a key up in memory, in the newest generation and in the one before.
func (p *Partition) seen(id *[16]byte, newest uint32) (at control.Millis, ok bool, err error) {
	if at, ok = p.seenLate(id); ok {
		return at, true, nil
	}
	prefix := p.key(tableDedupe)
	for _, g := range [...]uint32{newest, newest - min(newest, 1)} {
		_, err = get(p.rows(), bucketKey(prefix, g, bucketOf(id)), func(v []byte) (err error) {
			at, ok, err = lastSeen(v, id)
			return err
		})
		if ok || err != nil {
			return at, ok, err
		}
	}
	return 0, false, nil
}

// seenLate looks a key up that is not in its bucket yet.
func (p *Partition) seenLate(id *[16]byte) (at control.Millis, ok bool) {
	p.writing.Lock()
	defer p.writing.Unlock()
	for i := range p.index.keys {
		if k := &p.index.keys[i]; k.id == *id && (!ok || k.at > at) {
			at, ok = k.at, true
		}
	}
	return at, ok
}

// mayKnow reports whether a key may be in the store: false for nearly every key
// that is new.
func (p *Partition) mayKnow(id *[16]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.seen.mayKnow(id)
}

// knownKeys reads the de-duplication keys. Called with writing held.
func (p *Partition) knownKeys(r pebble.Reader) (memory, error) {
	m := newMemory()
	for i := range p.index.keys {
		k := &p.index.keys[i]
		m.remember(generation(k.at), &k.id)
	}
	prefix := p.key(tableDedupe)
	err := scan(r, prefix, after(prefix), func(k, v []byte) (bool, error) {
		k, err := tail(k, 4+2)
		if err != nil {
			return false, err
		}
		g := binary.BigEndian.Uint32(k)
		return m.complete, eachSeen(v, func(k seenKey) { m.remember(g, &k.id) })
	})
	return m, err
}

// readSingles reads the rows of single keys.
func (p *Partition) readSingles() error {
	prefix := p.key(tableSingles)
	return scan(p.db, prefix, after(prefix), func(k, v []byte) (bool, error) {
		k, err := tail(k, 4+16)
		if err == nil && len(v) != 8 {
			err = eventlog.ErrDamaged
		}
		if err != nil {
			return false, err
		}
		p.index.Remember([16]byte(k[4:]), parseInstant(v))
		return true, nil
	})
}

// leaveSingles moves single keys, which are in memory, to their buckets.
func (p *Partition) leaveSingles() error {
	b, prefix := p.pending.open(), p.key(tableSingles)
	if err := b.b.DeleteRange(prefix, after(prefix), nil); err != nil {
		return err
	}
	return p.write(true)
}

// digestKeys feeds the keys that count at now, by key.
func (p *Partition) digestKeys(r pebble.Reader, now control.Millis, d *eventlog.Digester) (err error) {
	var its []*pebble.Iterator
	defer func() {
		for _, it := range its {
			err = errors.Join(err, it.Close())
		}
	}()
	for g := generation(now) - min(generation(now), 1); g <= generation(now); g++ {
		it, err := p.generation(r, tableDedupe, g)
		if err != nil {
			return err
		}
		its = append(its, it)
	}
	var keys []seenKey
	for bucket := range uint16(dedupeBuckets) {
		keys = keys[:0]
		for _, it := range its {
			if err := takeBucket(it, bucket, func(k seenKey) { keys = append(keys, k) }); err != nil {
				return err
			}
		}
		slices.SortFunc(keys, compareSeen)
		for i := range keys {
			if k := &keys[i]; (i == 0 || keys[i-1].id != k.id) && now-k.at < eventlog.DedupeFor {
				d.Seen(k.id, k.at)
			}
		}
	}
	return nil
}

// takeBucket calls use with the keys of a bucket, if it stands at it, and goes on.
func takeBucket(it *pebble.Iterator, bucket uint16, use func(k seenKey)) error {
	if !it.Valid() {
		return it.Error()
	}
	k, err := tail(it.Key(), 4+2)
	if err != nil || binary.BigEndian.Uint16(k[4:]) != bucket {
		return err
	}
	v, err := it.ValueAndErr()
	if err == nil {
		err = eachSeen(v, use)
	}
	it.Next()
	return err
}
