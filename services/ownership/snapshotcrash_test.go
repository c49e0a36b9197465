package ownership_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/services/ownership"
)

// TestKilledAtASnapshot is crash point 17: a process with a server and a node on
// real disks is killed with SIGKILL while its snapshot is half written, and
// after it was named. What is not named is no snapshot; what is, is whole. The
// next one works, and a cold node then has what the log says.
func TestKilledAtASnapshot(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		at    ownership.Point
		taken bool
	}{{ownership.PointSnapshotFiles, false}, {ownership.PointSnapshotNamed, true}} {
		t.Run(string(test.at), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSnapshotChild$", "-test.v")
			child.Env = append(os.Environ(), "BATON_TEST_SNAPSHOT_DIR="+dir, "BATON_TEST_SNAPSHOT_POINT="+string(test.at))
			out, err := child.CombinedOutput()
			ended, ok := errors.AsType[*exec.ExitError](err)
			if !ok || ended.String() != "signal: killed" {
				t.Fatalf("the process ended with %v:\n%s", err, out)
			}
			s := newStreamsIn(t, filepath.Join(dir, "nats"))
			n := s.startSnapshotting(filepath.Join(dir, "store"), ownership.Observer{})
			if got := n.taken(t, filepath.Join(t.TempDir(), "store")); got != test.taken {
				t.Errorf("there is a snapshot after the crash: %v", got)
			}
			if err := n.service.TakeSnapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			cold := filepath.Join(t.TempDir(), "store")
			if !n.taken(t, cold) {
				t.Fatal("no snapshot after the next one was taken")
			}
			n.stop()
			db, err := store.Open(store.Options{Dir: cold})
			if err != nil {
				t.Fatal(err)
			}
			digest, err := db.Digest(parts)
			if err = errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
			if _, fold := s.history(); digest != fold.Digest() {
				t.Error("the digest of the snapshot is not that of the log's fold")
			}
		})
	}
}

// TestSnapshotChild is the process that is killed.
func TestSnapshotChild(t *testing.T) { //nolint:paralleltest // a process of its own
	dir, point := os.Getenv("BATON_TEST_SNAPSHOT_DIR"), ownership.Point(os.Getenv("BATON_TEST_SNAPSHOT_POINT"))
	if dir == "" {
		t.Skip("part of TestKilledAtASnapshot")
	}
	s := newStreamsIn(t, filepath.Join(dir, "nats"))
	n := s.startSnapshotting(filepath.Join(dir, "store"), ownership.Observer{Reached: func(p ownership.Point, _ int) {
		if p == point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	s.write(200)
	s.allDecidedOnce()
	t.Fatal(fmt.Sprint("not killed: ", n.service.TakeSnapshot(t.Context())))
}

// startSnapshotting starts a node that stands by, on real disks.
func (s *streams) startSnapshotting(dir string, o ownership.Observer) *snapshotNode {
	s.t.Helper()
	db, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	n := &snapshotNode{s: s}
	n.holders = s.holdWith(ownership.Config{
		Partitions: parts, Holder: "test", BatonID: s.identity.BatonID, Barrier: true, Standby: true,
		Snapshots: ownership.SnapshotRule{Dir: dir + ".checkpoint", Look: time.Hour},
	}, db, s.conn, o)
	n.awaitHeld()
	return n
}

type snapshotNode struct {
	*holders
	s *streams
}

// taken reports whether a cold node finds a snapshot, which then is in dir.
func (n *snapshotNode) taken(t *testing.T, dir string) bool {
	t.Helper()
	var logged strings.Builder
	taken, err := ownership.ColdStart{
		Snapshots: n.s.conn, Log: n.s.conn, Store: store.Options{Dir: dir},
		Of:     store.Origin{BatonID: n.s.identity.BatonID, Partitions: parts},
		Logger: slog.New(slog.NewTextHandler(&logged, nil)),
	}.Run(context.Background())
	if err != nil || strings.Contains(logged.String(), "refused") {
		t.Errorf("%v\n%s", err, logged.String())
	}
	return taken
}
