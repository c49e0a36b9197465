package bus_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/baton-router/baton/pkg/bus"
)

// bench runs f with and without fsync.
func bench(b *testing.B, f func(b *testing.B, c *bus.Conn)) {
	b.Helper()
	for name, sync := range map[string]bool{"fsync": true, "nosync": false} {
		b.Run(name, func(b *testing.B) {
			c := dial(b, start(b, sync))
			ensure(b, c, config())
			f(b, c)
		})
	}
}

func BenchmarkAppendLog(b *testing.B) {
	bench(b, func(b *testing.B, c *bus.Conn) {
		b.Helper()
		data, last := make([]byte, 4<<10), uint64(0)
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			last = must[uint64](b)(c.AppendLog(b.Context(), 0, data, last))
		}
	})
}

func BenchmarkBarrier(b *testing.B) {
	bench(b, func(b *testing.B, c *bus.Conn) {
		b.Helper()
		for b.Loop() {
			if err := c.Barrier(b.Context(), 0, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPublishInbound(b *testing.B) {
	bench(b, func(b *testing.B, c *bus.Conn) {
		b.Helper()
		data := make([]byte, 4<<10)
		b.SetBytes(int64(len(data)))
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := c.PublishInbound(b.Context(), 0, data); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func BenchmarkPublishControl(b *testing.B) {
	for _, size := range []int{1, 30, 900} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			bench(b, func(b *testing.B, c *bus.Conn) {
				b.Helper()
				var changes []bus.ControlMessage
				seq := []uint64{0}
				for i := 0; b.Loop(); i++ {
					changes = changes[:0]
					for j := range size {
						changes = append(changes, change(0, i*size+j))
					}
					seq = must[[]uint64](b)(c.PublishControl(b.Context(), changes, []bus.CursorMove{{Partition: 0, Expected: seq[0]}}))
				}
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "changes/s")
			})
		})
	}
}

func BenchmarkReadLog(b *testing.B) {
	c := dial(b, start(b, false))
	ensure(b, c, config())
	const records = 5000
	last := uint64(0)
	for range records {
		last = must[uint64](b)(c.AppendLog(b.Context(), 0, make([]byte, 1<<10), last))
	}
	done := errors.New("enough")
	for b.Loop() {
		err := c.ReadLog(b.Context(), bus.ReadOptions{}, func(m bus.Message) error {
			if m.Sequence == last {
				return done
			}
			return nil
		})
		if !errors.Is(err, done) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*records)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkAsk(b *testing.B) {
	c := dial(b, start(b, false))
	ensure(b, c, config())
	stop, err := c.ServeCommands(0, func(call bus.CommandCall) { _ = echo(call) })
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	for b.Loop() {
		must[string](b)(ask(b.Context(), c, 0, "hello"))
	}
}
