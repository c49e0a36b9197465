package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/store"
)

func newDisk() *vfs.MemFS { return vfs.NewCrashableMem() }

// TestTheFormatIsTheNewestOfTheRelease: when this fails, Pebble was raised. Raise
// the constant with it, and say so in the changelog: there is no way back.
func TestTheFormatIsTheNewestOfTheRelease(t *testing.T) {
	t.Parallel()
	if store.FormatMajorVersion != pebble.FormatNewest {
		t.Errorf("pinned %s, newest %s", store.FormatMajorVersion, pebble.FormatNewest)
	}
	disk := newDisk()
	closeStore(t, open(t, disk))
	if found, err := pebble.Peek("store", disk); err != nil || found.FormatMajorVersion != pebble.FormatNewest {
		t.Errorf("on disk: %+v %v", found, err)
	}
}

func TestOpenRefusesANewerLayout(t *testing.T) {
	t.Parallel()
	disk := newDisk()
	s := open(t, disk)
	if err := s.OverwriteFormat(store.Format + 1); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	for _, readOnly := range []bool{false, true} {
		if _, err := store.Open(store.Options{Dir: "store", FS: disk, ReadOnly: readOnly}); !errors.Is(err, store.ErrNewerFormat) {
			t.Errorf("read only %v: %v", readOnly, err)
		}
	}
}

func TestOpenRefusesANewerEngine(t *testing.T) {
	t.Parallel()
	disk := newDisk()
	closeStore(t, open(t, disk))
	marker, _, err := atomicfs.LocateMarker(disk, "store", "format-version")
	if err == nil {
		err = errors.Join(marker.Move(fmt.Sprintf("%03d", pebble.FormatNewest+40)), marker.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(store.Options{Dir: "store", FS: disk}); !errors.Is(err, store.ErrNewerFormat) {
		t.Errorf("got %v", err)
	}
}

func TestADirectoryHasOneStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{false, true} {
		if _, err := store.Open(store.Options{Dir: dir, ReadOnly: readOnly}); !errors.Is(err, store.ErrInUse) {
			t.Errorf("read only %v: %v", readOnly, err)
		}
	}
	closeStore(t, s)
	if s, err = store.Open(store.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
}

func TestReadOnlyReadsAndChangesNothing(t *testing.T) {
	t.Parallel()
	disk := newDisk()
	s := open(t, disk)
	_, fold, _ := filled(t, s, 1, 20)
	closeStore(t, s)
	s, err := store.Open(store.Options{Dir: "store", FS: disk, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	p := partition(t, s, 1)
	compareDigest(t, p, fold)
	if err := p.Skip(1 << 40); err == nil {
		t.Error("Skip works")
	}
	if err := p.Rearm(store.Move{Due: 5}); err == nil {
		t.Error("Rearm works")
	}
	if err := p.Wipe(t.Context()); err == nil {
		t.Error("Wipe works")
	}
}

func TestReadOnlyNeedsAStore(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{t.TempDir(), t.TempDir() + "/none"} {
		if _, err := store.Open(store.Options{Dir: dir, ReadOnly: true}); !errors.Is(err, store.ErrNoStore) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestPartitionsAreBounded(t *testing.T) {
	t.Parallel()
	s := opened(t)
	for _, n := range []int{-1, store.MaxPartitions} {
		if _, err := s.Partition(n); err == nil {
			t.Errorf("partition %d opens", n)
		}
	}
	last := partition(t, s, store.MaxPartitions-1)
	if partition(t, s, store.MaxPartitions-1) != last {
		t.Error("a partition has two values")
	}
	if err := last.Wipe(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTotalDigest(t *testing.T) {
	t.Parallel()
	one, two := opened(t), opened(t)
	for n := range 3 {
		filled(t, one, n, 10)
		filled(t, two, 2-n, 10)
	}
	a, err := one.Digest(8)
	b, err2 := two.Digest(3)
	if err != nil || err2 != nil || a != b {
		t.Errorf("%x %v, %x %v", a, err, b, err2)
	}
	filled(t, two, 4, 1)
	if found, err := two.Partitions(); err != nil || !slices.Equal(found, []int{0, 1, 2, 4}) {
		t.Errorf("partitions %v %v", found, err)
	}
	if c, err := two.Digest(8); err != nil || c == a {
		t.Errorf("with another partition %x %v", c, err)
	}
}

func TestTimersComeInOrderUpToTheLimit(t *testing.T) {
	t.Parallel()
	p := partition(t, opened(t), 0)
	thread := func(n uint64) control.ThreadKey { return control.ThreadKey{Asset: 9, Person: n} }
	for n := range uint64(10) {
		if err := p.Rearm(store.Move{Thread: thread(n), Due: control.Millis(100 - n)}); err != nil {
			t.Fatal(err)
		}
	}
	compare := func(upTo control.Millis, limit int, want ...control.Millis) {
		t.Helper()
		due, err := p.Timers(upTo, limit)
		if err != nil || len(due) != len(want) {
			t.Fatalf("up to %d: %v %v, want %v", upTo, due, err, want)
		}
		for i := range due {
			if due[i].Due != want[i] || due[i].Thread != thread(uint64(100-want[i])) {
				t.Fatalf("up to %d: %v, want %v", upTo, due, want)
			}
		}
	}
	compare(90, 0)
	compare(92, 0, 91, 92)
	compare(1000, 3, 91, 92, 93)
	compare(1000, 0, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100)
	if err := p.Rearm(store.Move{Thread: thread(9), Was: 91, Due: 200}, store.Move{Thread: thread(8), Was: 92}); err != nil {
		t.Fatal(err)
	}
	compare(92, 0)
	compare(95, 0, 93, 94, 95)
	if err := p.Rearm(store.Move{Thread: thread(70), Due: 30}); err != nil { // below all that was
		t.Fatal(err)
	}
	compare(93, 0, 30, 93)
}

// TestReadsGoOnBesideTheHolder is for the race detector.
func TestReadsGoOnBesideTheHolder(t *testing.T) {
	t.Parallel()
	s := opened(t)
	p := partition(t, s, 0)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				_, _ = p.Timers(1<<50, 10)
				if at := p.Applied().Position; at > 0 {
					if _, _, err := p.Event(at); err != nil {
						t.Error(err)
						return
					}
				}
				if _, err := p.Digest(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	filled(t, s, 0, 60)
	close(done)
	readers.Wait()
}
