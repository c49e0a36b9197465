package ownership

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// busy gives a world some history on every partition.
func (w *world) busy() {
	w.t.Helper()
	for p := range partitions {
		for n := range 3 {
			seq := w.arrive(w.message(person(p, n)))
			w.consumed(p, seq)
		}
		w.pass(bot, agent, person(p, 0))
		w.take(bot, person(p, 0))
		w.release(person(p, 1))
	}
}

func TestEpochGrowsWithEachClaim(t *testing.T) {
	t.Parallel()
	w := started(t)
	for want := uint64(1); want <= 3; want++ {
		for _, st := range w.svc.Statuses() {
			if st.Epoch != want {
				t.Errorf("partition %d has epoch %d, want %d", st.Partition, st.Epoch, want)
			}
		}
		w.restart()
	}
	first := w.records(0)[0]
	if !first.Claim || first.Epoch != 1 || first.Holder != "test" || first.BatonID != w.identity.BatonID {
		t.Errorf("the log begins with %+v", first)
	}
}

func TestStateSurvivesRestart(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.busy()
	w.check()
	before := w.shown(person(1, 0))
	w.restart()
	if after := w.shown(person(1, 0)); after.GetOwner() != uint64(bot) || after.GetRevision() != before.GetRevision() {
		t.Errorf("after a restart the thread is %v, was %v", after, before)
	}
	w.check()
}

func TestEmptyStoreCatchesUpFromTheLog(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.busy()
	w.stop()
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.held()
	if owner := w.shown(person(2, 0)).GetOwner(); owner != uint64(bot) {
		t.Errorf("owner %d after a rebuild", owner)
	}
	w.check()
	if got := w.seen.get(func(s *seen) int { return s.owned[bot] }); got != 2*partitions {
		t.Errorf("bot is counted for %d threads, has %d", got, 2*partitions)
	}
}

