package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Receive makes a store in o.Dir of a checkpoint's files, which fetch writes one
// by one. It collects them in a directory beside it, compares each with the
// manifest as it comes, opens what came, compares where the partitions stand,
// drops the rows that were the other node's alone, and only then moves it into
// place: o.Dir has the whole store, or is as it was. A store that is there must
// have no record; its directory is replaced.
//
// The errors are ErrMismatch, ErrForeign, ErrInUse, that of fetch, or that of the file
// system.
func Receive(ctx context.Context, o Options, m Manifest, fetch func(context.Context, File, io.Writer) error) error {
	o.fill()
	incoming := o
	incoming.Dir, incoming.ReadOnly = o.Dir+".incoming", false
	err := incoming.collect(ctx, &m, fetch)
	if err == nil {
		err = incoming.admit(&m)
	}
	if err == nil {
		err = o.replace(incoming.Dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("store: receive a checkpoint into %s: %w", o.Dir, err), o.FS.RemoveAll(incoming.Dir))
	}
	return nil
}

// empty reports whether there is no store in o.Dir, or one without a record.
func (o *Options) empty() (bool, error) {
	look := *o
	look.ReadOnly = true
	s, err := Open(look)
	if errors.Is(err, ErrNoStore) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	found, err := s.Partitions()
	return len(found) == 0, errors.Join(err, s.Close())
}

// collect writes the files of the manifest into an empty directory.
func (o *Options) collect(ctx context.Context, m *Manifest, fetch func(context.Context, File, io.Writer) error) error {
	if err := o.FS.RemoveAll(o.Dir); err != nil { // what an earlier attempt left
		return err
	}
	if err := o.FS.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	for _, f := range m.Files {
		if err := o.receive(ctx, f, fetch); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return syncDir(o.FS, o.Dir)
}

func (o *Options) receive(ctx context.Context, want File, fetch func(context.Context, File, io.Writer) error) error {
	f, err := o.FS.Create(o.FS.PathJoin(o.Dir, want.Name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	sum := sha256.New()
	to := &bounded{to: io.MultiWriter(sum, f), left: want.Bytes}
	if err := errors.Join(fetch(ctx, want, to), f.Sync(), f.Close()); err != nil {
		return err
	}
	if got := Sum(sum.Sum(nil)); to.left != 0 || got != want.SHA256 {
		return fmt.Errorf("%w: %d bytes with SHA-256 %x came, wanted %d with %x", ErrMismatch, want.Bytes-to.left, got, want.Bytes, want.SHA256)
	}
	return nil
}

// bounded refuses more bytes than the manifest says.
type bounded struct {
	to   io.Writer
	left int64
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		return 0, fmt.Errorf("%w: more bytes came than it says", ErrMismatch)
	}
	n, err := b.to.Write(p)
	b.left -= int64(n)
	return n, err
}

// admit opens what came, compares it with the manifest, and drops what was of
// the node that it came from.
func (o *Options) admit(m *Manifest) error {
	s, err := Open(*o)
	if err != nil {
		return err
	}
	heads, err := s.heads(m.Origin)
	if err == nil {
		err = m.compareHeads(heads)
	}
	if err == nil {
		err = s.dropDeliveryLog()
	}
	return errors.Join(err, s.Close())
}

func (m *Manifest) compareHeads(found []PartitionHead) error {
	for i := range max(len(found), len(m.Heads)) {
		if i >= len(found) || i >= len(m.Heads) || found[i] != m.Heads[i] {
			return fmt.Errorf("%w: the store stands at %+v, the manifest says %+v", ErrMismatch, found[min(i, len(found)):], m.Heads[min(i, len(m.Heads)):])
		}
	}
	return nil
}

// dropDeliveryLog forgets the deliveries of the node.
func (s *Store) dropDeliveryLog() error {
	for _, t := range []table{tableDeliveries, tableDeliverySegments} {
		prefix := key(ownPartition, t)
		if err := s.db.DeleteRange(prefix, after(prefix), pebble.Sync); err != nil {
			return err
		}
	}
	return nil
}

// replace moves the directory that was collected into place. A crash in between
// leaves no store, or the whole one.
func (o *Options) replace(incoming string) error {
	if empty, err := o.empty(); err != nil || !empty {
		return errors.Join(err, fmt.Errorf("there is a store with records in %s", o.Dir))
	}
	if err := o.FS.RemoveAll(o.Dir); err != nil {
		return err
	}
	if err := o.FS.Rename(incoming, o.Dir); err != nil {
		return err
	}
	return syncDir(o.FS, o.FS.PathDir(o.Dir))
}

// heads is where the partitions stand that have a record, by number; ErrForeign
// when one is of another installation.
func (s *Store) heads(of Origin) ([]PartitionHead, error) {
	found, err := s.Partitions()
	if err != nil {
		return nil, err
	}
	heads := make([]PartitionHead, 0, len(found))
	for _, n := range found {
		p, err := s.Partition(n)
		if err != nil {
			return nil, err
		}
		a := p.Applied()
		if a.Sequence != 0 && a.BatonID != of.BatonID {
			return nil, fmt.Errorf("%w: partition %d of the store is of %x, not %x", ErrForeign, n, a.BatonID, of.BatonID)
		}
		if a.Sequence != 0 {
			heads = append(heads, PartitionHead{Partition: n, Sequence: a.Sequence, Position: a.Position, Epoch: a.Epoch, Hash: a.Hash})
		}
	}
	return heads, nil
}

// headsIn is where the partitions stand in a checkpoint's files, which stay as
// they are.
func headsIn(fs FS, dir string, of Origin) ([]PartitionHead, error) {
	s, err := Open(Options{Dir: dir, FS: fs, ReadOnly: true, CacheBytes: 8 << 20})
	if err != nil {
		return nil, err
	}
	heads, err := s.heads(of)
	return heads, errors.Join(err, s.Close())
}

// readFile reads a small file; ErrNoCheckpoint when there is none.
func readFile(files FS, path string) ([]byte, error) {
	f, err := files.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoCheckpoint, err)
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	return b, errors.Join(err, f.Close())
}

// writeFile writes a file durably.
func writeFile(fs FS, dir, name string, content []byte) error {
	f, err := fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func syncDir(fs FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
