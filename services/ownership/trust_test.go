package ownership

import (
	"errors"
	"iter"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded/embeddedtest"
	"github.com/baton-router/baton/pkg/eventlog"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/repair"
)

// among is a world whose role is one of several nodes, and its server.
func among(t *testing.T, change ...func(*world)) (*world, *embeddedtest.Server) {
	t.Helper()
	s := embeddedtest.Start(t)
	w := worldOn(t, s.Dial())
	several(w)
	for _, c := range change {
		c(w)
	}
	w.start()
	w.held()
	return w, s
}

// appended waits until the log of partition 0 ends with what has just arrived.
func (w *world) appended() {
	w.t.Helper()
	w.consumed(0, w.arrive(w.message(person(0, 0))))
}

// TestALogThatLosesItsTailWhileItIsHeldHalts: the server comes again with an older
// log, and the holder, which has nothing to do, hears of it. The others go on. The
// repair writes what was lost again.
func TestALogThatLosesItsTailWhileItIsHeldHalts(t *testing.T) {
	t.Parallel()
	w, s := among(t)
	w.appended()
	s.Keep(bus.StreamLog)
	w.appended()
	w.appended()
	end, position := w.logEnd(0), w.svc.Statuses()[0].Position
	s.Lose(bus.StreamLog)
	w.halts("the log ends at")
	if st := w.svc.Statuses()[0]; st.Damage != DamageShort {
		t.Errorf("%+v", st)
	}
	if got := w.svc.Unable(); len(got) != 1 || got[0] != 0 {
		t.Errorf("unable to hold %v", got)
	}
	steps, err := w.svc.Repair(t.Context(), 0, RepairOptions{Begin: func(Step) error { return nil }, Input: w.conn})
	if err != nil || len(steps) != 2 || steps[0].Way != wayRestore {
		t.Fatalf("%+v %v", steps, err)
	}
	w.held()
	w.appended()
	if st := w.svc.Statuses()[0]; st.Position <= position || w.logEnd(0) <= end {
		t.Errorf("%+v; the log ends at %d, it had %d", st, w.logEnd(0), end)
	}
	w.check()
}

// TestAHolderWritesNoSecondHistory: while the holder is idle, the log loses its
// end and another node, which has never read it, writes as much again. The number
// that the holder expects is there, and the record is another one.
func TestAHolderWritesNoSecondHistory(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]func(*commandv1.Request) *commandv1.Request{
		"a record": takeRequest, "an answer that logs nothing": show,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := among(t, func(w *world) { w.cfg.AuditEvery = time.Hour })
			w.appended()
			s.Keep(bus.StreamLog)
			w.appended()
			end := w.logEnd(0)
			s.Lose(bus.StreamLog)
			if at := w.foreign(nil); at != end {
				t.Fatalf("the log ends at %d, it ended at %d", at, end)
			}
			if st := w.svc.Statuses()[0]; st.Halted != "" || !st.Held {
				t.Fatalf("it has noticed by itself: %+v", st)
			}
			none := unanswered(t)
			data, err := proto.Marshal(request(w.request(agent, person(0, 0))))
			if err != nil {
				t.Fatal(err)
			}
			w.svc.holders[0].accept(bus.NewCommandCall(data, none))
			w.halts("has hash")
			if st := w.svc.Statuses()[0]; st.Damage != DamageFork || w.logEnd(0) != end {
				t.Errorf("%+v; the log ends at %d", st, w.logEnd(0))
			}
			w.repairFork()
			w.appended()
			w.check()
		})
	}
}

// unanswered fails the test when anything is answered.
type silence struct{ t *testing.T }

func unanswered(t *testing.T) silence { t.Helper(); return silence{t} }

// Respond implements the answer of a command.
func (s silence) Respond(data []byte) error {
	s.t.Errorf("answered %x", data)
	return nil
}

// repairFork gives up what only the store has.
func (w *world) repairFork() {
	w.t.Helper()
	exported := 0
	o := RepairOptions{
		Begin: func(Step) error { return nil }, Input: w.conn,
		Export: func(_ int, records iter.Seq[[]byte]) (string, error) {
			for range records {
				exported++
			}
			return "there", nil
		},
	}
	_, err := w.svc.Repair(w.t.Context(), 0, o)
	loss, would := errors.AsType[*repair.WouldLoseError](err)
	if !would {
		w.t.Fatal(err)
	}
	o.Accept, o.At = true, loss.Position
	if steps, err := w.svc.Repair(w.t.Context(), 0, o); err != nil || exported == 0 {
		w.t.Fatalf("%+v %v, %d exported", steps, err, exported)
	}
	w.held()
}

// TestAStandbyHaltsToo: it waits behind an end that is gone.
func TestAStandbyHaltsToo(t *testing.T) {
	t.Parallel()
	a, s := among(t)
	a.appended()
	s.Keep(bus.StreamLog)
	b := a.second()
	a.until("it is held", func() bool { return a.svc.Epoch(0) > 0 })
	a.appended()
	end := a.logEnd(0)
	b.until("the standby follows", func() bool { return b.svc.holders[0].part.Applied().Sequence == end })
	s.Lose(bus.StreamLog)
	a.halts("the log ends at")
	b.halts("the log ends at")
}

