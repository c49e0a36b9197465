package store_test

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
)

// machine is a store whose partition follows a history through restarts and
// power cuts, and the fold of what it has applied.
type machine struct {
	disk  *storetest.Disk
	store *store.Store
	part  *store.Partition
	log   []published
	fold  eventlog.Partition
}

func (m *machine) open(t *testing.T) {
	t.Helper()
	m.store = open(t, m.disk.FS())
	m.part = partition(t, m.store, 0)
	m.fold = eventlog.Partition{}
	for _, r := range m.log[:m.part.Applied().Sequence] {
		m.folded(t, r)
	}
}

func (m *machine) folded(t *testing.T, r published) {
	t.Helper()
	if err := m.fold.Apply(r.record); err != nil {
		t.Fatal(err)
	}
}

// follow applies the next record of the log, if the store lacks one.
func (m *machine) follow(t *testing.T) bool {
	t.Helper()
	n := m.part.Applied().Sequence
	if n == uint64(len(m.log)) {
		return false
	}
	r := m.log[n]
	apply(t, m.part, r.record, r.raw, r.sequence)
	m.folded(t, r)
	return true
}

func (m *machine) cutPower(t *testing.T, c eventlogtest.Chooser) {
	t.Helper()
	after := m.disk.CutPower(c.IntN(101), uint64(c.IntN(1<<30)))
	closeStore(t, m.store)
	m.disk = after
	m.open(t)
}

// compare: memory takes no key for new that has a row, and what is told by it is
// what the fold tells, at any later time.
func (m *machine) compare(t *testing.T) {
	t.Helper()
	for i := range 24 {
		id := [16]byte{15: byte(i)}
		event, call, err := m.part.Has(id)
		if err != nil {
			t.Fatal(err)
		}
		mayEvent, mayCall, err := m.part.May(id)
		if err != nil || event && !mayEvent || call && !mayCall {
			t.Errorf("key %d: rows %t %t, memory %t %t %v", i, event, call, mayEvent, mayCall, err)
		}
		for _, later := range []control.Millis{0, eventlog.CommandFor - 1, eventlog.CommandFor, 17 * control.Hour, 48*control.Hour - 1, 100 * control.Hour} {
			m.compareAt(t, id, m.fold.Head().DecidedAt+later)
		}
	}
}

func (m *machine) compareAt(t *testing.T, id [16]byte, now control.Millis) {
	t.Helper()
	at, seen, err := m.part.Seen(id, now)
	if want, wantSeen := m.fold.Seen(id, now); err != nil || at != want || seen != wantSeen {
		t.Errorf("Seen(%x, %d): %d %t %v, fold %d %t", id, now, at, seen, err, want, wantSeen)
	}
	a, known, err := m.part.Answer(id, now)
	if want, wantKnown := m.fold.Answer(id, now); err != nil || known != wantKnown || !cmp.Equal(a, want) {
		t.Errorf("Answer(%x, %d): %+v %t %v, fold %+v %t", id, now, a, known, err, want, wantKnown)
	}
}

// TestMemoryTakesNoKnownKeyForNew: whether the tables were read into memory
// before or after a record came, whether it came from a holder or is caught up
// after a power cut, and whether or not time has gone by, no key that counts is
// taken for new.
func TestMemoryTakesNoKnownKeyForNew(t *testing.T) {
	t.Parallel()
	seeds := uint64(60)
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		c := rand.New(rand.NewPCG(seed, seed))
		h, m := eventlogtest.NewHistory(c, 0), &machine{disk: storetest.NewDisk()}
		m.open(t)
		for range 30 {
			m.step(t, c, h)
			if c.IntN(2) == 0 {
				m.compare(t)
			}
		}
		for m.follow(t) {
		}
		m.compare(t)
		closeStore(t, m.store)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// step lets one thing happen to the store.
func (m *machine) step(t *testing.T, c eventlogtest.Chooser, h *eventlogtest.History) {
	t.Helper()
	switch c.IntN(16) {
	case 0: // a restart
		closeStore(t, m.store)
		m.open(t)
	case 1:
		m.cutPower(t, c)
	case 2:
		if err := m.store.Sync(); err != nil {
			t.Fatal(err)
		}
	case 3:
		if c.IntN(4) == 0 {
			m.part.GiveUp()
		}
	case 4:
		if err := m.part.Wipe(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.fold = eventlog.Partition{}
	default: // a standby follows, a holder goes on
		if m.follow(t) {
			return
		}
		r, raw := h.Next()
		m.log = append(m.log, published{r, raw, uint64(len(m.log) + 1)})
		m.follow(t)
	}
}

// TestMemoryIsFilledBesideApply: a look-up that fills the memory while a record
// is being applied misses none of the record's keys.
func TestMemoryIsFilledBesideApply(t *testing.T) {
	t.Parallel()
	s := opened(t)
	for n := range 2000 {
		id := [16]byte{7: 1}
		binary.BigEndian.PutUint64(id[8:], uint64(n))
		r := eventlog.Record{Partition: uint32(n), Epoch: 1, First: 1, DecidedAt: eventlogtest.Start, Entries: []eventlog.Entry{
			{Thread: control.ThreadKey{Asset: 1, Person: 2}, Event: control.Routed{Dedupe: id}},
			{Thread: control.ThreadKey{Asset: 1, Person: 2}, Event: control.Taken{Change: control.Change{Call: control.Call{ID: id}}}},
		}}
		p, claim := partition(t, s, n), eventlog.Record{Partition: uint32(n), Epoch: 1, Claim: true, First: 1, DecidedAt: eventlogtest.Start}
		apply(t, p, &claim, eventlog.Encode(&claim), 1)
		r.Prev = claim.Hash
		raw, changed := eventlog.Encode(&r), changes(t, p, &r)
		var beside sync.WaitGroup
		beside.Go(func() {
			if _, _, err := p.Seen([16]byte{1}, r.DecidedAt); err != nil {
				t.Error(err)
			}
		})
		if err := p.Apply(&r, raw, 2, changed); err != nil {
			t.Fatal(err)
		}
		beside.Wait()
		_, seen, err := p.Seen(id, r.DecidedAt)
		_, known, err2 := p.Answer(id, r.DecidedAt)
		if !seen || !known || err != nil || err2 != nil {
			t.Fatalf("partition %d: seen %t %v, known %t %v", n, seen, err, known, err2)
		}
	}
}
