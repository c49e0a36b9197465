package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// snapshotChunk is the size of a message with a part of an object, in bytes.
const snapshotChunk = 512 << 10

// SnapshotObject is an object of the store of snapshots.
type SnapshotObject struct {
	// Name of the object, and its size.
	Name  string
	Bytes int64
	// At is when it was stored, by the server's clock.
	At time.Time

	nuid, digest string
	chunks       uint64
}

// PutSnapshot stores an object under a name, all of it or nothing that shows,
// and replaces one of that name: chunks first, then the entry that names them, as
// jetstream.ObjectStore does it, but one after the other. Durable on return;
// blocks as long as from takes. Errors: those of a write on a stream,
// ErrStreamMissing, or that of from. What a process that is killed meanwhile
// leaves is removed by SweepSnapshots.
func (c *Conn) PutSnapshot(ctx context.Context, name string, from io.Reader) error {
	objects, err := c.snapshots(ctx)
	if err != nil {
		return err
	}
	before, err := objects.GetInfo(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("look at snapshot object %s: %w", name, adminError(err))
	}
	object := &jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: snapshotChunk}},
		Bucket:     bucketSnapshots, NUID: nuid.Next(),
	}
	err = c.putChunks(ctx, object, from)
	if err == nil {
		err = c.putEntry(ctx, object)
	}
	stale := object
	if err == nil {
		stale = before
	} else {
		err = fmt.Errorf("store snapshot object %s: %w", name, err)
	}
	if stale == nil || errors.Is(err, ErrOutcomeUnknown) { // what may still be named by an entry is left to the sweep
		return err
	}
	return errors.Join(err, c.purgeChunks(context.WithoutCancel(ctx), subjectChunks+stale.NUID))
}

func (c *Conn) putChunks(ctx context.Context, o *jetstream.ObjectInfo, from io.Reader) error {
	chunk, sum := make([]byte, snapshotChunk), sha256.New()
	for {
		n, err := io.ReadFull(from, chunk)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return err
		}
		if n > 0 {
			sum.Write(chunk[:n])
			if _, err := publish(ctx, c.reads, &nats.Msg{Subject: subjectChunks + o.NUID, Data: chunk[:n]}); err != nil {
				return err
			}
			o.Size, o.Chunks = o.Size+uint64(n), o.Chunks+1
		}
		if last {
			o.Digest = jetstream.GetObjectDigestValue(sum)
			return nil
		}
	}
}

func (c *Conn) putEntry(ctx context.Context, o *jetstream.ObjectInfo) error {
	entry, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = publish(ctx, c.reads, &nats.Msg{
		Subject: subjectObjects + base64.URLEncoding.EncodeToString([]byte(o.Name)), Data: entry,
		Header: nats.Header{headerRollup: []string{"sub"}},
	})
	return err
}

func (c *Conn) purgeChunks(ctx context.Context, subject string) error {
	return c.call(ctx, "STREAM.PURGE."+StreamSnapshots, map[string]string{"filter": subject}, &struct{}{})
}

// SnapshotObjects lists the objects that are there in full.
func (c *Conn) SnapshotObjects(ctx context.Context) ([]SnapshotObject, error) {
	entries, err := c.snapshotEntries(ctx)
	if err != nil {
		return nil, err
	}
	chunks, err := c.snapshotChunks(ctx, subjectChunks+"*")
	if err != nil {
		return nil, err
	}
	var list []SnapshotObject
	for _, e := range entries {
		if chunks[subjectChunks+e.nuid] == e.chunks {
			list = append(list, e)
		}
	}
	return list, nil
}

// GetSnapshot writes an object to to. The error is ErrNoMessage when there is
// none, ErrDamaged when it is not as it was stored, or that of to; part of it
// may have been written then.
func (c *Conn) GetSnapshot(ctx context.Context, name string, to io.Writer) error {
	objects, err := c.snapshots(ctx)
	if err != nil {
		return err
	}
	info, err := objects.GetInfo(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("snapshot object %s: %w", name, ErrNoMessage)
	}
	if err == nil {
		err = c.copySnapshot(ctx, entryOf(info), to)
	}
	if err != nil {
		return fmt.Errorf("read snapshot object %s: %w", name, adminError(err))
	}
	return nil
}

