package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// snapshotChunk is the size of a message with a part of an object, in bytes.
const snapshotChunk = 512 << 10

// SnapshotObject is an object of the store of snapshots.
type SnapshotObject struct {
	// Name of the object.
	Name string

	chunks uint64
}

// Holds reports whether the object is there in full, if its size is this.
func (o SnapshotObject) Holds(bytes int64) bool {
	return int64(o.chunks) == (bytes+snapshotChunk-1)/snapshotChunk
}

// PutSnapshot stores an object under a name, all of it or nothing that shows,
// and replaces one of that name: chunks first, then the entry that names them, as
// jetstream.ObjectStore does it, but one after the other. Durable on return;
// blocks as long as from takes. One may be under way under a name. Errors: those
// of a write on a stream, ErrStreamMissing, or that of from. What a process that
// is killed meanwhile leaves is removed by SweepSnapshots.
func (c *Conn) PutSnapshot(ctx context.Context, name string, from io.Reader) error {
	if err := c.DeleteSnapshot(ctx, name); err != nil { // also what an upload left that was cut short
		return err
	}
	object := &jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: snapshotChunk}},
		Bucket:     bucketSnapshots, NUID: chunksOf(name),
	}
	err := c.putChunks(ctx, object, from)
	if err == nil {
		err = c.putEntry(ctx, object)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("store snapshot object %s: %w", name, err)
	if errors.Is(err, ErrOutcomeUnknown) { // it may come yet; left to the sweep, or the next attempt
		return err
	}
	return errors.Join(err, c.purgeSnapshots(context.WithoutCancel(ctx), subjectChunks+object.NUID))
}

// chunksOf is the token in the subject of an object's chunks. It follows from
// the name, so that the list of subjects tells what there is: the messages
// themselves lie among the chunks, and reading them would read those.
func chunksOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

func entryOf(name string) string {
	return subjectObjects + base64.URLEncoding.EncodeToString([]byte(name))
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
		Subject: entryOf(o.Name), Data: entry,
		Header: nats.Header{headerRollup: []string{"sub"}},
	})
	return err
}

func (c *Conn) purgeSnapshots(ctx context.Context, subject string) error {
	return c.call(ctx, "STREAM.PURGE."+StreamSnapshots, map[string]string{"filter": subject}, &struct{}{})
}

// SnapshotObjects lists the objects that are named, in no order.
func (c *Conn) SnapshotObjects(ctx context.Context) ([]SnapshotObject, error) {
	counts, err := c.snapshotSubjects(ctx)
	if err != nil {
		return nil, err
	}
	var list []SnapshotObject
	for subject := range counts {
		if name, ok := nameIn(subject); ok {
			list = append(list, SnapshotObject{Name: name, chunks: counts[subjectChunks+chunksOf(name)]})
		}
	}
	return list, nil
}

// nameIn is the name of the object whose entry has a subject.
func nameIn(subject string) (string, bool) {
	token, ok := strings.CutPrefix(subject, subjectObjects)
	name, err := base64.URLEncoding.DecodeString(token)
	return string(name), ok && err == nil
}

// GetSnapshot writes an object to to. The error is ErrNoMessage when there is
// none, ErrDamaged when it is not as it was stored, or that of to; part of it
// may have been written then.
func (c *Conn) GetSnapshot(ctx context.Context, name string, to io.Writer) error {
	_, err := c.getSnapshot(ctx, name, to)
	return err
}

// ReadSnapshot returns a small object, and when it was stored by the server's
// clock. Errors as of GetSnapshot.
func (c *Conn) ReadSnapshot(ctx context.Context, name string) ([]byte, time.Time, error) {
	var b bytes.Buffer
	at, err := c.getSnapshot(ctx, name, &b)
	return b.Bytes(), at, err
}

func (c *Conn) getSnapshot(ctx context.Context, name string, to io.Writer) (at time.Time, err error) {
	entry, err := c.read(ctx, StreamSnapshots, get{Last: entryOf(name)})
	if err != nil {
		return time.Time{}, fmt.Errorf("snapshot object %s: %w", name, err)
	}
	var object jetstream.ObjectInfo
	if err = json.Unmarshal(entry.Data, &object); err != nil {
		err = fmt.Errorf("%w: its entry: %w", ErrDamaged, err)
	} else {
		err = c.copySnapshot(ctx, &object, to)
	}
	if err != nil {
		return entry.Time, fmt.Errorf("read snapshot object %s: %w", name, err)
	}
	return entry.Time, nil
}

// SnapshotAt returns when an object was stored, by the server's clock;
// ErrNoMessage when there is none.
func (c *Conn) SnapshotAt(ctx context.Context, name string) (time.Time, error) {
	entry, err := c.read(ctx, StreamSnapshots, get{Last: entryOf(name)})
	return entry.Time, err
}

// DeleteSnapshot removes an object, its entry first; nil when there is none.
func (c *Conn) DeleteSnapshot(ctx context.Context, name string) error {
	for _, subject := range []string{entryOf(name), subjectChunks + chunksOf(name)} {
		if err := c.purgeSnapshots(ctx, subject); err != nil {
			return fmt.Errorf("remove snapshot object %s: %w", name, err)
		}
	}
	return nil
}

// SweepSnapshots removes what uploads have left that were cut short, if nothing
// was added to it since before, and returns how many those were.
func (c *Conn) SweepSnapshots(ctx context.Context, before time.Time) (removed int, err error) {
	left, err := c.snapshotSubjects(ctx)
	if err != nil {
		return 0, err
	}
	for subject := range left {
		if name, ok := nameIn(subject); ok {
			delete(left, subjectChunks+chunksOf(name))
		}
	}
	for subject := range left {
		if !strings.HasPrefix(subject, subjectChunks) {
			continue
		}
		last, err := c.read(ctx, StreamSnapshots, get{Last: subject})
		if errors.Is(err, ErrNoMessage) || err == nil && !last.Time.Before(before) {
			continue
		}
		if err == nil {
			err = c.purgeSnapshots(ctx, subject)
		}
		if err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// snapshotSubjects counts the messages by subject.
func (c *Conn) snapshotSubjects(ctx context.Context) (map[string]uint64, error) {
	stream, err := c.lookup(ctx, StreamSnapshots)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		var info *jetstream.StreamInfo
		if info, err = stream.Info(ctx, jetstream.WithSubjectFilter(">")); err == nil {
			return info.State.Subjects, nil
		}
	}
	return nil, fmt.Errorf("look at stream %s: %w", StreamSnapshots, adminError(err))
}

// copySnapshot reads the chunks of an object. It counts them first: for one that
// is gone a reader would wait.
func (c *Conn) copySnapshot(ctx context.Context, o *jetstream.ObjectInfo, to io.Writer) error {
	subject, left := subjectChunks+o.NUID, uint64(o.Chunks)
	found, err := c.snapshotSubjects(ctx)
	if err != nil {
		return err
	}
	if found[subject] != left {
		return fmt.Errorf("%w: %d of %d chunks are there", ErrDamaged, found[subject], left)
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
	if jetstream.GetObjectDigestValue(sum) != o.Digest {
		return fmt.Errorf("%w: its SHA-256 is another one", ErrDamaged)
	}
	return nil
}
