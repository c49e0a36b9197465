package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/backup"
	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

// stored is what the streams hold, as a copy of each says.
func stored(ctx context.Context, t *testing.T, c *bus.Conn) (all []string) {
	t.Helper()
	for _, stream := range bus.CopyOrder() {
		extent, err := c.CopyStream(ctx, stream, 4, func(m bus.StoredMessage) error {
			all = append(all, fmt.Sprintf("%s %d %s %s %q %q", stream, m.Sequence, m.Subject, m.At.UTC(), m.Header, m.Data))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %+v", stream, extent))
	}
	return all
}

// A backup of three servers is restored by an embedded one, which writes on with
// bundles, and by three servers that have lost everything.
func TestClusterIsBackedUpAndRestored(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	_, urls := cluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	c := dialCluster(ctx, t, urls)
	clusterFence(ctx, t, c)
	clusterBatches(ctx, t, c)
	want := stored(ctx, t, c)
	b := backedUp(ctx, t, c)
	if b.Bundled {
		t.Error("a cluster's streams are not bundled")
	}

	alone := start(t, embedded.Options{})
	one, err := bus.Dial(ctx, bus.Options{InProcess: alone, User: alone.User(), Password: alone.Password(), Sole: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(one.Close)
	if err := b.Restore(ctx, one, b.Config(), true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stored(ctx, t, one)); diff != "" {
		t.Error(diff)
	}
	if _, err := one.EnsureStreams(ctx, b.Config()); err != nil {
		t.Fatal(err)
	}
	writesOn(ctx, t, one)
	if err := backedUp(ctx, t, one).Restore(ctx, c, clusterConfig(), false); !errors.Is(err, backup.ErrMismatch) {
		t.Errorf("bundles onto a cluster: %v", err)
	}

	for _, stream := range bus.CopyOrder() {
		if err := c.DropStream(ctx, stream); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Restore(ctx, c, clusterConfig(), false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stored(ctx, t, c)); diff != "" {
		t.Error(diff)
	}
	if _, err := c.EnsureStreams(ctx, clusterConfig()); err != nil {
		t.Fatal(err)
	}
	writesOn(ctx, t, c)
}

func clusterConfig() bus.Config { return bus.Config{Partitions: 4, Replicas: 3} }

// backedUp takes a backup and reads it back.
func backedUp(ctx context.Context, t *testing.T, c *bus.Conn) *backup.Backup {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	d, err := backup.NewDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := backup.Take(ctx, c, "1", d.Create)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(&m); err != nil {
		t.Fatal(err)
	}
	b, err := backup.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writesOn appends behind what the log holds, and nowhere else.
func writesOn(ctx context.Context, t *testing.T, c *bus.Conn) {
	t.Helper()
	last, err := c.LastLog(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AppendLog(ctx, 0, []byte("zombie"), last.Sequence+1); !errors.Is(err, bus.ErrWrongSequence) {
		t.Errorf("a zombie: %v", err)
	}
	next, err := c.AppendLog(ctx, 0, []byte("next"), last.Sequence)
	if err != nil || next <= last.Sequence {
		t.Errorf("next: %d after %d, %v", next, last.Sequence, err)
	}
}
