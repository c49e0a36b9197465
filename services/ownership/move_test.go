package ownership

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/store"
)

// second is another node of the same installation, with a store of its own. It
// holds nothing yet.
func (w *world) second() *world {
	w.t.Helper()
	return w.secondOn(w.t.TempDir())
}

// secondOn is second with its store in a directory.
func (w *world) secondOn(dir string) *world {
	w.t.Helper()
	n := &world{
		t: w.t, server: w.server, conn: w.conn, identity: w.identity, dir: dir, rosters: w.rosters, clock: w.clock,
		platform: w.platform, log: &faultyLog{Log: w.conn, stamps: w.log.stamps}, input: &faultyInput{Input: w.conn, at: w.input.at},
		topic: w.topic, cfg: w.cfg, ids: 1 << 32,
	}
	n.control = &faultyTopic{Topic: w.conn, log: n.log}
	n.pulse.ch = make(chan struct{})
	n.cfg.Holder = "second"
	n.start()
	for p := range n.cfg.Partitions {
		n.svc.Yield(p)
	}
	return n
}

func several(w *world) { w.cfg.Standby, w.cfg.Barrier = true, true }

// A standby has what the holder has, timers included, without holding anything.
func TestStandbyFollows(t *testing.T) {
	t.Parallel()
	a := started(t, several)
	b := a.second()
	for n := range 20 {
		a.consumed(0, a.arrive(a.message(person(0, n%3))))
	}
	end := a.logEnd(0)
	b.until("the standby has the record", func() bool { return b.svc.holders[0].part.Applied().Sequence >= end })
	if got, want := rows(t, b.store), rows(t, a.store); got != want {
		t.Errorf("the standby has %d timer rows, the holder %d", got, want)
	}
	if st := b.svc.Statuses()[0]; st.Held || st.Position != a.svc.Statuses()[0].Position {
		t.Errorf("standby %+v, holder %+v", st, a.svc.Statuses()[0])
	}
	if list := b.svc.Unable(); len(list) != 0 {
		t.Errorf("a standby that has everything says it is unable to hold %v", list)
	}
}

// A claim that is given up leaves nothing behind that the standby's reader has
// passed meanwhile, also when the partition is quiet from then on.
func TestStandbyAfterAClaimThatFailed(t *testing.T) {
	t.Parallel()
	a := started(t, several)
	b := a.second()
	a.consumed(0, a.arrive(a.message(person(0, 0))))
	claiming, gate := make(chan struct{}, 1), make(chan struct{})
	b.log.inject(func(l *faultyLog) {
		l.append = func(int, []byte, uint64) (uint64, error) {
			select {
			case claiming <- struct{}{}:
			default:
			}
			<-gate
			return 0, bus.ErrUnavailable
		}
	})
	b.svc.Hold(0)
	<-claiming
	for n := range 5 {
		a.consumed(0, a.arrive(a.message(person(0, n%3))))
	}
	end, h := a.logEnd(0), b.svc.holders[0]
	b.until("the standby's reader has passed the records", func() bool {
		h.folding.Lock()
		defer h.folding.Unlock()
		return h.passed >= end
	})
	if at := h.part.Applied().Sequence; at >= end {
		t.Fatalf("the claim has applied %d already", at)
	}
	go b.svc.Yield(0)
	close(gate)
	b.until("the store is at the end of the log", func() bool { return h.part.Applied().Sequence >= end })
}

