package ownership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/store"
)

// tidySnapshots keeps the newest snapshots that are whole, and removes the
// others, then the files that no snapshot names, then what uploads left that
// were cut short; both only when they are old enough not to be of an upload
// under way. What a newer version wrote is kept.
func (s *Service) tidySnapshots(ctx context.Context) error {
	list, err := s.listSnapshots(ctx)
	if err != nil {
		return err
	}
	named, newer, err := s.dropSnapshots(ctx, &list)
	if err != nil || newer {
		return err
	}
	before := time.Now().Add(-snapshotLeftFor)
	for name := range list.files {
		if named[name] {
			continue
		}
		at, err := s.deps.Snapshots.SnapshotAt(ctx, name)
		if err == nil && at.Before(before) {
			err = s.deps.Snapshots.DeleteSnapshot(ctx, name)
		}
		if err != nil && !errors.Is(err, bus.ErrNoMessage) {
			return err
		}
	}
	_, err = s.deps.Snapshots.SweepSnapshots(ctx, before)
	return err
}

// dropSnapshots removes the snapshots that are too many or can never be used. It
// returns what those that stay name, and whether there are any whose names it
// cannot know.
func (s *Service) dropSnapshots(ctx context.Context, list *snapshotList) (named map[string]bool, newer bool, err error) {
	named, kept := map[string]bool{}, 0
	for i := range list.snapshots {
		snapshot := &list.snapshots[i]
		if errors.Is(snapshot.err, store.ErrNewerFormat) {
			newer = true
			continue
		}
		if lacking := list.missing(&snapshot.Manifest); snapshot.err == nil && lacking != "" {
			snapshot.err = fmt.Errorf("%w: %s is not stored", store.ErrMismatch, lacking)
		}
		if snapshot.err == nil && kept < snapshotsKept {
			kept++
			for _, f := range snapshot.Files {
				named[objectOf(f)] = true
			}
			continue
		}
		if snapshot.err != nil {
			s.deps.Logger.Warn("snapshot removed", "snapshot", snapshot.name, "err", snapshot.err)
		}
		if err := s.deps.Snapshots.DeleteSnapshot(ctx, snapshot.name); err != nil {
			return nil, newer, err
		}
	}
	return named, newer, nil
}
