package ownership

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// audit compares the newest cursor that this node has written with the topic,
// unless that was done a moment ago over the same connection. A stream that loses
// its end loses that first; then all cursors are read again, and what is behind them
// is published again. The error is temporary.
//
// It is before each batch: once others have written as much again, the sequence that
// a batch expects is there, with another cursor.
func (t *topic) audit(ctx context.Context) error {
	reconnects := t.s.deps.Log.Reconnects()
	if !t.s.cfg.Barrier || t.sure.reconnects == reconnects && time.Since(t.sure.since) < t.s.cfg.AuditEvery {
		return nil
	}
	began := trust{time.Now(), reconnects}
	p, part := t.newest()
	if part.seq > 0 {
		data, seq, err := t.s.deps.Topic.ControlCursor(ctx, p)
		if err != nil && !errors.Is(err, bus.ErrNoMessage) {
			return fmt.Errorf("control cursor of partition %d: %w", p, err)
		}
		if seq != part.seq || !bytes.Equal(data, part.cursor.encode()) {
			t.lost(p, part.seq, seq)
		}
	}
	t.sure = began
	return nil
}

// newest is the partition held here whose cursor was written last; none has seq 0.
func (t *topic) newest() (newest int, part topicPart) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.mu.parts {
		if at := &t.mu.parts[p]; at.claimed && at.seq > part.seq {
			newest, part = p, *at
		}
	}
	return newest, part
}

// lost makes the partitions read their cursors again.
func (t *topic) lost(p int, written, found uint64) {
	t.s.deps.Logger.Warn("the control topic has another cursor than was written, reading all of them again", "partition", p,
		"written", written, "found", found)
	defer t.nudge()
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.mu.parts {
		t.doubt(&t.mu.parts[p])
	}
}

// doubt makes a partition read its cursor again. Called with the lock held.
func (t *topic) doubt(part *topicPart) {
	if part.epoch == 0 {
		return
	}
	part.claimed, part.lagging = false, true
	t.keep(part, nil)
}
