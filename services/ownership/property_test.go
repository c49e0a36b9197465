package ownership

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
)

// TestRandomHistories lets random input, commands, faults and restarts loose and
// then compares everything that must agree.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cfg.Barrier = seed%2 == 1
			w.start()
			w.held()
			r := rand.New(rand.NewPCG(seed, 17))
			var last [partitions]uint64
			for range 250 {
				w.act(r, &last)
			}
			w.log.inject(func(l *faultyLog) { l.append = nil })
			for p, seq := range last {
				w.consumed(p, seq)
			}
			w.check()
			w.oneOwner()
			w.restart()
			w.check()
		})
	}
}

func (w *world) act(r *rand.Rand, last *[partitions]uint64) {
	p := r.IntN(partitions)
	who := person(p, r.IntN(4))
	switch r.IntN(12) {
	case 0, 1, 2, 3:
		var events []*inboundv1.Event
		for range 1 + r.IntN(4) {
			events = append(events, w.message(person(p, r.IntN(4))))
		}
		last[p] = w.arrive(append(events, events[0])...)
	case 4, 5, 6, 7:
		w.command(r, who)
	case 8:
		w.clock.advance(time.Duration(r.IntN(10)) * time.Hour)
		// A step has one time: after this every holder's next has the new one.
		for p := range partitions {
			w.ask(show(w.request(0, person(p, 0))))
		}
	case 9:
		w.disturb(r)
	case 10:
		v := w.rosters.Current().Version() + 1
		if yaml := connectAll; r.IntN(2) == 0 {
			w.rosters.set(v, yaml)
		} else {
			w.rosters.set(v, withoutBot())
		}
	case 11:
		if r.IntN(6) == 0 {
			w.restart()
		}
	}
}

// disturb makes some of the next publishes end without outcome.
func (w *world) disturb(r *rand.Rand) {
	kind := r.IntN(3)
	w.log.inject(func(l *faultyLog) {
		left := 3
		l.append = func(p int, data []byte, expected uint64) (uint64, error) {
			l.mu.Lock()
			left--
			now := left
			l.mu.Unlock()
			switch {
			case now < 0 || kind == 2:
			case kind == 0:
				return 0, bus.ErrOutcomeUnknown
			default:
				if _, err := w.conn.AppendLog(w.t.Context(), p, data, expected); err != nil {
					return 0, err
				}
				return 0, bus.ErrOutcomeUnknown
			}
			return w.conn.AppendLog(w.t.Context(), p, data, expected)
		}
	})
}

func (w *world) command(r *rand.Rand, who uint64) {
	apps := []control.AppID{bot, agent, survey}
	q := w.request(apps[r.IntN(3)], who)
	switch r.IntN(6) {
	case 0:
		passRequest(q, apps[r.IntN(3)])
	case 1:
		takeRequest(q)
	case 2:
		q.Verb = &commandv1.Request_Release{Release: &commandv1.Release{}}
	case 3:
		q.Verb = &commandv1.Request_RequestControl{RequestControl: &commandv1.RequestControl{Metadata: "please"}}
	case 4:
		sendRequest(q)
	case 5:
		q.App = 0
		q.Verb = &commandv1.Request_Inbox{Inbox: &commandv1.InboxAction{Verb: uint32(1 + r.IntN(3)), Operator: "ops"}}
	}
	a := w.ask(q)
	if again := w.ask(q); a.GetStatus() == statusOK && a.GetPosition() != 0 && again.GetPosition() != a.GetPosition() {
		w.t.Errorf("%v was decided twice: %v and %v", q, a, again)
	}
}

// oneOwner folds the changes of the logs: each begins with the owner that the
// one before it left, so that no thread ever had two.
func (w *world) oneOwner() {
	w.t.Helper()
	for p := range partitions {
		owners := map[control.ThreadKey]control.AppID{}
		for _, rec := range w.records(p) {
			for _, e := range rec.Entries {
				c, ok := control.ChangeOf(e.Event)
				if !ok {
					continue
				}
				if owners[e.Thread] != c.From {
					w.t.Errorf("thread %v goes from %d to %d, its owner was %d", e.Thread, c.From, c.To, owners[e.Thread])
				}
				owners[e.Thread] = c.To
			}
		}
	}
}
