package ownership

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/repair"
)

// notes are what a repair told of itself.
type notes struct {
	begun    []string
	exported [][]byte
}

// repair repairs partition 0.
func (w *world) repair(change func(*RepairOptions)) (notes, []Step, error) {
	w.t.Helper()
	var n notes
	o := RepairOptions{
		Begin: func(s Step) error { n.begun = append(n.begun, s.Way); return nil },
		Export: func(_ int, records iter.Seq[[]byte]) (string, error) {
			for raw := range records {
				n.exported = append(n.exported, slices.Clone(raw))
			}
			return "file", nil
		},
		Input: w.conn,
	}
	if change != nil {
		change(&o)
	}
	steps, err := w.svc.Repair(w.t.Context(), 0, o)
	return n, steps, err
}

func ways(steps []Step) (list []string) {
	for _, s := range steps {
		list = append(list, s.Way)
	}
	return list
}

// shortened is a world whose streams have lost the last records of partition 0,
// all of which its store has.
func shortened(t *testing.T, lost int) (w *world, all []eventlog.Record) {
	t.Helper()
	full := started(t, func(w *world) { w.cfg.Partitions = 1 })
	for n := range 4 {
		full.consumed(0, full.arrive(full.message(person(0, n))))
	}
	full.stop()
	all = full.records(0)
	w = newWorld(t)
	w.cfg.Partitions, w.cfg.BatonID, w.dir = 1, full.cfg.BatonID, full.dir
	for range 4 { // the input is all there
		w.arrive(w.message(person(0, 0)))
	}
	last := uint64(0)
	for i := range all[:len(all)-lost] {
		seq, err := w.conn.AppendLog(t.Context(), 0, eventlog.Encode(&all[i]), last)
		if err != nil {
			t.Fatal(err)
		}
		last = seq
	}
	return w, all
}

// TestALogThatLostItsTailGetsItBackFromTheStore: nothing is lost, and the log
// has the very same records.
func TestALogThatLostItsTailGetsItBackFromTheStore(t *testing.T) {
	t.Parallel()
	for _, lost := range []int{1, 3} {
		w, all := shortened(t, lost)
		w.start()
		w.halts("the log ends at")
		dry, steps, err := w.repair(func(o *RepairOptions) { o.DryRun = true })
		if want := []string{wayRestore, wayRebuild}; err != nil || len(dry.begun) != 0 || !cmp.Equal(ways(steps), want) {
			t.Fatalf("dry run: %v %v %v", dry, steps, err)
		}
		if st := w.svc.Statuses()[0]; st.Halted == "" || len(w.records(0)) != len(all)-lost {
			t.Fatalf("the dry run did something: %+v", st)
		}
		told, steps, err := w.repair(nil)
		if err != nil || !cmp.Equal(told.begun, []string{wayRestore, wayRebuild}) || !cmp.Equal(ways(steps), told.begun) {
			t.Fatalf("%v %v %v", told, steps, err)
		}
		w.held()
		now := w.records(0)
		for i := range all {
			if now[i].Hash != all[i].Hash {
				t.Errorf("record %d is another", i)
			}
		}
		w.consumed(0, w.arrive(w.message(person(0, 9))))
		w.checkStore()
		if _, _, err := w.repair(nil); !errors.Is(err, repair.ErrNotHalted) {
			t.Errorf("once more: %v", err)
		}
	}
}

// TestALostTailIsAcceptedOnlyAtItsPosition and what is lost is exported first.
func TestALostTailIsAcceptedOnlyAtItsPosition(t *testing.T) {
	t.Parallel()
	w, all := shortened(t, 2)
	end := all[len(all)-3].Last()
	w.start()
	w.halts("the log ends at")
	if _, _, err := w.repair(func(o *RepairOptions) { o.Accept, o.At = true, end+1 }); !errors.Is(err, repair.ErrWrongPosition) {
		t.Fatalf("another position: %v", err)
	}
	told, _, err := w.repair(func(o *RepairOptions) { o.Accept, o.At = true, end })
	if err != nil || !cmp.Equal(told.begun, []string{wayExport, wayRebuild}) || len(told.exported) != 2 {
		t.Fatalf("%v %v, %d exported", told.begun, err, len(told.exported))
	}
	for i, raw := range told.exported {
		if rec, err := eventlog.Decode(raw); err != nil || rec.Hash != all[len(all)-2+i].Hash {
			t.Errorf("export %d: %v", i, err)
		}
	}
	w.held()
	w.checkStore()
}

