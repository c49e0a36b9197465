package store_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
)

// side keeps what a fold does not: the tables that can be read from the log.
type side struct {
	buttons map[button]control.AppID
	mids    map[string]control.Position
	history map[control.ThreadKey][]control.Position
}

type button struct {
	thread  control.ThreadKey
	payload uint64
}

func newSide() *side {
	return &side{map[button]control.AppID{}, map[string]control.Position{}, map[control.ThreadKey][]control.Position{}}
}

func (s *side) Remember([16]byte, control.Millis)   {}
func (s *side) Answer([16]byte, eventlog.Answer)    {}
func (s *side) Sent(mid string, p control.Position) { s.mids[mid] = p }
func (s *side) Button(thread control.ThreadKey, payload uint64, app control.AppID) {
	s.buttons[button{thread, payload}] = app
}

func (s *side) Happened(thread control.ThreadKey, at control.Position) {
	s.history[thread] = append(s.history[thread], at)
}

// TestStoreEqualsTheFold: over any history, the store answers as the fold of
// the same records does, and has the same digest after every record.
func TestStoreEqualsTheFold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := open(t, storetest.NewDisk().FS())
		defer closeStore(t, s)
		p, h := partition(t, s, 2), eventlogtest.NewHistory(eventlogtest.Rapid(t), 2)
		var fold eventlog.Fold
		kept := newSide()
		for sequence := range uint64(12) {
			r, raw := h.Next()
			apply(t, p, r, raw, 10+sequence)
			if err := fold.Apply(r); err != nil {
				t.Fatal(err)
			}
			eventlog.Project(r, kept)
			compareDigest(t, p, fold.Partition(2))
		}
		compareTables(t, p, fold.Partition(2), kept)
	})
}

func compareDigest(t fatal, p *store.Partition, want *eventlog.Partition) {
	t.Helper()
	got, err := p.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got != want.Digest() || p.Applied().Head != want.Head() {
		t.Fatalf("store %x at %+v\nfold  %x at %+v", got, p.Applied().Head, want.Digest(), want.Head())
	}
}

func compareTables(t fatal, p *store.Partition, want *eventlog.Partition, kept *side) {
	t.Helper()
	for ahead := range control.Millis(4) {
		now := want.Head().DecidedAt + ahead*17*control.Hour
		for i := range 24 {
			id := [16]byte{15: byte(i)}
			at, seen, err := p.Seen(id, now)
			wantAt, wantSeen := want.Seen(id, now)
			if err != nil || at != wantAt || seen != wantSeen {
				t.Fatalf("Seen(%d, +%d): %d %v %v, fold %d %v", i, ahead, at, seen, err, wantAt, wantSeen)
			}
			a, known, err := p.Answer(id, now)
			wantA, wantKnown := want.Answer(id, now)
			if err != nil || known != wantKnown || !cmp.Equal(a, wantA) {
				t.Fatalf("Answer(%d, +%d): %v %+v %v, fold %v %+v", i, ahead, known, a, err, wantKnown, wantA)
			}
		}
	}
	for b, wantApp := range kept.buttons {
		if app, ok, err := p.Button(b.thread, b.payload); err != nil || !ok || app != wantApp {
			t.Fatalf("Button(%+v): %d %v %v, want %d", b, app, ok, err, wantApp)
		}
	}
	for mid, wantAt := range kept.mids {
		if at, ok, err := p.Send(mid); err != nil || !ok || at != wantAt {
			t.Fatalf("Send(%q): %d %v %v, want %d", mid, at, ok, err, wantAt)
		}
	}
	for thread, wantAll := range kept.history {
		got, err := p.History(thread, 0, len(wantAll)+1)
		slices.Reverse(got)
		if diff := cmp.Diff(wantAll, got); err != nil || diff != "" {
			t.Fatalf("History(%+v): %v\n%s", thread, err, diff)
		}
	}
}

func TestEachThreadYieldsWhatTheFoldHas(t *testing.T) {
	t.Parallel()
	s := opened(t)
	p, fold, _ := filled(t, s, 3, 40)
	var got, want []string
	err := p.EachThread(func(k control.ThreadKey, st control.State) error {
		got = append(got, string(st.AppendCanonical([]byte{byte(k.Asset), byte(k.Person)})))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for k, st := range fold.Threads() {
		want = append(want, string(st.AppendCanonical([]byte{byte(k.Asset), byte(k.Person)})))
		if state, ok, err := p.State(k); err != nil || !ok || !cmp.Equal(state, st) {
			t.Errorf("State(%+v): %+v %v %v", k, state, ok, err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d threads, the fold has %d, or others", len(got), len(want))
	}
}

// filled applies n records of a seeded history to partition number of s, and has
// each written by itself, so that the same rows come about at any speed.
func filled(t *testing.T, s *store.Store, number, n int) (*store.Partition, *eventlog.Partition, [][]byte) {
	t.Helper()
	p := partition(t, s, number)
	h := eventlogtest.NewHistory(rand.New(rand.NewPCG(7, uint64(number))), uint32(number))
	var fold eventlog.Partition
	var raws [][]byte
	for sequence := range n {
		r, raw := h.Next()
		apply(t, p, r, raw, uint64(10+2*sequence))
		written(t, p)
		if err := fold.Apply(r); err != nil {
			t.Fatal(err)
		}
		raws = append(raws, bytes.Clone(raw))
	}
	return p, &fold, raws
}
