package store_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
)

// published is a record on its stream.
type published struct {
	record   *eventlog.Record
	raw      []byte
	sequence uint64
}

// stream is what JetStream would hold: the histories of some partitions,
// interleaved.
func stream(c eventlogtest.Chooser, partitions, records int) []published {
	histories := make([]*eventlogtest.History, partitions)
	for p := range histories {
		histories[p] = eventlogtest.NewHistory(c, uint32(p))
	}
	all := make([]published, records)
	for i := range all {
		r, raw := histories[c.IntN(partitions)].Next()
		all[i] = published{r, raw, uint64(i + 1)}
	}
	return all
}

// TestPowerCutLosesNoMoreThanTheTail: wherever the power is cut, the store comes
// back at an earlier record of each partition, whole; with the records after it
// applied again it equals the fold of all.
func TestPowerCutLosesNoMoreThanTheTail(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := eventlogtest.Rapid(t)
		all := stream(c, 2, 24)
		disk := storetest.NewDisk()
		s := open(t, disk.FS())
		synced := 0
		cut := c.IntN(len(all)) + 1
		for i, m := range all[:cut] {
			apply(t, partition(t, s, int(m.record.Partition)), m.record, m.raw, m.sequence)
			if c.IntN(3) == 0 {
				written(t, partition(t, s, int(m.record.Partition)))
			}
			if c.IntN(6) == 0 {
				if err := s.Sync(); err != nil {
					t.Fatal(err)
				}
				synced = i + 1
			}
		}
		after := disk.CutPower(c.IntN(101), uint64(c.IntN(1<<30)))
		closeStore(t, s)

		s = open(t, after.FS())
		defer closeStore(t, s)
		for p := range 2 {
			resume(t, partition(t, s, p), all, synced)
		}
	})
}

// resume checks what a partition came back with, and applies the rest.
func resume(t *rapid.T, p *store.Partition, all []published, synced int) {
	t.Helper()
	var fold eventlog.Partition
	came := p.Applied()
	for i, m := range all {
		if int(m.record.Partition) != p.Number() {
			continue
		}
		if m.sequence > came.Sequence {
			if i < synced {
				t.Fatalf("partition %d: record %d was synced and is gone", p.Number(), i)
			}
			compareCameBack(t, p, &fold, came)
			apply(t, p, m.record, m.raw, m.sequence)
			came = p.Applied()
		}
		if err := fold.Apply(m.record); err != nil {
			t.Fatal(err)
		}
	}
	if fold.Head().Epoch != 0 || came.Sequence != 0 {
		compareDigest(t, p, &fold)
	}
	compareLog(t, p, all)
}

// compareCameBack: no applied position is ahead of its data.
func compareCameBack(t *rapid.T, p *store.Partition, fold *eventlog.Partition, came store.Applied) {
	t.Helper()
	if came.Head != fold.Head() {
		t.Fatalf("partition %d came back at %+v, the log there is at %+v", p.Number(), came.Head, fold.Head())
	}
	if came.Sequence != 0 {
		compareDigest(t, p, fold)
	}
}

// compareLog: the log in the store is the stream's, byte for byte.
func compareLog(t fatal, p *store.Partition, all []published) {
	t.Helper()
	i := 0
	var chain eventlog.Chain
	for stored, err := range p.Records(1) {
		if err != nil {
			t.Fatal(err)
		}
		for int(all[i].record.Partition) != p.Number() {
			i++
		}
		if string(stored.Raw) != string(all[i].raw) || stored.Sequence != all[i].sequence || stored.First != all[i].record.First {
			t.Fatalf("stored %d at %d, published %d at %d", stored.First, stored.Sequence, all[i].record.First, all[i].sequence)
		}
		r, err := eventlog.Decode(stored.Raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := chain.Check(&r); err != nil {
			t.Fatal(err)
		}
		i++
	}
	if chain.Head(uint32(p.Number())) != p.Applied().Head {
		t.Fatalf("the log ends at %+v, applied is %+v", chain.Head(uint32(p.Number())), p.Applied().Head)
	}
}

// TestPowerCutKeepsOneTimerPerThread: rows that are moved with records and apart
// from them come back as one row per thread, at a time that was armed.
func TestPowerCutKeepsOneTimerPerThread(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := eventlogtest.Rapid(t)
		disk := storetest.NewDisk()
		s := open(t, disk.FS())
		p, h := partition(t, s, 0), eventlogtest.NewHistory(c, 0)
		armed := map[control.ThreadKey]control.Millis{}
		move := func(thread control.ThreadKey) store.Move {
			m := store.Move{Thread: thread, Was: armed[thread], Due: eventlogtest.Start + control.Millis(c.IntN(50))}
			if c.IntN(4) == 0 {
				m.Due = 0
			}
			armed[thread] = m.Due
			return m
		}
		for sequence := range uint64(10) {
			r, raw := h.Next()
			touched := changes(t, p, r)
			for i := range touched {
				m := move(touched[i].Thread)
				touched[i].Was, touched[i].Due = m.Was, m.Due
			}
			if err := p.Apply(r, raw, sequence+1, touched); err != nil {
				t.Fatal(err)
			}
			if err := p.Rearm(move(h.Thread())); err != nil {
				t.Fatal(err)
			}
			compareTimers(t, p, armed, eventlogtest.Start+control.Millis(c.IntN(60)))
		}
		after := disk.CutPower(c.IntN(101), uint64(c.IntN(1<<30)))
		closeStore(t, s)
		s = open(t, after.FS())
		defer closeStore(t, s)
		due, err := partition(t, s, 0).Timers(eventlogtest.Start+control.Day, 0)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[control.ThreadKey]bool{}
		for _, row := range due {
			if seen[row.Thread] {
				t.Fatalf("two rows of %+v", row.Thread)
			}
			seen[row.Thread] = true
		}
	})
}

func compareTimers(t fatal, p *store.Partition, armed map[control.ThreadKey]control.Millis, upTo control.Millis) {
	t.Helper()
	due, err := p.Timers(upTo, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, at := range armed {
		if at != 0 && at <= upTo {
			want++
		}
	}
	if len(due) != want {
		t.Fatalf("%d timers due at %d, want %d of %v", len(due), upTo, want, armed)
	}
	for i, row := range due {
		if armed[row.Thread] != row.Due || i > 0 && due[i-1].Due > row.Due {
			t.Fatalf("timers %v, armed %v", due, armed)
		}
	}
}
