package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/tools/localcluster"
)

// builtNATS builds the NATS server once for all tests.
var builtNATS = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "baton-nats-")
	if err != nil {
		return "", err
	}
	before := removeBinary
	removeBinary = func() { before(); _ = os.RemoveAll(dir) }
	file := filepath.Join(dir, "nats-server")
	return file, localcluster.BuildNATS(context.Background(), filepath.Join("..", ".."), file)
})

// clusterWorld is three servers and three nodes with the apps and the platform
// that this test plays. What outlives the nodes is in worlds, one for each.
type clusterWorld struct {
	*localcluster.Cluster
	t      *testing.T
	worlds []*world
}

// newCluster starts a cluster. The nodes are of the program, unchanged, unless
// an option says otherwise.
func newCluster(t *testing.T, options ...func(*localcluster.Options)) *clusterWorld {
	t.Helper()
	cw := prepareCluster(t, options...)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := cw.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return cw
}

// prepareCluster is newCluster without the start.
func prepareCluster(t *testing.T, options ...func(*localcluster.Options)) *clusterWorld {
	t.Helper()
	w := &world{
		t: t, dir: t.TempDir(),
		client: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	t.Cleanup(w.client.CloseIdleConnections)
	w.apps, w.platform = newRecorders(t), newFakePlatform(t)
	w.useBinary()
	nats, err := builtNATS()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	o := localcluster.Options{
		Dir: w.dir, Baton: w.binary, NATS: nats, Root: root,
		Configure: func() string {
			var b configText
			w.settings(&b, crashPartitionsCluster)
			timerSettings(&b)
			return b.String()
		},
	}
	for _, set := range options {
		set(&o)
	}
	c, err := localcluster.New(o)
	if err != nil {
		t.Fatal(err)
	}
	cw := &clusterWorld{Cluster: c, t: t}
	for i := range c.Nodes {
		each := world{t: t, dir: w.dir, client: w.client, apps: w.apps, platform: w.platform, binary: w.binary, partitions: crashPartitionsCluster}
		each.public, each.admin = c.Public[i], c.Admin[i]
		cw.worlds = append(cw.worlds, &each)
	}
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			cw.logs()
		}
	})
	return cw
}

// cuttable is for clusters whose processes can be cut off each other.
func cuttable(o *localcluster.Options) { o.Cuttable = true }

// logs shows the end of every process's log.
func (c *clusterWorld) logs() {
	for _, p := range c.All() {
		c.t.Logf("end of %s:\n%s", p.Name, p.Tail(4000))
	}
}

// spread waits until the partitions are spread over the nodes that run, as all
// of them see it, and returns who holds what.
func (c *clusterWorld) spread(role string, nodes int) map[string][]int {
	c.t.Helper()
	var held map[string][]int
	ok := within(30*time.Second, func() bool {
		for i, p := range c.Nodes {
			if p.State() != "running" {
				continue
			}
			seen, err := c.Held(c.t.Context(), i, role)
			if err != nil || len(seen) != nodes || !complete(seen, crashPartitionsCluster) {
				return false
			}
			held = seen
		}
		return true
	})
	if !ok {
		c.t.Fatalf("the partitions of %s are not spread over %d nodes: %v", role, nodes, held)
	}
	return held
}

// crashPartitionsCluster is how many partitions the clusters of the tests have.
const crashPartitionsCluster = 16

// complete reports whether every partition is held exactly once, and no node is
// without one.
func complete(held map[string][]int, partitions int) bool {
	count := map[int]int{}
	for _, list := range held {
		if len(list) == 0 {
			return false
		}
		for _, p := range list {
			count[p]++
		}
	}
	for p := range partitions {
		if count[p] != 1 {
			return false
		}
	}
	return true
}
