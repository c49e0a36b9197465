package ownership

import (
	"slices"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/store"
)

// expirations are the lapses in the log of partition 0.
func (w *world) expirations() (all []control.Expired) {
	for _, e := range w.events(0) {
		if x, ok := e.(control.Expired); ok {
			all = append(all, x)
		}
	}
	return all
}

// lapses waits for n lapses on partition 0.
func (w *world) lapses(n int) []control.Expired {
	w.t.Helper()
	w.until("control has lapsed", func() bool { return len(w.expirations()) >= n })
	return w.expirations()
}

func TestControlLapsesAtItsDeterministicTime(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	until := control.Millis(w.shown(person(0, 0)).GetExpiresAtMs())
	w.clock.advance(24*time.Hour + 17*time.Minute)
	if x := w.lapses(1)[0]; x.At != until {
		t.Errorf("lapsed at %d, the deadline was %d", x.At, until)
	}
	if owner := w.shown(person(0, 0)).GetOwner(); owner != 0 {
		t.Errorf("owner %d", owner)
	}
	w.check()
}

func TestSimulatorClockJumps(t *testing.T) {
	t.Parallel()
	w := started(t)
	for n := range 300 { // more than are looked up at once
		w.arrive(w.message(person(0, n)))
	}
	w.consumed(0, w.arrive(w.message(person(0, 300))))
	w.clock.jump(24 * time.Hour)
	w.lapses(301)
	w.check()
}

func TestActivityMovesNoRow(t *testing.T) {
	t.Parallel()
	w := started(t)
	part := w.svc.holders[0].part
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	first, err := part.Timers(maxInstant, 0)
	if err != nil || len(first) != 1 {
		t.Fatalf("timers %v, %v", first, err)
	}
	w.clock.advance(10 * time.Hour)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	if now, _ := part.Timers(maxInstant, 0); len(now) != 1 || now[0] != first[0] {
		t.Errorf("timers %v after activity, were %v", now, first)
	}
	// The row comes due early and is re-armed; nothing lapses.
	w.clock.advance(14*time.Hour + time.Minute)
	w.until("the row is re-armed", func() bool {
		now, _ := part.Timers(maxInstant, 0)
		return len(now) == 1 && now[0].Due == first[0].Due+10*control.Hour
	})
	if n := len(w.expirations()); n != 0 {
		t.Errorf("%d lapses", n)
	}
	w.clock.advance(10 * time.Hour)
	w.lapses(1)
}

func TestTimersSurviveRestart(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.stop()
	w.clock.advance(25 * time.Hour)
	w.start()
	w.held()
	w.lapses(1)
	w.check()
}

// TestRowsBesideTheThreads: what a start finds is one row for each thread, due
// when the thread is or earlier. One that is early, or more than one, becomes one
// at the right time; nothing lapses before it, and nothing is missed.
func TestRowsBesideTheThreads(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0)), w.message(person(0, 1))))
	w.clock.advance(10 * time.Hour)
	w.consumed(0, w.arrive(w.message(person(0, 0)), w.message(person(0, 1)))) // moves no row
	until := control.Millis(w.shown(person(0, 0)).GetExpiresAtMs())
	err := w.svc.holders[0].part.Rearm(
		store.Move{Thread: thread(person(0, 0)), Due: until - 3*control.Hour},
		store.Move{Thread: thread(person(0, 1)), Due: until + control.Hour}, // it is dropped, or decides nothing
		store.Move{Thread: thread(person(0, 2)), Due: until - 2*control.Hour},
	)
	if err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.start()
	w.held()
	part := w.svc.holders[0].part
	w.clock.advance(22 * time.Hour) // two hours before the deadline
	w.until("the early rows are moved", func() bool {
		now, _ := part.Timers(maxInstant, 0)
		return len(now) == 3 && now[0].Due >= until
	})
	if n := len(w.expirations()); n != 0 {
		t.Errorf("%d lapses before the deadline", n)
	}
	w.clock.advance(2*time.Hour + time.Minute)
	for _, x := range w.lapses(2) {
		if x.At < until {
			t.Errorf("lapsed at %d, the deadline was %d", x.At, until)
		}
	}
	w.clock.advance(2 * time.Hour)
	w.until("no row is left", func() bool {
		now, err := part.Timers(maxInstant, 0)
		return err == nil && len(now) == 0
	})
	if n := len(w.expirations()); n != 2 {
		t.Errorf("%d lapses", n)
	}
	w.check()
}

