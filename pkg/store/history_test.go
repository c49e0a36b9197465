package store_test

import (
	"errors"
	"slices"
	"testing"

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
