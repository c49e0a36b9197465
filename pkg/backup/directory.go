package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// manifestFile is in every whole backup.
const manifestFile = "manifest.json"

// partialSuffix names the directory in which a backup is written.
const partialSuffix = ".partial"

// Directory is a backup in the making: DIR.partial, which becomes DIR when it is
// whole. The caller ends it with Commit or Abandon.
type Directory struct {
	dir   string
	files map[string]*summed
}

// NewDirectory begins a backup in a directory, which must be absent or empty:
// ErrNotEmpty. What is missing of its path is made.
func NewDirectory(dir string) (*Directory, error) {
	dir = filepath.Clean(dir)
	if err := Vacant(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	d := &Directory{dir: dir, files: map[string]*summed{}}
	err := os.Mkdir(d.partial(), 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: %s is there: a backup is under way or was broken off; if none is, remove it", ErrNotEmpty, d.partial())
	}
	return d, err
}

// Vacant reports an ErrNotEmpty for a path that is neither absent nor an empty
// directory.
func Vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %s is a file: name a directory that is empty or does not exist", ErrNotEmpty, dir)
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%w: %s holds %s: name a directory that is empty or does not exist", ErrNotEmpty, dir, entries[0].Name())
	}
	return nil
}

func (d *Directory) partial() string { return d.dir + partialSuffix }

// Create makes a file of the backup. Closing it makes it durable.
func (d *Directory) Create(name string) (io.WriteCloser, error) {
	if filepath.Base(name) != name {
		return nil, fmt.Errorf("%w: file name %q", ErrDamaged, name)
	}
	f, err := os.OpenFile(filepath.Join(d.partial(), name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	d.files[name] = &summed{to: f, hash: sha256.New()}
	return synced{d.files[name], f}, nil
}

type synced struct {
	io.Writer
	file *os.File
}

func (s synced) Close() error { return errors.Join(s.file.Sync(), s.file.Close()) }

// Commit makes the files a backup, if they are what the manifest says: it adds
// the manifest and gives the directory its name. Durable on return.
func (d *Directory) Commit(m *Manifest) error {
	for _, s := range m.Streams {
		have := d.files[s.File]
		if have == nil || have.bytes != s.Bytes || hex.EncodeToString(have.hash.Sum(nil)) != s.SHA256 {
			return fmt.Errorf("%w: %s is not what was sent", ErrDamaged, s.File)
		}
	}
	raw, err := m.Encode()
	if err != nil {
		return err
	}
	f, err := d.Create(manifestFile)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err := errors.Join(err, f.Close(), syncDir(d.partial())); err != nil {
		return err
	}
	if err := syscall.Rename(d.partial(), d.dir); err != nil { // os.Rename refuses an empty directory
		return fmt.Errorf("rename %s: %w (a mount point cannot be the backup itself: name a directory in it)", d.partial(), err)
	}
	return syncDir(filepath.Dir(d.dir))
}

// Abandon removes what was written. After Commit it does nothing.
func (d *Directory) Abandon() error { return os.RemoveAll(d.partial()) }

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Backup is a whole backup in a directory.
type Backup struct {
	Manifest

	dir string
}

// Open reads the manifest of a backup and checks every file against it, byte by
// byte. Errors: ErrNoBackup, ErrDamaged, ErrNewerFormat, that of ctx.
func Open(ctx context.Context, dir string) (*Backup, error) {
	raw, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%w: %s has no %s", ErrNoBackup, dir, manifestFile)
	}
	if err != nil {
		return nil, err
	}
	b := &Backup{dir: dir}
	if b.Manifest, err = ParseManifest(raw); err != nil {
		return nil, err
	}
	for i := range b.Streams {
		if err := b.check(ctx, &b.Streams[i]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// check compares a file with the manifest.
func (b *Backup) check(ctx context.Context, s *Stream) error {
	f, err := os.Open(filepath.Join(b.dir, s.File))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, interruptible(ctx, f))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case n != s.Bytes:
		return fmt.Errorf("%w: %s has %d bytes, wanted %d", ErrDamaged, s.File, n, s.Bytes)
	case hex.EncodeToString(sum.Sum(nil)) != s.SHA256:
		return fmt.Errorf("%w: %s: its hash differs from the manifest's", ErrDamaged, s.File)
	}
	return nil
}

// reading is a reader that is a function.
type reading func([]byte) (int, error)

func (f reading) Read(p []byte) (int, error) { return f(p) }

// interruptible is a reader that ends when ctx has ended.
func interruptible(ctx context.Context, from io.Reader) io.Reader {
	return reading(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return from.Read(p)
	})
}
