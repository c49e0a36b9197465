package ownership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
)

const (
	// topicBatch bounds the changes of one atomic batch; the cursors of its
	// partitions come on top and stay below the server's 1,000.
	topicBatch = 900
	topicRetry = 200 * time.Millisecond
	// topicShare bounds the time that batches which are not full take: after one
	// comes a rest of so many times as long, within bounds. A batch costs the
	// server about as much as a hundred messages, and each partition's cursor as
	// much as a change, so what comes meanwhile shares the next one.
	topicShare    = 16
	topicRest     = 50 * time.Millisecond
	topicRestMost = 250 * time.Millisecond
)

// topicCursor is the message on baton.control.cursor.<p>: the last position of
// the partition that is on the topic, and the epoch that published it.
type topicCursor struct {
	Position control.Position `json:"position"`
	Epoch    uint64           `json:"epoch"`
}

// topic is the node's control publisher: it cuts atomic batches of the changes
// that wait on its partitions, fenced by one cursor message per partition.
type topic struct {
	s    *Service
	wake chan struct{}
	full chan struct{} // a batch may be full
	turn int           // which partition comes first; of the publisher
	sure trust         // that the topic has what this node has published; likewise
	mu   struct {
		sync.Mutex
		parts   []topicPart
		entries int // kept of all parts
	}
}

func newTopic(s *Service) *topic {
	t := &topic{s: s, wake: make(chan struct{}, 1), full: make(chan struct{}, 1)}
	t.mu.parts = make([]topicPart, s.cfg.Partitions)
	return t
}

// claimed tells the publisher that the partition has a new holder here: before
// anything else its cursor is rewritten with the epoch.
func (t *topic) claimed(p int, epoch uint64) {
	t.mu.Lock()
	t.keep(&t.mu.parts[p], nil)
	t.mu.parts[p] = topicPart{epoch: epoch, lagging: true}
	t.mu.Unlock()
	t.nudge()
}

// left tells the publisher that the partition is not held any more: its next
// holder goes on from the cursor.
func (t *topic) left(p int, epoch uint64) {
	t.update(p, epoch, func(part *topicPart) {
		t.keep(part, nil)
		*part = topicPart{}
	})
}

func (t *topic) nudge() { signal(t.wake) }

// signal leaves a signal in a channel of one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run publishes until ctx ends. What is not published then follows at the next
// start, from the cursor.
func (t *topic) run(ctx context.Context) error {
	look := time.NewTicker(t.s.cfg.AuditEvery)
	defer look.Stop()
	if !t.s.cfg.Barrier {
		look.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		case <-look.C:
		}
		t.publishAll(ctx)
	}
}

// publishAll publishes until nothing waits or ctx ends.
func (t *topic) publishAll(ctx context.Context) {
	for more := true; more && ctx.Err() == nil; {
		var err error
		began := time.Now()
		if more, err = t.publish(ctx); err != nil && ctx.Err() == nil {
			t.s.deps.Logger.Warn("control topic", "err", err)
			_ = pause(ctx, topicRetry) // the end of ctx ends the loop
		} else if more && !t.batchWaits() {
			t.rest(ctx, min(max(topicShare*time.Since(began), topicRest), topicRestMost))
		}
	}
}

// rest waits until a batch is full, for a time at most, or until ctx ends.
func (t *topic) rest(ctx context.Context, most time.Duration) {
	over := time.NewTimer(most)
	defer over.Stop()
	select {
	case <-t.full:
	case <-over.C:
	case <-ctx.Done():
	}
}

// publish cuts and publishes one batch and reports whether more waits.
func (t *topic) publish(ctx context.Context) (more bool, err error) {
	if err := t.audit(ctx); err != nil {
		return true, err
	}
	// A partition whose cursor cannot be claimed holds up no other.
	unclaimed := t.claimCursors(ctx)
	t.turn++
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

// inTurn lists the partitions; each call of publish begins with another one, so
// that all get their share of batches and memory.
func (t *topic) inTurn() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range t.s.cfg.Partitions {
			if !yield((t.turn + i) % t.s.cfg.Partitions) {
				return
			}
		}
	}
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
		if err := t.claimCursor(ctx, p, part.epoch, part.seq); err != nil {
			faults = append(faults, fmt.Errorf("control cursor of partition %d: %w", p, err))
		}
	}
	return errors.Join(faults...)
}

// claimCursor claims the cursor of a partition, of which this holder has written
// the one with sequence wrote, 0 for none.
func (t *topic) claimCursor(ctx context.Context, p int, epoch, wrote uint64) error {
	data, seq, err := t.s.deps.Topic.ControlCursor(ctx, p)
	if err != nil && !errors.Is(err, bus.ErrNoMessage) {
		return err
	}
	if seq < wrote { // what this write makes the newest would hide that others are lost, too
		t.lost(p, wrote, seq)
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
		part.claimed, part.cursor, part.seq, part.lagging = true, cursor, seqs[0], true
		t.keep(part, nil)
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

// unclear makes the partitions of a batch without a clear outcome read their
// cursor again: it tells whether the batch landed.
func (t *topic) unclear(shares []share) {
	for _, sh := range shares {
		t.update(sh.partition, sh.epoch, t.doubt)
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
