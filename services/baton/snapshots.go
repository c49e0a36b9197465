package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/services/ownership"
)

// openStore makes the store, which is open, ready. On a cluster, a node that
// follows the log and has no record yet begins with a snapshot.
func (n *node) openStore(ctx context.Context) (err error) {
	if n.server == nil && n.follows() {
		if err := n.beginWithSnapshot(ctx); err != nil {
			return err
		}
	}
	n.onClose(n.store.Close)
	return nil
}

// follows reports whether a role runs here that needs the store up to date.
func (n *node) follows() bool {
	return len(n.roles) == 0 || slices.Contains(n.roles, "ownership") || slices.Contains(n.roles, "console")
}

// beginWithSnapshot fills a store without a record, which it closes and opens
// again. On an error the store is closed.
func (n *node) beginWithSnapshot(ctx context.Context) error {
	found, err := n.store.Partitions()
	if err != nil {
		return errors.Join(err, n.store.Close())
	}
	if len(found) > 0 {
		return nil
	}
	if err := n.store.Close(); err != nil {
		return err
	}
	_, err = ownership.ColdStart{
		Snapshots: n.bus, Log: n.bus, Store: n.storeOptions(), Logger: n.log.With("role", "ownership"),
		Of: store.Origin{BatonID: n.identity.BatonID, Partitions: n.identity.Partitions},
	}.Run(ctx)
	if err == nil {
		n.store, err = store.Open(n.storeOptions())
	}
	return err
}

// measureSnapshots renews the gauges of the snapshots.
func (n *node) measureSnapshots() {
	if !n.snapshots() {
		return
	}
	st := n.ownership.SnapshotStatus()
	if !st.At.IsZero() {
		n.metrics.SnapshotAgeSeconds.Set(time.Since(st.At).Seconds())
	}
	n.metrics.SnapshotBytes.Set(float64(st.Bytes))
}

// snapshots reports whether this node looks after the snapshots.
func (n *node) snapshots() bool { return n.decides && n.server == nil }

// staleSnapshot is how old the newest snapshot may be when there are events that
// it lacks: a few times what the rule says.
const staleSnapshot = 4 * time.Hour

// examineSnapshots looks whether a node without a store would find one that is
// new enough.
func (n *node) examineSnapshots(e *examination) {
	if !n.snapshots() {
		return
	}
	const subject = "snapshots"
	const why = "a node without a store would have to read the whole log"
	switch st := n.ownership.SnapshotStatus(); {
	case st.Failed != "":
		e.find(note, subject, advice{"this node failed: " + st.Failed, why, "see its log; snapshots need the stream OBJ_BATON_SNAPSHOTS and room on the NATS servers' disks"})
	case st.At.IsZero():
		e.well("%s: none yet", subject)
	case st.Behind > 0 && time.Since(st.At) > staleSnapshot:
		e.find(note, subject, advice{
			fmt.Sprintf("the newest is %s old and lacks %d events", time.Since(st.At).Round(time.Minute), st.Behind), why,
			"the holder of partition 0 takes them: see its log, and baton_snapshot_failures_total",
		})
	default:
		e.well("%s: the newest is %s old, %d bytes", subject, time.Since(st.At).Round(time.Second), st.Bytes)
	}
}
