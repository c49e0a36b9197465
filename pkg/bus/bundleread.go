package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// storedBundle is a bundle as it is in its stream.
type storedBundle struct {
	*bundle
	at   time.Time
	size int
}

func (b *storedBundle) sequence() uint64 { return b.base + 1 }

// of is the message of a partition; ErrNoMessage for none.
func (b *storedBundle) of(p int) (Message, error) {
	data, ok := b.part(p)
	if !ok {
		return Message{}, fmt.Errorf("%w: the bundle at %d has none of partition %d", ErrNoMessage, b.sequence(), p)
	}
	return Message{Sequence: b.sequence(), Partition: p, Data: slices.Clone(data), At: b.at}, nil
}

// bundleCacheBytes bounds the bundles that are kept after a read of one part:
// the next part that is asked for is likely to be in the same one.
const bundleCacheBytes = 8 << 20

// bundleCache keeps the bundles read last. Safe for concurrent use.
type bundleCache struct {
	mu struct {
		sync.Mutex
		by    map[bundleName]*storedBundle
		order []bundleName
		bytes int
	}
}

type bundleName struct {
	stream   string
	sequence uint64
}

func (c *bundleCache) get(stream string, sequence uint64) *storedBundle {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.by[bundleName{stream, sequence}]
}

func (c *bundleCache) put(stream string, b *storedBundle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := bundleName{stream, b.sequence()}
	if c.mu.by[name] != nil {
		return
	}
	if c.mu.by == nil {
		c.mu.by = map[bundleName]*storedBundle{}
	}
	c.mu.by[name] = b
	c.mu.order = append(c.mu.order, name)
	c.mu.bytes += b.size
	for c.mu.bytes > bundleCacheBytes && len(c.mu.order) > 1 {
		c.mu.bytes -= c.mu.by[c.mu.order[0]].size
		delete(c.mu.by, c.mu.order[0])
		c.mu.order = c.mu.order[1:]
	}
}

// forget drops the bundles of a stream up to a sequence: they are trimmed.
func (c *bundleCache) forget(stream string, upTo uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.order = slices.DeleteFunc(c.mu.order, func(name bundleName) bool {
		gone := name.stream == stream && name.sequence <= upTo
		if gone {
			c.mu.bytes -= c.mu.by[name].size
			delete(c.mu.by, name)
		}
		return gone
	})
}

// keep reads a bundle that was fetched and keeps it.
func (c *Conn) keep(stream string, sequence uint64, data []byte, at time.Time) (*storedBundle, error) {
	b, err := parseBundle(data, sequence)
	if err != nil {
		return nil, err
	}
	kept := &storedBundle{b, at, len(data)}
	c.bundles.put(stream, kept)
	return kept, nil
}

// bundleFrom returns the first bundle at a sequence or behind it; ErrNoMessage
// for none, ErrDamaged when it cannot be read.
func (c *Conn) bundleFrom(ctx context.Context, stream, subject string, sequence uint64) (*storedBundle, error) {
	if b := c.bundles.get(stream, sequence); b != nil {
		return b, nil
	}
	m, err := c.read(ctx, stream, get{Sequence: sequence, Next: subject})
	if err != nil {
		return nil, err
	}
	return c.keep(stream, m.Sequence, m.Data, m.Time)
}

// lastBundle returns the newest bundle; nil for none.
func (c *Conn) lastBundle(ctx context.Context, stream, subject string) (*storedBundle, error) {
	m, err := c.read(ctx, stream, get{Last: subject})
	if errors.Is(err, ErrNoMessage) {
		return nil, nil //nolint:nilnil // none
	}
	if err != nil {
		return nil, err
	}
	return c.keep(stream, m.Sequence, m.Data, m.Time)
}

// lastOf returns the sequence of a partition's newest message, alone or in a
// bundle; 0 for none.
func (c *Conn) lastOf(ctx context.Context, stream, prefix string, p int) (uint64, error) {
	last := uint64(0)
	switch m, err := c.read(ctx, stream, get{Last: at(prefix, p)}); {
	case err == nil:
		last = m.Sequence
	case !errors.Is(err, ErrNoMessage):
		return 0, err
	}
	if c.plain.Load() {
		return last, nil
	}
	b, err := c.lastBundle(ctx, stream, prefix+bundled)
	if err != nil || b == nil {
		return last, err
	}
	return max(last, b.newest(p)), nil
}

