package ownership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

const (
	// topicBatch bounds the changes of one atomic batch; the cursors of its
	// partitions come on top and stay below the server's 1,000.
	topicBatch = 900
	// topicBacklog bounds the records of a partition waiting in memory; beyond
	// it the publisher reads them from the store.
	topicBacklog = 1024
	topicRetry   = 200 * time.Millisecond
	// topicRest is between two batches. A batch costs the server about as much
	// as a hundred messages, so what comes meanwhile shares the next one.
	topicRest = 50 * time.Millisecond
)

// topicCursor is the message on baton.control.cursor.<p>: the last position of
// the partition that is on the topic, and the epoch that published it.
type topicCursor struct {
	Position control.Position `json:"position"`
	Epoch    uint64           `json:"epoch"`
}

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
	seq     uint64 // of the cursor message
	pending []committed
	lagging bool // pending does not reach on from the cursor: read the store
	missed  bool // a record was added while lagging
}

// topic is the node's control publisher: it cuts atomic batches of the changes
// that wait on its partitions, fenced by one cursor message per partition.
type topic struct {
	s    *Service
	wake chan struct{}
	mu   struct {
		sync.Mutex
		parts []topicPart
	}
}

func newTopic(s *Service) *topic {
	t := &topic{s: s, wake: make(chan struct{}, 1)}
	t.mu.parts = make([]topicPart, s.cfg.Partitions)
	return t
}

// claimed tells the publisher that the partition has a new holder here: before
// anything else its cursor is rewritten with the epoch.
func (t *topic) claimed(p int, epoch uint64) {
	t.mu.Lock()
	t.mu.parts[p] = topicPart{epoch: epoch, lagging: true}
	t.mu.Unlock()
	t.nudge()
}

// left tells the publisher that the partition is not held any more: its next
// holder goes on from the cursor.
func (t *topic) left(p int, epoch uint64) {
	t.update(p, epoch, func(part *topicPart) { *part = topicPart{} })
}

// add queues a committed record. It does not block.
func (t *topic) add(p int, rec committed) {
	if len(rec.after) == 0 {
		return
	}
	t.mu.Lock()
	part := &t.mu.parts[p]
	if len(part.pending) >= topicBacklog {
		part.pending, part.lagging = nil, true
	}
	if part.lagging {
		part.missed = true
	} else {
		part.pending = append(part.pending, rec)
	}
	t.mu.Unlock()
	t.nudge()
}

func (t *topic) nudge() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run publishes until ctx ends. What is not published then follows at the next
// start, from the cursor.
func (t *topic) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
			t.publishAll(ctx)
		}
	}
}

// publishAll publishes until nothing waits or ctx ends.
func (t *topic) publishAll(ctx context.Context) {
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = t.publish(ctx); err != nil && ctx.Err() == nil {
			t.s.deps.Logger.Warn("control topic", "err", err)
			_ = pause(ctx, topicRetry) // the end of ctx ends the loop
		} else if more {
			_ = pause(ctx, topicRest) // likewise
		}
	}
}

// publish cuts and publishes one batch and reports whether more waits.
func (t *topic) publish(ctx context.Context) (more bool, err error) {
	// A partition whose cursor cannot be claimed holds up no other.
	unclaimed := t.claimCursors(ctx)
	if err := t.refill(); err != nil {
		return true, err
	}
	shares, messages, uncut := t.cut(ctx)
	if len(shares) == 0 {
		err := errors.Join(unclaimed, uncut)
		return err != nil, err
	}
	moves := make([]bus.CursorMove, len(shares))
	for i, sh := range shares {
		moves[i] = bus.CursorMove{Partition: sh.partition, Data: sh.to.encode(), Expected: sh.seq}
	}
	t.s.deps.Observe.reached(PointControlSend, shares[0].partition)
	seqs, err := t.s.deps.Topic.PublishControl(ctx, messages, moves)
	if err != nil {
		t.unclear(shares)
		return true, fmt.Errorf("publishing %d changes: %w", len(messages), err)
	}
	t.s.deps.Observe.reached(PointControlAcked, shares[0].partition)
	t.advance(shares, seqs)
	return true, nil
}

