package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What three nodes must do of what one does, on one machine. Source: issue, what
// it must reach.
const sharedSpeed = 0.5

// TestClusterSpeed compares what three nodes do with what one does, all on the
// same three servers, round by round. BATON_CLUSTER_SPEED says for how many
// seconds each measurement runs, and BATON_CLUSTER_PROFILES where profiles are
// kept.
//
//nolint:paralleltest // it measures
func TestClusterSpeed(t *testing.T) {
	skipShort(t)
	seconds, err := strconv.Atoi(os.Getenv("BATON_CLUSTER_SPEED"))
	if err != nil {
		t.Skip("a measurement; BATON_CLUSTER_SPEED=10 makes it")
	}
	c := newCluster(t)
	span := time.Duration(seconds) * time.Second
	total := map[string]float64{}
	for round := range 3 {
		for _, nodes := range []int{1, 3} {
			c.only(nodes)
			for _, what := range []string{"changes", "webhooks"} {
				done := c.profiled(fmt.Sprintf("%s-%d", what, nodes), nodes, round == 0, func() float64 { return c.speed(what, nodes, round, span) })
				total[fmt.Sprint(what, nodes)] += done
				t.Logf("round %d: %d nodes: %.0f %s a second", round+1, nodes, done, what)
			}
		}
	}
	for _, what := range []string{"changes", "webhooks"} {
		ratio := total[what+"3"] / total[what+"1"]
		t.Logf("%s: three nodes do %.2f of what one does", what, ratio)
		if ratio < sharedSpeed {
			t.Errorf("%s: three nodes do %.2f of what one does, want %.1f", what, ratio, sharedSpeed)
		}
	}
}

// only makes that many nodes run.
func (c *clusterWorld) only(nodes int) {
	c.t.Helper()
	for i, p := range c.Nodes {
		if i < nodes {
			c.start(p)
		} else {
			p.Stop(30 * time.Second)
		}
	}
	c.spread("ownership", nodes)
	c.spread("fanout", nodes)
}

// speed is how many changes or webhooks a second are acknowledged to 64 callers,
// spread over the nodes.
func (c *clusterWorld) speed(what string, nodes, round int, span time.Duration) float64 {
	l := newLoad(c.worlds[0])
	l.nodes = c.Public[:nodes]
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	var crew sync.WaitGroup
	var done atomic.Int64
	for i := range 64 {
		person := uint64(9400000000000000 + round*1000 + nodes*100 + i)
		crew.Go(func() {
			l.message(ctx, person, l.turn(person))
			for turn := 0; ctx.Err() == nil; turn++ {
				if what == "webhooks" && l.message(ctx, person, l.turn(person)) || what == "changes" && l.pass(ctx, person, turn) {
					done.Add(1)
				}
			}
		})
	}
	expire(span / 4) // to get going
	before := done.Load()
	began := time.Now()
	expire(span)
	rate := float64(done.Load()-before) / time.Since(began).Seconds()
	cancel()
	crew.Wait()
	return rate
}

// pass makes one of two apps pass a thread to the other.
func (l *load) pass(ctx context.Context, person uint64, turn int) bool {
	apps := crashApps()
	status, _, err := l.call(ctx, "pass_thread_control", apps[turn%2], map[string]any{
		"recipient": map[string]any{"id": strconv.FormatUint(person, 10)}, "target_app_id": apps[1-turn%2],
	}, "")
	return err == nil && status == http.StatusOK
}

// profiled runs a measurement, with a CPU profile of each node beside it if that
// is wanted, and logs what each process used.
func (c *clusterWorld) profiled(name string, nodes int, wanted bool, measure func() float64) float64 {
	dir := os.Getenv("BATON_CLUSTER_PROFILES")
	var crew sync.WaitGroup
	if wanted && dir != "" {
		for i := range nodes {
			crew.Go(func() { c.profile(i, filepath.Join(dir, fmt.Sprintf("%s-%s.pprof", name, c.Nodes[i].Name))) })
		}
	}
	before := c.used()
	rate := measure()
	var parts []string
	for i, p := range c.All() {
		parts = append(parts, fmt.Sprintf("%s %.1f", p.Name, c.used()[i]-before[i]))
	}
	crew.Wait()
	c.t.Logf("%s: seconds of CPU: %s", name, strings.Join(parts, ", "))
	return rate
}

// used is the CPU time that each process has used, in seconds.
func (c *clusterWorld) used() (all []float64) {
	for _, p := range c.All() {
		var user, system float64
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.ID())); err == nil {
			fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
			user, _ = strconv.ParseFloat(fields[11], 64)
			system, _ = strconv.ParseFloat(fields[12], 64)
		}
		all = append(all, (user+system)/100)
	}
	return all
}

// profile keeps five seconds of a node's CPU profile.
func (c *clusterWorld) profile(node int, file string) {
	resp, err := c.worlds[node].get("/debug/pprof/profile?seconds=5")
	if err != nil {
		c.t.Error(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := os.Create(file)
	if err != nil {
		c.t.Error(err)
		return
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		c.t.Error(err)
	}
	_ = out.Close()
}
