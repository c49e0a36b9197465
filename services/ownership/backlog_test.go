package ownership

import (
	"strconv"
	"testing"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
)

// mostKept is topicKept and what may pass it: a record that reaches it, a read
// for one partition, and the record that ends that.
const mostKept = topicKept + 2*(topicBatch+eventlog.MaxEvents)

// inMemory counts the entries that wait for the topic in memory, and checks them
// against what the publisher itself has counted.
func (w *world) inMemory() (entries, lagging int) {
	w.t.Helper()
	t := w.svc.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.mu.parts {
		part, n := &t.mu.parts[i], 0
		for _, rec := range part.pending {
			n += len(rec.Entries)
		}
		if n != part.entries {
			w.t.Errorf("partition %d keeps %d entries and counts %d", i, n, part.entries)
		}
		if part.lagging {
			lagging++
		}
		entries += n
	}
	if entries != t.mu.entries {
		w.t.Errorf("%d entries are kept, %d counted", entries, t.mu.entries)
	}
	return entries, lagging
}

// burst assigns n threads of each partition.
func (w *world) burst(n int) {
	w.t.Helper()
	for p := range partitions {
		var seq uint64
		for from := 0; from < n; from += 200 {
			var events []*inboundv1.Event
			for i := from; i < min(from+200, n); i++ {
				events = append(events, w.message(person(p, i)))
			}
			seq = w.arrive(events...)
		}
		w.consumed(p, seq)
	}
}

// TestBurstBeyondTheBound: decisions go on while the topic takes nothing, what
// waits in memory is bounded, and everything is published in order, once.
func TestBurstBeyondTheBound(t *testing.T) {
	t.Parallel()
	w := started(t, func(w *world) { w.cache = 64 << 20 }) // it is the publisher's reads that are tested
	w.check()                                              // the cursors are claimed
	gate := make(chan struct{})
	w.control.inject(func(messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error) {
		<-gate
		if n, _ := w.inMemory(); n > mostKept {
			t.Errorf("%d entries wait in memory, at most %d may", n, mostKept)
		}
		return w.conn.PublishControl(t.Context(), messages, moves)
	})
	const threads = 3 * topicKept / 8 // two entries each: three times the bound in four partitions
	w.burst(threads)
	const passes = 40 // of a thread whose records are read from the store
	for n := range passes {
		from, to := bot, agent
		if n%2 == 1 {
			from, to = to, from
		}
		if a := w.pass(from, to, person(0, 0)); a.GetStatus() != statusOK {
			t.Fatalf("pass %d: %v", n, a)
		}
	}
	if n, lagging := w.inMemory(); n > mostKept || n < topicKept/2 || lagging == 0 {
		t.Errorf("%d entries wait in memory, the bound is %d; %d partitions lag", n, topicKept, lagging)
	}
	if lag := w.svc.Lag(); lag < partitions*threads {
		t.Errorf("lag %d", lag)
	}
	close(gate)
	for part := uint64(3); part > 0; part-- { // each has the time of one wait
		w.until("more is published", func() bool { return w.svc.Lag() <= partitions*threads*2/4*part })
	}
	w.check()
	if n, lagging := w.inMemory(); n != 0 || lagging != 0 {
		t.Errorf("%d entries are kept and %d partitions lag after everything was published", n, lagging)
	}
	w.passed(person(0, 0), passes)
}

// passed checks the topic's messages of a thread that was assigned to the bot
// and then passed to and fro.
func (w *world) passed(person uint64, passes int) {
	w.t.Helper()
	n, owners := uint32(0), [2]control.AppID{agent, bot}
	for _, c := range w.topic.all() {
		if c.GetUserId() != strconv.FormatUint(person, 10) {
			continue
		}
		if n++; c.GetRevision() != n || c.GetNewOwner() != owners[n%2].String() {
			w.t.Errorf("change %d of the thread: %v", n, c)
		}
	}
	if int(n) != passes+1 {
		w.t.Errorf("%d changes of the thread, want %d", n, passes+1)
	}
}

// TestPartitionsTakeTurns: one that always has more than a batch does not keep
// the others from the topic.
func TestPartitionsTakeTurns(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.check()
	gate := make(chan struct{})
	batches := make(chan map[int]bool, 1000)
	w.control.inject(func(messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error) {
		<-gate
		moved := map[int]bool{}
		for _, m := range moves {
			moved[m.Partition] = true
		}
		batches <- moved
		return w.conn.PublishControl(t.Context(), messages, moves)
	})
	w.burst(3 * topicBatch / 2)
	close(gate)
	w.check()
	seen := map[int]bool{}
	for range partitions + 1 { // the first was cut before all had something
		for p := range <-batches {
			seen[p] = true
		}
	}
	if len(seen) != partitions {
		t.Errorf("the first batches carry only partitions %v", seen)
	}
}