// claimCursors reads the cursor of each newly held partition and rewrites it
// with this holder's epoch, so that a predecessor's batch cannot land any more.
func (t *topic) claimCursors(ctx context.Context) error {
	var faults []error
	for p := range t.s.cfg.Partitions {
		t.mu.Lock()
		part := t.mu.parts[p]
		t.mu.Unlock()
		if part.epoch == 0 || part.claimed {
			continue
		}
		if err := t.claimCursor(ctx, p, part.epoch); err != nil {
			faults = append(faults, fmt.Errorf("control cursor of partition %d: %w", p, err))
		}
	}
	return errors.Join(faults...)
}

func (t *topic) claimCursor(ctx context.Context, p int, epoch uint64) error {
	data, seq, err := t.s.deps.Topic.ControlCursor(ctx, p)
	if err != nil && !errors.Is(err, bus.ErrNoMessage) {
		return err
	}
	cursor, err := decodeCursor(data)
	if err != nil {
		return err
	}
	if cursor.Epoch > epoch {
		t.update(p, epoch, func(part *topicPart) { part.epoch = 0 }) // deposed
		return nil
	}
	cursor.Epoch = epoch
	seqs, err := t.s.deps.Topic.PublishControl(ctx, nil, []bus.CursorMove{{Partition: p, Data: cursor.encode(), Expected: seq}})
	if err != nil {
		return err
	}
	t.update(p, epoch, func(part *topicPart) {
		part.claimed, part.cursor, part.seq, part.lagging, part.pending = true, cursor, seqs[0], true, nil
	})
	return nil
}

// update changes a partition's share unless it has another holder by now.
func (t *topic) update(p int, epoch uint64, change func(*topicPart)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if part := &t.mu.parts[p]; part.epoch == epoch {
		change(part)
	}
}

// refill reads the records after the cursor of lagging partitions from the
// store.
func (t *topic) refill() error {
	for p := range t.s.cfg.Partitions {
		t.mu.Lock()
		part := t.mu.parts[p]
		t.mu.parts[p].missed = false
		t.mu.Unlock()
		if !part.claimed || !part.lagging || len(part.pending) > 0 {
			continue
		}
		records, complete, err := t.read(p, part.cursor.Position+1)
		if err != nil {
			return fmt.Errorf("records of partition %d after %d: %w", p, part.cursor.Position, err)
		}
		t.update(p, part.epoch, func(part *topicPart) {
			part.pending, part.lagging = records, !complete || part.missed
		})
	}
	return nil
}

// read returns up to topicBacklog records with topic entries from a position
// on. complete says that they reached the end of the store as it was.
func (t *topic) read(p int, from control.Position) (records []committed, complete bool, err error) {
	past := pastStates{part: t.s.holders[p].part, known: map[control.ThreadKey]control.State{}}
	for stored, err := range past.part.Records(from) {
		if err != nil {
			return nil, false, err
		}
		if len(records) == topicBacklog {
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
		}
	}
	return records, true, nil
}

// unclear makes the partitions of a batch without a clear outcome read their
// cursor again: it tells whether the batch landed.
func (t *topic) unclear(shares []share) {
	for _, sh := range shares {
		t.update(sh.partition, sh.epoch, func(part *topicPart) { part.claimed, part.lagging, part.pending = false, true, nil })
	}
}

func (t *topic) advance(shares []share, seqs []uint64) {
	for i, sh := range shares {
		t.update(sh.partition, sh.epoch, func(part *topicPart) { part.cursor, part.seq = sh.to, seqs[i] })
	}
}

// Lag is the number of positions of held partitions that are not yet on the
// control topic; all of a partition whose cursor is not yet claimed.
func (s *Service) Lag() (events uint64) {
	for p, h := range s.holders {
		s.topic.mu.Lock()
		part := s.topic.mu.parts[p]
		s.topic.mu.Unlock()
		if part.epoch != 0 && (!part.claimed || part.lagging || len(part.pending) > 0) {
			events += uint64(h.status().Position - part.cursor.Position)
		}
	}
	return events
}

func (c topicCursor) encode() []byte {
	data, _ := json.Marshal(c) // plain numbers: cannot fail
	return data
}

func decodeCursor(data []byte) (c topicCursor, err error) {
	if len(data) == 0 {
		return c, nil
	}
	err = json.Unmarshal(data, &c)
	return c, err
}
