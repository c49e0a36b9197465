package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// retries counts what readers say when they begin again.
type retries struct {
	slog.Handler
	count atomic.Int64
}

func (r *retries) Enabled(context.Context, slog.Level) bool { return true }

func (r *retries) Handle(_ context.Context, rec slog.Record) error {
	rec.Attrs(func(a slog.Attr) bool {
		if strings.Contains(fmt.Sprint(a.Value), "no heartbeat") {
			r.count.Add(1)
		}
		return true
	})
	return nil
}

func (r *retries) WithAttrs([]slog.Attr) slog.Handler { return r }

// In a cluster a consumer is answered for by one server before another knows
// that it can be asked. A reader that asks at once is not heard, and would begin
// a second later; of readers that begin together on a busy machine some 4 % did.
func TestReadersOfAClusterBeginAtOnce(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a cluster takes seconds to form")
	}
	_, urls := cluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Second)
	defer cancel()
	c := dialCluster(ctx, t, urls)
	if _, err := c.AppendLog(ctx, 0, []byte("a"), 0); err != nil {
		t.Fatal(err)
	}
	var late retries
	for url := range strings.SplitSeq(urls, ",") {
		beginReaders(ctx, t, url, slog.New(&late))
	}
	if n := late.count.Load(); n > 4 {
		t.Errorf("%d of 480 readers were not heard at first", n)
	}
}

// beginReaders reads the first record 160 times, with 16 readers at a time.
func beginReaders(ctx context.Context, t *testing.T, url string, log *slog.Logger) {
	t.Helper()
	c, err := bus.Dial(ctx, bus.Options{URL: url, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	read := errors.New("read")
	var crew sync.WaitGroup
	defer crew.Wait()
	for range 16 {
		crew.Go(func() {
			for range 10 {
				if err := c.ReadLog(ctx, bus.ReadOptions{}, func(bus.Message) error { return read }); !errors.Is(err, read) {
					t.Errorf("reading: %v", err)
				}
			}
		})
	}
}
