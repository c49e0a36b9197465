package ownership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// Bounds of a step: a record may hold eventlog.MaxEvents events and
// eventlog.MaxBytes; a step stops taking work earlier, so that one more command
// always fits.
const (
	softEvents = eventlog.MaxEvents / 2
	softBytes  = eventlog.MaxBytes * 3 / 4
)

// step is one decision step of a holder: what was decided since the last
// record, staged until the next one is acknowledged.
type step struct {
	h       *holder
	now     control.Millis
	entries []eventlog.Entry
	bytes   int
	changed []store.Change            // threads, in order of first change
	rows    []uint32                  // theirs, as threads.find says
	places  map[control.ThreadKey]int // of them in changed
	latest  lookup
	tables  staged
	after   []control.State // of the entries that go to the control topic
	lent    bool            // entries and after are the control topic's now
	answers []func()
	look    []control.ThreadKey // whose effects are to be looked at afterwards
	swept   bool                // a share of a sweep is in this step
	err     error               // the store could not be read: nothing is decided
}

// lookup is the thread that a step looked up last: nearly always the one that it
// changes next. It is none of those that it has changed.
type lookup struct {
	key control.ThreadKey
	row uint32
	ok  bool
}

func (h *holder) newStep() *step {
	h.sweepTurn++
	s := h.spare
	if h.spare = nil; s == nil {
		s = &step{h: h, places: map[control.ThreadKey]int{}, tables: newStaged()}
	}
	s.now = h.time.now()
	return s
}

// reuse keeps the memory of a finished step for the next one, except for what
// the control topic still reads.
func (s *step) reuse() {
	entries, after := s.entries[:0], s.after[:0]
	if s.lent {
		entries, after = nil, nil
	}
	clear(s.places)
	clear(s.changed)
	s.tables.clear()
	*s = step{
		h: s.h, entries: entries, after: after, changed: s.changed[:0], rows: s.rows[:0], places: s.places,
		tables: s.tables, answers: s.answers[:0], look: s.look[:0],
	}
	s.h.spare = s
}

func (s *step) full() bool { return len(s.entries) >= softEvents || s.bytes >= softBytes }

// brimful: an inbound message under way is cut only when the record is nearly at
// its bounds, so that a record takes whole messages.
func (s *step) brimful() bool {
	return len(s.entries) >= eventlog.MaxEvents-128 || s.bytes >= eventlog.MaxBytes-(96<<10)
}

// next is the position that the next event will take.
func (s *step) next() control.Position {
	return s.h.applied.Position + 1 + control.Position(len(s.entries))
}

// state is the thread as decided so far in this step.
func (s *step) state(key control.ThreadKey) control.State {
	if i, ok := s.places[key]; ok {
		return s.changed[i].State
	}
	s.latest = lookup{key, s.h.threads.find(key), true}
	return s.h.threads.at(s.latest.row).state
}

// cause names what an event came from.
type cause struct {
	id    [16]byte
	trace [16]byte
}

// decide runs the rules on a thread and stages what they decide. page must not
// be nil.
func (s *step) decide(key control.ThreadKey, page *control.Page, cmd control.Command, c cause) control.Refusal {
	return s.decideAt(s.now, key, page, cmd, c)
}

// decideAt is decide as of a time that is not after the step's.
func (s *step) decideAt(at control.Millis, key control.ThreadKey, page *control.Page, cmd control.Command, c cause) control.Refusal {
	st, from := s.state(key), len(s.entries)
	env := s.env(key, page)
	env.Now = at
	events, refusal := control.Decide(st, env, cmd)
	for _, e := range events {
		st = control.Evolve(st, e)
		s.add(eventlog.Entry{Thread: key, Cause: c.id, Trace: c.trace, Event: e}, st)
	}
	if len(events) > 0 {
		s.put(key, st)
		s.project(from)
	}
	if refusal.Refused() {
		s.h.deps.Observe.refused(refusal)
	}
	return refusal
}

// env is what the rules know beside the thread.
func (s *step) env(key control.ThreadKey, page *control.Page) control.Env {
	return control.Env{Now: s.now, Position: s.next(), Page: page, Person: key.Person}
}

// project stages the table rows of the entries from an index on.
func (s *step) project(from int) {
	r := &s.h.staging
	*r = eventlog.Record{First: s.h.applied.Position + 1 + control.Position(from), DecidedAt: s.now, Entries: s.entries[from:]}
	eventlog.Project(r, &s.tables)
}

func (s *step) put(key control.ThreadKey, st control.State) {
	if !s.latest.ok || s.latest.key != key {
		if i, ok := s.places[key]; ok {
			s.changed[i].State = st
			return
		}
		s.latest = lookup{key, s.h.threads.find(key), true}
	}
	s.places[key] = len(s.changed)
	s.changed = append(s.changed, store.Change{Thread: key, State: st, Was: s.h.threads.at(s.latest.row).armed})
	s.rows = append(s.rows, s.latest.row)
	s.latest = lookup{}
}

// add stages an entry; after is its thread's state with it.
func (s *step) add(e eventlog.Entry, after control.State) {
	s.entries = append(s.entries, e)
	s.bytes += eventlog.SizeOf(&e)
	if eventlog.OnTopic(e.Event) {
		s.after = append(s.after, after)
	}
}

// event returns the event at a position: staged, or from the store.
func (s *step) event(p control.Position) (eventlog.Entry, bool) {
	if i := int(p) - int(s.h.applied.Position) - 1; i >= 0 {
		if i < len(s.entries) {
			return s.entries[i], true
		}
		return eventlog.Entry{}, false
	}
	e, _, err := s.h.part.Event(p)
	if err != nil && !errors.Is(err, store.ErrNoPosition) {
		s.fail("event of a send", err)
	}
	return e, err == nil
}

// staged reports whether the step changes a thread.
func (s *step) staged(key control.ThreadKey) bool {
	_, ok := s.places[key]
	return ok
}

// changes lists the changed threads with their timer rows. It is the step's.
func (s *step) changes() []store.Change {
	for i := range s.changed {
		c := &s.changed[i]
		c.Due = s.h.arm(c.State, c.Was, s.now)
	}
	return s.changed
}

// reply adds an answer to give once the step is durable.
func (s *step) reply(f func()) { s.answers = append(s.answers, f) }

func (s *step) answer() {
	for i, f := range s.answers {
		f()
		s.answers[i] = nil
	}
	s.answers = s.answers[:0]
}

// abandon drops the step: nothing is answered, callers run into their
// deadlines.
func (s *step) abandon() { s.answers = nil }

// fail ends the tenure instead of deciding on what could not be read.
func (s *step) fail(what string, err error) {
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("ownership: %s: %w", what, err)
	}
}

// finishGrace bounds how long a publish outlives a stop of the node.
const finishGrace = 5 * time.Second

// finishing is the context of a publish: it outlives ctx by finishGrace, so that
// the outcome of a record under way is known before the holder stops.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(finishGrace):
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); cancel() }
}
