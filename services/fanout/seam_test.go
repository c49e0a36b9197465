package fanout

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// What the reader has come by is whole behind where it began, where it let the oldest
// go, and where a partition was given up: what came before may be lacking.
func TestPassageKnowsWhatItLacks(t *testing.T) {
	t.Parallel()
	var g passage
	g.begin(100)
	for n := range keptRecords + 10 {
		g.keep(bus.Message{Partition: n % 2, Sequence: uint64(101 + n)})
	}
	if len(g.records) != keptRecords {
		t.Fatalf("%d records are kept", len(g.records))
	}
	g.left[1] = 200
	for _, c := range []struct {
		partition int
		sequence  uint64
		first     uint64
		whole     bool
	}{{0, 109, 111, false}, {0, 110, 111, true}, {0, 112, 113, true}, {1, 110, 112, false}, {1, 199, 200, false}, {1, 200, 202, true}} {
		records, whole := g.behind(c.partition, c.sequence)
		if whole != c.whole || len(records) == 0 || records[0].Sequence != c.first {
			t.Errorf("partition %d behind %d: %d records, whole %t, want from %d on, %t", c.partition, c.sequence, len(records), whole, c.first, c.whole)
		}
		if !slices.IsSortedFunc(records, func(a, b bus.Message) int { return int(a.Sequence) - int(b.Sequence) }) {
			t.Errorf("partition %d: not in order", c.partition)
		}
	}
	g.keep(bus.Message{Partition: 0, Sequence: 9000, Data: make([]byte, keptBytes+1)})
	if _, whole := g.behind(0, 8999); len(g.records) != 0 || g.bytes != 0 || whole {
		t.Errorf("%d records of %d bytes are kept, whole %t", len(g.records), g.bytes, whole)
	}
}

// A record that was read a while ago proves nothing about the log.
func TestPassageForgetsWhatItSaw(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g passage
		g.begin(0)
		g.keep(bus.Message{Partition: 1, Sequence: 7})
		if _, ok := g.saw(1, 7); !ok {
			t.Error("the record is not known")
		}
		if _, ok := g.saw(0, 7); ok {
			t.Error("it is known of another partition")
		}
		time.Sleep(bus.TrustFor)
		if _, ok := g.saw(1, 7); ok {
			t.Error("it is trusted after a while")
		}
	})
}

// A node that holds nothing reads before it takes its first partition, which then
// finds what it lacks in memory.
func TestAPreparedNodeReadsAlready(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	a := w.start(twoNodes)
	ids := w.say(personIn(0, 0), "first", "second")
	w.got(bot, ids...)
	w.until("saved", func() bool { return w.stored(0).GetRead().GetSequence() == w.heads[0].sequence })
	asked := &questions{Log: w.conn}
	b := w.start(twoNodes, none, func(_ *Config, d *Deps) { d.Log = asked })
	b.Prepare(t.Context(), 0)
	if !b.route.open() {
		t.Fatal("nothing reads")
	}
	ids = append(ids, w.say(personIn(0, 0), "third")...)
	w.got(bot, ids...)
	a.Yield(0)
	w.until("read by both", func() bool { return b.route.whole(0, w.heads[0].sequence-1) })
	before := asked.next.Load()
	b.Hold(0)
	w.got(bot, append(ids, w.say(personIn(0, 0), "last")...)...)
	if n := asked.next.Load() - before; n != 0 {
		t.Errorf("%d questions were asked of the log", n)
	}
}

// What came while a partition was held is kept nowhere, whether its holder was given
// back, deposed, or gone already when the reader began.
func TestWhatAHolderWasHandedIsNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.adopt(document(appEntry(faq, w.hook("s1"))))
	n := w.start(twoNodes, none)
	deposed, gone := newHolder(n.Service, 0), newHolder(n.Service, 1)
	gone.ending.Store(true)
	var r route
	r.start(10, []*holder{deposed, gone})
	deposed.stopped.Store(true)
	for i := range 4 {
		r.come(bus.Message{Partition: i % 2, Sequence: uint64(11 + i)})
	}
	if r.whole(0, 10) || r.whole(0, 14) {
		t.Error("what came to a deposed holder is taken for none")
	}
	if seam, _ := r.add(newHolder(n.Service, 0), 10); seam.whole || seam.after != 14 {
		t.Errorf("the next holder joins behind %d with nothing, whole %t", seam.after, seam.whole)
	}
	if seam, ok := r.add(newHolder(n.Service, 1), 10); !ok || !seam.whole || len(seam.records) != 2 {
		t.Errorf("of a partition that nobody held there are %d records, whole %t; want 2", len(seam.records), seam.whole)
	}
}
