package bus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/bus"
)

// copied is a copy of a stream: the bodies by sequence, and the newest of each
// subject.
type copied struct {
	bus.Extent
	bodies map[uint64]string
	newest map[string]string
	last   uint64
}

func copyOf(t *testing.T, c *bus.Conn, stream string) copied {
	t.Helper()
	out := copied{bodies: map[uint64]string{}, newest: map[string]string{}}
	extent, err := c.CopyStream(brief(t), stream, 64, func(m bus.StoredMessage) error {
		if m.Sequence <= out.last {
			t.Errorf("%s: %d after %d", stream, m.Sequence, out.last)
		}
		out.last = m.Sequence
		out.bodies[m.Sequence], out.newest[m.Subject] = string(m.Data), string(m.Data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out.Extent = extent
	return out
}

func TestCopyStreamOfEachKind(t *testing.T) {
	t.Parallel()
	inBothShapes(t, func(t *testing.T, c *bus.Conn) {
		t.Helper()
		if got := copyOf(t, c, bus.StreamLog); got.Extent != (bus.Extent{First: 1}) {
			t.Errorf("empty: %+v", got)
		}
		last := must[uint64](t)(c.AppendLog(t.Context(), 2, []byte("a"), 0))
		if err := c.Barrier(t.Context(), 2, last); err != nil {
			t.Fatal(err)
		}
		must[uint64](t)(c.AppendLog(t.Context(), 2, []byte("b"), last))
		if err := c.Barrier(t.Context(), 3, 0); err != nil {
			t.Fatal(err)
		}
		got := copyOf(t, c, bus.StreamLog)
		if got.Messages != 2 || got.First != 1 || got.Last < 2 {
			t.Errorf("log: %+v", got)
		}
		for range 3 {
			must[uint64](t)(c.PublishInbound(t.Context(), 1, []byte("in")))
		}
		if err := c.TrimInbound(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if got := copyOf(t, c, bus.StreamInbound); got.First != 3 || got.Last != 3 || got.Messages != 1 {
			t.Errorf("input: %+v", got)
		}
		if err := c.TrimInbound(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		if got := copyOf(t, c, bus.StreamInbound); got.First != 4 || got.Last != 3 || got.Messages != 0 {
			t.Errorf("trimmed input: %+v", got)
		}
	})
}

// A stream that replaces its messages while it is copied loses none: the newest
// of every subject up to one moment is in the copy.
func TestCopyStreamWhileCursorsAreReplaced(t *testing.T) {
	t.Parallel()
	const partitions, rounds = 64, 200
	c := dial(t, start(t, false))
	ensure(t, c, bus.Config{Partitions: partitions, Replicas: 1})
	ctx, stop := context.WithCancel(brief(t))
	defer stop()
	var writers sync.WaitGroup
	ready := make(chan struct{}, partitions)
	for p := range partitions {
		writers.Go(func() {
			seq := uint64(0)
			for n := 0; ctx.Err() == nil && n < rounds; n++ {
				next, err := c.SaveCursor(ctx, p, fmt.Append(nil, n), seq)
				if err != nil {
					return
				}
				seq = next
				if n == 0 {
					ready <- struct{}{}
				}
			}
		})
	}
	for range partitions {
		<-ready
	}
	for range 5 {
		got := copyOf(t, c, bus.StreamCursor)
		if len(got.newest) != partitions {
			t.Errorf("%d of %d cursors", len(got.newest), partitions)
		}
	}
	stop()
	writers.Wait()
}

// In a copy of the control topic each partition's cursor says exactly which of
// its changes are in it.
func TestCopyStreamOfTheTopicAgreesWithItsCursors(t *testing.T) {
	t.Parallel()
	const partitions, batch = 4, 50
	whole := brief(t) // a batch is not cut off
	c := dial(t, start(t, false))
	ensure(t, c, bus.Config{Partitions: partitions, Replicas: 1})
	ctx, stop := context.WithCancel(brief(t))
	defer stop()
	var writers sync.WaitGroup
	ready := make(chan struct{}, partitions)
	for p := range partitions {
		writers.Go(func() {
			seq, n := uint64(0), 0
			for ctx.Err() == nil {
				var changes []bus.ControlMessage
				for range batch {
					n++
					changes = append(changes, bus.ControlMessage{
						Subject: bus.ControlSubject("page", uint64(p+1), "taken"), ID: fmt.Sprintf("%d-%d", p, n), Data: fmt.Append(nil, n),
					})
				}
				seqs, err := c.PublishControl(whole, changes, []bus.CursorMove{{Partition: p, Data: fmt.Append(nil, n), Expected: seq}})
				if err != nil {
					return
				}
				seq = seqs[0]
				if n == batch {
					ready <- struct{}{}
				}
			}
		})
	}
	for range partitions {
		<-ready
	}
	for range 5 {
		got := copyOf(t, c, bus.StreamControl)
		want, have := map[string]string{}, map[string]string{}
		for p := range partitions {
			cursor := fmt.Sprintf("baton.control.cursor.%d", p)
			want[cursor], have[cursor] = got.newest[bus.ControlSubject("page", uint64(p+1), "taken")], got.newest[cursor]
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("newest change, cursor:\n%s", diff)
		}
	}
	stop()
	writers.Wait()
}
