package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/bus"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/tools/localcluster"
)

// What a torture is when nobody says otherwise.
const (
	tortureSpan = 20 * time.Second
	tortureSeed = 1
	// calm is now and then between two faults: what fails in its second part has
	// no fault for an excuse.
	calm = excused + 5*time.Second
)

// TestClusterTorture kills, pauses and cuts off nodes and servers under load,
// and checks afterwards that nothing that was acknowledged is lost or there
// twice, that the histories that clients saw are linearizable, and that what
// failed failed near a fault that concerns it. BATON_TORTURE says for how many
// minutes, BATON_TORTURE_SEED which faults.
func TestClusterTorture(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	span, seed := tortureSpan, uint64(tortureSeed)
	if minutes, err := strconv.ParseFloat(os.Getenv("BATON_TORTURE"), 64); err == nil {
		span, seed = time.Duration(minutes*float64(time.Minute)), uint64(time.Now().UnixNano())
	}
	if given, err := strconv.ParseUint(os.Getenv("BATON_TORTURE_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("%s, seed %d: BATON_TORTURE_SEED=%d plays the same faults", span, seed, seed)
	c := newCluster(t, cuttable)
	c.spread("ownership", len(c.Nodes))
	l := newLoad(c.worlds[0])
	l.nodes, l.pace = c.Public, 100*time.Millisecond
	h := newHistory(l)

	ctx, cancel := context.WithCancel(t.Context())
	var crew sync.WaitGroup
	crew.Go(func() { l.run(ctx, crashPeople) })
	crew.Go(func() { l.timers(ctx) })
	crew.Go(func() { h.run(ctx) })
	began := time.Now()
	faults := c.torment(span, rand.New(rand.NewPCG(seed, 1)))
	cancel()
	crew.Wait()
	lasted := time.Since(began)
	t.Logf("the faults took %s", lasted.Round(time.Second))
	c.afterTorture(l)
	h.check(t)
	c.checkFailures(l, faults, began, lasted)
	t.Logf("survived %d faults in %s: %d webhooks, %d calls and %d recorded operations acknowledged, %d deliveries",
		len(faults), lasted.Round(time.Second), len(l.messages()), len(l.successes()), h.acknowledged(), c.deliveries())
	kinds := map[string]int{}
	for _, f := range faults {
		kinds[f.what]++
	}
	for what, n := range kinds {
		t.Logf("  %d times %s", n, what)
	}
}

// torment does one thing after the other to the cluster for a while, and undoes
// each. The first round is in the order of the table, the others are shuffled.
func (c *clusterWorld) torment(span time.Duration, random *rand.Rand) (faults []fault) {
	var deck []int
	for i := range torments {
		deck = append(deck, i)
	}
	for begin, n := time.Now(), 0; time.Since(begin) < span; n++ {
		if n%len(deck) == 0 && n > 0 {
			random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		gap := time.Duration(500+random.IntN(2000)) * time.Millisecond
		if n%6 == 5 && span > time.Minute {
			gap = calm
		}
		expire(gap)
		f := c.hurt(deck[n%len(deck)], span > time.Minute, random)
		c.t.Logf("%s  %s: %s for %s", f.begin.Format(time.TimeOnly), f.what, f.whom, f.end.Sub(f.begin).Round(time.Millisecond))
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

// checkFailures: what had no clear answer was asked near a fault that concerns
// it.
func (c *clusterWorld) checkFailures(l *load, faults []fault, began time.Time, lasted time.Duration) {
	c.t.Helper()
	stray := 0
	for _, x := range l.failures {
		if slices.ContainsFunc(faults, func(f fault) bool { return f.excuses(x) }) {
			continue
		}
		if stray++; stray <= 20 {
			c.t.Errorf("no fault excuses what happened at %s, partition %d: %s", x.at.Format("15:04:05.000"), x.partition, x.what)
		}
	}
	quiet := 0
	for at := range int(lasted / time.Second) {
		now := began.Add(time.Duration(at) * time.Second)
		if !slices.ContainsFunc(faults, func(f fault) bool { return f.covers(now) }) {
			quiet++
		}
	}
	c.t.Logf("%d calls had no clear answer, %d of them near no fault that concerns them; for %d s no fault excused anything",
		len(l.failures), stray, quiet)
}

// afterTorture sends what the platform still has to send, waits until all is
// delivered, and checks the streams and every node's store.
func (c *clusterWorld) afterTorture(l *load) {
	c.t.Helper()
	c.spread("ownership", len(c.Nodes))
	c.spread("fanout", len(c.Nodes))
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Minute)
	defer cancel()
	for _, body := range l.unsent() {
		if !l.webhook(ctx, body) {
			c.t.Error("a webhook is not taken although everything runs")
		}
	}
	w := c.worlds[0]
	w.settle(l)
	rest(ctx, timerExpiry+time.Second)
	w.awaitQuiet()
	r := c.checkNodes(ctx)
	for _, fault := range r.faults {
		c.t.Errorf("log: %s", fault)
	}
	for i, p := range c.Nodes {
		c.t.Logf("%s took %d webhooks", p.Name, l.takenBy[c.Public[i]])
	}
	w.checkInput(r, l.messages())
	w.checkCalls(r, l)
	w.checkTopic(r)
	w.checkDeliveries(r)
	w.checkTimers(r)
}

// checkNodes: every node's store holds what the log holds, record by record, and
// its state is that of the log's fold. It returns what the log holds.
func (c *clusterWorld) checkNodes(ctx context.Context) (r *records) {
	c.t.Helper()
	for i, w := range c.worlds {
		verified, err := w.global().admin().VerifyLog(ctx, connect.NewRequest(&adminv1.VerifyLogRequest{}))
		if err != nil || !verified.Msg.GetOk() {
			c.t.Errorf("%s: log verify: %v %v", c.Nodes[i].Name, err, verified.Msg.GetFaults())
		}
		w.replayEqual()
	}
	// A send that a killed node has left behind is given up half a minute later:
	// then the log grows once more.
	var digests []string
	if !within(settleIn, func() bool {
		r = c.records(ctx)
		digests = c.digests(ctx)
		return digests[0] == fmt.Sprintf("%x", r.digest[:]) && len(slices.Compact(digests)) == 1
	}) {
		c.t.Errorf("the nodes' digests are %v, that of the streams' fold is %x", digests, r.digest[:])
	}
	return r
}

// digests are those of the nodes' stores.
func (c *clusterWorld) digests(ctx context.Context) (all []string) {
	c.t.Helper()
	for _, w := range c.worlds {
		replayed, err := w.global().admin().Replay(ctx, connect.NewRequest(&adminv1.ReplayRequest{}))
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, replayed.Msg.GetStoreDigest())
	}
	return all
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
