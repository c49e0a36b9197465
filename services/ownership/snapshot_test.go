package ownership

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/store"
)

// snapshotting is a node of several that can take snapshots.
func snapshotting(w *world) {
	several(w)
	w.cfg.Snapshots = SnapshotRule{Dir: filepath.Join(w.t.TempDir(), "checkpoint"), Look: time.Hour, BytesPerSecond: 1 << 40}
}

// work lets n messages arrive on each partition and be decided.
func (w *world) work(n int) {
	w.t.Helper()
	for p := range partitions {
		var seq uint64
		for i := range n {
			seq = w.arrive(w.message(person(p, i%5)))
		}
		w.consumed(p, seq)
	}
}

func (w *world) takeSnapshot() {
	w.t.Helper()
	if err := w.svc.TakeSnapshot(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// stored lists the snapshots, the newest first.
func (w *world) stored() snapshotList {
	w.t.Helper()
	list, err := w.svc.listSnapshots(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// cold starts a node without a store, and returns what it logged on its way.
func (w *world) cold(change ...func(*ColdStart)) (n *world, taken bool, logged string) {
	w.t.Helper()
	var text strings.Builder
	dir := filepath.Join(w.t.TempDir(), "store")
	c := ColdStart{
		Snapshots: w.conn, Log: w.log, Store: store.Options{Dir: dir}, Of: w.svc.origin(),
		Logger: slog.New(slog.NewTextHandler(&text, nil)),
	}
	for _, f := range change {
		f(&c)
	}
	taken, err := c.Run(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return w.secondOn(dir), taken, text.String()
}

// sameAs waits until both nodes are at the end of the log, and compares all that
// their stores have.
func (w *world) sameAs(other *world) {
	w.t.Helper()
	w.until("both nodes are at the end of the log", func() bool {
		for p := range partitions {
			if end := w.logEnd(p); w.svc.holders[p].part.Applied().Sequence != end || other.svc.holders[p].part.Applied().Sequence != end {
				return false
			}
		}
		return true
	})
	a, errA := w.store.Digest(partitions)
	b, errB := other.store.Digest(partitions)
	if errA != nil || errB != nil || a != b {
		w.t.Errorf("digests %x (%v) and %x (%v)", a, errA, b, errB)
	}
	if a, b := rows(w.t, w.store), rows(w.t, other.store); a != b {
		w.t.Errorf("%d and %d timer rows", a, b)
	}
}

// A node that begins with a snapshot has, byte for byte, what a node has that
// replayed everything, and reads only what came since.
func TestColdStartFromASnapshot(t *testing.T) {
	t.Parallel()
	a := started(t, snapshotting)
	a.work(20)
	a.takeSnapshot()
	newest := a.stored().snapshots[0]
	a.work(5)
	b, taken, logged := a.cold()
	if !taken || !strings.Contains(logged, "store taken from a snapshot") {
		t.Fatalf("no snapshot was taken:\n%s", logged)
	}
	for p := range partitions {
		if at := b.began[p]; at.Sequence != newest.Heads[p].Sequence || at.Position == 0 {
			t.Errorf("partition %d began at sequence %d, the snapshot stands at %d", p, at.Sequence, newest.Heads[p].Sequence)
		}
	}
	replayed, taken, _ := a.cold(func(c *ColdStart) { c.Snapshots = none{a.conn} })
	if taken || replayed.began[0].Sequence != 0 {
		t.Error("the node that is to replay everything took a snapshot")
	}
	a.sameAs(b)
	a.sameAs(replayed)
}

// none is a place without snapshots.
type none struct{ Snapshots }

func (none) SnapshotObjects(context.Context) ([]bus.SnapshotObject, error) { return nil, nil }

// unlisted cannot say what it has.
type unlisted struct{ Snapshots }

func (unlisted) SnapshotObjects(context.Context) ([]bus.SnapshotObject, error) {
	return nil, bus.ErrStreamMissing
}

// replace stores a manifest under the name of the newest one.
func (w *world) replace(raw []byte) {
	w.t.Helper()
	if err := w.conn.PutSnapshot(w.t.Context(), w.stored().snapshots[0].name, bytes.NewReader(raw)); err != nil {
		w.t.Fatal(err)
	}
}

// TestSnapshotsThatDoNotFitAreRefused: each is named with its reason, the older
// one is taken instead, and when there is none the log.
func TestSnapshotsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	changed := func(change func(*store.Manifest)) func(*world) {
		return func(w *world) {
			m := w.stored().snapshots[0].Manifest
			m.Heads, m.Files = slices.Clone(m.Heads), slices.Clone(m.Files)
			change(&m)
			w.replace(m.Encode())
		}
	}
	for name, test := range map[string]struct {
		spoil  func(*world)
		reason string
	}{
		"another installation":   {changed(func(m *store.Manifest) { m.BatonID[3] ^= 1 }), "another installation"},
		"another count":          {changed(func(m *store.Manifest) { m.Partitions *= 2 }), "of 8 partitions, there are 4"},
		"a newer format":         {changed(func(m *store.Manifest) { m.Format++ }), "newer version"},
		"another hash":           {changed(func(m *store.Manifest) { m.Heads[1].Hash[7] ^= 1 }), "has hash"},
		"ahead of the log":       {changed(func(m *store.Manifest) { m.Heads[2].Sequence += 1 << 40 }), "behind the end of the log"},
		"at no record":           {changed(func(m *store.Manifest) { m.Heads[2].Sequence-- }), "partition 2: "},
		"another position":       {changed(func(m *store.Manifest) { m.Heads[2].Position++ }), "the manifest says"},
		"another file":           {changed(func(m *store.Manifest) { m.Files[0].SHA256[0] ^= 1 }), "is not stored"},
		"a longer file":          {changed(func(m *store.Manifest) { m.Files[0].Bytes++ }), "bytes with SHA-256"},
		"a path":                 {changed(func(m *store.Manifest) { m.Files[0].Name = "../x" }), "does not match"},
		"a flipped manifest":     {func(w *world) { raw := w.stored().snapshots[0].Encode(); raw[40] ^= 1; w.replace(raw) }, "not as it was written"},
		"an empty manifest":      {func(w *world) { w.replace(nil) }, "does not end with its SHA-256"},
		"a lost object":          {func(w *world) { w.breakObject(false) }, "is not stored"},
		"a file with other text": {func(w *world) { w.breakObject(true) }, "does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := started(t, snapshotting)
			a.work(3)
			a.takeSnapshot()
			a.work(3)
			a.takeSnapshot()
			test.spoil(a)
			b, taken, logged := a.cold()
			if !taken || !strings.Contains(logged, "snapshot refused") || !strings.Contains(logged, test.reason) {
				t.Errorf("taken %v, logged:\n%s", taken, logged)
			}
			older := a.stored().snapshots[1]
			if older.err != nil || b.began[0].Sequence != older.Heads[0].Sequence {
				t.Errorf("began at sequence %d, the older snapshot stands at %d (%v)", b.began[0].Sequence, older.Heads[0].Sequence, older.err)
			}
			a.sameAs(b)
		})
	}
}

// breakObject takes a file away that is in no other snapshot, or puts another of
// its size in its place.
func (w *world) breakObject(replace bool) {
	w.t.Helper()
	list := w.stored()
	for _, f := range list.snapshots[0].Files {
		if f.Bytes == 0 || slices.Contains(list.snapshots[1].Files, f) {
			continue
		}
		err := w.conn.DeleteSnapshot(w.t.Context(), objectOf(f))
		if replace {
			err = w.conn.PutSnapshot(w.t.Context(), objectOf(f), bytes.NewReader(make([]byte, f.Bytes)))
		}
		if err != nil {
			w.t.Fatal(err)
		}
		return
	}
	w.t.Fatal("no file to break")
}

// Without snapshots, or without their stream, the log has everything.
func TestColdStartWithoutSnapshots(t *testing.T) {
	t.Parallel()
	a := started(t, snapshotting)
	a.work(3)
	b, taken, logged := a.cold()
	if taken || !strings.Contains(logged, "rebuilt from the log") {
		t.Errorf("without any: %v\n%s", taken, logged)
	}
	a.sameAs(b)
	c, taken, logged := a.cold(func(c *ColdStart) { c.Snapshots = unlisted{a.conn} })
	if taken || !strings.Contains(logged, "cannot be listed") {
		t.Errorf("without the stream: %v\n%s", taken, logged)
	}
	a.sameAs(c)
}

func TestSnapshotsWhenTheStoreIsFull(t *testing.T) {
	t.Parallel()
	full := &refusingSnapshots{}
	a := started(t, snapshotting, func(w *world) { full.Snapshots, w.snapshots = w.conn, full })
	a.work(3)
	full.refuses.Store(true)
	if err := a.svc.TakeSnapshot(t.Context()); !errors.Is(err, bus.ErrStreamFull) {
		t.Errorf("got %v", err)
	}
	if list := a.stored(); len(list.snapshots) != 0 {
		t.Errorf("%d snapshots", len(list.snapshots))
	}
	full.refuses.Store(false)
	a.takeSnapshot() // nothing of the attempt is in the way
}

func TestTwoSnapshotsAreKept(t *testing.T) {
	t.Parallel()
	a := started(t, snapshotting)
	for range 4 {
		a.work(2)
		a.takeSnapshot()
	}
	list := a.stored()
	if len(list.snapshots) != snapshotsKept || list.newest() != &list.snapshots[0] {
		t.Errorf("%d snapshots", len(list.snapshots))
	}
	for i := range list.snapshots {
		if lacking := list.missing(&list.snapshots[i].Manifest); lacking != "" {
			t.Errorf("%s lacks %s", list.snapshots[i].name, lacking)
		}
	}
	if st := a.svc.SnapshotStatus(); st.At.IsZero() || st.Bytes == 0 {
		t.Errorf("status %+v", st)
	}
}

func TestWhenASnapshotIsDue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	rule := SnapshotRule{Events: 100, Every: time.Hour}
	for name, test := range map[string]struct {
		st   SnapshotStatus
		want bool
	}{
		"nothing yet":           {SnapshotStatus{}, false},
		"the first":             {SnapshotStatus{Behind: 1}, true},
		"nothing new":           {SnapshotStatus{At: now.Add(-24 * time.Hour)}, false},
		"a little new, and new": {SnapshotStatus{At: now.Add(-59 * time.Minute), Behind: 99}, false},
		"a little new, and old": {SnapshotStatus{At: now.Add(-time.Hour), Behind: 1}, true},
		"much new":              {SnapshotStatus{At: now, Behind: 100}, true},
	} {
		if got := rule.due(test.st, now); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Only the holder of the first partition takes them, and only if all partitions
// of its store are as they should be.
func TestWhoTakesASnapshot(t *testing.T) {
	t.Parallel()
	a := started(t, snapshotting)
	a.work(2)
	b, _, _ := a.cold()
	a.sameAs(b)
	a.held()
	look := func(w *world, want int) {
		t.Helper()
		if err := w.svc.lookAfterSnapshots(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(a.stored().snapshots); got != want {
			t.Errorf("%d snapshots, wanted %d", got, want)
		}
	}
	look(b, 0)
	a.until("the standby has looked where the partitions stand", func() bool { return len(a.svc.Unable()) == 0 })
	look(a, 1)
	look(a, 1) // nothing new
	if st := b.svc.SnapshotStatus(); st.Behind == 0 || !st.At.IsZero() {
		t.Errorf("what the other knew: %+v", st)
	}
	look(b, 1)
	if st := b.svc.SnapshotStatus(); st.At.IsZero() || st.Bytes == 0 {
		t.Errorf("what the other knows: %+v", st)
	}
}

// refusingSnapshots is full when it comes to the manifest, if it refuses.
type refusingSnapshots struct {
	Snapshots
	refuses atomic.Bool
}

func (r *refusingSnapshots) PutSnapshot(ctx context.Context, name string, from io.Reader) error {
	if r.refuses.Load() && strings.HasPrefix(name, prefixManifest) {
		return bus.ErrStreamFull
	}
	return r.Snapshots.PutSnapshot(ctx, name, from)
}
