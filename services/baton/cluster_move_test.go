package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/tools/localcluster"
)

// What a planned move, and the death of a NATS server on top of its cluster's own
// election, may cost. Source: issue, what it must reach.
const (
	movedWithin   = 250 * time.Millisecond
	electedWithin = time.Second
)

// prober passes one thread on as fast as that is accepted, through one node.
type prober struct {
	c         *clusterWorld
	l         *load
	partition int
	person    uint64
	mu        sync.Mutex
	accepted  []time.Time
}

// probe probes every partition through a node until the test ends.
func (c *clusterWorld) probe(node int) (all []*prober, stop func()) {
	c.t.Helper()
	l := newLoad(c.worlds[node])
	ctx, cancel := context.WithCancel(c.t.Context())
	var crew sync.WaitGroup
	for p := range crashPartitionsCluster {
		pr := &prober{c: c, l: l, partition: p, person: personIn(p, crashPartitionsCluster, 7)}
		c.prepareThread(l, pr.person)
		all = append(all, pr)
	}
	for _, pr := range all {
		crew.Go(func() { pr.run(ctx) })
	}
	for _, pr := range all {
		if !within(20*time.Second, func() bool { return pr.acceptedAfter(time.Time{}) }) {
			c.t.Fatalf("partition %d takes no change", pr.partition)
		}
	}
	return all, func() { cancel(); crew.Wait() }
}

func (p *prober) run(ctx context.Context) {
	owner, other := crashApps()[0], crashApps()[1]
	for n := 0; ctx.Err() == nil; n++ {
		mark := fmt.Sprint("probe-", p.partition, "-", n)
		body := map[string]any{"recipient": map[string]any{"id": strconv.FormatUint(p.person, 10)}, "target_app_id": other, "metadata": mark}
		for ctx.Err() == nil {
			status, data, err := p.l.call(ctx, "pass_thread_control", owner, body, mark)
			if err == nil && status == http.StatusOK {
				p.note()
				break
			}
			if ctx.Err() == nil && bytes.Contains(data, []byte("NOT_OWNER")) {
				p.c.t.Errorf("the owner of the thread of partition %d is refused: %s", p.partition, data)
				return
			}
			nap(ctx)
		}
		owner, other = other, owner
		rest(ctx, 10*time.Millisecond)
	}
}

func (p *prober) note() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted = append(p.accepted, time.Now())
}

// gap is the longest time between two accepted changes of which the second lies
// behind a moment.
func (p *prober) gap(from time.Time) time.Duration { return p.pause(from).took }

func (p *prober) pause(from time.Time) lull {
	p.mu.Lock()
	defer p.mu.Unlock()
	return longestLull(p.accepted, from)
}

// silence is the longest time between two deliveries of the thread's events, to
// any app, of which the second lies behind a moment.
func (p *prober) silence(from time.Time) lull {
	return longestLull(p.c.worlds[0].apps.arrivals(p.person, from.Add(-time.Second)), from)
}

// count is how many changes were accepted after a moment.
func (p *prober) count(from time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, _ := slices.BinarySearchFunc(p.accepted, from, time.Time.Compare)
	return len(p.accepted) - at
}

// acceptedAfter reports whether a change was accepted after a moment.
func (p *prober) acceptedAfter(moment time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.accepted) > 0 && p.accepted[len(p.accepted)-1].After(moment)
}

// TestClusterMove stops a node in good order and starts it again, under calls
// for every partition, and measures for how long those that move accept no
// change. What the machine makes of the others meanwhile is measured beside.
func TestClusterMove(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	rounds := rounds("BATON_CLUSTER_MOVES", 1)
	c := newCluster(t, tellsAll)
	c.spread("ownership", len(c.Nodes))
	probes, stop := c.probe(0)
	defer stop()
	for n := range rounds {
		c.logRest(probes)
		victim := 1 + n%2
		moved := c.placed(len(c.Nodes))[c.Nodes[victim].Name]
		from := time.Now()
		c.Nodes[victim].Stop(30 * time.Second)
		c.placed(len(c.Nodes) - 1)
		c.judgeMove("stop of "+c.Nodes[victim].Name, probes, moved, from)
		from = time.Now()
		c.start(c.Nodes[victim])
		c.placed(len(c.Nodes))
		c.judgeMove("start of "+c.Nodes[victim].Name, probes, moved, from)
	}
}

// logRest tells how long partitions accept no change while nothing moves: it is
// what the machine makes of them.
func (c *clusterWorld) logRest(probes []*prober) {
	c.t.Helper()
	from := time.Now()
	var longest time.Duration
	for _, p := range probes {
		if !within(30*time.Second, func() bool { return p.count(from) >= 100 }) {
			c.t.Fatalf("partition %d takes no changes", p.partition)
		}
	}
	for _, p := range probes {
		longest = max(longest, p.gap(from))
	}
	c.t.Logf("at rest for %s: longest pause of all: %s", time.Since(from).Round(time.Millisecond), longest.Round(time.Millisecond))
}

