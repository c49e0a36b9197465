package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/services/ownership"
	"github.com/baton-router/baton/tools/localcluster"
)

// promotionReplays bounds what a node that takes a partition over reads of the
// log. Source: issue, what it must reach.
const promotionReplays = 1000

// TestClusterColdStart takes a node's store away, under calls for every
// partition: it begins with the snapshot that is stored on three servers, and is
// given partitions that it replays little of.
func TestClusterColdStart(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	c := newCluster(t)
	c.spread("ownership", len(c.Nodes))
	probes, stop := c.probe(0)
	defer stop()
	c.takeSnapshot()
	victim := c.Nodes[2]
	victim.Kill()
	if err := os.RemoveAll(filepath.Join(c.worlds[2].dir, victim.Name, "store")); err != nil {
		t.Fatal(err)
	}
	c.spread("ownership", len(c.Nodes)-1)
	c.start(victim)
	held := c.placed(len(c.Nodes))[victim.Name]
	text, err := os.ReadFile(victim.Log)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "store taken from a snapshot"); n != 1 {
		t.Errorf("it began %d times with a snapshot; its log:\n%s", n, victim.Tail(4000))
	}
	claims, replayed := c.metric(2, "baton_claims_total"), c.metric(2, "baton_claim_replayed_records_total")
	t.Logf("%d partitions were moved to the node without a store, in %d claims, which replayed %d records", len(held), claims, replayed)
	if claims < len(held) || replayed >= promotionReplays {
		t.Errorf("%d claims replayed %d records, want fewer than %d", claims, replayed, promotionReplays)
	}
	end := time.Now()
	for _, p := range probes {
		if !within(20*time.Second, func() bool { return p.acceptedAfter(end) }) {
			t.Errorf("partition %d takes no change any more", p.partition)
		}
	}
}

// takeSnapshot is a node that only stands by and stores a snapshot: the nodes
// themselves look a minute after their start whether one is due.
func (c *clusterWorld) takeSnapshot() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 60*time.Second)
	defer cancel()
	conn, err := bus.Dial(ctx, bus.Options{URL: c.URL, User: "baton", Password: localcluster.Password})
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	svc, closeIt := c.standby(ctx, conn)
	defer closeIt()
	for p := range crashPartitionsCluster {
		if err := svc.CatchUp(ctx, p); err != nil {
			c.t.Fatal(err)
		}
	}
	began := time.Now()
	if err := svc.TakeSnapshot(ctx); err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("a snapshot of %d bytes was stored on three servers in %s", svc.SnapshotStatus().Bytes, time.Since(began).Round(time.Millisecond))
}

// standby is a node in this process with a store of its own.
func (c *clusterWorld) standby(ctx context.Context, conn *bus.Conn) (*ownership.Service, func()) {
	c.t.Helper()
	last, err := conn.LastLog(ctx, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	rec, err := eventlog.Decode(last.Data)
	if err != nil {
		c.t.Fatal(err)
	}
	dir := c.t.TempDir()
	db, err := store.Open(store.Options{Dir: filepath.Join(dir, "store")})
	if err != nil {
		c.t.Fatal(err)
	}
	svc, err := ownership.New(ownership.Config{
		Partitions: crashPartitionsCluster, Standby: true, Holder: "standby", BatonID: rec.BatonID,
		Snapshots: ownership.SnapshotRule{Dir: filepath.Join(dir, "checkpoint")},
	}, ownership.Deps{Log: conn, Input: conn, Store: db, Snapshots: conn, Clock: newClock(nil), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		c.t.Fatal(err)
	}
	follow, stop := context.WithCancel(ctx)
	var crew sync.WaitGroup
	crew.Go(func() { _ = svc.Follow(follow) })
	return svc, func() {
		stop()
		crew.Wait()
		if err := db.Close(); err != nil {
			c.t.Error(err)
		}
	}
}

// metric is the value of a metric without labels on a node.
func (c *clusterWorld) metric(node int, name string) int {
	c.t.Helper()
	resp, err := c.worlds[node].get("/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + ` ([0-9.e+]+)$`).FindSubmatch(text)
	if found == nil {
		c.t.Fatalf("node %d has no metric %s", node, name)
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return int(value)
}