// rows counts the timer rows of partition 0.
func rows(t *testing.T, s *store.Store) int {
	t.Helper()
	part, err := s.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	list, err := part.Timers(maxInstant, 0)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A planned move loses and repeats nothing, replays nothing, and is short.
func TestPlannedMove(t *testing.T) {
	t.Parallel()
	nodes := make([]*world, 2)
	nodes[0] = started(t, several)
	nodes[1] = nodes[0].second()
	var longest time.Duration
	for n := range 10 {
		from, to := nodes[n%2], nodes[(n+1)%2]
		from.consumed(0, from.arrive(from.message(person(0, n))))
		seq := from.arrive(from.message(person(0, n))) // under way while it moves
		began := time.Now()
		from.svc.Yield(0)
		to.svc.Hold(0)
		to.until("the other node holds the partition", func() bool { return to.svc.Epoch(0) > 0 })
		longest = max(longest, time.Since(began))
		to.consumed(0, seq)
	}
	t.Logf("10 planned moves, the longest pause %s", longest.Round(time.Millisecond))
	if got := count[control.Routed](nodes[0], 0); got != 20 {
		t.Errorf("20 messages were decided %d times", got)
	}
	nodes[0].until("both stores are at the end of the log", func() bool {
		end := nodes[0].logEnd(0)
		return nodes[0].svc.holders[0].part.Applied().Sequence == end && nodes[1].svc.holders[0].part.Applied().Sequence == end
	})
	a, errA := digest(nodes[0].store)
	b, errB := digest(nodes[1].store)
	if errA != nil || errB != nil || a != b {
		t.Errorf("the stores differ (%v, %v)", errA, errB)
	}
}

// promotionReplays bounds what a claim of a standby replays under steady load.
// Source: design, "any node promotes without replay".
const promotionReplays = 1000

// A standby that takes a partition from a holder who does not know has nearly
// everything already, also while the load goes on.
func TestPromotionReplaysFew(t *testing.T) {
	t.Parallel()
	nodes := make([]*world, 2)
	nodes[0] = started(t, several)
	nodes[1] = nodes[0].second()
	nodes[0].held()
	loaded, end := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		for loaded.Err() == nil {
			seq := nodes[0].arrive(nodes[0].message(person(0, 3)))
			decidedByOne(loaded, nodes, seq)
		}
	})
	defer load.Wait()
	defer end()
	most, last := int64(0), time.Now()
	for n := range 6 {
		from, to := nodes[n%2], nodes[(n+1)%2]
		nodes[0].clock.advance(time.Since(last)) // the server's goes on
		last = time.Now()
		at := from.svc.Statuses()[0].Position
		from.until("the load goes on", func() bool { return from.svc.Statuses()[0].Position > at+20 })
		before := from.svc.Epoch(0)
		to.svc.Hold(0)
		to.until("the standby holds the partition", func() bool { return to.svc.Epoch(0) > before })
		most = max(most, to.replayed.Load())
		from.svc.Yield(0)
		to.until("it holds it alone", func() bool { return to.svc.Epoch(0) > 0 })
	}
	t.Logf("6 promotions under load, the largest replayed %d records", most)
	if most >= promotionReplays {
		t.Errorf("a promotion replayed %d records, want fewer than %d", most, promotionReplays)
	}
}

// decidedByOne waits until one of the nodes has decided an input of partition 0,
// so that the load is as steady as the partition and never ahead of it.
func decidedByOne(ctx context.Context, nodes []*world, seq uint64) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		first, second := nodes[0].pulse.next(), nodes[1].pulse.next()
		for _, w := range nodes {
			if w.svc.holders[0].decidedTo.Load() >= seq {
				return
			}
		}
		select {
		case <-first:
		case <-second:
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// digest is that of partition 0.
func digest(s *store.Store) ([32]byte, error) {
	part, err := s.Partition(0)
	if err != nil {
		return [32]byte{}, err
	}
	return part.Digest()
}

// A holder that writes nothing learns from the log that another has claimed.
func TestIdleHolderLearnsOfItsSuccessor(t *testing.T) {
	t.Parallel()
	a := started(t, several)
	a.consumed(0, a.arrive(a.message(person(0, 0))))
	b := a.second()
	before := a.svc.Epoch(0)
	b.svc.Hold(0)
	b.until("the second node holds the partition", func() bool { return b.svc.Epoch(0) > before })
	epoch := b.svc.Epoch(0)
	a.until("the first has noticed", func() bool { now := a.svc.Epoch(0); return now == 0 || now > epoch })
	a.svc.Yield(0)
}
