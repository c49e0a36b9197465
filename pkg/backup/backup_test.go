package backup_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/backup"
	"github.com/baton-router/baton/pkg/bus"
)

// What is restored is what was there: messages, headers, times, sequences, and
// where each stream goes on.
func TestRestoreIsTheSource(t *testing.T) {
	t.Parallel()
	for name, sole := range map[string]bool{"bundled": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := written(t, sole)
			want := everything(t, from)
			b, err := backup.Open(t.Context(), take(t, from))
			must(t, err)
			if b.Bundled != sole || b.Version != "1.2.3" || b.Partitions != partitions {
				t.Errorf("manifest %+v", b.Manifest)
			}
			to := server(t, t.TempDir(), true)
			must(t, b.Restore(t.Context(), to, b.Config(), true))
			if diff := cmp.Diff(want, everything(t, to)); diff != "" {
				t.Error(diff)
			}
			must(t, second(to.EnsureStreams(t.Context(), config())))
			goesOn(t, to)
		})
	}
}

// goesOn writes behind what was restored, by the fences that were.
func goesOn(t *testing.T, c *bus.Conn) {
	t.Helper()
	last, err := c.LastLog(t.Context(), 1)
	must(t, err)
	if _, err := c.AppendLog(t.Context(), 1, []byte("zombie"), last.Sequence-1); !bus.IsFenced(err) {
		t.Errorf("behind an old sequence: %v", err)
	}
	must(t, second(c.AppendLog(t.Context(), 1, []byte("next"), last.Sequence)))
	_, seq, err := c.LoadCursor(t.Context(), 1)
	must(t, err)
	must(t, second(c.SaveCursor(t.Context(), 1, []byte("next"), seq)))
	must(t, second(c.SaveRoster(t.Context(), []byte("next"), 1)))
	_, seq, err = c.ControlCursor(t.Context(), 1)
	must(t, err)
	must(t, second(c.PublishControl(t.Context(), nil, []bus.CursorMove{{Partition: 1, Data: []byte("next"), Expected: seq}})))
}

func TestEmptyInstallation(t *testing.T) {
	t.Parallel()
	from := server(t, t.TempDir(), true)
	must(t, second(from.EnsureStreams(t.Context(), config())))
	b, err := backup.Open(t.Context(), take(t, from))
	must(t, err)
	to := server(t, t.TempDir(), true)
	must(t, b.Restore(t.Context(), to, config(), true))
	must(t, second(to.EnsureStreams(t.Context(), config())))
	must(t, second(to.AppendLog(t.Context(), 0, []byte("first"), 0)))
}

func TestOneByteMakesABackupDamaged(t *testing.T) {
	t.Parallel()
	dir := take(t, written(t, true))
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != len(bus.CopyOrder())+1 {
		t.Fatal(entries)
	}
	for _, e := range entries {
		file := filepath.Join(dir, e.Name())
		whole, err := os.ReadFile(file)
		must(t, err)
		for what, data := range map[string][]byte{
			"a bit":       flipped(whole, len(whole)/2),
			"cut off":     whole[:len(whole)-2],
			"a byte more": append(slices.Clip(whole), 'x'),
			"empty":       {},
		} {
			must(t, os.WriteFile(file, data, 0o600))
			if _, err := backup.Open(t.Context(), dir); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("%s, %s: %v", e.Name(), what, err)
			}
		}
		must(t, os.Remove(file))
		_, err = backup.Open(t.Context(), dir)
		if isManifest := strings.HasSuffix(e.Name(), ".json"); isManifest && !errors.Is(err, backup.ErrNoBackup) || !isManifest && !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s is gone: %v", e.Name(), err)
		}
		must(t, os.WriteFile(file, whole, 0o600))
	}
	must(t, second(backup.Open(t.Context(), dir)))
}

func flipped(data []byte, i int) []byte {
	data = append([]byte(nil), data...)
	data[i] ^= 1
	return data
}

