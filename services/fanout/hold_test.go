package fanout

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/roster"
)

// none holds no partition from the start.
func none(c *Config, _ *Deps) { c.Partitions = nil }

func TestPartitionsMoveWhileBothNodesRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	long := func(c *Config, _ *Deps) { c.LeaseFor, c.SaveEvery = time.Hour, 50*time.Millisecond }
	a, b := w.start(twoNodes, long), w.start(twoNodes, long, none)
	var want []string
	for round := range 6 {
		from, to := a, b
		if round%2 == 1 {
			from, to = b, a
		}
		for p := range testPartitions {
			want = append(want, w.say(personIn(p, 0), fmt.Sprint("before ", round))...)
			if !from.Yield(p) {
				t.Fatal("not held")
			}
			to.Hold(p)
			want = append(want, w.say(personIn(p, 0), fmt.Sprint("after ", round))...)
		}
		// A released cursor is taken over at once, although the lease is an
		// hour.
		w.until("all there", func() bool { return len(bot.ids()) >= len(want) })
	}
	got := bot.ids()
	for _, ids := range [][]string{got, want} {
		slices.SortStableFunc(ids, func(a, b string) int { return strings.Compare(a[:2], b[:2]) })
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want each once and in order: %v", got, want)
	}
	if !a.Yield(0) {
		t.Error("a, which holds all again, does not hold 0")
	}
	if a.Yield(0) {
		t.Error("yielded twice")
	}
	if w.count(&w.deposed) != 0 {
		t.Error("deposed, although it had given back")
	}
}

// meddling are rosters; the first question for them does something in between.
type meddling struct {
	Rosters
	once sync.Once
	do   func()
}

func (m *meddling) Current() *roster.Snapshot {
	m.once.Do(m.do)
	return m.Rosters.Current()
}

// TestHoldWhileRunBegins: a partition that is to be held while Run is on its way
// is claimed once, by one goroutine.
func TestHoldWhileRunBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	asked, held := make(chan struct{}), make(chan struct{})
	n := w.start(none, func(_ *Config, d *Deps) {
		d.Rosters = &meddling{Rosters: d.Rosters, do: func() { close(asked); <-held }}
	})
	<-asked
	n.Hold(0)
	close(held)
	w.got(bot, w.say(personIn(0, 0), "hello")...)
	if !n.Yield(0) {
		t.Error("not held")
	}
	n.stop(t) // a second goroutine of the tenure would end it twice
}

func TestYieldWaitsForThePostUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	a := w.start(twoNodes, func(c *Config, _ *Deps) { c.DrainFor = 10 * time.Second })
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	bot.respond(func(posted) int { signal(entered); <-release; return 200 })
	p := partitionOf(9001)
	first := w.say(9001, "a")
	<-entered
	later := w.say(9001, "b")
	yielded := make(chan bool)
	go func() { yielded <- a.Yield(p) }()
	w.until("left", func() bool { return a.holder(p) == nil })
	select {
	case <-yielded:
		t.Fatal("given back while a POST was under way")
	default:
	}
	bot.respond(nil)
	close(release)
	<-yielded
	if c := w.stored(p); !c.GetReleased() || c.GetApps()[0].GetWatermark() < 2 {
		t.Errorf("cursor %v", c)
	}
	w.start(twoNodes, none).Hold(p)
	w.got(bot, append(first, later...)...)
}

func TestDeposedNodeClaimsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	a := w.start(twoNodes, func(c *Config, _ *Deps) { c.ReclaimAfter = 200 * time.Millisecond })
	w.got(bot, w.say(9001, "a")...)
	b := w.start(twoNodes)
	w.until("deposed everywhere", func() bool { return w.count(&w.deposed) == testPartitions })
	b.stop(t)
	w.until("held again", func() bool { return len(a.Partitions()) == testPartitions })
	id := w.say(9001, "b")
	w.until("delivered", func() bool { return slices.Contains(bot.ids(), id[0]) })
}

// slowCursors hold saves up while they are told to.
type slowCursors struct {
	*bus.Conn
	gate    atomic.Pointer[chan struct{}]
	entered chan struct{}
	cutOff  atomic.Bool
}

func (s *slowCursors) pass(ctx context.Context) {
	if gate := s.gate.Load(); gate != nil {
		signal(s.entered)
		select {
		case <-*gate:
		case <-ctx.Done():
			s.cutOff.Store(true)
		}
	}
}

func (s *slowCursors) SaveCursor(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	s.pass(ctx)
	return s.Conn.SaveCursor(ctx, p, data, expected)
}

func (s *slowCursors) SaveCursors(ctx context.Context, moves []bus.CursorMove) ([]uint64, error) {
	s.pass(ctx)
	return s.Conn.SaveCursors(ctx, moves)
}

// A save that is under way when a partition is given back is waited for: cut off, it
// would meet the last one at the stream, and the next node would wait for the lease.
func TestASaveUnderWayIsWaitedForWhenAPartitionIsGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	cursors := &slowCursors{Conn: w.conn, entered: make(chan struct{}, 1)}
	quick := func(c *Config, d *Deps) {
		c.LeaseFor, c.SaveTimeout, c.SaveEvery, d.Cursors = time.Hour, time.Minute, time.Millisecond, cursors
	}
	n := w.start(twoNodes, quick)
	w.got(bot, w.say(personIn(0, 0), "first")...)
	gate := make(chan struct{})
	cursors.gate.Store(&gate)
	w.say(personIn(0, 0), "second")
	<-cursors.entered
	given := make(chan struct{})
	go func() { n.Yield(0); close(given) }()
	w.until("being given back", func() bool { return n.holding(0) == nil })
	cursors.gate.Store(nil)
	close(gate)
	<-given
	if c := w.stored(0); cursors.cutOff.Load() || !c.GetReleased() {
		t.Errorf("the save under way was cut off: %t; the cursor %v", cursors.cutOff.Load(), c)
	}
}

// holding is the tenure of a partition; nil for none.
func (s *Service) holding(p int) *tenure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.tenures[p]
}
