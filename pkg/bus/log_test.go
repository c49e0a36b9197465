package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/bus"
)

func TestAppendLogIsFenced(t *testing.T) {
	t.Parallel()
	inBothShapes(t, func(t *testing.T, c *bus.Conn) {
		t.Helper()
		ctx := brief(t)
		first := must[uint64](t)(c.AppendLog(ctx, 1, []byte("a"), 0))
		must[uint64](t)(c.AppendLog(ctx, 2, []byte("other partition"), 0))
		second := must[uint64](t)(c.AppendLog(ctx, 1, []byte("b"), first))
		for _, expected := range []uint64{0, first, second + 1} {
			if _, err := c.AppendLog(ctx, 1, []byte("zombie"), expected); !errors.Is(err, bus.ErrWrongSequence) {
				t.Errorf("append expecting %d: %v, wanted ErrWrongSequence", expected, err)
			} else if !bus.IsFenced(err) || bus.IsRetryable(err) {
				t.Errorf("%v: wrong class", err)
			}
		}
		last := must[bus.Message](t)(c.LastLog(ctx, 1))
		if last.Sequence != second || string(last.Data) != "b" || last.Partition != 1 || last.At.IsZero() {
			t.Errorf("last record: %+v", last)
		}
	})
}

func TestBarrierProvesTheLastSequence(t *testing.T) {
	t.Parallel()
	c, ctx := open(t), brief(t)
	if err := c.Barrier(ctx, 0, 0); err != nil {
		t.Fatalf("barrier on an empty log: %v", err)
	}
	seq := must[uint64](t)(c.AppendLog(ctx, 0, []byte("a"), 0))
	if err := c.Barrier(ctx, 0, 0); !errors.Is(err, bus.ErrWrongSequence) {
		t.Errorf("barrier of a deposed holder: %v, wanted ErrWrongSequence", err)
	}
	for range 3 {
		if err := c.Barrier(ctx, 0, seq); err != nil {
			t.Fatal(err)
		}
	}
	if got := messages(t, c, bus.StreamLog); got != 2 {
		t.Errorf("%d messages on the log's stream, wanted the record and one barrier", got)
	}
	if _, err := c.AppendLog(ctx, 0, []byte("b"), seq); err != nil {
		t.Errorf("append after barriers: %v", err)
	}
}

func TestNextLogSkipsOtherPartitions(t *testing.T) {
	t.Parallel()
	inBothShapes(t, func(t *testing.T, c *bus.Conn) {
		t.Helper()
		ctx := brief(t)
		a := must[uint64](t)(c.AppendLog(ctx, 0, []byte("a"), 0))
		must[uint64](t)(c.AppendLog(ctx, 1, []byte("x"), 0))
		b := must[uint64](t)(c.AppendLog(ctx, 0, []byte("b"), a))
		for after, want := range map[uint64]uint64{0: a, a: b, a + 1: b} {
			if got := must[bus.Message](t)(c.NextLog(ctx, 0, after)); got.Sequence != want {
				t.Errorf("next after %d: %d, wanted %d", after, got.Sequence, want)
			}
		}
		if _, err := c.NextLog(ctx, 0, b); !errors.Is(err, bus.ErrNoMessage) {
			t.Errorf("next after the last: %v, wanted ErrNoMessage", err)
		}
		if _, err := c.LastLog(ctx, 3); !errors.Is(err, bus.ErrNoMessage) {
			t.Errorf("last of an empty partition: %v, wanted ErrNoMessage", err)
		}
	})
}

func TestReadLogDeliversOldAndNewInOrder(t *testing.T) {
	t.Parallel()
	inBothShapes(t, func(t *testing.T, c *bus.Conn) {
		t.Helper()
		ctx := brief(t)
		last := fill(t, c, 0, 0, 10)
		fill(t, c, 1, 0, 5)
		var got []uint64
		done := errors.New("enough")
		started := make(chan struct{})
		var once sync.Once
		var writer sync.WaitGroup
		defer writer.Wait()
		writer.Go(func() {
			<-started
			fill(t, c, 0, last, 10)
		})
		err := c.ReadLog(ctx, bus.ReadOptions{Partitions: []int{0}, After: 5}, func(m bus.Message) error {
			once.Do(func() { close(started) })
			got = append(got, m.Sequence)
			if m.Partition != 0 {
				return fmt.Errorf("partition %d", m.Partition)
			}
			if len(got) == 15 {
				return done
			}
			return nil
		})
		if !errors.Is(err, done) {
			t.Fatal(err)
		}
		want := []uint64{6, 7, 8, 9, 10, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReadLogEndsWithItsContext(t *testing.T) {
	t.Parallel()
	inBothShapes(t, func(t *testing.T, c *bus.Conn) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		fill(t, c, 0, 0, 1)
		err := c.ReadLog(ctx, bus.ReadOptions{}, func(bus.Message) error { cancel(); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("read ended with %v", err)
		}
	})
}

func TestBadPartitionsAreRefused(t *testing.T) {
	t.Parallel()
	inBothShapes(t, func(t *testing.T, c *bus.Conn) {
		t.Helper()
		ctx := brief(t)
		for _, p := range []int{-1, 4} {
			_, appendErr := c.AppendLog(ctx, p, nil, 0)
			_, inboundErr := c.PublishInbound(ctx, p, nil)
			_, askErr := ask(ctx, c, p, "")
			_, saveErr := c.SaveCursor(ctx, p, nil, 0)
			readErr := c.ReadLog(ctx, bus.ReadOptions{Partitions: []int{p}}, nil)
			for _, err := range []error{appendErr, inboundErr, askErr, saveErr, readErr, c.Barrier(ctx, p, 0)} {
				if !errors.Is(err, bus.ErrInvalid) {
					t.Errorf("partition %d: %v, wanted ErrInvalid", p, err)
				}
			}
		}
		if err := c.ReadLog(ctx, bus.ReadOptions{Partitions: []int{}}, nil); !errors.Is(err, bus.ErrInvalid) {
			t.Errorf("no partitions: %v, wanted ErrInvalid", err)
		}
	})
}

func TestAppendIsNotSentAfterItsContext(t *testing.T) {
	t.Parallel()
	inBothShapes(t, func(t *testing.T, c *bus.Conn) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.AppendLog(ctx, 0, []byte("a"), 0)
		if !errors.Is(err, context.Canceled) || errors.Is(err, bus.ErrOutcomeUnknown) {
			t.Errorf("append with an ended context: %v", err)
		}
		if got := messages(t, c, bus.StreamLog); got != 0 {
			t.Errorf("%d messages stored", got)
		}
	})
}

// fill appends n records to partition p and returns the last sequence.
func fill(tb testing.TB, c *bus.Conn, p int, last uint64, n int) uint64 {
	tb.Helper()
	for i := range n {
		seq, err := c.AppendLog(tb.Context(), p, fmt.Appendf(nil, "%d", i), last)
		if err != nil {
			tb.Error(err)
			return last
		}
		last = seq
	}
	return last
}

func messages(tb testing.TB, c *bus.Conn, stream string) uint64 {
	tb.Helper()
	for _, use := range must[[]bus.StreamUse](tb)(c.StreamUse(tb.Context())) {
		if use.Name == stream {
			return use.Messages
		}
	}
	tb.Fatalf("no stream %s", stream)
	return 0
}
