package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// manifestName is the file of a checkpoint that holds its manifest.
const manifestName = "checkpoint.json"

// lockName is the file by which a directory is locked; it is no content.
const lockName = "LOCK"

// Checkpoint is a copy of a whole store in a directory of its own, as it was at
// one moment: files that are never changed, and a manifest that says what they
// are. A snapshot and a backup are made of it.
type Checkpoint struct {
	// Manifest is what the directory holds.
	Manifest Manifest

	fs  FS
	dir string
}

// Checkpoint copies the store as it stands into dir, which must not exist, and
// writes its manifest. Everything applied so far is durable in it on return.
// Files are linked where dir is on the store's file system, else copied;
// applying goes on meanwhile. It reads each file that it has not summed before.
// On an error nothing is left of dir. One may be made at a time; the caller
// removes it soon, since it keeps files that the store has given up.
func (s *Store) Checkpoint(ctx context.Context, dir string, of Origin) (*Checkpoint, error) {
	s.checkpoints.Lock()
	defer s.checkpoints.Unlock()
	if err := s.copyTo(dir); err != nil {
		return nil, fmt.Errorf("store: checkpoint %s: %w", dir, err)
	}
	c := &Checkpoint{fs: s.fs, dir: dir}
	if err := s.describe(ctx, c, of); err != nil {
		return nil, errors.Join(fmt.Errorf("store: checkpoint %s: %w", dir, err), c.Remove())
	}
	return c, nil
}

// copyTo copies the store with everything that is applied.
func (s *Store) copyTo(dir string) error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.db.Checkpoint(dir, pebble.WithFlushedWAL())
}

// describe fills and writes the manifest of a checkpoint just made.
func (s *Store) describe(ctx context.Context, c *Checkpoint, of Origin) (err error) {
	m := newManifest(of)
	if m.Heads, err = headsIn(c.fs, c.dir, of); err != nil {
		return err
	}
	if m.Files, err = s.sumFiles(ctx, c); err != nil {
		return err
	}
	if err := m.check(); err != nil {
		return err
	}
	c.Manifest = m
	return writeFile(c.fs, c.dir, manifestName, m.Encode())
}

// sumFiles sums the files of a checkpoint. Tables never change and their names
// are never used again, so that each is read once; a table that has gone bad
// since does not match then, as it must be.
func (s *Store) sumFiles(ctx context.Context, c *Checkpoint) ([]File, error) {
	names, err := c.names()
	if err != nil {
		return nil, err
	}
	files, known := make([]File, 0, len(names)), map[string]File{}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, ok := s.summed[name]
		if !ok {
			if f, err = c.sum(name); err != nil {
				return nil, err
			}
		}
		if strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob") {
			known[name] = f
		}
		files = append(files, f)
	}
	s.summed = known
	return files, nil
}

// names lists the files of the directory that are content, sorted.
func (c *Checkpoint) names() ([]string, error) {
	names, err := c.fs.List(c.dir)
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool { return n == manifestName || n == lockName }), err
}

func (c *Checkpoint) sum(name string) (File, error) {
	f, err := c.Open(name)
	if err != nil {
		return File{}, err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return File{}, fmt.Errorf("%s: %w", name, err)
	}
	return File{Name: name, Bytes: n, SHA256: Sum(h.Sum(nil))}, nil
}

// OpenCheckpoint reads the manifest of a checkpoint and compares every file with
// it, which reads them all. The errors are ErrNoCheckpoint, ErrMismatch with
// what is wrong, ErrNewerFormat, or that of the file system. A nil fs is the
// operating system's.
func OpenCheckpoint(ctx context.Context, fs FS, dir string) (*Checkpoint, error) {
	if fs == nil {
		fs = vfs.Default
	}
	c := &Checkpoint{fs: fs, dir: dir}
	if err := c.verify(ctx); err != nil {
		return nil, fmt.Errorf("store: checkpoint %s: %w", dir, err)
	}
	return c, nil
}

func (c *Checkpoint) verify(ctx context.Context) error {
	raw, err := readFile(c.fs, c.fs.PathJoin(c.dir, manifestName))
	if err != nil {
		return err
	}
	if c.Manifest, err = ParseManifest(raw); err != nil {
		return err
	}
	names, err := c.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if c.Manifest.file(name) == nil {
			return fmt.Errorf("%w: %s is not in the manifest", ErrMismatch, name)
		}
	}
	for _, want := range c.Manifest.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !slices.Contains(names, want.Name) {
			return fmt.Errorf("%w: %s is missing", ErrMismatch, want.Name)
		}
		got, err := c.sum(want.Name)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%w: %s has %d bytes with SHA-256 %x, wanted %d with %x",
				ErrMismatch, want.Name, got.Bytes, got.SHA256, want.Bytes, want.SHA256)
		}
	}
	return nil
}

// Open opens a file that the manifest names. The caller closes it.
func (c *Checkpoint) Open(name string) (io.ReadCloser, error) {
	return c.fs.Open(c.fs.PathJoin(c.dir, name), vfs.SequentialReadsOption)
}

// Remove removes the checkpoint with its directory.
func (c *Checkpoint) Remove() error { return c.fs.RemoveAll(c.dir) }

// RemoveCheckpoint removes what the checkpoint of a process that was killed has
// left in dir; nil when there is nothing.
func (s *Store) RemoveCheckpoint(dir string) error {
	s.checkpoints.Lock()
	defer s.checkpoints.Unlock()
	return s.fs.RemoveAll(dir)
}
