package store_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// damaged returns a copy of fs in which a byte, so many quarters into each file with
// this suffix is flipped, and how many those were.
func damaged(t *testing.T, fs *vfs.MemFS, suffix string, quarter int) (*vfs.MemFS, int) {
	t.Helper()
	after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	names, err := after.List("store")
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for _, name := range names {
		if !strings.HasSuffix(name, suffix) {
			continue
		}
		f, err := after.Open("store/" + name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if len(data) < 2000 {
			continue
		}
		data[len(data)*quarter/4] ^= 0x10
		w, err := after.Create("store/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		flipped++
	}
	return after, flipped
}

// readAll reads everything that a store has of a partition.
func readAll(p *store.Partition) error {
	var errs []error
	for stored, err := range p.Records(1) {
		if err == nil {
			_, err = eventlog.Decode(stored.Raw)
		}
		errs = append(errs, err)
	}
	_, err := p.Digest()
	return errors.Join(append(errs, err)...)
}

func TestDamagedTablesAreReported(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	s := open(t, disk)
	filled(t, s, 0, 300)
	closeStore(t, s) // flushes everything into tables
	after, flipped := damaged(t, disk, ".sst", 1)
	if flipped == 0 {
		t.Fatal("no table to damage")
	}
	var reported atomic.Int32
	s, err := store.Open(store.Options{
		Dir: "store", FS: after, CacheBytes: 1 << 20,
		Watch: store.Watch{Damaged: func(error) { reported.Add(1) }},
		Exit:  func(reason string) { t.Errorf("the process would end: %s", reason); select {} },
	})
	if err != nil {
		if !store.IsDamaged(err) {
			t.Errorf("open: %v", err)
		}
		return
	}
	defer closeStore(t, s)
	p, err := s.Partition(0)
	if err == nil {
		err = readAll(p)
	}
	if !store.IsDamaged(err) {
		t.Errorf("reading everything: %v", err)
	}
	if reported.Load() == 0 {
		t.Error("Watch.Damaged was not told")
	}
}

// TestADamagedWriteAheadLogIsReported: a flipped byte before something that is
// known to have been synced is damage.
func TestADamagedWriteAheadLogIsReported(t *testing.T) {
	t.Parallel()
	after, _ := damagedLog(t, 400, true, 1)
	s, err := store.Open(store.Options{Dir: "store", FS: after})
	if err == nil {
		closeStore(t, s)
	}
	if !store.IsDamaged(err) {
		t.Errorf("open: %v", err)
	}
}

// TestADamagedTailIsAnEarlierRecord: in what no later block knows to have been
// synced, a flipped byte looks like the end of the log. The store is at an earlier
// record then, and the stream has the rest.
func TestADamagedTailIsAnEarlierRecord(t *testing.T) {
	t.Parallel()
	after, all := damagedLog(t, 120, false, 3)
	s := open(t, after)
	defer closeStore(t, s)
	p := partition(t, s, 0)
	if at := p.Applied().Sequence; at == 0 || at >= uint64(len(all)) {
		t.Fatalf("came back at %d of %d: nothing was tested", at, len(all))
	}
	for _, m := range all[p.Applied().Sequence:] {
		apply(t, p, m.record, m.raw, m.sequence)
	}
	var fold eventlog.Partition
	for _, m := range all {
		if err := fold.Apply(m.record); err != nil {
			t.Fatal(err)
		}
	}
	compareDigest(t, p, &fold)
	compareLog(t, p, all)
}

// damagedLog returns a disk with a store that was not closed and has a byte
// flipped in its write-ahead log, so many quarters into it, and what was applied:
// synced after every record, or once at the end.
func damagedLog(t *testing.T, records int, synced bool, quarter int) (*vfs.MemFS, []published) {
	t.Helper()
	disk := vfs.NewCrashableMem()
	s, err := store.Open(store.Options{Dir: "store", FS: disk}) // default sizes: one log, or two
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	all := stream(rand.New(rand.NewPCG(2, 2)), 1, records)
	for _, m := range all {
		apply(t, partition(t, s, 0), m.record, m.raw, m.sequence)
		if synced || m.sequence == uint64(records) {
			if err := s.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	after, flipped := damaged(t, disk, ".log", quarter)
	if flipped == 0 {
		t.Fatal("no log to damage")
	}
	return after, all
}

// failing fails operations of one sort.
func failing(sort errorfs.OpReadWrite) errorfs.Injector {
	return errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == sort {
			return syscall.EIO
		}
		return nil
	})
}

// TestAFailedWriteEndsTheProcess: the engine cannot go on after its write-ahead
// log failed. A process of its own meets the fault; what it had synced is there.
func TestAFailedWriteEndsTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), failingDir+"="+dir)
	out, err := child.CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 1 {
		t.Fatalf("the process ended with %v:\n%s", err, out)
	}
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	p := partition(t, s, 0)
	var fold eventlog.Partition
	for _, m := range stream(rand.New(rand.NewPCG(3, 3)), 1, int(p.Applied().Sequence)) {
		if err := fold.Apply(m.record); err != nil {
			t.Fatal(err)
		}
	}
	if p.Applied().Sequence < syncedBeforeFault {
		t.Errorf("came back at %d, %d were synced", p.Applied().Sequence, syncedBeforeFault)
	}
	compareDigest(t, p, &fold)
}

const (
	failingDir        = "BATON_TEST_FAILING_STORE"
	syncedBeforeFault = 20
)

// meetFault is the process whose disk fails: it ends in Options.Exit, or
// returns what went wrong.
func meetFault(dir string) error {
	toggle := &errorfs.Toggle{Injector: failing(errorfs.OpIsWrite)}
	s, err := store.Open(store.Options{Dir: dir, FS: errorfs.Wrap(vfs.Default, toggle)})
	if err != nil {
		return err
	}
	p, err := s.Partition(0)
	if err != nil {
		return err
	}
	for _, m := range stream(rand.New(rand.NewPCG(3, 3)), 1, 2*syncedBeforeFault) {
		if m.sequence == syncedBeforeFault+1 {
			toggle.On()
		}
		if err := p.Apply(m.record, m.raw, m.sequence, changes(panics{}, p, m.record)); err != nil {
			return err
		}
		if err := s.Sync(); err != nil {
			return err
		}
	}
	return errors.New("no fault was met")
}

// panics is fatal for a process that is no test.
type panics struct{}

func (panics) Helper()                           {}
func (panics) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (panics) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func TestReadErrorsAreReturned(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	s := open(t, disk)
	filled(t, s, 0, 300)
	closeStore(t, s)
	toggle := &errorfs.Toggle{Injector: failing(errorfs.OpIsRead)}
	s, err := store.Open(store.Options{Dir: "store", FS: errorfs.Wrap(disk, toggle), CacheBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := partition(t, s, 0)
	toggle.On()
	if err := readAll(p); !errors.Is(err, syscall.EIO) {
		t.Errorf("reading everything: %v", err)
	}
	if store.IsDamaged(syscall.EIO) {
		t.Error("an input/output error is not damage")
	}
	toggle.Off()
	if err := readAll(p); err != nil {
		t.Errorf("after the fault: %v", err)
	}
	closeStore(t, s)
}
