package ownership

import (
	"errors"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
	"github.com/baton-router/baton/pkg/repair"
)

// newer puts a record on the log of partition 0 that only the next version reads.
func (w *world) newer() {
	w.t.Helper()
	last, err := w.conn.LastLog(w.t.Context(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	rec, err := eventlog.Decode(last.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	next := eventlog.Record{
		Partition: 0, Epoch: rec.Epoch + 1, Claim: true, Holder: "next version", First: rec.Last() + 1, DecidedAt: rec.DecidedAt,
		RosterVersion: rec.RosterVersion, Input: rec.Input, BatonID: rec.BatonID, Prev: rec.Hash, Group: [16]byte{9},
	}
	if _, err := w.conn.AppendLog(w.t.Context(), 0, eventlogtest.Newer(&next), last.Sequence); err != nil {
		w.t.Fatal(err)
	}
}

const needsNewer = "it needs a reader of version 2, this is 1"

// TestARecordOfANewerVersionHaltsItsPartition: in a holder that meets it while it
// works, at a start, and in a standby; it says which version is needed, the other
// partitions go on, and no repair touches it.
func TestARecordOfANewerVersionHaltsItsPartition(t *testing.T) {
	t.Parallel()
	for name, meet := range map[string]func(w *world){
		"a holder at work": func(w *world) {
			w.newer()
			w.arrive(w.message(person(0, 0))) // its record is refused: another has written
		},
		"at a start": func(w *world) {
			w.stop()
			w.newer()
			w.start()
		},
		"a standby": func(w *world) {
			w.stop()
			w.cfg.Standby = true
			w.start()
			w.svc.Yield(0)
			w.newer()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := started(t)
			w.consumed(0, w.arrive(w.message(person(0, 0))))
			meet(w)
			w.halts(needsNewer)
			if st := w.svc.Statuses()[0]; st.Damage != DamageVersion {
				t.Errorf("%+v", st)
			}
			w.consumed(1, w.arrive(w.message(person(1, 0))))
			if _, _, err := w.repair(nil); !errors.Is(err, repair.ErrNoRepair) || !strings.Contains(err.Error(), "a newer one") {
				t.Errorf("repair: %v", err)
			}
		})
	}
}