// TestAPartitionThatHasLostNothingGoesOn: its records take numbers behind which the
// standby's reader waits. The first that it sees does not follow what it has.
func TestAPartitionThatHasLostNothingGoesOn(t *testing.T) {
	t.Parallel()
	a, s := among(t, func(w *world) { w.cfg.AuditEvery = time.Hour })
	b := a.second()
	a.held()
	for p := range 2 {
		a.consumed(p, a.arrive(a.message(person(p, 0))))
	}
	s.Keep(bus.StreamLog)
	a.appended()
	a.appended()
	end := a.logEnd(0)
	b.until("the standby follows", func() bool { return b.svc.holders[0].part.Applied().Sequence == end })
	s.Lose(bus.StreamLog)
	for a.logEnd(1) <= end {
		a.consumed(1, a.arrive(a.message(person(1, 0))))
	}
	b.until("the standby has what it had passed over", func() bool {
		if st := b.svc.Statuses()[1]; st.Halted != "" {
			t.Fatalf("halted: %+v", st)
		}
		return b.svc.holders[1].part.Applied().Sequence == a.logEnd(1)
	})
}

// ahead is a holder, its standby, and a server that can lose the log's end: records of
// partition 0, more than holders write that look for what is lost.
func ahead(t *testing.T) (a, b *world, s *embeddedtest.Server) {
	t.Helper()
	a, s = among(t)
	b = a.second()
	a.held()
	for p := range 2 {
		a.consumed(p, a.arrive(a.message(person(p, 0))))
	}
	s.Keep(bus.StreamLog)
	for range 50 {
		a.appended()
	}
	end := a.logEnd(0)
	b.until("the standby follows", func() bool { return b.svc.holders[0].part.Applied().Sequence == end })
	return a, b, s
}

// TestTheStandbysReaderBeginsAgainAfterALoss: nothing comes behind the end that is
// gone, and what is before it is not waited for in vain.
func TestTheStandbysReaderBeginsAgainAfterALoss(t *testing.T) {
	t.Parallel()
	a, b, s := ahead(t)
	end := a.logEnd(0)
	s.Lose(bus.StreamLog)
	a.consumed(1, a.arrive(a.message(person(1, 0))))
	if at := a.logEnd(1); at >= end {
		t.Fatalf("the log ends at %d, it had %d", at, end)
	}
	b.halts("the log ends at")
	b.until("the standby has what came before", func() bool { return b.svc.holders[1].part.Applied().Sequence == a.logEnd(1) })
}

// TestAStandbyThatStartsAfterALossReadsWhatComes: where the partition stands that has
// lost its end is no place to read from.
func TestAStandbyThatStartsAfterALossReadsWhatComes(t *testing.T) {
	t.Parallel()
	a, b, s := ahead(t)
	end := a.logEnd(0)
	b.stop()
	s.Lose(bus.StreamLog)
	b.start()
	b.halts("the log ends at")
	b.until("the standby reads", func() bool { return b.svc.near.Load() })
	a.consumed(1, a.arrive(a.message(person(1, 0))))
	if at := a.logEnd(1); at >= end {
		t.Fatalf("the log ends at %d, it had %d", at, end)
	}
	b.until("the standby has what came", func() bool { return b.svc.holders[1].part.Applied().Sequence == a.logEnd(1) })
}

// TestARecordOfALowerEpochMayBeAnotherHistory: the log has lost a claim, and who
// held the partition before has written on. Its records are skipped by those only
// who find the claim in the log.
func TestARecordOfALowerEpochMayBeAnotherHistory(t *testing.T) {
	t.Parallel()
	w, s := among(t, func(w *world) { w.cfg.AuditEvery = time.Hour })
	w.appended()
	s.Keep(bus.StreamLog)
	w.appended()
	before := w.records(0)
	head := before[len(before)-2]
	w.foreign(nil)
	w.until("it has claimed again", func() bool { return w.svc.Epoch(0) == 3 })
	w.stop()
	applied := w.logEnd(0)
	s.Lose(bus.StreamLog)
	later := eventlog.Record{
		Epoch: head.Epoch, First: head.Last() + 1, DecidedAt: head.DecidedAt, RosterVersion: head.RosterVersion, Input: head.Input,
		BatonID: head.BatonID, Prev: head.Hash,
	}
	for at := w.logEnd(0); at <= applied+1; later.Prev = later.Hash {
		var err error
		if at, err = w.conn.AppendLog(t.Context(), 0, eventlog.Encode(&later), at); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	w.halts("has hash")
	if st := w.svc.Statuses()[0]; st.Damage != DamageFork {
		t.Errorf("%+v", st)
	}
}
