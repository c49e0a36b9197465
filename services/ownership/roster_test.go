package ownership

import (
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/partition"
)

func TestRosterIsLoggedByEveryPartition(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.until("version 1 is in force", func() bool { return len(w.svc.RosterApplied(1)) == 0 })
	if missing := w.svc.RosterApplied(2); len(missing) != partitions {
		t.Errorf("version 2 is missing on %v", missing)
	}
	w.rosters.set(2, withoutBot())
	w.until("version 2 is in force", func() bool { return len(w.svc.RosterApplied(2)) == 0 })
	home := partition.Of(control.ThreadKey{Asset: pageID}, partitions)
	for p := range partitions {
		var versions []uint64
		roles := 0
		for _, rec := range w.records(p) {
			for _, e := range rec.Entries {
				switch e := e.Event.(type) {
				case control.RosterApplied:
					versions = append(versions, e.Version)
					if rec.RosterVersion != e.Version {
						t.Errorf("a record of roster %d logs version %d", rec.RosterVersion, e.Version)
					}
				case control.RoleChanged:
					roles++
				default:
				}
			}
		}
		if len(versions) != 2 || versions[0] != 1 || versions[1] != 2 {
			t.Errorf("partition %d logged the versions %v", p, versions)
		}
		if want := p == home; (roles > 0) != want {
			t.Errorf("partition %d logged %d role changes, home is %d", p, roles, home)
		}
	}
	w.check()
	// A restart under the same roster logs nothing.
	w.restart()
	w.ask(show(w.request(0, person(0, 0))))
	if n := count[control.RosterApplied](w, 0); n != 2 {
		t.Errorf("%d times after a restart", n)
	}
}

func TestHaltedPartitionIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.stop()
	w.foreign(nil)
	if _, err := w.conn.AppendLog(t.Context(), 0, []byte("junk"), w.logEnd(0)); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.halts("last record")
	w.until("the others have it", func() bool {
		held := 0
		for _, st := range w.svc.Statuses() {
			if st.Held {
				held++
			}
		}
		return held == partitions-1 && len(w.svc.RosterApplied(1)) == 0
	})
}

// owning gives the bot n threads of partition 0.
func (w *world) owning(n int) {
	w.t.Helper()
	var seq uint64
	for from := 0; from < n; from += 200 {
		var events []*inboundv1.Event
		for i := from; i < min(from+200, n); i++ {
			events = append(events, w.message(person(0, i)))
		}
		seq = w.arrive(events...)
	}
	w.consumed(0, seq)
}

func TestAppThatGoesAwayIsSweptInSeveralRecords(t *testing.T) {
	t.Parallel()
	const threads = 1500
	w := started(t)
	w.owning(threads)
	w.rosters.set(2, withoutBot())
	w.until("the sweep is done", func() bool { return w.seen.get(func(s *seen) int { return s.owned[bot] }) == 0 })
	if n := count[control.Released](w, 0); n != threads {
		t.Errorf("%d threads released, want %d", n, threads)
	}
	for _, rec := range w.records(0) {
		released := 0
		for _, e := range rec.Entries {
			if _, ok := e.Event.(control.Released); ok {
				released++
			}
		}
		if released > sweepBatch {
			t.Errorf("a record releases %d threads", released)
		}
	}
	w.check()
}

