package store_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// decoded are the records that filled wrote.
func decoded(t *testing.T, raws [][]byte) []eventlog.Record {
	t.Helper()
	records := make([]eventlog.Record, len(raws))
	for i, raw := range raws {
		var err error
		if records[i], err = eventlog.Decode(raw); err != nil {
			t.Fatal(err)
		}
	}
	return records
}

// TestRecordsBeginWithTheOneThatHoldsThePosition, from every position, with
// claims at the same position in between.
func TestRecordsBeginWithTheOneThatHoldsThePosition(t *testing.T) {
	t.Parallel()
	s := opened(t)
	filled(t, s, 0, 5) // neighbours, which must not show
	filled(t, s, 2, 5)
	p, _, raws := filled(t, s, 1, 60)
	records := decoded(t, raws)
	for from := range records[len(records)-1].Last() + 3 {
		var want []string
		for i, r := range records {
			if r.Last() >= from || r.First >= from {
				want = append(want, string(raws[i]))
			}
		}
		var got []string
		for stored, err := range p.Records(from) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(stored.Raw))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("from %d: %d records, want %d", from, len(got), len(want))
		}
	}
	for _, err := range p.Records(1) {
		if err != nil {
			t.Error(err)
		}
		break // the iterator is closed, or Close would complain
	}
}

func TestEventFindsEveryPosition(t *testing.T) {
	t.Parallel()
	s := opened(t)
	p, fold, raws := filled(t, s, 1, 40)
	filled(t, s, 2, 3)
	for _, r := range decoded(t, raws) {
		for i := range r.Entries {
			at := r.First + control.Position(i)
			e, record, err := p.Event(at)
			if err != nil || record.Hash != r.Hash {
				t.Fatalf("position %d: %v", at, err)
			}
			if diff := cmp.Diff(r.Entries[i], e); diff != "" {
				t.Fatalf("position %d:\n%s", at, diff)
			}
		}
	}
	for _, at := range []control.Position{0, fold.Head().Position + 1, 1 << 40, math.MaxUint64} {
		if _, _, err := p.Event(at); !errors.Is(err, store.ErrNoPosition) {
			t.Errorf("position %d: %v", at, err)
		}
	}
	empty := partition(t, s, 9)
	if _, _, err := empty.Event(1); !errors.Is(err, store.ErrNoPosition) {
		t.Errorf("an empty partition: %v", err)
	}
	for _, err := range empty.Records(0) {
		t.Errorf("an empty partition has records, or: %v", err)
	}
}

// TestStateAtIsTheFoldUntilThen compares every thread at every position, and at
// every record's time, with a fold that stops there.
func TestStateAtIsTheFoldUntilThen(t *testing.T) {
	t.Parallel()
	s := opened(t)
	p, _, raws := filled(t, s, 1, 40)
	now := map[control.ThreadKey]control.State{}
	last := map[control.ThreadKey]control.Position{}
	records := decoded(t, raws)
	for n, r := range records {
		for i := range r.Entries {
			e, at := &r.Entries[i], r.First+control.Position(i)
			if e.Evolves() {
				now[e.Thread] = control.Evolve(now[e.Thread], e.Event)
			}
			if e.Filed() {
				last[e.Thread] = at
			}
			for thread, want := range now {
				past, err := p.StateAt(thread, at)
				if err != nil || !cmp.Equal(past.State, want) || past.Last != last[thread] {
					t.Fatalf("%+v at %d: %v\n got %+v\nwant %+v", thread, at, err, past, want)
				}
			}
		}
		if n+1 < len(records) && records[n+1].DecidedAt == r.DecidedAt {
			continue
		}
		for thread, want := range now {
			past, err := p.StateAtTime(thread, r.DecidedAt)
			if err != nil || !cmp.Equal(past.State, want) {
				t.Fatalf("%+v at time %d: %v\n got %+v\nwant %+v", thread, r.DecidedAt, err, past, want)
			}
		}
	}
	if kept, all, err := p.Kept(); kept < all/64 || err != nil {
		t.Errorf("%d of %d events keep a state: %v", kept, all, err)
	}
	if past, err := p.StateAt(control.ThreadKey{Asset: 1, Person: 1}, 5); err != nil || past.Last != 0 {
		t.Errorf("a thread never seen: %+v %v", past, err)
	}
}

