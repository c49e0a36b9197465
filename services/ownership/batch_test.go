package ownership

import (
	"math/rand/v2"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// pastLog is a log of a few threads that the topic reads back from a store.
type pastLog struct {
	t      *testing.T
	part   *store.Partition
	states map[control.ThreadKey]control.State
	head   eventlog.Record
	after  map[control.Position]control.State // of the events that go to the topic
}

func newPastLog(t *testing.T) *pastLog {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	part, err := db.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	return &pastLog{
		t: t, part: part, states: map[control.ThreadKey]control.State{}, after: map[control.Position]control.State{},
		head: eventlog.Record{Epoch: 1, Claim: true, First: 1, DecidedAt: 1_790_000_000_000, BatonID: [16]byte{1}},
	}
}

// write writes a record with an event for each of the people; the changes of
// earlier versions keep no revision.
func (l *pastLog) write(earlier bool, people ...uint64) {
	l.t.Helper()
	rec, sequence := l.head, l.part.Applied().Sequence
	if sequence > 0 {
		rec.First, rec.Prev, rec.Claim = rec.Last()+1, rec.Hash, false
	}
	rec.DecidedAt += 1000
	rec.Entries = nil
	touched := map[control.ThreadKey]bool{}
	for i, person := range people {
		key := control.ThreadKey{Asset: pageID, Person: person}
		e := eventlog.Entry{Thread: key, Event: l.next(l.states[key], rec.DecidedAt, earlier)}
		l.states[key] = control.Evolve(l.states[key], e.Event)
		if eventlog.OnTopic(e.Event) {
			l.after[rec.First+control.Position(i)] = l.states[key]
		}
		rec.Entries = append(rec.Entries, e)
		touched[key] = true
	}
	var changes []store.Change
	for key := range touched {
		changes = append(changes, store.Change{Thread: key, State: l.states[key]})
	}
	if err := l.part.Apply(&rec, eventlog.Encode(&rec), sequence+1, changes); err != nil {
		l.t.Fatal(err)
	}
	l.head = rec
}

// next is what happens to a thread next: it is assigned, an app asks for it, it is
// handed over, and again.
func (l *pastLog) next(s control.State, now control.Millis, earlier bool) control.Event {
	c := control.Change{From: s.Owner, To: bot, At: now, ExpiresAt: now + control.Day, Revision: s.Revision + 1}
	if earlier {
		c.Revision = 0
	}
	switch {
	case s.Owner == 0:
		return control.Assigned{Change: c}
	case s.Rare == nil || len(s.Rare.Requests) == 0:
		return control.Requested{App: agent, At: now, Owner: s.Owner}
	case s.Owner == bot:
		c.To = agent
	}
	return control.Passed{Change: c}
}

// TestPastMessagesAreThoseOfThen: what the topic publishes from the store is what
// it would have published at once, from wherever it begins, also where a log of
// earlier versions goes on with changes that keep their revision.
func TestPastMessagesAreThoseOfThen(t *testing.T) {
	t.Parallel()
	l, random := newPastLog(t), rand.New(rand.NewPCG(4, 2026))
	const records = 60
	for n := range records {
		people := make([]uint64, 1+random.IntN(6))
		for i := range people {
			people[i] = firstPerson + random.Uint64N(5)
		}
		l.write(n < records/2 || n%5 == 0, people...) // a version that is gone back to, now and then
	}
	for from := control.Position(1); from <= l.part.Applied().Position; from += 7 {
		if n := l.read(pastStates{part: l.part, known: map[control.ThreadKey]control.State{}}, from); n == 0 {
			t.Errorf("nothing for the topic from %d on", from)
		}
	}
}

// read compares the messages from a position on with those of then, and returns
// how many there are.
func (l *pastLog) read(past pastStates, from control.Position) (messages int) {
	l.t.Helper()
	for stored, err := range l.part.Records(from) {
		if err != nil {
			l.t.Fatal(err)
		}
		rec, err := eventlog.Decode(stored.Raw)
		if err != nil {
			l.t.Fatal(err)
		}
		states, err := past.after(&rec)
		if err != nil {
			l.t.Fatal(err)
		}
		for i := range rec.Entries {
			at := rec.First + control.Position(i)
			if !eventlog.OnTopic(rec.Entries[i].Event) {
				continue
			}
			want, _ := eventlog.ControlChange(&rec, at, control.ObjectPage, l.after[at])
			got, _ := eventlog.ControlChange(&rec, at, control.ObjectPage, states[0])
			if want.GetRevision() != l.after[at].Revision || got.String() != want.String() {
				l.t.Errorf("from %d, at %d\n got %v\nwant %v", from, at, got, want)
			}
			states = states[1:]
			messages++
		}
		if len(states) > 0 {
			l.t.Errorf("%d states too many", len(states))
		}
	}
	return messages
}

// TestNewThreadsOfThePastAreNotLookedUp: a flood of new threads is published
// without a question to the store for each.
func TestNewThreadsOfThePastAreNotLookedUp(t *testing.T) {
	t.Parallel()
	l := newPastLog(t)
	for n := range uint64(20) {
		l.write(false, firstPerson+2*n, firstPerson+2*n+1)
	}
	if n := l.read(pastStates{known: map[control.ThreadKey]control.State{}}, 1); n != 40 { // it has no store to ask
		t.Errorf("%d messages", n)
	}
}