func TestInputComesBeforeTimers(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0)), w.message(person(0, 1))))
	until := control.Millis(w.shown(person(0, 0)).GetExpiresAtMs())
	open := w.input.close()
	// Written a minute before the deadline, read a minute after it.
	in := w.message(person(0, 0))
	in.TimestampMs = int64(until - control.Minute)
	late := w.message(person(0, 1))
	late.TimestampMs = int64(until + control.Second)
	seq := w.arrive(in, late)
	w.clock.advance(24*time.Hour + time.Minute)
	w.until("the timers are found due", func() bool { return w.svc.holders[0].status().Held })
	w.ask(show(w.request(0, person(0, 2)))) // two whole steps have passed
	w.ask(show(w.request(0, person(0, 2))))
	if n := len(w.expirations()); n != 0 {
		t.Fatalf("%d lapses before the input was read", n)
	}
	open()
	w.consumed(0, seq)
	w.lapses(1)
	if owner := w.shown(person(0, 0)).GetOwner(); owner != uint64(bot) {
		t.Errorf("the person wrote in time, owner %d", owner)
	}
	var order []string
	for _, e := range w.events(0)[3:] {
		order = append(order, control.Name(e))
	}
	// The late one lapses first and is then a message on an idle thread.
	if x := w.expirations(); len(x) != 1 || x[0].At != until {
		t.Errorf("lapses %v, events %v", x, order)
	}
	if got := w.shown(person(0, 1)); got.GetOwner() != uint64(bot) || got.GetRevision() != 3 {
		t.Errorf("the late writer's thread is %v", got)
	}
	w.check()
}

// TestWhatHasComeDueSinceHasItsOwnInputToWaitFor: a row that was found due early
// waits for input, and meanwhile the thread's deadline passes, before which its
// person wrote again.
func TestWhatHasComeDueSinceHasItsOwnInputToWaitFor(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.clock.advance(10 * time.Hour)
	w.consumed(0, w.arrive(w.message(person(0, 0)))) // moves the deadline, not the row
	until := control.Millis(w.shown(person(0, 0)).GetExpiresAtMs())
	open := w.input.close()
	before := w.arrive(w.message(person(0, 1)))
	w.clock.advance(15 * time.Hour)
	w.ask(show(w.request(0, person(0, 2)))) // two whole steps have passed
	w.ask(show(w.request(0, person(0, 2))))
	in := w.message(person(0, 0))
	in.TimestampMs = int64(until - control.Minute)
	after := w.arrive(in)
	w.clock.advance(10 * time.Hour)
	w.ask(show(w.request(0, person(0, 2)))) // the step that began before is over
	rest := w.input.closeAfter(before)
	open()
	w.consumed(0, before)
	w.ask(show(w.request(0, person(0, 2))))
	if n := len(w.expirations()); n != 0 {
		t.Errorf("%d lapses before the input was read", n)
	}
	rest()
	w.consumed(0, after)
	w.clock.advance(24 * time.Hour)
	w.lapses(1)
	w.check()
}

func TestWallClockThatStepsStopsTimersOnly(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.clock.stepWall(10)
	w.clock.advance(25 * time.Hour)
	w.ask(show(w.request(0, person(0, 2)))) // the step that began before the day is over
	w.take(agent, person(0, 1))             // commands go on
	w.until("the timers are stopped", func() bool {
		w.consumed(0, w.arrive(w.message(person(0, 1))))
		return w.svc.Statuses()[0].TimersStopped
	})
	if n := len(w.expirations()); n != 0 {
		t.Errorf("%d lapses on a doubtful clock", n)
	}
	w.restart() // a new claim trusts the wall clock
	w.lapses(1)
}

func TestClockApartFromTheTimeOfNATSStopsTimers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	apart := func(by time.Duration) {
		w.log.inject(func(l *faultyLog) {
			l.last = func(m bus.Message) bus.Message { m.At = w.clock.Now().Add(by); return m }
		})
	}
	apart(-6 * time.Second)
	w.start()
	w.held()
	w.until("the timers are stopped", func() bool {
		return !slices.ContainsFunc(w.svc.Statuses(), func(st Status) bool { return !st.TimersStopped })
	})
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.clock.jump(25 * time.Hour)
	w.consumed(0, w.arrive(w.message(person(0, 1))))
	if n := len(w.expirations()); n != 0 {
		t.Errorf("%d lapses on a doubtful clock", n)
	}
	apart(4 * time.Second)
	w.clock.advance(2 * time.Second)
	w.consumed(0, w.arrive(w.message(person(0, 2))))
	w.lapses(1)
	if w.svc.Statuses()[0].TimersStopped {
		t.Error("the clocks agree and timers are stopped")
	}
}

func TestDecisionsHaveTheTimeAtWhichTheyCame(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	// The holder waits meanwhile; its clock goes on without waking it.
	w.clock.mu.Lock()
	w.clock.now = w.clock.now.Add(40 * time.Second)
	w.clock.mu.Unlock()
	w.pass(bot, agent, person(0, 0))
	if since := control.Millis(w.shown(person(0, 0)).GetSinceMs()); since != w.clock.millis() {
		t.Errorf("passed at %d, it is %d", since, w.clock.millis())
	}
}

func TestThreadOfAPageThatComesBackStillLapses(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.rosters.set(2, `platform: {graph_url: simulator, app_id: "700000000009999"}`)
	w.until("the roster is in force", func() bool { return len(w.svc.RosterApplied(2)) == 0 })
	w.clock.advance(25 * time.Hour)
	w.until("the row is put off", func() bool {
		rows, _ := w.svc.holders[0].part.Timers(maxInstant, 0)
		return len(rows) == 1 && rows[0].Due > w.clock.millis()
	})
	w.rosters.set(3, connectAll)
	w.clock.advance(2 * time.Hour)
	w.lapses(1)
	w.check()
}
