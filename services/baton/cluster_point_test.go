package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/tools/localcluster"
)

// TestCrashInCluster kills nodes of a cluster at the points of the design's table
// that need several: while one claims what another held, and while a partition
// has left its holder and nobody has claimed it. The others take over; in the end
// everything that was acknowledged is there.
func TestCrashInCluster(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	c := newCluster(t)
	share := len(c.spread("ownership", len(c.Nodes))["b2"])
	l := newLoad(c.worlds[0])
	l.nodes, l.pace = c.Public, 50*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var crew sync.WaitGroup
	crew.Go(func() { l.run(ctx, crashPeople) })
	b1, b2, b3 := c.Nodes[0], c.Nodes[1], c.Nodes[2]

	// The node that comes back dies while it claims what the others hand over.
	for _, at := range []struct {
		point string
		nth   int
	}{
		{"15-claim-send", 1}, // 18: the old holder has stopped, nobody claims
		{"15-claim-landed", 2},
		{"16-claim-acked", 2},
	} {
		b2.Kill()
		c.spread("ownership", 2)
		c.dies(b2, at.point, at.nth, func() {})
	}
	// The node that is there dies while it claims what a dead one held.
	for _, point := range []string{"15-claim-landed", "16-claim-acked"} {
		b2.Kill()
		c.spread("ownership", 2)
		c.dies(b2, point, share+1, func() {
			c.spread("ownership", len(c.Nodes))
			b3.Kill()
		})
	}
	// The old holder dies when it has stopped and has told nobody: 18.
	b1.Kill()
	c.dies(b1, "18-yielded", 1, func() {
		c.spread("ownership", len(c.Nodes))
		b2.Kill()
		c.spread("ownership", 2)
		c.start(b2)
	})
	cancel()
	crew.Wait()
	c.afterTorture(l)
	c.checkConsoles(9000000000000000)
}

// dies starts a node that kills itself at a point, and after that everything as
// it was. reach makes the point come.
func (c *clusterWorld) dies(p *localcluster.Process, point string, nth int, reach func()) {
	c.t.Helper()
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	back := p.Become([]string{self}, []string{
		envConfig + "=" + filepath.Join(c.worlds[0].dir, p.Name+".yaml"), envPoint + "=" + point, envNth + "=" + strconv.Itoa(nth),
	})
	c.start(p)
	reach()
	if !within(crashReach, func() bool { return p.State() == "stopped" }) || !p.Killed() {
		c.t.Fatalf("%s did not die at %s", p.Name, point)
	}
	began := time.Now()
	running := 0
	for _, each := range c.Nodes {
		if each.State() == "running" {
			running++
		}
	}
	c.spread("ownership", running)
	c.t.Logf("%s died at %s (passed %d times); the others held everything %s later", p.Name, point, nth, time.Since(began).Round(time.Millisecond))
	back()
	for _, each := range c.Nodes {
		c.start(each)
	}
	c.spread("ownership", len(c.Nodes))
}
