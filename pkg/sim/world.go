package sim

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/store/storetest"
)

// Options of a run.
type Options struct {
	// Seed decides everything that is left open, see the package.
	Seed uint64
	// Steps before the faults end and the world comes to rest; 2,000.
	Steps int
	// Nodes, each of which may be told to hold any partition; 2.
	Nodes int
	// Partitions of the installation; 2.
	Partitions int
	// Beats: the nodes place the partitions themselves, by the beats that they
	// hear (pkg/assignment); else the simulator does, and not always well.
	Beats bool
	// Loss: the log loses records that it has acknowledged, once.
	Loss bool
	// Tails: so do the streams of the cursors, the topic's and fan-out's, a few
	// times.
	Tails bool
	// Flip: a bit changes in a message of the log or of the input, once.
	Flip bool
	// Trace gets every step; nil for nobody.
	Trace io.Writer
}

func (o *Options) fill() {
	if o.Trace == nil {
		o.Trace = io.Discard
	}
	if o.Steps == 0 {
		o.Steps = 2000
	}
	if o.Nodes == 0 {
		o.Nodes = 2
	}
	if o.Partitions == 0 {
		o.Partitions = 2
	}
}

// Counts says what happened in a run.
type Counts struct {
	Steps, Records, Events, Calls, Answers, Webhooks, Deliveries, Repeats, Changes, Crashes, Sends, Forwarded, Sent, Lost, Halts int
}

// Report is how a run ended.
type Report struct {
	// Violation is the first promise that was broken; empty for none.
	Violation string
	// Trace is the hash of all steps: runs with equal ones were the same.
	Trace  uint64
	Counts Counts
}

// World is one run.
type World struct {
	options   Options
	scheduler *scheduler
	servers   servers
	truth     *truth
	threads   []control.ThreadKey
	rosters   []*roster.Snapshot
	air       *air
	beating   bool // the nodes' beats place the partitions; else the simulator does
	nodes     []*node
	calls     []*call
	events    []*event
	unacked   [][]*event
	replies   []reply // guarded by the scheduler's lock
	ended     []*send // likewise
	open      int     // sends that are not answered yet
	unknown   []*send // whose callers do not know how they ended, the last few
	lossy     bool    // the log has lost something
	blind     bool    // and nodes lived on
	flipped   bool    // a bit has changed
	lostTails int     // how often a stream of cursors has
	calm      bool    // no faults any more
	counts    Counts
	lives     sync.WaitGroup

	failure struct {
		sync.Mutex
		text string
	}
}

//nolint:gochecknoglobals // a constant
var batonID = [16]byte{'s', 'i', 'm'}

// Run makes a world and lets it go on until a promise is broken or the world has
// come to rest. No other test may run meanwhile.
func Run(t *testing.T, o Options) (report Report) {
	t.Helper()
	o.fill()
	cryptotest.SetGlobalRandom(t, o.Seed)
	seedRuntime(o.Seed<<1 | 1)
	base := time.Now()
	synctest.Test(t, func(*testing.T) {
		w := newWorld(o, base)
		w.run()
		w.counts.Steps = w.scheduler.steps
		report = Report{Violation: w.broken(), Trace: w.scheduler.trace.Sum64(), Counts: w.counts}
	})
	return report
}

func newWorld(o Options, base time.Time) *World {
	w := &World{options: o, scheduler: newScheduler(o.Seed, o.Trace), threads: threads(o.Partitions, 3)}
	w.air, w.beating = newAir(o.Seed), o.Beats
	w.servers = servers{cursors: newRegister(), places: newRegister()}
	w.truth = newTruth(w)
	w.newRoster()
	for i := range o.Nodes {
		w.nodes = append(w.nodes, &node{
			w: w, name: fmt.Sprintf("n%d", i+1), holds: make([]bool, o.Partitions), disk: storetest.NewDisk(), clock: newClock(base), rosters: newRosters(&w.rosters),
		})
	}
	return w
}

