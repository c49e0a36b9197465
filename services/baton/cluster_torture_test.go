package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/tools/localcluster"
)

// excused is how long after a fault a call may still fail. Source: issue, what
// it must reach.
const excused = 10 * time.Second

// TestClusterTorture kills and pauses nodes and servers under load, and checks
// afterwards that nothing that was acknowledged is lost or there twice, that the
// histories that clients saw are linearizable, and that what failed failed near
// a fault. BATON_TORTURE says for how many minutes.
func TestClusterTorture(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	span := 20 * time.Second
	if minutes, err := strconv.ParseFloat(os.Getenv("BATON_TORTURE"), 64); err == nil {
		span = time.Duration(minutes * float64(time.Minute))
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("%s, seed %d", span, seed)
	c := newCluster(t, crashPartitionsCluster)
	c.spread("ownership", len(c.Nodes))
	l := newLoad(c.worlds[0])
	l.nodes = c.Public
	h := newHistory(l)
	h.prepare(c)

	ctx, cancel := context.WithCancel(t.Context())
	var crew sync.WaitGroup
	crew.Go(func() { l.run(ctx, 6) })
	crew.Go(func() { h.run(ctx) })
	faults := c.torment(span, rand.New(rand.NewPCG(seed, 1)))
	cancel()
	crew.Wait()
	c.afterTorture(l)
	h.check(t, faults)
	t.Logf("survived %d faults in %s: %d webhooks, %d calls and %d recorded operations acknowledged, %d deliveries",
		len(faults), span, len(l.messages()), len(l.successes()), h.acknowledged(), c.deliveries())
	for what, n := range kindsOf(faults) {
		t.Logf("  %d times %s", n, what)
	}
}

// fault is something done to a process, and when it was over.
type fault struct {
	what       string
	process    string
	begin, end time.Time
}

func kindsOf(faults []fault) map[string]int {
	kinds := map[string]int{}
	for _, f := range faults {
		kinds[f.what]++
	}
	return kinds
}

// torment does something to one process after the other for a while, and lets
// all of them live at the end.
func (c *clusterWorld) torment(span time.Duration, random *rand.Rand) (faults []fault) {
	for end := time.Now().Add(span); time.Now().Before(end); {
		expire(time.Duration(1000+random.IntN(2000)) * time.Millisecond)
		f := c.hurt(random)
		c.t.Logf("%s %s for %s", f.what, f.process, f.end.Sub(f.begin).Round(time.Millisecond))
		faults = append(faults, f)
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
		err := c.AwaitReady(ctx)
		cancel()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	return faults
}

// hurt does one thing to one process and ends it.
func (c *clusterWorld) hurt(random *rand.Rand) fault {
	p, what := c.Nodes[random.IntN(localcluster.Size)], "kill a node"
	how := random.IntN(4)
	if how >= 2 {
		p, what = c.Servers[random.IntN(localcluster.Size)], "kill a server"
	}
	f := fault{process: p.Name, begin: time.Now()}
	span := time.Duration(500+random.IntN(3000)) * time.Millisecond
	if how%2 == 0 {
		f.what = what
		p.Kill()
		expire(span)
		if err := p.Start(); err != nil {
			c.t.Fatal(err)
		}
	} else {
		f.what = "pause" + what[len("kill"):]
		p.Pause()
		expire(span)
		p.Resume()
	}
	f.end = time.Now()
	return f
}

// afterTorture sends what the platform still has to send, waits until all is
// delivered, and checks the streams and every node's store.
func (c *clusterWorld) afterTorture(l *load) {
	c.t.Helper()
	c.spread("ownership", len(c.Nodes))
	c.spread("fanout", len(c.Nodes))
	ctx, cancel := context.WithTimeout(c.t.Context(), 60*time.Second)
	defer cancel()
	for _, body := range l.unsent() {
		if !l.webhook(ctx, body) {
			c.t.Error("a webhook is not taken although everything runs")
		}
	}
	w := c.worlds[0]
	w.settle(l)
	w.awaitQuiet()
	for _, each := range c.worlds {
		each.replayEqual()
	}
	r := c.records(ctx)
	for _, fault := range r.faults {
		c.t.Errorf("log: %s", fault)
	}
	w.checkInput(r, l.messages())
	w.checkCalls(r, l)
	w.checkTopic(r)
	w.checkDeliveries(r)
}

// records reads the streams of the running cluster.
func (c *clusterWorld) records(ctx context.Context) *records {
	c.t.Helper()
	conn, err := bus.Dial(ctx, bus.Options{URL: c.URL, User: "baton", Password: localcluster.Password})
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	r := &records{partitions: crashPartitionsCluster}
	if err := r.readAll(ctx, conn); err != nil {
		c.t.Fatal(fmt.Errorf("reading the streams: %w", err))
	}
	return r
}

func (c *clusterWorld) deliveries() (n int) {
	for _, app := range crashApps() {
		n += len(c.worlds[0].apps.deliveries(app))
	}
	return n
}
