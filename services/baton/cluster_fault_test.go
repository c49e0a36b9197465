package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/tools/localcluster"
)

// excused is how long after a fault a call may still fail. Source: issue, what
// it must reach.
const excused = 10 * time.Second

// fault is something done to the cluster, when it was over, and whom it
// concerns.
type fault struct {
	what, whom string
	begin, end time.Time
	// all: every partition. Else those of nodes whose listeners are hosts.
	all        bool
	hosts      []string
	partitions []int
}

// failure is a call that had no clear answer.
type failure struct {
	at        time.Time
	host      string // that was asked
	partition int    // of the thread; -1 when it does not matter
	what      string
}

// excuses reports whether the fault may be the reason for a failure.
func (f *fault) excuses(x failure) bool {
	return f.covers(x.at) && (f.all || slices.Contains(f.hosts, x.host) || slices.Contains(f.partitions, x.partition))
}

func (f *fault) covers(at time.Time) bool { return at.After(f.begin) && at.Before(f.end.Add(excused)) }

// torments are what can be done to a cluster. Each does one thing and returns
// how it is undone; nil for nothing to undo.
var torments = []struct {
	what string
	do   func(c *clusterWorld, f *fault, random *rand.Rand) (undo func())
}{
	{"kill a node", func(c *clusterWorld, f *fault, random *rand.Rand) func() {
		p := c.Nodes[c.aNode(f, random)]
		p.Kill()
		return func() { c.start(p) }
	}},
	{"kill the leader of the log", func(c *clusterWorld, f *fault, _ *rand.Rand) func() {
		return c.killLeader(f, bus.StreamLog)
	}},
	{"cut a node off", func(c *clusterWorld, f *fault, random *rand.Rand) func() {
		return c.cutOff(f, c.Nodes[c.aNode(f, random)].Name, random)
	}},
	{"step down", (*clusterWorld).stepDown},
	{"pause a node", func(c *clusterWorld, f *fault, random *rand.Rand) func() {
		p := c.Nodes[c.aNode(f, random)]
		p.Pause()
		return p.Resume
	}},
	{"cut a server off the others", func(c *clusterWorld, f *fault, random *rand.Rand) func() {
		return c.cutOff(f, c.aServer(f, random).Name, random)
	}},
	{"cut two servers", func(c *clusterWorld, f *fault, random *rand.Rand) func() {
		f.all = true
		pair := random.Perm(localcluster.Size)
		return c.cut(f, random, [2]string{c.Servers[pair[0]].Name, c.Servers[pair[1]].Name})
	}},
	{"stop a node", func(c *clusterWorld, f *fault, random *rand.Rand) func() {
		p := c.Nodes[c.aNode(f, random)]
		p.Stop(30 * time.Second)
		return func() { c.start(p) }
	}},
	{"kill a server", func(c *clusterWorld, f *fault, random *rand.Rand) func() {
		p := c.aServer(f, random)
		p.Kill()
		return func() { c.start(p) }
	}},
	{"cut a node and a server", func(c *clusterWorld, f *fault, random *rand.Rand) func() {
		node := c.Nodes[c.aNode(f, random)].Name
		return c.cut(f, random, [2]string{node, c.Servers[random.IntN(localcluster.Size)].Name})
	}},
	{"pause a server", func(c *clusterWorld, f *fault, random *rand.Rand) func() {
		p := c.aServer(f, random)
		p.Pause()
		return p.Resume
	}},
}

// hurt does one thing to the cluster, for a while, and undoes it.
func (c *clusterWorld) hurt(kind int, long bool, random *rand.Rand) fault {
	f := fault{what: torments[kind].what, begin: time.Now()}
	span := time.Duration(500+random.IntN(3000)) * time.Millisecond
	if random.IntN(5) == 0 && long {
		span *= 4 // longer than an election, and than what a client waits for
	}
	undo := torments[kind].do(c, &f, random)
	if undo != nil {
		expire(span)
		undo()
	}
	f.end = time.Now()
	return f
}

// aNode picks a node: the fault concerns its listeners and what it holds.
func (c *clusterWorld) aNode(f *fault, random *rand.Rand) int {
	i := random.IntN(localcluster.Size)
	f.whom = c.Nodes[i].Name
	f.hosts = append(f.hosts, c.Public[i])
	held, err := c.Held(c.t.Context(), i, "ownership")
	if err != nil {
		f.all = true // it may hold anything
	}
	f.partitions = append(f.partitions, held[f.whom]...)
	return i
}

// aServer picks a server: it may lead any stream.
func (c *clusterWorld) aServer(f *fault, random *rand.Rand) *localcluster.Process {
	f.all = true
	p := c.Servers[random.IntN(localcluster.Size)]
	f.whom = p.Name
	return p
}

func (c *clusterWorld) start(p *localcluster.Process) {
	if err := p.Start(); err != nil {
		c.t.Error(err)
	}
}

func (c *clusterWorld) killLeader(f *fault, stream string) func() {
	f.all = true
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	name, err := c.Leader(ctx, stream)
	for _, p := range c.Servers {
		if p.Name == name {
			f.whom = name
			p.Kill()
			return func() { c.start(p) }
		}
	}
	f.whom = fmt.Sprint("nobody: ", err)
	return nil
}

// stepDown asks the leaders of some streams to give their office up.
func (c *clusterWorld) stepDown(f *fault, random *rand.Rand) func() {
	f.all = true
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	streams := []string{bus.StreamLog, bus.StreamControl, bus.StreamInbound, bus.StreamCursor}
	for _, i := range random.Perm(len(streams))[:1+random.IntN(len(streams))] {
		stream := streams[i]
		f.whom += " " + stream
		if err := c.StepDown(ctx, stream); err != nil {
			f.whom += " (" + err.Error() + ")"
		}
	}
	return nil
}

// cutOff cuts a process off all servers, each in the same way.
func (c *clusterWorld) cutOff(f *fault, name string, random *rand.Rand) func() {
	var pairs [][2]string
	for _, s := range c.Servers {
		if s.Name != name {
			pairs = append(pairs, [2]string{name, s.Name})
		}
	}
	return c.cut(f, random, pairs...)
}

// cut cuts pairs of processes in one way, one direction alone among them.
func (c *clusterWorld) cut(f *fault, random *rand.Rand, pairs ...[2]string) func() {
	how := []localcluster.Cut{localcluster.Broken, localcluster.Silent, localcluster.Deaf, localcluster.Mute}[random.IntN(4)]
	set := func(how localcluster.Cut) {
		for _, p := range pairs {
			c.Cut(p[0], p[1], how)
		}
	}
	var names []string
	for _, p := range pairs {
		names = append(names, p[0]+"-"+p[1])
	}
	f.what += ", " + how.String()
	f.whom = strings.Join(names, " ")
	set(how)
	return func() { set(localcluster.Whole) }
}
