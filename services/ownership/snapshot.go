package ownership

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/store"
)

// Snapshots is where copies of the nodes' stores are kept. Implemented by
// *bus.Conn.
type Snapshots interface {
	PutSnapshot(ctx context.Context, name string, from io.Reader) error
	GetSnapshot(ctx context.Context, name string, to io.Writer) error
	ReadSnapshot(ctx context.Context, name string) ([]byte, time.Time, error)
	SnapshotAt(ctx context.Context, name string) (time.Time, error)
	SnapshotObjects(ctx context.Context) ([]bus.SnapshotObject, error)
	DeleteSnapshot(ctx context.Context, name string) error
	SweepSnapshots(ctx context.Context, before time.Time) (int, error)
}

// SnapshotRule says when snapshots are taken, and how fast. The zero value of a
// field is its default.
type SnapshotRule struct {
	// Events since the last one make the next one due (500,000).
	Events uint64
	// Every so often one is due if there was any event (an hour).
	Every time.Duration
	// Look is how often that is looked at (a minute).
	Look time.Duration
	// BytesPerSecond bounds the upload (32 MiB).
	BytesPerSecond int64
	// Dir is the directory that a checkpoint is made in, on the store's disk.
	Dir string
}

func (r *SnapshotRule) fill() {
	r.Events = cmp.Or(r.Events, 500_000)
	r.Every = cmp.Or(r.Every, time.Hour)
	r.Look = cmp.Or(r.Look, time.Minute)
	r.BytesPerSecond = cmp.Or(r.BytesPerSecond, 32<<20)
	r.Dir = cmp.Or(r.Dir, "checkpoint")
}

const (
	// snapshotsKept is how many snapshots are kept: should the newest not
	// verify, there is another one.
	snapshotsKept = 2
	// snapshotLeftFor is how long what no snapshot names is left alone: it may
	// be of one that is under way.
	snapshotLeftFor = time.Hour
	// snapshotPatience bounds the growth of the wait after failures: 2^5 looks.
	snapshotPatience = 5

	prefixManifest = "manifest/"
	prefixFile     = "file/"
)

// SnapshotStatus is what a node knows of the snapshots.
type SnapshotStatus struct {
	// At is when the newest one was stored; zero when there is none.
	At time.Time
	// Bytes is how large it is; Behind how many events this node has applied
	// that are not in it.
	Bytes  int64
	Behind uint64
	// Failed is why this node could not take or see one lately; empty when it
	// could.
	Failed string
}

// SnapshotStatus returns what the node knew when it last looked.
func (s *Service) SnapshotStatus() SnapshotStatus { return *s.snapshots.Load() }

// snapshotLoop looks now and then whether a snapshot is due. Every node's store
// has all partitions, so one copy of one store is a snapshot of them all: the
// holder of the first partition takes it. Two that both believe to be that waste
// work and harm nothing.
func (s *Service) snapshotLoop(ctx context.Context) error {
	if s.deps.Snapshots == nil || !s.cfg.Standby {
		return nil
	}
	if err := s.deps.Store.RemoveCheckpoint(s.cfg.Snapshots.Dir); err != nil {
		s.deps.Logger.Warn("the checkpoint of a process that was killed cannot be removed", "err", err)
	}
	for failures := 0; pause(ctx, s.cfg.Snapshots.Look<<min(failures, snapshotPatience)) == nil; {
		err := s.lookAfterSnapshots(ctx)
		if err == nil || ctx.Err() != nil {
			failures = 0
			continue
		}
		failures++
		s.deps.Logger.Warn("snapshot", "err", err)
		s.deps.Observe.snapshot(err)
		st := s.SnapshotStatus()
		st.Failed = err.Error()
		s.snapshots.Store(&st)
	}
	return nil
}

// lookAfterSnapshots takes a snapshot if one is due and this node's to take.
func (s *Service) lookAfterSnapshots(ctx context.Context) error {
	kept, err := s.listSnapshots(ctx)
	if err != nil {
		return err
	}
	st := SnapshotStatus{Behind: s.applied()}
	if newest := kept.newest(); newest != nil {
		st = SnapshotStatus{At: newest.at, Bytes: newest.Bytes(), Behind: st.Behind - min(st.Behind, newest.Events())}
	}
	s.snapshots.Store(&st)
	if !s.holders[0].current.Load().Held || len(s.Unable()) > 0 || !s.cfg.Snapshots.due(st, s.deps.Clock.Now()) {
		return nil
	}
	return s.TakeSnapshot(ctx)
}

// due reports whether the next snapshot is.
func (r *SnapshotRule) due(st SnapshotStatus, now time.Time) bool {
	return st.Behind >= r.Events || st.Behind > 0 && now.Sub(st.At) >= r.Every
}

// applied counts the events of all partitions.
func (s *Service) applied() (events uint64) {
	for _, h := range s.holders {
		events += uint64(h.part.Applied().Position)
	}
	return events
}

