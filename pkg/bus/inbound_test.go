package bus_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/baton-router/baton/pkg/bus"
)

func TestPublishInboundFromManyGoroutines(t *testing.T) {
	t.Parallel()
	c, ctx := open(t), brief(t)
	const writers, each = 16, 20
	var seen sync.Map
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				seq, err := c.PublishInbound(ctx, w%4, []byte{byte(w)})
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := seen.LoadOrStore(seq, true); twice {
					t.Errorf("sequence %d given twice", seq)
				}
			}
		})
	}
	wg.Wait()
	done := errors.New("enough")
	next := uint64(1)
	err := c.ReadInbound(ctx, bus.ReadOptions{}, func(m bus.Message) error {
		if m.Sequence != next || m.Partition != int(m.Data[0])%4 {
			t.Errorf("message %d of partition %d, wanted %d", m.Sequence, m.Partition, next)
		}
		if next++; next > writers*each {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
}

func TestInboundBySequence(t *testing.T) {
	t.Parallel()
	inBothShapes(t, func(t *testing.T, c *bus.Conn) {
		t.Helper()
		ctx := brief(t)
		data := bytes.Repeat([]byte{0, 0xff, '"'}, 100_000)
		must[uint64](t)(c.PublishInbound(ctx, 2, []byte("a")))
		seq := must[uint64](t)(c.PublishInbound(ctx, 3, data))
		got := must[bus.Message](t)(c.Inbound(ctx, 3, seq))
		if got.Sequence != seq || got.Partition != 3 || !bytes.Equal(got.Data, data) || got.At.IsZero() {
			t.Errorf("inbound %d: sequence %d, partition %d, %d bytes", seq, got.Sequence, got.Partition, len(got.Data))
		}
		if _, err := c.Inbound(ctx, 3, seq+1); !errors.Is(err, bus.ErrNoMessage) {
			t.Errorf("message that does not exist: %v, wanted ErrNoMessage", err)
		}
		if _, err := c.Inbound(ctx, 3, 0); !errors.Is(err, bus.ErrInvalid) {
			t.Errorf("sequence 0: %v, wanted ErrInvalid", err)
		}
		for p, want := range []uint64{0, 0, 1, 2} {
			if got := must[uint64](t)(c.LastInbound(ctx, p)); got != want {
				t.Errorf("last inbound of partition %d: %d, wanted %d", p, got, want)
			}
		}
	})
}

func TestTrimInbound(t *testing.T) {
	t.Parallel()
	inBothShapes(t, func(t *testing.T, c *bus.Conn) {
		t.Helper()
		ctx := brief(t)
		for range 10 {
			must[uint64](t)(c.PublishInbound(ctx, 0, []byte("a")))
		}
		for range 2 {
			if err := c.TrimInbound(ctx, 4); err != nil {
				t.Fatal(err)
			}
			first, last, size, err := c.InboundRange(ctx)
			if err != nil || first != 5 || last != 10 || size == 0 {
				t.Fatalf("range %d to %d, %d bytes, %v", first, last, size, err)
			}
		}
		if _, err := c.Inbound(ctx, 0, 4); !errors.Is(err, bus.ErrNoMessage) {
			t.Errorf("trimmed message: %v, wanted ErrNoMessage", err)
		}
		if err := c.TrimInbound(ctx, 10); err != nil {
			t.Fatal(err)
		}
		if first, last, _, err := c.InboundRange(ctx); err != nil || first != 11 || last != 10 {
			t.Errorf("emptied: range %d to %d, %v", first, last, err)
		}
		if seq := must[uint64](t)(c.PublishInbound(ctx, 0, []byte("a"))); seq != 11 {
			t.Errorf("sequence %d after trimming everything, wanted 11", seq)
		}
	})
}

func TestFullInboundRefusesAndDeletesNothing(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, false))
	cfg := config()
	cfg.InboundBytes = 10_000
	ensure(t, c, cfg)
	ctx := brief(t)
	stored := uint64(0)
	for {
		seq, err := c.PublishInbound(ctx, 0, make([]byte, 1000))
		if errors.Is(err, bus.ErrStreamFull) {
			break
		}
		if err != nil || seq > 20 {
			t.Fatalf("sequence %d, %v; wanted ErrStreamFull", seq, err)
		}
		stored = seq
	}
	if got := messages(t, c, bus.StreamInbound); got != stored || stored == 0 {
		t.Errorf("%d messages kept of %d", got, stored)
	}
	if err := c.TrimInbound(ctx, 3); err != nil {
		t.Fatal(err)
	}
	must[uint64](t)(c.PublishInbound(ctx, 0, make([]byte, 1000)))
}

func TestTooLargeIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	c, ctx := open(t), brief(t)
	for _, size := range []int{bus.MaxRecord + 1<<16, 20 << 20} {
		if _, err := c.PublishInbound(ctx, 0, make([]byte, size)); !errors.Is(err, bus.ErrTooLarge) {
			t.Errorf("%d bytes: %v, wanted ErrTooLarge", size, err)
		}
	}
	must[uint64](t)(c.PublishInbound(ctx, 0, make([]byte, bus.MaxRecord)))
}