func TestSweepIsInterleavedAndOrderDoesNotShow(t *testing.T) {
	t.Parallel()
	const threads = 1200
	w := started(t)
	w.owning(threads)
	// Traffic waits all the time while the sweep goes on.
	reached, resume := make(chan struct{}, 1), make(chan struct{})
	w.seen.at(func(p Point, partition int) {
		if p == PointRecordSend && partition == 0 {
			select {
			case reached <- struct{}{}:
				<-resume
			default:
			}
		}
	})
	w.rosters.set(2, withoutBot())
	<-reached
	var answers []<-chan *commandv1.Response
	for n := range 40 {
		answers = append(answers, w.asking(takeRequest(w.request(agent, person(0, threads-1-n)))))
	}
	last := person(0, threads-50)
	seq := w.arrive(w.message(last))
	w.seen.at(nil)
	close(resume)
	for _, a := range answers {
		if r := <-a; r.GetStatus() != statusOK || r.GetThread().GetOwner() != uint64(agent) {
			t.Fatalf("a take on a thread that waits for the sweep: %v", r)
		}
	}
	w.consumed(0, seq)
	w.until("the sweep is done", func() bool { return w.seen.get(func(s *seen) int { return s.owned[bot] }) == 0 })
	if got := w.shown(last); got.GetOwner() != uint64(agent) {
		t.Errorf("owner %d, the new primary is %d", got.GetOwner(), agent)
	}
	if n := count[control.Released](w, 0); n != threads {
		t.Errorf("%d threads released, want %d", n, threads)
	}
	w.check()
}

func TestSweepShare(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.owning(900)
	w.stop()
	h := w.svc.holders[0]
	h.sweepTurn = 0
	swept := 0
	for range 8 {
		h.sweeping = make([]control.ThreadKey, 10)
		s := h.newStep()
		s.add(eventlog.Entry{Event: control.RosterApplied{}}, control.State{}) // traffic
		for range 5 {                                                          // rounds of one step
			if h.decideSweep(s) {
				swept++
			}
		}
	}
	if swept != 2 {
		t.Errorf("%d of 8 records with traffic held a share of the sweep, want 2", swept)
	}
	h.sweeping = make([]control.ThreadKey, 10)
	s := h.newStep()
	if !h.decideSweep(s) {
		t.Error("without traffic the sweep waits")
	}
}

func TestSweepIsResumedAfterRestart(t *testing.T) {
	t.Parallel()
	const threads = 1000
	w := started(t)
	w.owning(threads)
	reached := make(chan struct{})
	released := 0
	w.log.inject(func(l *faultyLog) {
		l.append = func(p int, data []byte, expected uint64) (uint64, error) {
			if p == 0 {
				if released++; released == 3 { // the roster and a share are in the log
					close(reached)
				}
				if released >= 3 {
					return 0, errDeposed
				}
			}
			return w.conn.AppendLog(t.Context(), p, data, expected)
		}
	})
	w.rosters.set(2, withoutBot())
	<-reached
	w.stop()
	if n := count[control.Released](w, 0); n == 0 || n == threads {
		t.Fatalf("%d threads released before the restart", n)
	}
	w.log.inject(func(l *faultyLog) { l.append = nil })
	w.start()
	w.held()
	w.until("the sweep is done", func() bool { return count[control.Released](w, 0) == threads })
	w.check()
}

// A sweep is no timer: what is due is left to the timers, which wait for input.
func TestSweepDoesNotComeBeforeInput(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	until := control.Millis(w.shown(person(0, 0)).GetExpiresAtMs())
	open := w.input.close()
	in := w.message(person(0, 0))
	in.TimestampMs = int64(until - control.Minute)
	seq := w.arrive(in)
	w.clock.advance(24*time.Hour + time.Minute)
	w.ask(show(w.request(0, person(0, 2))))
	w.rosters.set(2, withoutBot())
	w.until("the roster is in force", func() bool { return len(w.svc.RosterApplied(2)) == 0 })
	w.ask(show(w.request(0, person(0, 2)))) // whole steps have passed
	w.ask(show(w.request(0, person(0, 2))))
	if n := len(w.expirations()); n != 0 {
		t.Fatalf("%d lapses before the input was read", n)
	}
	open()
	w.consumed(0, seq)
	w.until("control is released", func() bool { return w.shown(person(0, 0)).GetOwner() != uint64(bot) })
	if x := w.expirations(); len(x) != 0 {
		t.Errorf("the person wrote in time, and control has lapsed: %v", x)
	}
	w.check()
}
