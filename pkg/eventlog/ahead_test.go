package eventlog_test

import (
	"context"
	"errors"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

var errStop = errors.New("stop")

// endless puts records until put refuses; each has its number as its input.
func endless(put func(uint64, []byte) error) error {
	r := ordinary(20)
	for n := uint64(1); ; n++ {
		r.Input = n
		if err := put(n, eventlog.Encode(r)); err != nil {
			return err
		}
	}
}

// TestAheadKeepsTheOrder: thousands of records come one after the other with
// their places, a damaged one with its error in its turn.
func TestAheadKeepsTheOrder(t *testing.T) {
	t.Parallel()
	const all, damaged = 5000, 1234
	var raw []byte
	source := func(put func(uint64, []byte) error) error {
		for n := uint64(1); n <= all; n++ {
			raw = eventlog.Append(raw[:0], &eventlog.Record{Partition: 1, Epoch: 1, First: control.Position(n), Input: n})
			if n == damaged {
				raw[5]++
			}
			if err := put(n, raw); err != nil {
				return err
			}
		}
		return nil
	}
	last := uint64(0)
	err := eventlog.Ahead(t.Context(), source, func(at uint64, r *eventlog.Record, err error) error {
		if at != last+1 {
			t.Fatalf("record %d after %d", at, last)
		}
		last = at
		if bad := errors.Is(err, eventlog.ErrDamaged); bad != (at == damaged) || !bad && r.Input != at {
			t.Errorf("record %d: input %d, %v", at, r.Input, err)
		}
		return nil
	})
	if err != nil || last != all {
		t.Errorf("%d of %d records: %v", last, all, err)
	}
}

// TestAheadStopsItsSource: an endless source ends with the first error of the
// use, or with the context, and Ahead says which.
func TestAheadStopsItsSource(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at10 func(context.CancelFunc) error
		want error
	}{
		"use fails":     {func(context.CancelFunc) error { return errStop }, errStop},
		"context ended": {func(cancel context.CancelFunc) error { cancel(); return nil }, context.Canceled},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		returned := false
		err := eventlog.Ahead(ctx, func(put func(uint64, []byte) error) error {
			defer func() { returned = true }()
			return endless(put)
		}, func(at uint64, _ *eventlog.Record, _ error) error {
			if at == 10 {
				return c.at10(cancel)
			}
			return nil
		})
		if !errors.Is(err, c.want) || !returned {
			t.Errorf("%s: %v; the source returned: %v", name, err, returned)
		}
		cancel()
	}
}

// TestAheadPassesTheSourcesErrorOn, after what came before it.
func TestAheadPassesTheSourcesErrorOn(t *testing.T) {
	t.Parallel()
	used := 0
	err := eventlog.Ahead(t.Context(), func(put func(int, []byte) error) error {
		if err := put(1, eventlog.Encode(ordinary(1))); err != nil {
			return err
		}
		return errStop
	}, func(int, *eventlog.Record, error) error { used++; return nil })
	if !errors.Is(err, errStop) || used != 1 {
		t.Errorf("%v after %d records", err, used)
	}
}