// TakeSnapshot stores a copy of this node's store, files that are there already
// excepted, and removes snapshots that are too many. The manifest comes last:
// what has none is no snapshot. It blocks for as long as the rate demands.
func (s *Service) TakeSnapshot(ctx context.Context) error {
	began := s.deps.Clock.Now()
	c, err := s.deps.Store.Checkpoint(ctx, s.cfg.Snapshots.Dir, s.origin())
	if err != nil {
		return err
	}
	sent, err := s.upload(ctx, c)
	if err = errors.Join(err, c.Remove()); err != nil {
		return err
	}
	s.snapshots.Store(&SnapshotStatus{At: s.deps.Clock.Now(), Bytes: c.Manifest.Bytes()})
	s.deps.Observe.snapshot(nil)
	s.deps.Logger.Info("snapshot taken", "events", c.Manifest.Events(), "bytes", c.Manifest.Bytes(), "sent", sent, "took", s.deps.Clock.Now().Sub(began))
	return s.tidySnapshots(ctx)
}

func (s *Service) origin() store.Origin {
	return store.Origin{BatonID: s.cfg.BatonID, Partitions: s.cfg.Partitions}
}

func (s *Service) upload(ctx context.Context, c *store.Checkpoint) (sent int64, err error) {
	there, err := s.listSnapshots(ctx)
	if err != nil {
		return 0, err
	}
	pace := &pacer{ctx: ctx, rate: s.cfg.Snapshots.BytesPerSecond, began: time.Now()}
	for _, f := range c.Manifest.Files {
		if there.has(f) {
			continue
		}
		if err := s.uploadFile(ctx, c, f, pace); err != nil {
			return pace.sent, err
		}
	}
	s.deps.Observe.reached(PointSnapshotFiles, 0)
	name := fmt.Sprintf("%s%d-%s", prefixManifest, c.Manifest.MadeAt, s.cfg.Holder)
	if err := s.deps.Snapshots.PutSnapshot(ctx, name, bytes.NewReader(c.Manifest.Encode())); err != nil {
		return pace.sent, err
	}
	s.deps.Observe.reached(PointSnapshotNamed, 0)
	return pace.sent, nil
}

func (s *Service) uploadFile(ctx context.Context, c *store.Checkpoint, f store.File, pace *pacer) error {
	file, err := c.Open(f.Name)
	if err != nil {
		return err
	}
	pace.from = file
	return errors.Join(s.deps.Snapshots.PutSnapshot(ctx, objectOf(f), pace), file.Close())
}

// objectOf names the object with a file's content: what did not change since
// the last snapshot is there already.
func objectOf(f store.File) string { return prefixFile + hex.EncodeToString(f.SHA256[:]) }

// pacer reads no faster than its rate, over all files.
type pacer struct {
	ctx   context.Context //nolint:containedctx // of one upload
	from  io.Reader
	rate  int64
	began time.Time
	sent  int64
}

// Read implements io.Reader.
func (p *pacer) Read(b []byte) (int, error) {
	due := p.began.Add(time.Duration(float64(p.sent) / float64(p.rate) * float64(time.Second)))
	if err := pause(p.ctx, time.Until(due)); err != nil {
		return 0, err
	}
	n, err := p.from.Read(b[:min(len(b), 256<<10)])
	p.sent += int64(n)
	return n, err
}

// storedSnapshot is a manifest with where and when it was stored.
type storedSnapshot struct {
	store.Manifest
	name string
	at   time.Time
	err  error // why it cannot be used
}

// snapshotList is what is stored.
type snapshotList struct {
	snapshots []storedSnapshot // newest first
	files     map[string]bus.SnapshotObject
}

// listSnapshots reads what is stored.
func (s *Service) listSnapshots(ctx context.Context) (snapshotList, error) {
	return listSnapshots(ctx, s.deps.Snapshots, s.origin())
}

func listSnapshots(ctx context.Context, from Snapshots, of store.Origin) (snapshotList, error) {
	objects, err := from.SnapshotObjects(ctx)
	if err != nil {
		return snapshotList{}, err
	}
	list := snapshotList{files: map[string]bus.SnapshotObject{}}
	for _, o := range objects {
		if !strings.HasPrefix(o.Name, prefixManifest) {
			list.files[o.Name] = o
			continue
		}
		found := storedSnapshot{name: o.Name}
		raw, at, err := from.ReadSnapshot(ctx, o.Name)
		if err == nil {
			found.Manifest, err = store.ParseManifest(raw)
		}
		if err == nil {
			err = found.BelongsTo(of)
		}
		if ctx.Err() != nil {
			return list, ctx.Err()
		}
		found.at, found.err = at, err
		list.snapshots = append(list.snapshots, found)
	}
	slices.SortFunc(list.snapshots, func(a, b storedSnapshot) int { return b.at.Compare(a.at) })
	return list, nil
}

// newest is the newest snapshot that can be used; nil for none.
func (l *snapshotList) newest() *storedSnapshot {
	for i := range l.snapshots {
		if l.snapshots[i].err == nil {
			return &l.snapshots[i]
		}
	}
	return nil
}

// has reports whether a file is stored in full.
func (l *snapshotList) has(f store.File) bool {
	o, ok := l.files[objectOf(f)]
	return ok && o.Holds(f.Bytes)
}

// missing is a file of a snapshot that is not stored; empty for none.
func (l *snapshotList) missing(m *store.Manifest) string {
	for _, f := range m.Files {
		if !l.has(f) {
			return f.Name
		}
	}
	return ""
}
