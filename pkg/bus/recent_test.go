package bus

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A window hands on what it holds, sends away who is behind it, and keeps
// within its bound.
func TestRecentIsABoundedWindow(t *testing.T) {
	t.Parallel()
	r := newRecent()
	r.restart(7)
	if got, _, err := r.since(7); len(got) != 0 || err != nil {
		t.Fatalf("an empty window behind the last message: %v, %v", got, err)
	}
	if _, _, err := r.since(6); !errors.Is(err, errBehind) {
		t.Errorf("older than the window: %v, wanted errBehind", err)
	}
	_, more, _ := r.since(7)
	const size = recentBytes / 4
	for i := range uint64(10) {
		r.add(flown(int(i), size), 7+i)
	}
	<-more
	checkRecent(t, r, 14, 14, 15, 16)
	checkRecent(t, r, 16, 16)
	checkRecent(t, r, 17)
	if _, _, err := r.since(12); !errors.Is(err, errBehind) {
		t.Errorf("dropped from the window: %v, wanted errBehind", err)
	}
	if r.reaches(14) || !r.reaches(16) || !r.reaches(17) {
		t.Error("a reader is let in at the wrong place")
	}
	r.forget(15)
	checkRecent(t, r, 16, 16)
	if _, _, err := r.since(15); !errors.Is(err, errBehind) {
		t.Errorf("trimmed: %v, wanted errBehind", err)
	}
	_, more, _ = r.since(17)
	r.restart(20)
	<-more
	if _, _, err := r.since(17); !errors.Is(err, errBehind) {
		t.Errorf("behind another writer: %v, wanted errBehind", err)
	}
	_, more, _ = r.since(20)
	r.close()
	<-more
	if _, _, err := r.since(20); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v, wanted ErrClosed", err)
	}
}

// flown is a bundle with one part of a size for a partition.
func flown(p, size int) *flight {
	f := &flight{}
	body := make([]byte, size-8)
	f.buf = appendPart(beginBundle(nil), p, body)
	f.open = len(f.buf)
	f.parts = []flightPart{{partition: p, from: 1, body: f.open - len(body), to: f.open}}
	return f
}

func checkRecent(t *testing.T, r *recent, next uint64, want ...uint64) {
	t.Helper()
	bundles, _, err := r.since(next)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, b := range bundles {
		got = append(got, b.sequence)
		if p := b.parts[0]; p.partition != int(b.sequence-7) || len(p.data) != recentBytes/4-8 {
			t.Errorf("message %d: partition %d, %d bytes", b.sequence, p.partition, len(p.data))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("from", next, diff)
	}
}
