package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
)

// TestLateRowsAnswerAsSettledOnes: at whatever records rows are settled, the
// store is closed and the power is cut, every answer is the one of a store whose
// rows are settled after each record, and so are all rows in the end.
func TestLateRowsAnswerAsSettledOnes(t *testing.T) {
	t.Parallel()
	most := 40
	if testing.Short() {
		most = 15
	}
	rapid.Check(t, func(t *rapid.T) {
		c := eventlogtest.Rapid(t)
		all := stream(c, 1, most)
		disk := storetest.NewDisk()
		late, settled := open(t, disk.FS()), open(t, storetest.NewDisk().FS())
		defer closeStore(t, settled)
		for next := 0; next < len(all); {
			m, p := all[next], partition(t, late, 0)
			apply(t, p, m.record, m.raw, m.sequence)
			next++
			if q := partition(t, settled, 0); q.Applied().Sequence < m.sequence {
				apply(t, q, m.record, m.raw, m.sequence)
				settle(t, q)
			}
			switch c.IntN(16) {
			case 0:
				settle(t, p)
			case 3, 4, 5, 6:
				written(t, p)
			case 1:
				closeStore(t, late)
				late = open(t, disk.FS())
			case 2:
				after := disk.CutPower(c.IntN(101), uint64(c.IntN(1<<30)))
				closeStore(t, late)
				disk = after
				late = open(t, disk.FS())
				next = int(partition(t, late, 0).Applied().Sequence)
			}
		}
		compareAnswers(t, partition(t, late, 0), partition(t, settled, 0), all)
		closeStore(t, late)
		compareReadOnly(t, disk.FS(), partition(t, settled, 0))
		late = open(t, disk.FS())
		defer closeStore(t, late)
		settle(t, partition(t, late, 0))
		compareDigests(t, partition(t, late, 0), partition(t, settled, 0))
	})
}

func settle(t fatal, p *store.Partition) {
	t.Helper()
	err := p.Settle()
	if rows, notes := p.Late(); rows != 0 || notes != 0 || err != nil {
		t.Fatal(rows, notes, err)
	}
}

// compareAnswers asks both for everything that has rows; the digest comes last,
// since it settles.
func compareAnswers(t *rapid.T, got, want *store.Partition, all []published) {
	t.Helper()
	if got.Applied() != want.Applied() {
		t.Fatal(cmp.Diff(want.Applied(), got.Applied()))
	}
	now, end := want.Applied().DecidedAt, want.Applied().Position
	for _, m := range all {
		for i := range m.record.Entries {
			e := &m.record.Entries[i]
			compareThread(t, got, want, e.Thread, m.record.First, end)
			if routed, ok := e.Event.(control.Routed); ok {
				a, okA, errA := got.Seen(routed.Dedupe, now)
				b, okB, errB := want.Seen(routed.Dedupe, now)
				if a != b || okA != okB || errors.Join(errA, errB) != nil {
					t.Fatal("seen", a, okA, errA, b, okB, errB)
				}
			}
		}
	}
	compareDigests(t, got, want)
}

func compareThread(t *rapid.T, got, want *store.Partition, thread control.ThreadKey, at, end control.Position) {
	t.Helper()
	a, okA, errA := got.State(thread)
	b, okB, errB := want.State(thread)
	if diff := cmp.Diff(b, a); diff != "" || okA != okB || errors.Join(errA, errB) != nil {
		t.Fatal("state", diff, okA, errA, okB, errB)
	}
	for _, before := range []control.Position{0, at, at + 1, end} {
		for _, limit := range []int{1, 3, 100} {
			a, errA := got.History(thread, before, limit)
			b, errB := want.History(thread, before, limit)
			if diff := cmp.Diff(b, a); diff != "" || errors.Join(errA, errB) != nil {
				t.Fatal("history", before, limit, diff, errA, errB)
			}
		}
	}
}

func compareDigests(t fatal, got, want *store.Partition) {
	t.Helper()
	a, errA := got.Digest()
	b, errB := want.Digest()
	if a != b || errors.Join(errA, errB) != nil {
		t.Fatal("digest", a, errA, b, errB)
	}
}