// ReadSnapshot returns a small object. Errors as of GetSnapshot.
func (c *Conn) ReadSnapshot(ctx context.Context, name string) ([]byte, error) {
	var b bytes.Buffer
	err := c.GetSnapshot(ctx, name, &b)
	return b.Bytes(), err
}

// DeleteSnapshot removes an object; nil when there is none.
func (c *Conn) DeleteSnapshot(ctx context.Context, name string) error {
	objects, err := c.snapshots(ctx)
	if err != nil {
		return err
	}
	if err := objects.Delete(ctx, name); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("remove snapshot object %s: %w", name, adminError(err))
	}
	return nil
}

// SweepSnapshots removes what uploads have left that were cut short, if nothing
// was added to it since before, and returns how many those were.
func (c *Conn) SweepSnapshots(ctx context.Context, before time.Time) (removed int, err error) {
	chunks, err := c.snapshotChunks(ctx, subjectChunks+"*")
	if err != nil {
		return 0, err
	}
	entries, err := c.snapshotEntries(ctx) // later than the chunks: what is complete by now is not swept
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		delete(chunks, subjectChunks+e.nuid)
	}
	for subject := range chunks {
		last, err := c.read(ctx, StreamSnapshots, get{Last: subject})
		if errors.Is(err, ErrNoMessage) || err == nil && !last.Time.Before(before) {
			continue
		}
		if err == nil {
			err = c.purgeChunks(ctx, subject)
		}
		if err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

func (c *Conn) snapshots(ctx context.Context) (jetstream.ObjectStore, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	objects, err := c.js.ObjectStore(ctx, bucketSnapshots)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("%w: %s", ErrStreamMissing, StreamSnapshots)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", StreamSnapshots, adminError(err))
	}
	return objects, nil
}

// snapshotEntries lists what objects there should be.
func (c *Conn) snapshotEntries(ctx context.Context) ([]SnapshotObject, error) {
	objects, err := c.snapshots(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	infos, err := objects.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("list %s: %w", StreamSnapshots, adminError(err))
	}
	list := make([]SnapshotObject, 0, len(infos))
	for _, info := range infos {
		list = append(list, entryOf(info))
	}
	return list, nil
}

func entryOf(o *jetstream.ObjectInfo) SnapshotObject {
	return SnapshotObject{
		Name: o.Name, Bytes: int64(min(o.Size, 1<<62)), At: o.ModTime, nuid: o.NUID, digest: o.Digest, chunks: uint64(o.Chunks),
	}
}

// snapshotChunks counts the chunks by subject.
func (c *Conn) snapshotChunks(ctx context.Context, filter string) (map[string]uint64, error) {
	stream, err := c.lookup(ctx, StreamSnapshots)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		var info *jetstream.StreamInfo
		if info, err = stream.Info(ctx, jetstream.WithSubjectFilter(filter)); err == nil {
			return info.State.Subjects, nil
		}
	}
	return nil, fmt.Errorf("look at stream %s: %w", StreamSnapshots, adminError(err))
}

// copySnapshot reads the chunks of an object. It counts them first: for one that
// is gone a reader would wait.
func (c *Conn) copySnapshot(ctx context.Context, o SnapshotObject, to io.Writer) error {
	subject, left := subjectChunks+o.nuid, o.chunks
	found, err := c.snapshotChunks(ctx, subject)
	if err != nil {
		return err
	}
	if found[subject] != o.chunks {
		return fmt.Errorf("%w: %d of %d chunks are there", ErrDamaged, found[subject], o.chunks)
	}
	sum := sha256.New()
	r := reader{conn: c, stream: StreamSnapshots, subjects: []string{subject}, next: 1}
	if left > 0 {
		err = r.run(ctx, func(m Message) error {
			sum.Write(m.Data)
			if _, err := to.Write(m.Data); err != nil {
				return err
			}
			if left--; left == 0 {
				return errEnd
			}
			return nil
		})
	}
	if err != nil && !errors.Is(err, errEnd) {
		return err
	}
	if jetstream.GetObjectDigestValue(sum) != o.digest {
		return fmt.Errorf("%w: its SHA-256 is another one", ErrDamaged)
	}
	return nil
}