func TestHistoryPages(t *testing.T) {
	t.Parallel()
	s := opened(t)
	p, fold, _ := filled(t, s, 1, 60)
	for thread := range fold.Threads() {
		all, err := p.History(thread, 0, math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		var paged []control.Position
		for before := control.Position(0); ; before = paged[len(paged)-1] {
			page, err := p.History(thread, before, 3)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			paged = append(paged, page...)
		}
		if !slices.Equal(all, paged) || !slices.IsSortedFunc(all, func(a, b control.Position) int { return int(b) - int(a) }) {
			t.Fatalf("%+v: %v, in pages %v", thread, all, paged)
		}
	}
}

func TestApplyRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	s := opened(t)
	p, fold, _ := filled(t, s, 1, 10)
	at := p.Applied()
	next := eventlog.Record{
		Partition: 1, Epoch: at.Epoch, First: at.Position + 1, DecidedAt: at.DecidedAt, Input: at.Input,
		BatonID: at.BatonID, Prev: at.Hash,
		Entries: []eventlog.Entry{{Thread: control.ThreadKey{Asset: 1, Person: 2}, Event: control.Routed{}}},
	}
	fits := []store.Change{{Thread: control.ThreadKey{Asset: 1, Person: 2}}}
	twice := append(slices.Clone(fits), fits...)
	more := append(slices.Clone(fits), store.Change{Thread: control.ThreadKey{Asset: 1, Person: 3}})
	tests := []struct {
		name     string
		spoil    func(r *eventlog.Record)
		sequence uint64
		changes  []store.Change
		want     error
	}{
		{"a thread without state", nil, 1000, nil, store.ErrWrongChanges},
		{"a thread that it does not touch", nil, 1000, more, store.ErrWrongChanges},
		{"a thread twice", nil, 1000, twice, store.ErrWrongChanges},
		{"a gap", func(r *eventlog.Record) { r.First++ }, 1000, fits, eventlog.ErrBrokenChain},
		{"another log", func(r *eventlog.Record) { r.Prev[0]++ }, 1000, fits, eventlog.ErrBrokenChain},
		{"an ended epoch", func(r *eventlog.Record) { r.Epoch-- }, 1000, fits, eventlog.ErrStaleEpoch},
		{"another partition", func(r *eventlog.Record) { r.Partition++ }, 1000, fits, eventlog.ErrBrokenChain},
		{"a sequence that was", nil, at.Sequence, fits, eventlog.ErrBrokenChain},
	}
	for _, test := range tests {
		r := next
		if test.spoil != nil {
			test.spoil(&r)
		}
		raw := eventlog.Encode(&r)
		if err := p.Apply(&r, raw, test.sequence, test.changes); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		compareDigest(t, p, fold)
	}
	r := next
	raw := eventlog.Encode(&r)
	raw[len(raw)-1]++
	if err := p.Apply(&r, raw, 1000, fits); !errors.Is(err, eventlog.ErrBrokenChain) {
		t.Errorf("bytes of another record: %v", err)
	}
	if err := p.Apply(&r, eventlog.Encode(&r), 1000, fits); err != nil {
		t.Errorf("what fits: %v", err)
	}
}

func TestSkipMovesTheSequenceAlone(t *testing.T) {
	t.Parallel()
	disk := newDisk()
	s := open(t, disk)
	p, fold, _ := filled(t, s, 1, 10)
	at := p.Applied().Sequence
	if err := p.Skip(at); !errors.Is(err, eventlog.ErrBrokenChain) {
		t.Errorf("back: %v", err)
	}
	if err := p.Skip(at + 7); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, disk)
	defer closeStore(t, s)
	p = partition(t, s, 1)
	if p.Applied().Sequence != at+7 {
		t.Errorf("sequence %d", p.Applied().Sequence)
	}
	compareDigest(t, p, fold)
}