// foreign appends a record of another holder to partition 0.
func (w *world) foreign(change func(*eventlog.Record)) uint64 {
	w.t.Helper()
	last, err := w.conn.LastLog(w.t.Context(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	before, err := eventlog.Decode(last.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	rec := eventlog.Record{
		Partition: before.Partition, Epoch: before.Epoch + 1, Claim: true, Holder: "other", First: before.Last() + 1,
		DecidedAt: before.DecidedAt, RosterVersion: before.RosterVersion, Input: before.Input, BatonID: before.BatonID, Prev: before.Hash,
	}
	rec.Group[0] = 77
	if change != nil {
		change(&rec)
	}
	seq, err := w.conn.AppendLog(w.t.Context(), 0, eventlog.Encode(&rec), last.Sequence)
	if err != nil {
		w.t.Fatal(err)
	}
	return seq
}

func (w *world) logEnd(p int) uint64 {
	w.t.Helper()
	m, err := w.conn.LastLog(w.t.Context(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	return m.Sequence
}

func TestContradictionsHaltThePartition(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*world)
		why   string
	}{
		"the store of another installation": {func(w *world) { w.cfg.BatonID[0] ^= 1 }, "the store belongs to installation"},
		"input beyond the stream": {func(w *world) {
			w.foreign(func(r *eventlog.Record) { r.Input = 1 << 40 })
		}, "the inbound stream ends at"},
		"a record that does not follow": {func(w *world) {
			w.foreign(func(r *eventlog.Record) { r.Prev[0] ^= 1 })
		}, "chain is broken"},
		"a log of another installation": {func(w *world) {
			w.foreign(func(r *eventlog.Record) { r.BatonID[0] ^= 1 })
		}, "the last record belongs to installation"},
		"a damaged record": {func(w *world) {
			if _, err := w.conn.AppendLog(w.t.Context(), 0, []byte("junk"), w.logEnd(0)); err != nil {
				w.t.Fatal(err)
			}
		}, "last record at log sequence"},
		"a bundle that cannot be read": {func(w *world) {
			w.log.inject(func(l *faultyLog) { l.next = fmt.Errorf("%w: bundle at sequence 7", bus.ErrDamaged) })
		}, "damaged message: bundle at sequence 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := started(t)
			w.consumed(0, w.arrive(w.message(person(0, 0))))
			w.stop()
			c.spoil(w)
			end := w.logEnd(0)
			w.start()
			w.halts(c.why)
			if now := w.logEnd(0); now != end {
				t.Errorf("the log went from %d to %d after the partition was halted", end, now)
			}
		})
	}
}

// TestALogThatIsReadableAgainGoesOn: another server leads, which has what the disk of
// the first had spoilt; a restart is all that it takes.
func TestALogThatIsReadableAgainGoesOn(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.stop()
	w.log.inject(func(l *faultyLog) { l.next = fmt.Errorf("%w: spoilt", bus.ErrDamaged) })
	w.start()
	w.halts("spoilt")
	w.log.inject(func(l *faultyLog) { l.next = nil })
	w.stop()
	w.start()
	w.held()
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.check()
}

// halts waits until partition 0 is halted, and why.
func (w *world) halts(why string) {
	w.t.Helper()
	w.until("the partition is halted", func() bool { return w.svc.Statuses()[0].Halted != "" })
	if st := w.svc.Statuses()[0]; st.Held || !strings.Contains(st.Halted, why) {
		w.t.Errorf("halted because %q, want %q", st.Halted, why)
	}
}

func TestStoreAheadOfTheLogHalts(t *testing.T) {
	t.Parallel()
	w, ahead := started(t), started(t)
	ahead.busy()
	ahead.stop()
	w.stop()
	w.cfg.BatonID, w.dir = ahead.cfg.BatonID, ahead.dir
	w.start()
	w.halts("the log ends at")

	empty := newWorld(t)
	empty.cfg.BatonID, empty.dir = ahead.cfg.BatonID, ahead.dir
	w.stop()
	empty.start()
	empty.halts("but the log is empty")
	empty.stop()
}

func TestAnotherHashAtTheSameSequenceHalts(t *testing.T) {
	t.Parallel()
	w, twin := newWorld(t), newWorld(t)
	twin.cfg.BatonID = w.cfg.BatonID
	w.cfg.Partitions, twin.cfg.Partitions = 1, 1 // so that both logs have the same sequences
	for _, x := range []*world{w, twin} {
		x.start()
		x.held()
		x.stop()
	}
	w.dir = twin.dir
	w.start()
	w.halts("the store applied")
}

func TestHaltedPartitionHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.stop()
	w.foreign(func(r *eventlog.Record) { r.Prev[0] ^= 1 })
	for range 3 * inputQueue {
		w.arrive(w.message(person(0, 0)))
	}
	seq := w.arrive(w.message(person(1, 0)))
	w.start()
	w.consumed(1, seq)
	w.halts("chain is broken")
	if owner := w.shown(person(1, 0)).GetOwner(); owner != uint64(bot) {
		t.Errorf("owner %d", owner)
	}
}

func TestRecordOfAnEndedEpochIsSkipped(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.stop()
	w.foreign(nil)
	w.foreign(func(r *eventlog.Record) {
		r.Claim, r.Holder, r.Epoch = false, "", 1
		r.Entries = []eventlog.Entry{{Thread: thread(person(0, 0)), Event: control.Released{}}}
	})
	w.start()
	w.held()
	if st := w.svc.Statuses()[0]; st.Skipped != 1 || st.Halted != "" || st.Epoch != 3 {
		t.Errorf("status %+v", st)
	}
	w.consumed(0, w.arrive(w.message(person(0, 1))))
	if owner := w.shown(person(0, 0)).GetOwner(); owner != uint64(bot) {
		t.Errorf("the skipped record counted: owner %d", owner)
	}
	w.check()

	// Skipped records may be the last that a store has seen.
	w.stop()
	w.foreign(nil)
	w.foreign(func(r *eventlog.Record) { r.Claim, r.Epoch = false, 1 })
	w.log.inject(func(l *faultyLog) {
		l.append = func(int, []byte, uint64) (uint64, error) { return 0, os.ErrClosed }
	})
	w.start()
	w.until("the stale record is skipped", func() bool {
		return w.svc.holders[0].part.Applied().Sequence == w.logEnd(0)
	})
	w.stop()
	w.log.inject(func(l *faultyLog) { l.append = nil })
	w.start()
	w.held()
}