// compareReadOnly: a store that may only be read has the late rows too.
func compareReadOnly(t *rapid.T, fs store.FS, want *store.Partition) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: "store", FS: fs, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	got := partition(t, s, 0)
	compareDigests(t, got, want)
	err = want.EachThread(func(thread control.ThreadKey, _ control.State) error {
		compareThread(t, got, want, thread, 1, want.Applied().Position)
		past, errA := got.StateAt(thread, want.Applied().Position/2)
		then, errB := want.StateAt(thread, want.Applied().Position/2)
		if diff := cmp.Diff(then, past); diff != "" || errors.Join(errA, errB) != nil {
			t.Fatal("past", diff, errA, errB)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRowsAreSettledByThemselves: neither many small records nor a few large ones
// leave more than a bounded tail, be they written one by one or together.
func TestRowsAreSettledByThemselves(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		events, records, mostRows, mostNotes int
		alone                                bool
	}{
		{1, 1200, 2000, 256, false}, {1, 600, 800, 256, true}, {200, 60, 3000, 24, false}, {200, 60, 3000, 24, true},
	} {
		s, source := opened(t), newTraffic(50)
		p, mostRows, mostNotes, mostKeys, mostEvents := partition(t, s, 0), 0, 0, 0, 0
		for sequence := range test.records {
			r, raw, changes := source.next(test.events)
			if err := p.Apply(r, raw, uint64(sequence+1), changes); err != nil {
				t.Fatal(err)
			}
			if test.alone {
				written(t, p)
			}
			rows, notes := p.Late()
			mostRows, mostNotes = max(mostRows, rows), max(mostNotes, notes)
			keys, events := p.Unindexed()
			mostKeys, mostEvents = max(mostKeys, keys), max(mostEvents, events)
		}
		all := test.records * test.events
		if most := min(all, 3000); mostKeys < most/2 || mostKeys > most || mostEvents < most/2 || mostEvents > most {
			t.Errorf("%+v: the indexes lacked %d keys, %d events", test, mostKeys, mostEvents)
		}
		if mostRows == 0 || mostRows > test.mostRows || mostNotes > test.mostNotes || test.alone && mostNotes == 0 {
			t.Errorf("%+v: %d rows were late, in %d notes", test, mostRows, mostNotes)
		}
	}
}

// written has what is applied written.
func written(t fatal, p *store.Partition) {
	t.Helper()
	if _, _, err := p.LastRecord(); err != nil {
		t.Fatal(err)
	}
}

// TestStoreOfEarlierFormat: what a build wrote that had no late rows, a row for each
// key and each event, or one for each run, is read, and from then on not by it any
// more.
func TestStoreOfEarlierFormat(t *testing.T) {
	t.Parallel()
	for _, format := range []byte{1, 2, 3} {
		for _, readOnly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/readOnly=%t", format, readOnly), func(t *testing.T) {
				t.Parallel()
				testStoreOfFormat(t, format, readOnly)
			})
		}
	}
}

func testStoreOfFormat(t *testing.T, format byte, readOnly bool) {
	t.Helper()
	disk := storetest.NewDisk()
	s, twin, source := open(t, disk.FS()), opened(t), newTraffic(20)
	for sequence := range uint64(50) {
		r, raw, changes := source.next(10)
		for _, s := range []*store.Store{s, twin} {
			if err := partition(t, s, 0).Apply(r, raw, sequence+1, changes); err != nil {
				t.Fatal(err)
			}
		}
		if sequence == 39 {
			settle(t, partition(t, s, 0))
		}
	}
	keys := routedKeys(source.last.Entries)
	want := told(t, partition(t, twin, 0), keys)
	if err := errors.Join(partition(t, s, 0).StandAsFormat(format), s.OverwriteFormat(uint32(format))); err != nil {
		t.Fatal(err)
	}
	if n, err := partition(t, s, 0).Singles(); n != map[byte]int{1: 500, 2: 400}[format] || err != nil {
		t.Fatal(n, err) // the other hundred are noted
	}
	if shared, alone, err := partition(t, s, 0).Histories(); shared != 0 || alone == 0 || err != nil {
		t.Fatal(shared, alone, err)
	}
	closeStore(t, s)
	s, err := store.Open(store.Options{Dir: "store", FS: disk.FS(), ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	p := partition(t, s, 0)
	if diff := cmp.Diff(want, told(t, p, keys)); diff != "" {
		t.Fatal(diff)
	}
	if readOnly {
		return
	}
	r, raw, changes := source.next(10)
	if err := p.Apply(r, raw, 51, changes); err != nil {
		t.Fatal(err)
	}
	singles, err := p.Singles()
	if format, fault := s.FormatOnDisk(); format != store.Format || singles != 0 || errors.Join(err, fault) != nil {
		t.Error(format, singles, err, fault)
	}
}

// answers are what a partition tells.
type answers struct {
	Applied store.Applied
	Digest  eventlog.Digest
	Seen    []control.Millis
	History [][]control.Position
	Then    []store.Past
}

func told(t *testing.T, p *store.Partition, keys [][16]byte) (a answers) {
	t.Helper()
	a.Applied = p.Applied()
	for _, key := range keys {
		at, ok, err := p.Seen(key, a.Applied.DecidedAt)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		a.Seen = append(a.Seen, at)
	}
	for person := range uint64(20) {
		thread := control.ThreadKey{Asset: 100200300400500, Person: 7000000000 + person}
		history, err := p.History(thread, 0, 1000)
		then, fault := p.StateAt(thread, a.Applied.Position/2)
		if errors.Join(err, fault) != nil {
			t.Fatal(err, fault)
		}
		a.History, a.Then = append(a.History, history), append(a.Then, then)
	}
	var err error
	if a.Digest, err = p.Digest(); err != nil {
		t.Fatal(err)
	}
	return a
}

func routedKeys(entries []eventlog.Entry) (keys [][16]byte) {
	for i := range entries {
		if routed, ok := entries[i].Event.(control.Routed); ok {
			keys = append(keys, routed.Dedupe)
		}
	}
	return keys
}
