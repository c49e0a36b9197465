package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/roster"
)

// rosterVersions bounds the compiled versions kept at hand; others are read
// again from the stream.
const rosterVersions = 64

// rosterFeed follows baton.roster and gives every role the same compiled
// snapshots. Safe for concurrent use.
type rosterFeed struct {
	bus     *bus.Conn
	log     *slog.Logger
	current atomic.Pointer[roster.Snapshot]
	// changing is held by the change under way: on one node they queue up,
	// instead of each starting anew whenever another one was faster.
	changing chan struct{}
	mu       struct {
		sync.Mutex
		versions map[uint64]*roster.Snapshot
		changed  chan struct{}
	}
}

// openRoster reads the newest roster.
func openRoster(ctx context.Context, conn *bus.Conn, log *slog.Logger) (*rosterFeed, error) {
	f := &rosterFeed{bus: conn, log: log, changing: make(chan struct{}, 1)}
	f.mu.versions = map[uint64]*roster.Snapshot{}
	f.mu.changed = make(chan struct{})
	empty, err := roster.Compile(roster.Document{Format: 1}, 0)
	if err != nil {
		return nil, err
	}
	f.publish(empty)
	data, version, err := conn.Roster(ctx)
	if errors.Is(err, bus.ErrNoMessage) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the roster: %w", err)
	}
	return f, f.take(data, version)
}

// take compiles a version and makes it current if it is the newest.
func (f *rosterFeed) take(data []byte, version uint64) error {
	snap, err := f.compile(data, version)
	if err != nil {
		return err
	}
	f.publish(snap)
	return nil
}

func (*rosterFeed) compile(data []byte, version uint64) (*roster.Snapshot, error) {
	doc, err := roster.ParseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("roster version %d: %w", version, err)
	}
	return roster.Compile(doc, version)
}

func (f *rosterFeed) publish(snap *roster.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keep(snap)
	if cur := f.current.Load(); cur != nil && cur.Version() >= snap.Version() {
		return
	}
	f.current.Store(snap)
	close(f.mu.changed)
	f.mu.changed = make(chan struct{})
}

// keep remembers a compiled version, the oldest making room.
func (f *rosterFeed) keep(snap *roster.Snapshot) {
	f.mu.versions[snap.Version()] = snap
	if len(f.mu.versions) <= rosterVersions {
		return
	}
	oldest := snap.Version()
	for v := range f.mu.versions {
		oldest = min(oldest, v)
	}
	delete(f.mu.versions, oldest)
}

// Current is the newest snapshot known here.
func (f *rosterFeed) Current() *roster.Snapshot { return f.current.Load() }

// Changed is closed at the next newer snapshot.
func (f *rosterFeed) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.changed
}

// At returns the snapshot of a version, reading it from the stream if need be.
// Version 0 is the empty roster.
func (f *rosterFeed) At(ctx context.Context, version uint64) (*roster.Snapshot, error) {
	f.mu.Lock()
	snap := f.mu.versions[version]
	f.mu.Unlock()
	if snap != nil {
		return snap, nil
	}
	if version == 0 {
		return roster.Compile(roster.Document{Format: 1}, 0)
	}
	data, err := f.bus.RosterAt(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("reading roster version %d: %w", version, err)
	}
	if snap, err = f.compile(data, version); err != nil {
		return nil, err
	}
	f.publish(snap)
	return snap, nil
}

// Change edits the newest roster and stores the result as its next version. It
// is repeated when another node changed it meanwhile. An edit that returns the
// same document stores nothing.
func (f *rosterFeed) Change(ctx context.Context, edit func(roster.Document) (next roster.Document, changed bool, err error)) (uint64, error) {
	select {
	case f.changing <- struct{}{}:
		defer func() { <-f.changing }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for {
		cur := f.Current()
		next, changed, err := edit(cur.Document())
		if err != nil || !changed {
			return cur.Version(), err
		}
		data, err := next.Encode()
		if err != nil {
			return 0, err
		}
		version, err := f.bus.SaveRoster(ctx, data, cur.Version())
		if errors.Is(err, bus.ErrWrongSequence) || errors.Is(err, bus.ErrInFlight) { // another node's change
			if err := f.refresh(ctx); err != nil {
				return 0, err
			}
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("storing the roster: %w", err)
		}
		return version, f.take(data, version)
	}
}

func (f *rosterFeed) refresh(ctx context.Context) error {
	data, version, err := f.bus.Roster(ctx)
	if errors.Is(err, bus.ErrNoMessage) {
		return nil // the first version is on its way
	}
	if err != nil {
		return err
	}
	return f.take(data, version)
}

// Name is the service's name.
func (*rosterFeed) Name() string { return "roster" }

// Run follows the roster until ctx ends.
func (f *rosterFeed) Run(ctx context.Context) error {
	return f.bus.WatchRoster(ctx, func(data []byte, version uint64) error {
		if version <= f.Current().Version() {
			return nil
		}
		if err := f.take(data, version); err != nil {
			f.log.Error("roster version cannot be used", "version", version, "err", err)
		}
		return nil
	})
}