// lastOfAll is lastOf for all partitions: one read when the newest message is a
// bundle. What the stream has trimmed counts as none; ErrDamaged for what the
// server has and does not give: whoever writes must not take that for none.
func (c *Conn) lastOfAll(ctx context.Context, stream, prefix string, partitions int, use StreamUse) ([]uint64, error) {
	lasts := make([]uint64, partitions)
	if use.Messages == 0 {
		return lasts, nil
	}
	held, err := c.heldOn(ctx, stream, prefix)
	if err != nil {
		return nil, err
	}
	newest, err := c.lastBundle(ctx, stream, prefix+bundled)
	if err == nil && newest == nil {
		err = notGiven(stream, prefix+bundled, held)
	}
	if err != nil {
		return nil, err
	}
	for p := range lasts {
		if newest != nil && newest.sequence() == use.Last {
			lasts[p] = newest.newest(p)
		} else if lasts[p], err = c.lastOf(ctx, stream, prefix, p); err != nil {
			return nil, err
		}
		if lasts[p] == 0 {
			if err := notGiven(stream, at(prefix, p), held); err != nil {
				return nil, err
			}
		}
		if lasts[p] < use.First {
			lasts[p] = 0
		}
	}
	return lasts, nil
}

// notGiven is ErrDamaged when the server counts messages on a subject, of which it
// gave no newest: it passes over bytes that are damaged.
func notGiven(stream, subject string, held map[string]uint64) error {
	if held[subject] == 0 {
		return nil
	}
	return fmt.Errorf("%w: the server has %d messages on %s of %s and does not give the newest", ErrDamaged, held[subject], subject, stream)
}

// nextOf returns the sequence of a partition's first message behind after;
// ErrNoMessage for none.
func (c *Conn) nextOf(ctx context.Context, stream, prefix string, p int, after uint64) (uint64, error) {
	next, err := c.nextPacked(ctx, stream, prefix+bundled, p, after)
	if err != nil {
		return 0, err
	}
	switch alone, err := c.read(ctx, stream, get{Sequence: after + 1, Next: at(prefix, p)}); {
	case err == nil && (next == 0 || alone.Sequence < next):
		return alone.Sequence, nil
	case err != nil && !errors.Is(err, ErrNoMessage):
		return 0, err
	case next == 0:
		return 0, ErrNoMessage
	}
	return next, nil
}

// nextPacked returns the sequence of the first bundle behind after that holds a
// message of the partition; 0 for none. Each bundle names the last
// message before it, so it looks in steps that double and then halves what is
// left: the reads grow with the logarithm of the distance.
func (c *Conn) nextPacked(ctx context.Context, stream, subject string, p int, after uint64) (uint64, error) {
	low, end, step := after, ^uint64(0), uint64(1) // it lies between low and end
	for low+1 < end {
		middle := low + (end-low)/2
		if end == ^uint64(0) {
			middle, step = low+step, 2*step
		}
		b, err := c.bundleFrom(ctx, stream, subject, middle)
		switch {
		case errors.Is(err, ErrNoMessage):
			end = middle
		case err != nil:
			return 0, err
		case b.sequence() >= end:
			end = middle
		case b.last(p) > after:
			end = min(middle, b.last(p)+1)
		case b.newest(p) > after:
			return b.sequence(), nil
		default:
			low = b.sequence()
		}
	}
	return 0, nil
}

// messageAt returns the message of a partition with a sequence, alone or in a
// bundle; ErrNoMessage when it has none there.
func (c *Conn) messageAt(ctx context.Context, stream, prefix string, p int, sequence uint64) (Message, error) {
	if b := c.bundles.get(stream, sequence); b != nil {
		return b.of(p)
	}
	m, err := c.fetch(ctx, stream, sequence)
	if err != nil {
		return Message{}, err
	}
	if m.subject == prefix+bundled {
		b, err := c.keep(stream, sequence, m.Data, m.At)
		if err != nil {
			return Message{}, err
		}
		return b.of(p)
	}
	if m.Partition != p {
		return Message{}, fmt.Errorf("%w: sequence %d of %s belongs to partition %d, not %d", ErrNoMessage, sequence, stream, m.Partition, p)
	}
	return m, nil
}

// fetch reads one message. Messages of the input come from any replica first,
// without the JSON envelope; one that lags does not know the newest.
func (c *Conn) fetch(ctx context.Context, stream string, sequence uint64) (Message, error) {
	if stream == StreamInbound {
		m, err := c.direct(ctx, sequence)
		if err == nil || !errors.Is(err, ErrNoMessage) && !errors.Is(err, ErrUnavailable) {
			return m, err
		}
	}
	s, err := c.read(ctx, stream, get{Sequence: sequence})
	return s.message(), err
}
