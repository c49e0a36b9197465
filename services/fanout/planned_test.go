package fanout

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// record is one as it was planned for some apps.
func recordFor(sequence uint64, size int, apps ...control.AppID) *planned {
	p := &planned{
		before: &mark{position: control.Position(sequence), epoch: 1}, after: &mark{sequence: sequence, position: control.Position(sequence) + 1},
		version: 7, awaited: appSet{}, size: size,
	}
	for _, app := range apps {
		p.awaited = append(p.awaited, app)
	}
	return p
}

func TestPlansAreKeptForThoseThatStandThere(t *testing.T) {
	t.Parallel()
	ps := newPlans(100, func(appSet) bool { return true })
	p := recordFor(5, 10, 1, 2)
	ps.keep(p)
	at := func(change func(*mark)) *mark {
		m := *p.before
		change(&m)
		return &m
	}
	same := at(func(*mark) {})
	for name, c := range map[string]struct {
		app     control.AppID
		at      *mark
		version uint64
		want    *planned
	}{
		"one that waits":     {1, same, 7, p},
		"one it is not for":  {3, same, 7, nil},
		"another position":   {1, at(func(m *mark) { m.position++ }), 7, nil},
		"another epoch":      {1, at(func(m *mark) { m.epoch++ }), 7, nil},
		"another roster":     {1, at(func(m *mark) { m.roster++ }), 7, nil},
		"other apps of now":  {1, same, 8, nil},
		"the other that may": {2, same, 7, p},
	} {
		if got := ps.of(5, c.app, c.at, c.version); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	ps.taken(p, 1)
	if ps.of(5, 1, same, 7) != nil || ps.of(5, 2, same, 7) != p {
		t.Error("it is not the other's alone")
	}
	ps.taken(p, 2)
	if len(ps.by) != 0 || ps.bytes != 0 {
		t.Errorf("%d records of %d bytes left", len(ps.by), ps.bytes)
	}
}

func TestPlansAreBounded(t *testing.T) {
	t.Parallel()
	ps := newPlans(100, func(apps appSet) bool { return apps.has(2) })
	for seq := range uint64(1000) {
		p := recordFor(seq+1, 30, 1, 3) // 3 takes nothing now
		ps.keep(p)
		if seq%3 == 0 { // the others of it stay away
			ps.taken(p, 1)
			ps.taken(p, 3)
		}
		if ps.bytes != 30*len(ps.by) || ps.bytes > 100 || len(ps.order) > len(ps.by)+8 {
			t.Fatalf("%d records, %d bytes, %d in order", len(ps.by), ps.bytes, len(ps.order))
		}
		if ps.by[seq+1] == nil && seq%3 != 0 {
			t.Fatalf("record %d is not kept, those before it are: %v", seq+1, ps.order)
		}
	}
	ps.keep(recordFor(2000, 101, 1, 2)) // too large
	ps.keep(recordFor(2001, 10, 1))     // nobody else waits
	if ps.by[2000] != nil || ps.by[2001] != nil {
		t.Errorf("kept %v", ps.order)
	}
}

// TestPlansAreKeptForWhoeverComes: what one that takes deliveries waits for gives way
// to nothing newer, until it has had its time to come.
func TestPlansAreKeptForWhoeverComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ps := newPlans(100, func(appSet) bool { return true })
		for seq := range uint64(10) {
			ps.keep(recordFor(seq+1, 30, 1, 2))
		}
		kept := func() []uint64 { return slices.Sorted(maps.Keys(ps.by)) }
		if got := kept(); !slices.Equal(got, []uint64{1, 2, 3}) {
			t.Errorf("kept %v", got)
		}
		ps.taken(ps.by[1], 1)
		ps.taken(ps.by[1], 2)
		ps.keep(recordFor(11, 30, 1, 2))
		if got := kept(); !slices.Equal(got, []uint64{2, 3, 11}) {
			t.Errorf("kept %v when there is room", got)
		}
		time.Sleep(keptFor)
		ps.keep(recordFor(12, 30, 1, 2))
		if got := kept(); !slices.Equal(got, []uint64{3, 11, 12}) {
			t.Errorf("kept %v after their time", got)
		}
	})
}

