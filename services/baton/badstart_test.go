package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/store"
)

// used returns a world whose node has run, taken input and stopped.
func used(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.program = true
	l := newLoad(w)
	node := w.start("", 0)
	node.awaitReady()
	l.until(func() { within(crashReach, func() bool { return len(l.messages()) > 20 }) })
	node.stop()
	return w
}

// refused starts the node and expects that it ends at once with exit code 2 and
// says why and what to do.
func (w *world) refused(says ...string) {
	w.t.Helper()
	node := w.start("", 0)
	select {
	case <-node.done:
	case <-time.After(crashReadyIn):
		node.fatal("the node runs although it must not: %s", w.readyz())
	}
	data, err := os.ReadFile(node.log)
	if err != nil {
		w.t.Fatal(err)
	}
	if code := node.cmd.ProcessState.ExitCode(); code != exitUsage {
		w.t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	for _, text := range says {
		if !strings.Contains(string(data), text) {
			w.t.Errorf("it does not say %q:\n%s", text, data)
		}
	}
}

// halted starts the node and expects that it runs and says on /readyz why its
// partitions do not.
func (w *world) halted(says string) {
	w.t.Helper()
	node := w.start("", 0)
	text := ""
	if !within(crashReadyIn, func() bool {
		text = w.readyz()
		return node.ended() || strings.Contains(text, says)
	}) || node.ended() {
		node.fatal("/readyz does not say %q: %s", says, text)
	}
	if !strings.HasPrefix(text, "503") {
		w.t.Errorf("/readyz answers %s", text)
	}
	node.stop()
}

func TestCrashOtherPartitionCountIsRefused(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w := used(t)
	w.configure(2 * crashPartitions)
	w.refused("baton_partitions", "wanted 8", "set partitions back")
	w.configure(crashPartitions)
	w.start("", 0).awaitReady() // nothing was changed
}

func TestCrashNewerStoreIsRefused(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w := used(t)
	markers, err := filepath.Glob(filepath.Join(w.dataDir(), "store", "marker.format-version.*"))
	if err != nil || len(markers) != 1 {
		t.Fatalf("%v %v", markers, err)
	}
	newer := strings.TrimSuffix(markers[0], filepath.Ext(markers[0])) + ".999"
	if err := os.Rename(markers[0], newer); err != nil {
		t.Fatal(err)
	}
	w.refused("written by a newer version", "data_dir")
	if err := os.Rename(newer, markers[0]); err != nil {
		t.Fatal(err)
	}
	w.start("", 0).awaitReady()
}

// Streams of a newer format are made and refused in pkg/bus; here is what the
// command makes of it.
func TestOpenFailureIsTheOperatorsToMend(t *testing.T) {
	t.Parallel()
	for _, err := range []error{bus.ErrNewerFormat, bus.ErrOlderFormat, bus.ErrForeignStream, bus.ErrStreamDiffers, store.ErrNewerFormat, store.ErrInUse} {
		if code := exitCode(openFailure(fmt.Errorf("opening: %w", err))); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d", err, code, exitUsage)
		}
	}
}

func TestCrashLockedDataDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w := newWorld(t)
	w.program = true
	w.start("", 0).awaitReady()
	w.public, w.admin, w.nats = freePort(t), freePort(t), freePort(t)
	w.configure(crashPartitions)
	w.refused(w.dataDir())
}

func TestCrashMissingStreamIsRefused(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w := used(t)
	found := 0
	err := filepath.WalkDir(w.dataDir(), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "BATON_IN" {
			found++
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return filepath.SkipDir
		}
		return err
	})
	if err != nil || found == 0 {
		t.Fatalf("removing BATON_IN: %d %v", found, err)
	}
	w.refused("BATON_IN is gone", "restore it from a backup")
}

// The store of one installation beside the streams of another: the partitions
// halt, whichever of the two is ahead.
func TestCrashForeignStoreHalts(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w, other := used(t), used(t)
	swap(t, filepath.Join(w.dataDir(), "store"), filepath.Join(other.dataDir(), "store"))
	w.halted("the store belongs to installation")
}

// A store whose streams were removed has applied what no log holds.
func TestCrashStoreWithoutStreamsHalts(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w := used(t)
	if err := os.RemoveAll(filepath.Join(w.dataDir(), "nats")); err != nil {
		t.Fatal(err)
	}
	w.halted("the store belongs to installation")
}

func swap(t *testing.T, a, b string) {
	t.Helper()
	for _, move := range [][2]string{{a, a + ".moved"}, {b, a}, {a + ".moved", b}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
}