func TestWipeForgetsOnePartition(t *testing.T) {
	t.Parallel()
	disk := newDisk()
	s := open(t, disk)
	filled(t, s, 0, 10)
	p, _, raws := filled(t, s, 1, 10)
	_, kept, _ := filled(t, s, 2, 10)
	if err := p.Rearm(store.Move{Thread: control.ThreadKey{Asset: 1}, Due: 5}); err != nil {
		t.Fatal(err)
	}
	if err := p.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.Applied() != (store.Applied{}) {
		t.Errorf("applied %+v", p.Applied())
	}
	empty := partition(t, s, 7)
	wiped, err := p.Digest()
	nothing, err2 := empty.Digest()
	if err != nil || err2 != nil || wiped != nothing {
		t.Errorf("digest %x, of nothing %x: %v %v", wiped, nothing, err, err2)
	}
	if due, err := p.Timers(math.MaxInt64, 0); err != nil || len(due) != 0 {
		t.Errorf("timers %v %v", due, err)
	}
	compareDigest(t, partition(t, s, 2), kept)
	for i, r := range decoded(t, raws) {
		apply(t, p, &r, raws[i], uint64(i+1))
	}
	closeStore(t, s)
	s = open(t, disk)
	closeStore(t, s)
}

// TestLapsedRowsLeaveTheDisk: the tables that lapse do not grow with the log.
func TestLapsedRowsLeaveTheDisk(t *testing.T) {
	t.Parallel()
	s := opened(t)
	p := partition(t, s, 0)
	c := rand.New(rand.NewPCG(1, 1))
	r := eventlog.Record{Epoch: 1, Claim: true, First: 1, DecidedAt: 1000 * control.Day}
	apply(t, p, &r, eventlog.Encode(&r), 1)
	for day := range control.Millis(20) {
		r.Prev, r.First, r.Claim, r.Entries = r.Hash, r.Last()+1, false, nil
		r.DecidedAt = (1000 + day) * control.Day
		for range 10 {
			var dedupe [16]byte
			dedupe[3], dedupe[5] = byte(c.IntN(256)), byte(c.IntN(256))
			e := control.Routed{Dedupe: dedupe}
			r.Entries = append(r.Entries, eventlog.Entry{Thread: control.ThreadKey{Asset: 1, Person: 2}, Event: e})
			change := control.Taken{Change: control.Change{Call: control.Call{ID: dedupe}}}
			r.Entries = append(r.Entries, eventlog.Entry{Thread: control.ThreadKey{Asset: 1, Person: 2}, Event: change})
		}
		apply(t, p, &r, eventlog.Encode(&r), uint64(day+2))
		dedupe, answers, err := p.Lapsing()
		if err != nil {
			t.Fatal(err)
		}
		if dedupe > 4*10 || answers > 4*10 {
			t.Fatalf("day %d: %d keys and %d answers", day, dedupe, answers)
		}
	}
}

// TestStatesAreKeptAtRegularPositions: a thread whose events have every second,
// fourth, ... position of the log has states kept along its history as often as
// any other.
func TestStatesAreKeptAtRegularPositions(t *testing.T) {
	t.Parallel()
	for _, every := range []int{1, 2, 4, 16, 17, 64} {
		s := opened(t)
		p, last := partition(t, s, 0), eventlog.Record{Epoch: 1, Claim: true, First: 1, DecidedAt: 1_790_000_000_000}
		raw := eventlog.Encode(&last)
		apply(t, p, &last, raw, 1)
		const events = 512
		for n := range events {
			r := eventlog.Record{Epoch: 1, First: last.Last() + 1, Prev: last.Hash, DecidedAt: last.DecidedAt + 1}
			for i := range every {
				r.Entries = append(r.Entries, eventlog.Entry{
					Thread: control.ThreadKey{Asset: 1, Person: uint64(1 + i)},
					Event:  control.Routed{Dedupe: [16]byte{0: byte(n), 1: byte(n >> 8), 2: byte(i), 15: 1}},
				})
			}
			raw := eventlog.Encode(&r)
			apply(t, p, &r, raw, uint64(n+2))
			last = r
		}
		kept, all, err := p.Kept()
		if err != nil || all != events*every || kept < all/24 || kept > all/10 {
			t.Errorf("every %d: %d of %d %v", every, kept, all, err)
		}
	}
}