// TestAppsThatLagSharePlans lets two apps come back together: both get all, in
// order, and the second one's records are not rendered again.
func TestAppsThatLagSharePlans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hooks := []*hook{w.hook("s1"), w.hook("s2")}
	w.adopt(document(appEntry(faq, hooks[0]), appEntry(agent, hooks[1])))
	var ids []string
	for i := range 300 {
		ids = append(ids, w.say(personIn(i%testPartitions, 0), fmt.Sprint(i, "a"), fmt.Sprint(i, "b"))...)
	}
	for _, h := range hooks {
		h.silence(true)
	}
	n := w.start(func(c *Config, _ *Deps) { c.AppLetters = 64 })
	w.until("both lag", func() bool {
		apps := n.Apps()
		return len(apps) == 2 && apps[0].Unread > 400 && apps[1].Unread > 400
	})
	for _, h := range hooks {
		h.silence(false)
	}
	for _, h := range hooks {
		w.until("all came", func() bool { return len(h.ids()) >= len(ids) })
		wantOrder(t, h, ids)
	}
	w.until("nothing is kept for anybody", func() bool {
		return !slices.ContainsFunc(n.allHolders(), func(h *holder) bool {
			h.plans.mu.Lock()
			defer h.plans.mu.Unlock()
			return len(h.plans.by) > 0
		})
	})
}

// TestAppsThatLagTakeTurns has an app that lags read beside others that wait: it
// leaves its turn to them long before it has caught up, and gets all of it when it
// is its turn again.
func TestAppsThatLagTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("s1")
	w.adopt(document(appEntry(faq, h)))
	h.silence(true)
	// Half of the room is more than a turn: it is not the engine that ends it.
	const sent, room = 4000, 2*catchUpTurn + 400
	n := w.start(func(c *Config, _ *Deps) { c.AppLetters = room })
	if got := w.backlog(sent, 50); got != sent {
		t.Fatalf("%d events in the log", got)
	}
	lag := func() uint64 { return n.Apps()[0].Unread }
	w.until("the app lags", func() bool { return len(n.Apps()) == 1 && lag() >= sent-room })
	another, third := &engine{}, &engine{} // far from it; both have room
	if !n.catchUps.begin(t.Context(), another) {
		t.Fatal("no turn")
	}
	h.silence(false)
	w.until("it waits for a turn", func() bool { return len(n.catchUps.others()) == 1 })
	turn := make(chan uint64)
	go func() {
		n.catchUps.begin(t.Context(), third)
		turn <- lag()
	}()
	w.until("another waits behind it", func() bool { return len(n.catchUps.others()) == 2 })
	before := lag()
	n.catchUps.end()
	// What was left of a record that the engine had no room for counts as a whole one.
	if after := <-turn; after == 0 || after > before-catchUpTurn/2 {
		t.Errorf("it lagged by %d events before its turn and by %d afterwards", before, after)
	}
	n.catchUps.end()
	w.until("it has caught up", func() bool { st := n.Apps()[0]; return st.Unread == 0 && st.Undelivered == 0 })
	if got := len(h.ids()); got < sent {
		t.Errorf("%d events came, want %d", got, sent)
	}
}

// TestAppsThatLagReadTogether: whoever has the turn reads for one that waits near it
// as well, from its own place on.
func TestAppsThatLagReadTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hooks := []*hook{w.hook("s1"), w.hook("s2")}
	w.adopt(document(appEntry(faq, hooks[0]), appEntry(agent, hooks[1])))
	for _, h := range hooks {
		h.silence(true)
	}
	const sent, room = 6000, 1000
	n := w.start(func(c *Config, _ *Deps) { c.AppLetters = room })
	if got := w.backlog(sent, 50); got != sent {
		t.Fatalf("%d events in the log", got)
	}
	w.until("both lag", func() bool {
		apps := n.Apps()
		return len(apps) == 2 && apps[0].Unread >= sent-2*room && apps[1].Unread >= sent-2*room
	})
	if !n.catchUps.begin(t.Context(), &engine{}) {
		t.Fatal("no turn")
	}
	for _, h := range hooks {
		h.silence(false)
	}
	w.until("both wait for a turn", func() bool { return len(n.catchUps.others()) == 2 })
	first, second := n.catchUps.others()[0], n.catchUps.others()[1]
	places := n.lagging(first)
	c := n.convoy(first, places)
	if _, with := c.open[second]; !with {
		t.Errorf("the convoy is of %d engines", len(c.open))
	}
	n.catchUps.end()
	for _, h := range hooks {
		w.until("all came", func() bool { return len(h.ids()) >= sent })
	}
}