// placed is spread once nothing moves any more.
func (c *clusterWorld) placed(nodes int) map[string][]int {
	c.t.Helper()
	held, since := c.spread("ownership", nodes), time.Now()
	if !within(30*time.Second, func() bool {
		if now := c.spread("ownership", nodes); !reflect.DeepEqual(now, held) {
			held, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	}) {
		c.t.Fatal("partitions move all the time")
	}
	return held
}

// rounds is how often to measure: as the environment says, or a default.
func rounds(variable string, short int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	return short
}

func (c *clusterWorld) judgeMove(what string, probes []*prober, moved []int, from time.Time) {
	c.t.Helper()
	var pauses, silences []time.Duration
	var noise, quiet time.Duration
	now := time.Now()
	for _, p := range probes {
		if !within(20*time.Second, func() bool { return p.acceptedAfter(now) }) {
			c.t.Fatalf("%s: partition %d takes no change any more", what, p.partition)
		}
		pause, still := p.pause(from), p.silence(from)
		gap, silence := pause.took.Round(time.Millisecond), still.took.Round(time.Millisecond)
		if slices.Contains(moved, p.partition) {
			pauses, silences = append(pauses, gap), append(silences, silence)
			if gap > movedWithin {
				c.t.Logf("%s: no change: %s", what, c.stages(p.partition, pause))
			}
			if silence > movedWithin {
				c.t.Logf("%s: no delivery: %s", what, c.stages(p.partition, still))
			}
		} else {
			noise, quiet = max(noise, gap), max(quiet, silence)
		}
	}
	slices.Sort(pauses)
	slices.Sort(silences)
	c.t.Logf("%s: %d partitions moved; their longest pauses: %v; of those that stayed: %s", what, len(moved), pauses, noise)
	c.t.Logf("%s: longest times without a delivery: %v; of those that stayed: %s", what, silences, quiet)
	if longest := pauses[len(pauses)-1]; longest > movedWithin+noise {
		c.t.Errorf("%s: a partition took no change for %s, want at most %s (and %s of the machine)", what, longest, movedWithin, noise)
	}
}

// TestClusterKillServer kills the server that leads the log, under calls for
// every partition, and compares the time to the next accepted change with that
// of the cluster's own election.
func TestClusterKillServer(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	c := newCluster(t)
	c.spread("ownership", len(c.Nodes))
	probes, stop := c.probe(0)
	defer stop()
	for n := range rounds("BATON_CLUSTER_KILLS", 2) {
		leader := c.leader()
		from := time.Now()
		leader.Kill()
		elected := c.awaitLeader(leader.Name, from)
		var took []time.Duration
		for _, p := range probes {
			if !within(30*time.Second, func() bool { return p.acceptedAfter(from.Add(elected)) }) {
				t.Fatalf("partition %d took no change after the election", p.partition)
			}
			took = append(took, p.gap(from))
		}
		slices.Sort(took)
		longest := took[len(took)-1]
		t.Logf("kill %d of %s: a new leader after %s; partitions took their next change after %s to %s", n+1, leader.Name,
			elected.Round(time.Millisecond), took[0].Round(time.Millisecond), longest.Round(time.Millisecond))
		if longest > elected+electedWithin {
			t.Errorf("a change was accepted %s after the kill, the election took %s", longest, elected)
		}
		c.start(leader)
		c.awaitCurrent()
	}
}

// awaitLeader waits until a server other than the dead one leads the log, and
// returns how long that took.
func (c *clusterWorld) awaitLeader(dead string, from time.Time) time.Duration {
	c.t.Helper()
	if !within(30*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), 200*time.Millisecond)
		defer cancel()
		name, err := c.Leader(ctx, bus.StreamLog)
		return err == nil && name != dead
	}) {
		c.t.Fatal("the log got no new leader")
	}
	return time.Since(from)
}

// leader is the server that leads the log.
func (c *clusterWorld) leader() *localcluster.Process {
	c.t.Helper()
	var name string
	if !within(30*time.Second, func() (ok bool) {
		var err error
		name, err = c.Leader(c.t.Context(), bus.StreamLog)
		return err == nil
	}) {
		c.t.Fatal("the log has no leader")
	}
	i := slices.IndexFunc(c.Servers, func(p *localcluster.Process) bool { return p.Name == name })
	return c.Servers[i]
}

// awaitCurrent waits until all servers follow the leaders of the streams.
func (c *clusterWorld) awaitCurrent() {
	c.t.Helper()
	for _, stream := range []string{bus.StreamLog, bus.StreamInbound, bus.StreamControl} {
		if !within(60*time.Second, func() bool { ok, err := c.Followers(c.t.Context(), stream); return err == nil && ok }) {
			c.t.Fatalf("not all servers follow %s again", stream)
		}
	}
}
