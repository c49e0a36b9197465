package ownership

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// ColdStart fills the store of a node that has none.
type ColdStart struct {
	Snapshots Snapshots
	Log       Log
	// Store is the one to fill. It must not be open, and have no record.
	Store store.Options
	// Of is the installation that the streams belong to.
	Of     store.Origin
	Logger *slog.Logger
}

// Run takes the newest snapshot that fits the streams and verifies, and reports
// whether there was one. Each that does not is logged with the reason and left
// alone; with none the log has everything. Nothing of a snapshot is in the
// store's directory before all of it is. The error is only the end of ctx.
func (c ColdStart) Run(ctx context.Context) (taken bool, err error) {
	list, err := listSnapshots(ctx, c.Snapshots, c.Of)
	if err != nil {
		c.Logger.Warn("the snapshots cannot be listed, the store is rebuilt from the log", "err", err)
		return false, ctx.Err()
	}
	for i := range list.snapshots {
		snapshot := &list.snapshots[i]
		began := time.Now()
		if err := c.take(ctx, &list, snapshot); err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			c.Logger.Warn("snapshot refused", "snapshot", snapshot.name, "err", err)
			continue
		}
		c.Logger.Info("store taken from a snapshot", "snapshot", snapshot.name, "stored_at", snapshot.at,
			"events", snapshot.Events(), "bytes", snapshot.Bytes(), "took", time.Since(began))
		return true, nil
	}
	c.Logger.Info("no snapshot to begin with, the store is rebuilt from the log", "snapshots", len(list.snapshots))
	return false, nil
}

// take compares a snapshot with the streams and receives it.
func (c *ColdStart) take(ctx context.Context, list *snapshotList, snapshot *storedSnapshot) error {
	if snapshot.err != nil {
		return snapshot.err
	}
	if lacking := list.missing(&snapshot.Manifest); lacking != "" {
		return fmt.Errorf("%w: %s is not stored", store.ErrMismatch, lacking)
	}
	for _, head := range snapshot.Heads {
		if err := c.compare(ctx, head); err != nil {
			return fmt.Errorf("partition %d: %w", head.Partition, err)
		}
	}
	return store.Receive(ctx, c.Store, snapshot.Manifest, func(ctx context.Context, f store.File, to io.Writer) error {
		return c.Snapshots.GetSnapshot(ctx, objectOf(f), to)
	})
}

// compare looks whether the log has the record where the snapshot stands. One
// that an ended epoch wrote was passed over: its hash is not the store's.
func (c *ColdStart) compare(ctx context.Context, head store.PartitionHead) error {
	m, err := c.Log.NextLog(ctx, head.Partition, head.Sequence-1)
	if errors.Is(err, bus.ErrNoMessage) {
		return fmt.Errorf("%w: it has log sequence %d, which is behind the end of the log", store.ErrMismatch, head.Sequence)
	}
	if err != nil {
		return err
	}
	if m.Sequence != head.Sequence {
		return fmt.Errorf("%w: it has log sequence %d, the log has none there", store.ErrMismatch, head.Sequence)
	}
	rec, err := eventlog.Decode(m.Data)
	switch {
	case err != nil:
		return err
	case rec.BatonID != c.Of.BatonID:
		return fmt.Errorf("%w: the log's record at sequence %d is of %x", store.ErrForeign, head.Sequence, rec.BatonID)
	case rec.Epoch >= head.Epoch && store.Sum(rec.Hash) != head.Hash:
		return fmt.Errorf("%w: the log's record at sequence %d has hash %x, the snapshot's has %x", store.ErrMismatch, head.Sequence, rec.Hash, head.Hash)
	}
	return nil
}