func (w *World) newRoster() {
	version := uint64(len(w.rosters) + 1)
	s, err := roster.Compile(document(version), version)
	if err != nil {
		w.fail("roster: %v", err)
		return
	}
	w.rosters = append(w.rosters, s)
}

// fail notes the first promise that is broken.
func (w *World) fail(format string, args ...any) {
	w.failure.Lock()
	defer w.failure.Unlock()
	if w.failure.text == "" {
		w.failure.text = fmt.Sprintf(format, args...)
	}
}

func (w *World) broken() string {
	w.failure.Lock()
	defer w.failure.Unlock()
	return w.failure.text
}

func (w *World) run() {
	for p := range w.options.Partitions {
		if !w.beating {
			w.nodes[0].hold(p)
		}
	}
	for _, n := range w.nodes {
		w.start(n)
	}
	for w.scheduler.steps < w.options.Steps && w.broken() == "" {
		w.step()
	}
	switch {
	case w.broken() != "":
	case w.lossy:
		w.restWithLoss()
	case w.flipped:
		w.restWithDamage()
	case w.lostTails > 0:
		w.topicWhole()
		w.rest()
	default:
		w.rest()
	}
	for _, n := range w.nodes {
		w.scheduler.settle()
		if n.life != nil {
			n.crash(false)
		}
	}
	w.lives.Wait()
}

func (w *World) start(n *node) {
	if err := n.start(); err != nil {
		w.fail("%v", err)
	}
}

// step lets one thing happen.
func (w *World) step() {
	w.scheduler.settle()
	w.takeReplies()
	w.takeSends()
	for _, n := range w.nodes {
		n.gone()
	}
	if w.blind {
		w.readOn()
	}
	w.scheduler.steps++
	actions := append(w.outside(), w.faults()...)
	actions = append(actions, w.arrivals()...)
	actions = append(actions, w.beats()...)
	actions = append(actions, w.moves()...)
	actions = append(actions, w.progress()...)
	for _, a := range actions {
		_, _ = io.WriteString(w.scheduler.trace, a.name)
	}
	a, _ := choose(w.scheduler, actions, func(a action) int { return a.weight })
	w.scheduler.note("%s", a.name)
	a.do()
}

// progress are the calls of the nodes that may go on, and time.
func (w *World) progress() []action {
	list := []action{{"time", 60, w.pass}}
	for _, o := range w.scheduler.waiting() {
		if o.link.node.frozen.Load() && o.link.node.life != nil && o.link.node.life.link == o.link || o.ready != nil && !o.ready() {
			continue
		}
		e, _ := choose(w.scheduler, o.ends, func(e end) int { return e.weight })
		if w.calm {
			e = o.ends[0]
		}
		list = append(list, action{o.key + ": " + e.name, 100, func() { e.do(); w.scheduler.release(o) }})
	}
	return list
}

// pass lets time pass.
func (w *World) pass() {
	// Waits are short: a store looks ten times a second for something to do.
	waits := []time.Duration{
		time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond,
		200 * time.Millisecond, 200 * time.Millisecond, time.Second, time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second,
	}
	if w.open > 0 && w.scheduler.chance(94) {
		waits = waits[:5] // a send must be asked for, forwarded and told within seconds
	}
	time.Sleep(waits[w.scheduler.rng.IntN(len(waits))]) //nolint:forbidigo // in the bubble it moves the clock
}

// outside is what comes from outside.
func (w *World) outside() []action {
	list := []action{{"webhook", 30, w.newWebhook}}
	if len(w.unacked) > 0 {
		list = append(list, action{"webhook again", 20, w.repeatWebhook})
	}
	if len(w.calls) < openCalls {
		list = append(list, action{"call", 50, w.newCall})
	}
	if w.open < openSends {
		list = append(list, action{"send", 30, w.newSend})
	}
	for _, c := range w.calls {
		list = append(
			list, action{fmt.Sprintf("call %d again", c.number), 8, func() { w.attempt(c) }},
			action{fmt.Sprintf("call %d given up", c.number), 1, func() { w.forget(c) }},
		)
	}
	return list
}

