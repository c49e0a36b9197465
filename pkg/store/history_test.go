package store_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// TestRunsReadBack: a run has the positions and the state that it was made of.
func TestRunsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at, want := control.Position(0), []control.Position{}
		for _, step := range rapid.SliceOfN(rapid.Uint64Range(1, 1<<40), 2, 50).Draw(t, "steps") {
			at += control.Position(step)
			want = append(want, at)
		}
		kept := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "state")
		got, state, err := store.ReadRun(at, store.MakeRun(want, kept))
		if !slices.Equal(got, want) || !slices.Equal(state, kept) || err != nil {
			t.Fatal(got, want, state, kept, err)
		}
	})
}

// TestRunsThatAreDamaged: what no run can be is an error, and none of it makes
// positions that go up.
func TestRunsThatAreDamaged(t *testing.T) {
	t.Parallel()
	for name, v := range map[string][]byte{
		"no size":                 {store.HistoryRun},
		"a size without end":      {store.HistoryRun, 0x80},
		"a state that is cut":     {store.HistoryRun, 3, 1, 2},
		"the same position twice": {store.HistoryRun, 0, 1, 0},
		"before the first":        {store.HistoryRun, 0, 100},
		"a distance without end":  {store.HistoryRun, 0, 0x80},
	} {
		if got, _, err := store.ReadRun(100, v); !errors.Is(err, eventlog.ErrDamaged) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v := append([]byte{store.HistoryRun}, rapid.SliceOf(rapid.Byte()).Draw(t, "row")...)
		got, _, err := store.ReadRun(1000, v)
		if !slices.IsSorted(got) || err != nil && !errors.Is(err, eventlog.ErrDamaged) {
			t.Fatal(got, err)
		}
	})
}

// TestSectionsThatAreDamaged: a row of histories that is cut tells nothing, but
// where a section ends.
func TestSectionsThatAreDamaged(t *testing.T) {
	t.Parallel()
	one := store.MakeSection(1<<40, []byte{1, 2, 3})
	two := append(slices.Clone(one), store.MakeSection(1<<40+1, nil)...)
	for cut := range len(two) + 1 {
		want := map[int]int{len(one): 1, len(two): 2}[cut]
		if n, err := store.ReadSections(two[:cut]); n != want || (err == nil) != (want > 0 || cut == 0) || err != nil && !errors.Is(err, eventlog.ErrDamaged) {
			t.Error(cut, n, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		if _, err := store.ReadSections(rapid.SliceOf(rapid.Byte()).Draw(t, "row")); err != nil && !errors.Is(err, eventlog.ErrDamaged) {
			t.Fatal(err)
		}
	})
}

// TestHistoriesOfManySpans: whatever the spans that the events of some threads lie
// in, and however many were written at once, each thread has its own, with the
// states that they keep.
func TestHistoriesOfManySpans(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := open(t, vfs.NewMem())
		defer closeStore(t, s)
		p := partition(t, s, 0)
		type event struct {
			at    control.Position
			state []byte
		}
		want, last := map[control.ThreadKey][]event{}, control.Position(0)
		keep := func(at control.Position) []byte {
			if at%3 != 0 {
				return nil
			}
			return bytes.Repeat([]byte{1}, int(at%50)+1)
		}
		for range rapid.IntRange(1, 5).Draw(t, "writes") {
			var threads []control.ThreadKey
			var positions []control.Position
			for range rapid.IntRange(1, 20).Draw(t, "events") {
				last += control.Position(rapid.OneOf(rapid.Uint64Range(1, 3), rapid.Uint64Range(1, 3*store.Span)).Draw(t, "step"))
				thread := control.ThreadKey{Asset: 1, Person: rapid.Uint64Range(1, 4).Draw(t, "person")}
				threads, positions = append(threads, thread), append(positions, last)
				want[thread] = append(want[thread], event{last, keep(last)})
			}
			if err := p.File(threads, positions, keep); err != nil {
				t.Fatal(err)
			}
		}
		before := control.Position(rapid.Uint64Range(0, uint64(last)+2).Draw(t, "before"))
		for thread, events := range want {
			err := p.Walk(thread, before, func(at control.Position, state []byte) bool {
				for len(events) > 0 && events[len(events)-1].at >= before {
					events = events[:len(events)-1]
				}
				if len(events) == 0 || events[len(events)-1].at != at || !bytes.Equal(events[len(events)-1].state, state) {
					t.Fatalf("thread %d: %d with %x, want the last of %v", thread.Person, at, state, events)
				}
				events = events[:len(events)-1]
				return true
			})
			if err != nil || len(events) > 0 && events[0].at < before {
				t.Fatalf("thread %d below %d: %v are missing, %v", thread.Person, before, events, err)
			}
		}
	})
}

// TestThreadsSpreadOverBuckets: whatever the steps between people's ids, no bucket
// has much more than its share.
func TestThreadsSpreadOverBuckets(t *testing.T) {
	t.Parallel()
	for _, step := range []uint64{1, 2, 10, 64, 512, 1000, 1 << 20, 1 << 32, 1 << 40} {
		var threads [store.HistoryBuckets]int
		for i := range uint64(100 * store.HistoryBuckets) {
			threads[store.HistoryBucket(control.ThreadKey{Asset: 100200300400500, Person: 4_000_000_000_000_000 + i*step})]++
		}
		if least, most := slices.Min(threads[:]), slices.Max(threads[:]); least < 40 || most > 200 {
			t.Errorf("steps of %d: %d to %d threads in a bucket, a hundred on average", step, least, most)
		}
	}
}

// TestBucketsThatAreDamaged: a bucket that is cut tells nothing.
func TestBucketsThatAreDamaged(t *testing.T) {
	t.Parallel()
	v := append(make([]byte, 16), 0x80, 0, 0, 0, 0, 0, 0, 7)
	if last, keys, err := store.ReadBucket(append(v, v...), [16]byte{}); last != 7 || keys != 2 || err != nil {
		t.Error(last, keys, err)
	}
	for cut := 1; cut < len(v); cut++ {
		if last, keys, err := store.ReadBucket(v[:cut], [16]byte{}); last != 0 || keys != 0 || !errors.Is(err, eventlog.ErrDamaged) {
			t.Error(cut, last, keys, err)
		}
	}
}
