package fanout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/inbound"
	"github.com/baton-router/baton/pkg/webhook"
)

// errOtherPayload is returned for an event of which BATON_IN has another in its
// place: its end was lost and has grown again.
var errOtherPayload = errors.New("fanout: another event is in the place of this payload")

// errNoPayload is returned for an event whose payload is no longer on BATON_IN.
var errNoPayload = errors.New("fanout: no such payload")

// payload is a webhook event as it came, and what of an echo is put back where
// the log does not say otherwise.
type payload struct {
	raw      []byte // letters keep it, and with it those that came with it
	dedupe   [16]byte
	echoApp  control.AppID
	metadata string
	// plain is raw as apps get it unedited, once it was asked for.
	plain atomic.Pointer[[]byte]
}

// unedited renders the event for all apps that get it as it came. The bytes are
// shared and never changed.
func (p *payload) unedited() ([]byte, error) {
	if have := p.plain.Load(); have != nil {
		return *have, nil
	}
	element, err := webhook.Element(p.raw)
	if err == nil {
		p.plain.Store(&element)
	}
	return element, err
}

func (p *payload) edited(edit webhook.Edit) ([]byte, error) {
	return webhook.AppendElement(make([]byte, 0, len(p.raw)+len(p.raw)/8), p.raw, edit)
}

// payloads is the bounded cache of BATON_IN, by partition. One ordered reader
// fills it ahead of the log; what is not there is fetched by sequence. Each
// partition has its share: one whose log stands still keeps what fits into it
// and never takes the place of another. Safe for concurrent use.
type payloads struct {
	inbound   Inbound
	limit     int // bytes, shared evenly by the partitions
	observers *Observers

	mu sync.Mutex
	by map[int]*shelf
}

// shelf is a partition's share.
type shelf struct {
	batches map[uint64][]payload
	order   []uint64 // of the sequences, as they came
	sizes   []int
	bytes   int
	passed  uint64 // the log has decided everything up to here
}

func newPayloads(inbound Inbound, limit int, observers *Observers) *payloads {
	return &payloads{inbound: inbound, limit: limit, observers: observers, by: map[int]*shelf{}}
}

// fill puts a message of the ordered reader on its partition's shelf, unless the
// log is past it or the shelf is full of what the log still needs.
func (c *payloads) fill(m bus.Message) {
	m.Data = bytes.Clone(m.Data) // out of what is much larger
	batch, err := decodeBatch(m)
	if err != nil {
		return // whoever needs it fetches it and says so
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shelf(m.Partition).put(m.Sequence, batch, 2*len(m.Data), c.share())
}

// put adds a batch that the log is not past when there is room, making some of what
// it is past.
func (s *shelf) put(sequence uint64, batch []payload, size, share int) {
	if _, have := s.batches[sequence]; have || sequence <= s.passed {
		return
	}
	for len(s.order) > 0 && s.bytes+size > share && s.order[0] <= s.passed {
		delete(s.batches, s.order[0])
		s.bytes -= s.sizes[0]
		s.order, s.sizes = s.order[1:], s.sizes[1:]
	}
	if s.bytes+size > share {
		return
	}
	s.batches[sequence] = batch
	s.bytes += size
	s.order, s.sizes = append(s.order, sequence), append(s.sizes, size)
}

// share is what one partition may have. Called with the lock held.
func (c *payloads) share() int { return max(c.limit/max(len(c.by), 1), minShelf) }

func (c *payloads) shelf(p int) *shelf {
	s := c.by[p]
	if s == nil {
		s = &shelf{batches: map[uint64][]payload{}}
		c.by[p] = s
	}
	return s
}

// pass notes that the log of a partition has decided its input up to a
// sequence; what is below may be displaced.
func (c *payloads) pass(p int, sequence uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shelf(p)
	s.passed = max(s.passed, sequence)
}

// drop empties the shelf of a partition that is no longer held.
func (c *payloads) drop(p int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.by, p)
}

// message is one of BATON_IN as whoever plans a record has it at hand: its events lie
// side by side there, and so do those of the record.
type message struct {
	sequence uint64
	events   []payload
}

// get returns the payload of the event that was decided with a de-duplication key,
// from the message at hand, from the shelf, or by its sequence; its message is the
// one at hand then. The error is errNoPayload when there is none any more,
// errOtherPayload when the stream has another there, else that of the bus.
func (c *payloads) get(ctx context.Context, p int, at *message, ref control.Ref, dedupe [16]byte) (*payload, error) {
	if at.sequence != ref.Sequence {
		c.mu.Lock()
		at.events = c.shelf(p).batches[ref.Sequence]
		c.mu.Unlock()
		at.sequence = ref.Sequence
	}
	if at.events != nil {
		if event, err := pick(at.events, ref, dedupe); err == nil {
			return event, nil
		}
		c.discard(p, ref.Sequence) // of a stream that has lost its end since
	}
	var err error
	if at.events, err = c.fetch(ctx, p, ref.Sequence); err != nil {
		return nil, err
	}
	return pick(at.events, ref, dedupe)
}

// pick finds the event of a batch that was decided.
func pick(batch []payload, ref control.Ref, dedupe [16]byte) (*payload, error) {
	if int(ref.Index) >= len(batch) {
		return nil, fmt.Errorf("%w: input %d has no event %d", errOtherPayload, ref.Sequence, ref.Index)
	}
	event := &batch[ref.Index]
	if event.dedupe != dedupe {
		return nil, fmt.Errorf("%w: event %d of input %d has the key %x, the one that was decided has %x", errOtherPayload, ref.Index, ref.Sequence, event.dedupe, dedupe)
	}
	return event, nil
}

// discard takes a batch off its shelf.
func (c *payloads) discard(p int, sequence uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shelf(p)
	if i := slices.Index(s.order, sequence); i >= 0 {
		s.bytes -= s.sizes[i]
		s.order, s.sizes = slices.Delete(s.order, i, i+1), slices.Delete(s.sizes, i, i+1)
		delete(s.batches, sequence)
	}
}

func (c *payloads) fetch(ctx context.Context, p int, sequence uint64) ([]payload, error) {
	c.observers.fetched(p)
	m, err := c.inbound.Inbound(ctx, p, sequence)
	if errors.Is(err, bus.ErrNoMessage) {
		return nil, fmt.Errorf("%w: input %d was trimmed, or is not of partition %d", errNoPayload, sequence, p)
	}
	if err != nil {
		return nil, err
	}
	batch, err := decodeBatch(m)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shelf(p).put(sequence, batch, 2*len(m.Data), c.share())
	return batch, nil
}

// decodeBatch reads the events of a message. They keep its memory.
func decodeBatch(m bus.Message) ([]payload, error) {
	batch, err := inbound.Parse(nil, m.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: input %d cannot be read: %w", errNoPayload, m.Sequence, err)
	}
	events := make([]payload, len(batch))
	for i := range batch {
		e := &batch[i]
		events[i] = payload{raw: slices.Clip(e.Raw), echoApp: e.EchoApp, metadata: e.Metadata, dedupe: e.Dedupe}
	}
	return events, nil
}