func (w *World) forget(c *call) {
	for i := range w.calls {
		if w.calls[i] == c {
			w.calls = append(w.calls[:i:i], w.calls[i+1:]...)
			return
		}
	}
}

// arrivals are the late messages, which arrive or are lost.
func (w *World) arrivals() []action {
	list := make([]action, 0, 2*len(w.servers.underWay))
	for i, l := range w.servers.underWay {
		drop := func() { w.servers.underWay = append(w.servers.underWay[:i:i], w.servers.underWay[i+1:]...) }
		list = append(
			list, action{"late: " + l.key, 10, func() { drop(); l.arrive() }},
			action{"lost: " + l.key, 3, drop},
		)
	}
	return list
}

// faults are what happens to nodes.
func (w *World) faults() []action {
	list := []action{{"clocks jump", 1, w.jump}}
	if w.options.Loss && !w.lossy && w.scheduler.steps > w.options.Steps/4 {
		list = append(list, action{"the log loses its tail", 2, w.loseTail}, action{"the servers lose the log's tail", 4, w.loseTailBlind})
	}
	list = append(append(list, w.tails()...), w.flips()...)
	if len(w.rosters) < 6 {
		list = append(list, action{"new roster", 1, w.newRoster})
	}
	for _, n := range w.nodes {
		if n.rosters.Current().Version() < uint64(len(w.rosters)) {
			list = append(list, action{n.name + " hears of the roster", 10, n.rosters.hear})
		}
		switch {
		case n.life == nil:
			list = append(list, action{n.name + " starts", 50, func() { w.start(n) }})
			continue
		case n.frozen.Load():
			list = append(list, action{n.name + " goes on", 50, func() { n.frozen.Store(false) }})
		default:
			list = append(list, action{n.name + " stands still", 3, func() { n.frozen.Store(true) }})
		}
		switch {
		case !w.beating:
		case n.deaf.Load():
			list = append(list, action{n.name + " is heard again", 20, func() { n.deaf.Store(false) }})
		default:
			list = append(list, action{n.name + " is not heard", 3, func() { n.deaf.Store(true) }})
		}
		list = append(
			list,
			action{n.name + " crashes", 1, func() { w.counts.Crashes++; n.crash(false) }},
			action{n.name + " loses power", 1, func() { w.counts.Crashes++; n.crash(true) }},
			action{n.name + "'s wall clock steps", 1, func() { n.clock.step(int64(w.scheduler.rng.IntN(40) - 20)) }},
		)
		if !n.life.stopping {
			list = append(list, action{n.name + " stops", 1, n.stop})
		}
	}
	return list
}

// moves are what the assignment of partitions may say, which may be wrong: two
// nodes may be told to hold one partition, or none.
func (w *World) moves() (list []action) {
	if w.beating {
		return nil
	}
	for p := range w.options.Partitions {
		for _, n := range w.nodes {
			if n.holds[p] {
				list = append(list, action{fmt.Sprintf("%s yields %d", n.name, p), 1, func() { n.yield(p) }})
			} else {
				list = append(
					list,
					action{fmt.Sprintf("%s is to hold %d", n.name, p), 1, func() { n.hold(p) }},
					action{fmt.Sprintf("%d moves to %s", p, n.name), 2, func() { w.move(p, n) }},
				)
			}
		}
	}
	return list
}

// move is a planned one.
func (w *World) move(p int, to *node) {
	for _, n := range w.nodes {
		if n != to && n.holds[p] {
			n.yield(p)
		}
	}
	to.hold(p)
}

// jump moves the simulator's clock, which all nodes follow.
func (w *World) jump() {
	d := time.Duration(1+w.scheduler.rng.IntN(30)) * time.Hour
	for _, n := range w.nodes {
		n.clock.jump(d)
	}
}

// now is the time without what the nodes' own clocks are off by.
func (w *World) now() control.Millis {
	return control.Millis(time.Now().Add(w.nodes[0].clock.Offset()).UnixMilli())
}

func (w *World) partitionOf(thread control.ThreadKey) int {
	return partition.Of(thread, w.options.Partitions)
}
