package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/deadletter"
)

// Source is the streams of an installation. Implemented by *bus.Conn.
type Source interface {
	Installed(ctx context.Context) (bus.Identity, bus.Config, error)
	CopyUse(ctx context.Context) ([]bus.StreamUse, error)
	CopyStream(ctx context.Context, name string, partitions int, fn func(bus.StoredMessage) error) (bus.Extent, error)
}

// Create makes the file of a backup with a name.
type Create func(name string) (io.WriteCloser, error)

// Take reads the streams of an installation, which may be at work meanwhile,
// into files, and returns the manifest. What was acknowledged before the call
// is in it, and nothing in it refers to what is not.
func Take(ctx context.Context, from Source, version string, create Create) (Manifest, error) {
	m, letters, err := plan(ctx, from, version)
	if err != nil {
		return m, err
	}
	for i := range m.Streams {
		s := &m.Streams[i]
		t := taking{partitions: m.Partitions}
		if s.Name == bus.StreamLetters {
			t.after = letters
		}
		bundled, err := t.take(ctx, from, s, create)
		if err != nil {
			return m, fmt.Errorf("%s: %w", s.Name, err)
		}
		m.Bundled = m.Bundled || bundled
	}
	m.Ended = time.Now().UTC()
	return m, nil
}

// Plan says what Take would read, and of each stream how many messages and
// bytes it holds now. It writes nothing.
func Plan(ctx context.Context, from Source, version string) (Manifest, error) {
	m, _, err := plan(ctx, from, version)
	return m, err
}

// plan describes the streams as they are, and where the dead letters end.
func plan(ctx context.Context, from Source, version string) (m Manifest, letters uint64, err error) {
	began := time.Now().UTC()
	id, cfg, err := from.Installed(ctx)
	if err != nil {
		return m, 0, err
	}
	uses, err := from.CopyUse(ctx)
	if err != nil {
		return m, 0, err
	}
	m = Manifest{
		Format: Format, BatonID: hex.EncodeToString(id.BatonID[:]), Partitions: id.Partitions, StreamFormat: id.Format,
		Version: version, Began: began, Ended: began,
		Settings: Settings{InboundBytes: cfg.InboundBytes, ControlAge: cfg.ControlAge, LettersAge: cfg.LettersAge, LettersBytes: cfg.LettersBytes},
	}
	for _, use := range uses {
		s := Stream{Name: use.Name, File: fileOf(use.Name), First: use.First, Last: use.Last, Messages: use.Messages, Bytes: int64(use.Bytes)}
		if use.Messages == 0 {
			s.First = use.Last + 1
		}
		if use.Name == bus.StreamLetters {
			letters = use.Last
		}
		m.Streams = append(m.Streams, s)
	}
	return m, letters, nil
}

// taking is the copy of one stream under way.
type taking struct {
	partitions int
	// after: of the dead letters, settlements behind this sequence are left
	// out. An order to send again is in a cursor before it is noted here, and
	// the cursors were copied before: the letter must stay listed rather than
	// count as sent.
	after uint64
}

func (t taking) take(ctx context.Context, from Source, s *Stream, create Create) (bundled bool, err error) {
	file, err := create(s.File)
	if err != nil {
		return false, err
	}
	sum := &summed{to: file, hash: sha256.New()}
	archive := newArchive(sum)
	extent, err := from.CopyStream(ctx, s.Name, t.partitions, func(m bus.StoredMessage) error {
		if s.Name == bus.StreamLetters && m.Sequence > t.after && deadletter.Settles(m.Data) {
			return nil
		}
		return archive.write(&m)
	})
	if err == nil {
		err = archive.finish()
	}
	if err == nil && extent.Bundled && extent.Unread > 0 { // on a cluster it may be barriers
		err = fmt.Errorf("%w: the server cannot give %d of its messages: stop the node, then baton backup --mend puts them in out of its store",
			ErrNotMended, extent.Unread)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return false, err
	}
	s.First, s.Last, s.Messages = extent.Last+1, extent.Last, archive.messages
	if archive.messages > 0 {
		s.First = archive.first
	}
	s.Bytes, s.SHA256 = sum.bytes, hex.EncodeToString(sum.hash.Sum(nil))
	return extent.Bundled, nil
}

// summed hashes and counts what is written.
type summed struct {
	to    io.Writer
	hash  hash.Hash
	bytes int64
}

func (s *summed) Write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	_, _ = s.hash.Write(p[:n]) // never fails
	s.bytes += int64(n)
	return n, err
}
