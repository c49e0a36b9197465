package store_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
)

// ours is the installation that the histories of the tests belong to.
var ours = store.Origin{BatonID: store.InstallationID{0xba, 0x70}, Partitions: 4}

func checkpoint(t *testing.T, s *store.Store, dir string) *store.Checkpoint {
	t.Helper()
	c, err := s.Checkpoint(t.Context(), dir, ours)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// from fetches a checkpoint's files.
func from(c *store.Checkpoint) func(context.Context, store.File, io.Writer) error {
	return func(_ context.Context, f store.File, w io.Writer) error {
		r, err := c.Open(f.Name)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, r)
		return errors.Join(err, r.Close())
	}
}

func rowsSum(t *testing.T, s *store.Store) store.Sum {
	t.Helper()
	sum, err := s.Rows()
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// filledDisk is a disk with a store of three partitions, part of it in tables,
// part in the write-ahead log, and a delivery log.
func filledDisk(t *testing.T) (*vfs.MemFS, *store.Store) {
	t.Helper()
	disk := vfs.NewCrashableMem()
	s := open(t, disk)
	for n := range 3 {
		filled(t, s, n, 60)
	}
	appendRows(t, openLog(t, s, 1<<20), 5, "of this node alone")
	return disk, s
}

func TestACheckpointIsTheStore(t *testing.T) {
	t.Parallel()
	disk, s := filledDisk(t)
	defer closeStore(t, s)
	want := rowsSum(t, s)
	checkpoint(t, s, "copy")
	filled(t, s, 3, 20) // goes on
	c, err := store.OpenCheckpoint(t.Context(), disk, "copy")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Manifest.Heads) != 3 || c.Manifest.Origin != ours || c.Manifest.Events() == 0 || c.Manifest.Bytes() == 0 {
		t.Errorf("manifest %+v", c.Manifest)
	}
	other := vfs.NewCrashableMem()
	if err := store.Receive(t.Context(), store.Options{Dir: "store", FS: other}, c.Manifest, from(c)); err != nil {
		t.Fatal(err)
	}
	// A power cut right after it finds the store whole.
	received := open(t, other.CrashClone(vfs.CrashCloneCfg{}))
	defer closeStore(t, received)
	if got := rowsSum(t, received); got != want {
		t.Error("the store received differs from the one that was copied")
	}
	for _, h := range c.Manifest.Heads {
		if got, want := partition(t, received, h.Partition).Applied(), partition(t, s, h.Partition).Applied(); got != want || got.Sequence != h.Sequence {
			t.Errorf("partition %d stands at %+v, wanted %+v", h.Partition, got, want)
		}
	}
	if rows := rowsOf(t, openLog(t, received, 1<<20), 0, 1<<40, 10); len(rows) != 0 {
		t.Errorf("the other node's delivery log has come along: %v", rows)
	}
	if list, err := other.List("/"); err != nil || slices.ContainsFunc(list, func(n string) bool { return strings.Contains(n, "incoming") }) {
		t.Errorf("left over: %v %v", list, err)
	}
}

func TestACheckpointOfAStrangersStoreIsRefused(t *testing.T) {
	t.Parallel()
	disk, s := filledDisk(t)
	defer closeStore(t, s)
	if _, err := s.Checkpoint(t.Context(), "copy", store.Origin{Partitions: 4}); !errors.Is(err, store.ErrForeign) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Checkpoint(t.Context(), "copy", store.Origin{BatonID: ours.BatonID, Partitions: 2}); !errors.Is(err, store.ErrMismatch) {
		t.Errorf("too few partitions: %v", err)
	}
	if list, err := disk.List("copy"); err == nil {
		t.Errorf("left: %v", list)
	}
}

// A checkpoint that is made while records are applied is of one moment.
func TestACheckpointIsOfOneMoment(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	s := open(t, disk)
	defer closeStore(t, s)
	filled(t, s, 0, 5)
	var applying sync.WaitGroup
	applying.Go(func() { filled(t, s, 1, 200) })
	c := checkpoint(t, s, "copy")
	applying.Wait()
	if err := store.Receive(t.Context(), store.Options{Dir: "received", FS: disk}, c.Manifest, from(c)); err != nil {
		t.Fatal(err) // it compares where the partitions stand
	}
	if err := c.Remove(); err != nil {
		t.Error(err)
	}
}

func TestASecondCheckpointReadsOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	disk, s := filledDisk(t)
	closeStore(t, s)
	s = open(t, disk) // all in tables now
	defer closeStore(t, s)
	first := checkpoint(t, s, "first")
	filled(t, s, 3, 1)
	second := checkpoint(t, s, "second")
	same := 0
	for _, f := range second.Manifest.Files {
		if slices.Contains(first.Manifest.Files, f) && strings.HasSuffix(f.Name, ".sst") {
			same++
		}
	}
	if same == 0 {
		t.Error("no table is in both")
	}
	if err := store.Receive(t.Context(), store.Options{Dir: "received", FS: disk}, second.Manifest, from(second)); err != nil {
		t.Error(err)
	}
	if _, err := s.Checkpoint(t.Context(), "second", ours); err == nil {
		t.Error("a checkpoint is made over another one")
	}
	if _, err := store.OpenCheckpoint(t.Context(), disk, "second"); err != nil {
		t.Errorf("and harms it: %v", err)
	}
}

// spoil changes a file of a disk.
func spoil(t *testing.T, fs vfs.FS, path string, change func([]byte) []byte) {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	w, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(change(content))
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte) []byte { b[len(b)/2] ^= 4; return b }
func cut(b []byte) []byte  { return b[:len(b)-1] }

// TestEveryByteOfACheckpointCounts: each file, changed or cut or gone, and what
// does not belong there, is found.
func TestEveryByteOfACheckpointCounts(t *testing.T) {
	t.Parallel()
	disk, s := filledDisk(t)
	c := checkpoint(t, s, "copy")
	closeStore(t, s)
	refused := func(what string, want error, change func(vfs.FS)) {
		t.Helper()
		other := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		change(other)
		if _, err := store.OpenCheckpoint(t.Context(), other, "copy"); !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, f := range c.Manifest.Files {
		path := "copy/" + f.Name
		if f.Bytes > 0 {
			refused("flipped "+f.Name, store.ErrMismatch, func(fs vfs.FS) { spoil(t, fs, path, flip) })
			refused("cut "+f.Name, store.ErrMismatch, func(fs vfs.FS) { spoil(t, fs, path, cut) })
		}
		refused("longer "+f.Name, store.ErrMismatch, func(fs vfs.FS) { spoil(t, fs, path, func(b []byte) []byte { return append(b, 0) }) })
		refused("without "+f.Name, store.ErrMismatch, func(fs vfs.FS) {
			if err := fs.Remove(path); err != nil {
				t.Fatal(err)
			}
		})
	}
	const manifest = "copy/checkpoint.json"
	refused("a flipped manifest", store.ErrMismatch, func(fs vfs.FS) { spoil(t, fs, manifest, flip) })
	refused("a cut manifest", store.ErrMismatch, func(fs vfs.FS) { spoil(t, fs, manifest, cut) })
	refused("an empty manifest", store.ErrMismatch, func(fs vfs.FS) { spoil(t, fs, manifest, func([]byte) []byte { return nil }) })
	refused("no manifest", store.ErrNoCheckpoint, func(fs vfs.FS) {
		if err := fs.Remove(manifest); err != nil {
			t.Fatal(err)
		}
	})
	refused("one file more", store.ErrMismatch, func(fs vfs.FS) {
		if err := fs.Link("copy/checkpoint.json", "copy/000999.sst"); err != nil {
			t.Fatal(err)
		}
	})
}

// TestReceiveTakesAllOrNothing: whatever goes wrong, the directory is as it was
// and nothing is left beside it.
func TestReceiveTakesAllOrNothing(t *testing.T) {
	t.Parallel()
	_, s := filledDisk(t)
	defer closeStore(t, s)
	c := checkpoint(t, s, "copy")
	last := ""
	for _, f := range c.Manifest.Files {
		if f.Bytes > 0 {
			last = f.Name
		}
	}
	// but is from, for the last file but one thing is different.
	but := func(change func([]byte) []byte) func(context.Context, store.File, io.Writer) error {
		return func(ctx context.Context, f store.File, w io.Writer) error {
			if f.Name != last {
				return from(c)(ctx, f, w)
			}
			var b strings.Builder
			if err := from(c)(ctx, f, &b); err != nil {
				return err
			}
			_, err := w.Write(change([]byte(b.String())))
			return err
		}
	}
	unreachable := errors.New("not reachable")
	wrongHead := c.Manifest
	wrongHead.Heads = slices.Clone(wrongHead.Heads)
	wrongHead.Heads[1].Hash[5] ^= 1
	for name, test := range map[string]struct {
		manifest store.Manifest
		fetch    func(context.Context, store.File, io.Writer) error
		want     error
	}{
		"flipped":      {c.Manifest, but(flip), store.ErrMismatch},
		"truncated":    {c.Manifest, but(cut), store.ErrMismatch},
		"longer":       {c.Manifest, but(func(b []byte) []byte { return append(b, 1) }), store.ErrMismatch},
		"wrong head":   {wrongHead, from(c), store.ErrMismatch},
		"a stranger's": {store.Manifest{Heads: c.Manifest.Heads, Files: c.Manifest.Files}, from(c), store.ErrForeign},
		"unreachable":  {c.Manifest, func(context.Context, store.File, io.Writer) error { return unreachable }, unreachable},
		"half a head":  {store.Manifest{Origin: ours, Heads: c.Manifest.Heads[:1], Files: c.Manifest.Files}, from(c), store.ErrMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := storetest.NewDisk()
			if err := store.Receive(t.Context(), store.Options{Dir: "store", FS: disk.FS()}, test.manifest, test.fetch); !errors.Is(err, test.want) {
				t.Errorf("got %v, wanted %v", err, test.want)
			}
			if list, err := disk.FS().List("/"); err != nil || len(list) != 0 {
				t.Errorf("left: %v %v", list, err)
			}
		})
	}
}

