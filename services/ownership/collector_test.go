package ownership

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
	controlv1 "github.com/baton-router/baton/pkg/gen/baton/control/v1"
)

// collector reads the control topic from its beginning.
type collector struct {
	mu      sync.Mutex
	changes []*controlv1.ControlChange
	raw     [][]byte
	ready   bool
}

const collectorPage = 1

// collect begins to read and returns when the reader is on the topic.
func collect(t *testing.T, conn *bus.Conn, p *pulse) *collector {
	t.Helper()
	c := new(collector)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := conn.ReadControl(ctx, 0, func(_ string, m bus.Message) error {
			c.add(m.Data)
			p.beat()
			return nil
		})
		if ctx.Err() == nil {
			t.Errorf("the collector ended: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	for seq, n := uint64(0), 0; ; n++ {
		beat := p.next()
		seqs, err := conn.PublishControl(ctx, []bus.ControlMessage{{
			Subject: bus.ControlSubject("page", collectorPage, "taken"), ID: fmt.Sprintf("ready-%d", n), Data: []byte(`{"page_id":"1"}`),
		}}, []bus.CursorMove{{Partition: partitions, Data: []byte("{}"), Expected: seq}})
		if err != nil {
			t.Fatal(err)
		}
		seq = seqs[0]
		patience := time.NewTimer(200 * time.Millisecond)
		select {
		case <-beat:
		case <-patience.C:
		}
		patience.Stop()
		c.mu.Lock()
		ready := c.ready
		c.mu.Unlock()
		if ready {
			return c
		}
	}
}

func (c *collector) add(data []byte) {
	change, err := eventlog.ParseTopic(data)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && change.GetPageId() == "1" {
		c.ready = true
		return
	}
	c.changes, c.raw = append(c.changes, change), append(c.raw, slices.Clone(data))
}

func (c *collector) all() []*controlv1.ControlChange {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.changes)
}

// compare checks that the topic holds each wanted id once, in order within its
// partition.
func (c *collector) compare(w *world, want []string) {
	w.t.Helper()
	w.until("the collector has read the topic", func() bool { return len(c.all()) >= len(want) })
	last, ids := map[uint32]uint64{}, map[string]bool{}
	for _, ch := range c.all() {
		id := fmt.Sprintf("%d-%d", ch.GetPartition(), ch.GetPosition())
		if ids[id] || ch.GetPosition() <= last[ch.GetPartition()] {
			w.t.Errorf("%s is on the topic twice or out of order", id)
		}
		ids[id], last[ch.GetPartition()] = true, ch.GetPosition()
	}
	for _, id := range want {
		if !ids[id] {
			w.t.Errorf("%s is missing on the topic", id)
		}
	}
	if len(ids) != len(want) {
		w.t.Errorf("%d changes on the topic, %d in the log", len(ids), len(want))
	}
}