func TestRestoreRefusesWhatIsThere(t *testing.T) {
	t.Parallel()
	from := written(t, true)
	b, err := backup.Open(t.Context(), take(t, from))
	must(t, err)
	if err := b.Restore(t.Context(), from, config(), true); !errors.Is(err, backup.ErrNotEmpty) || !strings.Contains(err.Error(), bus.StreamLog) {
		t.Errorf("onto itself: %v", err)
	}
	to := server(t, t.TempDir(), false)
	if err := b.Restore(t.Context(), to, config(), false); !errors.Is(err, backup.ErrMismatch) {
		t.Errorf("bundles onto a cluster: %v", err)
	}
	other := config()
	other.Partitions = 8
	if err := b.Restore(t.Context(), to, other, true); !errors.Is(err, backup.ErrMismatch) {
		t.Errorf("other partitions: %v", err)
	}
	if taken, err := to.Occupied(t.Context()); err != nil || len(taken) != 0 {
		t.Errorf("left over: %v, %v", taken, err)
	}
}

// A restore that is broken off leaves nothing, wherever it is.
func TestRestoreThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := take(t, written(t, true))
	b, err := backup.Open(t.Context(), dir)
	must(t, err)
	to := server(t, t.TempDir(), true)
	for i, s := range b.Streams {
		whole, err := os.ReadFile(filepath.Join(dir, s.File))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, s.File), whole[:len(whole)-8], 0o600)) // after it was checked
		if err := b.Restore(t.Context(), to, config(), true); err == nil {
			t.Errorf("stream %d cut off: no error", i)
		}
		if taken, err := to.Occupied(t.Context()); err != nil || len(taken) != 0 {
			t.Errorf("stream %d cut off: left over: %v, %v", i, taken, err)
		}
		must(t, os.WriteFile(filepath.Join(dir, s.File), whole, 0o600))
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := b.Restore(ctx, cancelling{to, cancel, new(int)}, config(), true); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if taken, err := to.Occupied(t.Context()); err != nil || len(taken) != 0 {
		t.Errorf("cancelled: left over: %v, %v", taken, err)
	}
	must(t, b.Restore(t.Context(), to, config(), true))
}

// cancelling breaks a restore off in the middle of its second stream.
type cancelling struct {
	*bus.Conn

	cancel context.CancelFunc
	done   *int
}

func (c cancelling) RestoreStream(ctx context.Context, cfg bus.Config, id bus.Identity, name string, extent bus.Extent, archive io.Reader) error {
	if *c.done++; *c.done == 2 {
		archive = io.MultiReader(io.LimitReader(archive, 10), after(c.cancel), archive)
	}
	return c.Conn.RestoreStream(ctx, cfg, id, name, extent, archive)
}

// after is an empty reader that calls itself.
type after func()

func (f after) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

func TestDirectoryIsWholeOrNone(t *testing.T) {
	t.Parallel()
	from := written(t, false)
	dir := filepath.Join(t.TempDir(), "backup")
	d, err := backup.NewDirectory(dir)
	must(t, err)
	m, err := backup.Take(t.Context(), from, "1", d.Create)
	must(t, err)
	if _, err := backup.Open(t.Context(), dir); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("before the end: %v", err)
	}
	if _, err := backup.Open(t.Context(), dir+".partial"); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("the part: %v", err)
	}
	if _, err := backup.NewDirectory(dir); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("a second one beside it: %v", err)
	}
	lied := m
	lied.Streams = append([]backup.Stream(nil), m.Streams...)
	lied.Streams[3].SHA256 = m.Streams[2].SHA256
	if err := d.Commit(&lied); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("another hash: %v", err)
	}
	must(t, d.Abandon())
	if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) != 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}
	must(t, os.Mkdir(dir, 0o700)) // an empty one will do
	d, err = backup.NewDirectory(dir)
	must(t, err)
	m, err = backup.Take(t.Context(), from, "1", d.Create)
	must(t, err)
	must(t, d.Commit(&m))
	must(t, second(backup.Open(t.Context(), dir)))
	if _, err := backup.NewDirectory(dir); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("over a backup: %v", err)
	}
}