func TestReceiveOnAFullDiskLeavesNothing(t *testing.T) {
	t.Parallel()
	_, s := filledDisk(t)
	defer closeStore(t, s)
	c := checkpoint(t, s, "copy")
	disk, writes := vfs.NewMem(), 0
	full := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite {
			if writes++; writes > len(c.Manifest.Files)/2 {
				return syscall.ENOSPC
			}
		}
		return nil
	})
	err := store.Receive(t.Context(), store.Options{Dir: "store", FS: errorfs.Wrap(disk, full)}, c.Manifest, from(c))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if list, err := disk.List("/"); err != nil || len(list) != 0 {
		t.Errorf("left: %v %v", list, err)
	}
}

func TestReceiveReplacesOnlyAnEmptyStore(t *testing.T) {
	t.Parallel()
	disk, s := filledDisk(t)
	c := checkpoint(t, s, "copy")
	before := rowsSum(t, s)
	o := store.Options{Dir: "store", FS: disk}
	if err := store.Receive(t.Context(), o, c.Manifest, from(c)); !errors.Is(err, store.ErrInUse) {
		t.Errorf("into an open store: %v", err)
	}
	filled(t, s, 3, 3)
	after := rowsSum(t, s)
	closeStore(t, s)
	if err := store.Receive(t.Context(), o, c.Manifest, from(c)); err == nil {
		t.Error("a store with records is replaced")
	}
	s = open(t, disk)
	if got := rowsSum(t, s); got != after || got == before {
		t.Error("and changed")
	}
	closeStore(t, s)
	o.Dir = "fresh"
	fresh, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, fresh)
	if err := store.Receive(t.Context(), o, c.Manifest, from(c)); err != nil {
		t.Errorf("over a store without a record: %v", err)
	}
}

// What an attempt left that was killed is cleared by the next one.
func TestReceiveBeginsAfresh(t *testing.T) {
	t.Parallel()
	disk, s := filledDisk(t)
	defer closeStore(t, s)
	c := checkpoint(t, s, "copy")
	if err := errors.Join(disk.MkdirAll("received.incoming", 0o755), disk.Link("copy/checkpoint.json", "received.incoming/000777.sst")); err != nil {
		t.Fatal(err)
	}
	if err := store.Receive(t.Context(), store.Options{Dir: "received", FS: disk}, c.Manifest, from(c)); err != nil {
		t.Fatal(err)
	}
	if list, err := disk.List("received"); err != nil || slices.Contains(list, "000777.sst") {
		t.Errorf("%v %v", list, err)
	}
}