// TestAForkIsRepairedOnlyWithALoss: the log went on without what the store has.
func TestAForkIsRepairedOnlyWithALoss(t *testing.T) {
	t.Parallel()
	w, all := shortened(t, 2)
	for range 3 {
		w.foreign(func(r *eventlog.Record) { r.Group[1]++ })
	}
	w.start()
	w.until("it is halted", func() bool { return w.svc.Statuses()[0].Halted != "" })
	_, _, err := w.repair(nil)
	loss, would := errors.AsType[*repair.WouldLoseError](err)
	if !would || loss.Position != all[len(all)-3].Last() || !strings.Contains(err.Error(), "2 records") {
		t.Fatalf("%v", err)
	}
	told, _, err := w.repair(func(o *RepairOptions) { o.Accept, o.At = true, loss.Position })
	if err != nil || len(told.exported) != 2 {
		t.Fatalf("%v, %d exported", err, len(told.exported))
	}
	w.held()
	w.checkStore()
}

// TestNothingIsDoneThatIsNotWrittenDown before.
func TestNothingIsDoneThatIsNotWrittenDown(t *testing.T) {
	t.Parallel()
	w, all := shortened(t, 1)
	w.start()
	w.halts("the log ends at")
	full := errors.New("disk full")
	if _, _, err := w.repair(func(o *RepairOptions) { o.Begin = func(Step) error { return full } }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	if len(w.records(0)) != len(all)-1 || w.svc.Statuses()[0].Halted == "" {
		t.Error("it was repaired nevertheless")
	}
}

// TestADamagedRecordIsNotRepairedHere: neither is one of a newer version.
func TestADamagedRecordIsNotRepairedHere(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.stop()
	if _, err := w.conn.AppendLog(t.Context(), 0, []byte("junk"), w.logEnd(0)); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.halts("damaged")
	if _, _, err := w.repair(nil); !errors.Is(err, repair.ErrNoRepair) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("%v", err)
	}
}

// TestLostInputIsFilledUp: what comes then is decided, and what came meanwhile in
// the place of decided input too.
func TestLostInputIsFilledUp(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.stop()
	w.foreign(func(r *eventlog.Record) { r.Input = 10 })
	inPlace := w.arrive(w.message(person(0, 3)))
	w.start()
	w.halts("the inbound stream ends at")
	_, _, err := w.repair(nil)
	loss, would := errors.AsType[*repair.WouldLoseError](err)
	if !would {
		t.Fatal(err)
	}
	told, _, err := w.repair(func(o *RepairOptions) { o.Accept, o.At = true, loss.Position })
	if err != nil || !cmp.Equal(told.begun, []string{wayRefill}) {
		t.Fatalf("%v %v", told.begun, err)
	}
	w.held()
	last := w.arrive(w.message(person(0, 4)))
	w.consumed(0, last)
	if inPlace > 10 || last <= 11 {
		t.Fatalf("nothing was tested: %d, %d", inPlace, last)
	}
	for n := 3; n <= 4; n++ {
		if owner := w.shown(person(0, n)).GetOwner(); owner != uint64(bot) {
			t.Errorf("person %d: owner %d", n, owner)
		}
	}
	w.restart()
}

// TestATopicAheadIsLoweredWhenAccepted: then new changes are published again.
func TestATopicAheadIsLoweredWhenAccepted(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.busy()
	w.check()
	w.stop()
	w.raiseTopic(1 << 20)
	w.start()
	w.halts("the control topic has position")
	_, _, err := w.repair(nil)
	loss, would := errors.AsType[*repair.WouldLoseError](err)
	if !would {
		t.Fatal(err)
	}
	told, _, err := w.repair(func(o *RepairOptions) { o.Accept, o.At = true, loss.Position })
	if err != nil || !cmp.Equal(told.begun, []string{wayTopic}) {
		t.Fatalf("%v %v", told.begun, err)
	}
	w.held()
	w.release(person(0, 0))
	w.check()
}

// checkStore compares the store of partition 0 with the fold of its log.
func (w *world) checkStore() {
	w.t.Helper()
	w.until("everything is applied", func() bool {
		return w.svc.holders[0].part.Applied().Sequence == w.logEnd(0)
	})
	fold := new(eventlog.Partition)
	for _, rec := range w.records(0) {
		if err := fold.Apply(&rec); err != nil {
			w.t.Fatal(err)
		}
	}
	if digest, err := w.svc.holders[0].part.Digest(); err != nil || digest != fold.Digest() {
		w.t.Errorf("the store's digest differs from the fold of the log (%v)", err)
	}
}
