package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/baton-router/baton/pkg/bus"
)

func TestRosterVersions(t *testing.T) {
	t.Parallel()
	c, ctx := open(t), brief(t)
	if data, version, err := c.Roster(ctx); data != nil || version != 0 || err != nil {
		t.Fatalf("roster before the first version: %q, %d, %v", data, version, err)
	}
	v1 := must[uint64](t)(c.SaveRoster(ctx, []byte("one"), 0))
	v2 := must[uint64](t)(c.SaveRoster(ctx, []byte("two"), v1))
	if _, err := c.SaveRoster(ctx, []byte("stale"), v1); !errors.Is(err, bus.ErrWrongSequence) {
		t.Errorf("save on an old version: %v, wanted ErrWrongSequence", err)
	}
	if data, version, err := c.Roster(ctx); string(data) != "two" || version != v2 || err != nil {
		t.Errorf("roster %q, version %d, %v", data, version, err)
	}
	if data := must[[]byte](t)(c.RosterAt(ctx, v1)); string(data) != "one" {
		t.Errorf("version %d is %q", v1, data)
	}
	for _, version := range []uint64{0, v2 + 1} {
		if _, err := c.RosterAt(ctx, version); !errors.Is(err, bus.ErrNoMessage) {
			t.Errorf("version %d: %v, wanted ErrNoMessage", version, err)
		}
	}
	if _, err := c.SaveRoster(ctx, make([]byte, bus.MaxRoster+1), v2); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("large roster: %v, wanted ErrTooLarge", err)
	}
	must[uint64](t)(c.SaveRoster(ctx, make([]byte, bus.MaxRoster), v2))
}

func TestWatchRosterSeesTheNewestAndAllLater(t *testing.T) {
	t.Parallel()
	c := open(t)
	ctx, cancel := context.WithCancel(brief(t))
	defer cancel()
	seen := make(chan string)
	watching := make(chan error, 1)
	go func() {
		watching <- c.WatchRoster(ctx, func(data []byte, version uint64) error {
			seen <- fmt.Sprintf("%s@%d", data, version)
			return nil
		})
	}()
	version := uint64(0)
	for i := range 3 {
		version = must[uint64](t)(c.SaveRoster(ctx, fmt.Appendf(nil, "r%d", i), version))
		if got, want := <-seen, fmt.Sprintf("r%d@%d", i, version); got != want {
			t.Errorf("saw %s, wanted %s", got, want)
		}
	}
	done := errors.New("enough")
	err := c.WatchRoster(ctx, func(data []byte, v uint64) error {
		if string(data) != "r2" || v != version {
			t.Errorf("a late watcher saw %q@%d first", data, v)
		}
		return done
	})
	if !errors.Is(err, done) {
		t.Error(err)
	}
	cancel()
	if err := <-watching; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCursorsAreComparedAndSet(t *testing.T) {
	t.Parallel()
	c, ctx := open(t), brief(t)
	if data, seq, err := c.LoadCursor(ctx, 0); data != nil || seq != 0 || err != nil {
		t.Fatalf("cursor before the first save: %q, %d, %v", data, seq, err)
	}
	first := must[uint64](t)(c.SaveCursor(ctx, 0, []byte("a"), 0))
	must[uint64](t)(c.SaveCursor(ctx, 1, []byte("other"), 0))
	second := must[uint64](t)(c.SaveCursor(ctx, 0, []byte("b"), first))
	if _, err := c.SaveCursor(ctx, 0, []byte("deposed"), first); !errors.Is(err, bus.ErrWrongSequence) {
		t.Errorf("save of a deposed node: %v, wanted ErrWrongSequence", err)
	}
	if data, seq, err := c.LoadCursor(ctx, 0); string(data) != "b" || seq != second || err != nil {
		t.Errorf("cursor %q, %d, %v", data, seq, err)
	}
	if got := messages(t, c, bus.StreamCursor); got != 2 {
		t.Errorf("%d cursors kept, wanted one per partition", got)
	}
}
