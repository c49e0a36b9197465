package ownership

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
)

// TestAStaleEndOfTheLogHaltsNothing: a read may be answered by a leader that was
// deposed and knows only what was there long ago. The stream itself refuses to
// confirm that end, so the holder reads again instead of halting.
func TestAStaleEndOfTheLogHaltsNothing(t *testing.T) {
	t.Parallel()
	for name, stale := range map[string]func(m bus.Message, old bus.Message) (bus.Message, error){
		"an earlier record": func(_, old bus.Message) (bus.Message, error) { return old, nil },
		"none":              func(bus.Message, bus.Message) (bus.Message, error) { return bus.Message{}, bus.ErrNoMessage },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := started(t)
			w.busy()
			w.stop()
			old, err := w.conn.NextLog(t.Context(), 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			var asked atomic.Int32
			w.log.inject(func(l *faultyLog) {
				l.lastOf = func(p int, m bus.Message) (bus.Message, error) {
					if p == 0 && asked.Add(1) <= 3 {
						return stale(m, old)
					}
					return m, nil
				}
			})
			w.start()
			w.held()
			if st := w.svc.Statuses()[0]; st.Halted != "" || asked.Load() <= 3 {
				t.Errorf("after %d reads: %+v", asked.Load(), st)
			}
			w.check()
		})
	}
}

// TestAShortLogThatIsConfirmedHalts: with other nodes about, the end is asked of
// the stream by a write.
func TestAShortLogThatIsConfirmedHalts(t *testing.T) {
	t.Parallel()
	w, ahead := started(t), started(t)
	ahead.busy()
	ahead.stop()
	w.stop()
	w.cfg.BatonID, w.dir, w.cfg.Barrier = ahead.cfg.BatonID, ahead.dir, true
	var barriers atomic.Int32
	end := w.logEnd(0)
	w.log.inject(func(l *faultyLog) {
		l.barrier = func(p int, expected uint64) error {
			if p != 0 {
				return nil
			}
			if expected != end {
				t.Errorf("asked whether the log ends at %d, it ends at %d", expected, end)
			}
			if barriers.Add(1) < 3 {
				return bus.ErrUnavailable // nothing is known yet
			}
			return nil
		}
	})
	w.start()
	w.halts("the log ends at")
	if st := w.svc.Statuses()[0]; st.Damage != DamageShort || barriers.Load() < 3 {
		t.Errorf("%+v after %d barriers", st, barriers.Load())
	}
}

// TestOtherInputInItsPlaceHalts: the inbound stream lost its tail and has grown
// again since.
func TestOtherInputInItsPlaceHalts(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.stop()
	w.input.at = func(at time.Time) time.Time { return at.Add(time.Hour) }
	w.input.data = batch(t, w.message(person(0, 1)))
	w.start()
	w.halts("has another in its place")
	if st := w.svc.Statuses()[0]; st.Damage != DamageInput {
		t.Errorf("%+v", st)
	}
}

// TestServersWhoseClocksDifferHaltNothing: by the clock of the input's leader all
// was stored an hour after the log's leader has stored its decision. Nothing is
// decided twice.
func TestServersWhoseClocksDifferHaltNothing(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.stop()
	w.input.at = func(at time.Time) time.Time { return at.Add(time.Hour) }
	w.start()
	w.consumed(0, w.arrive(w.message(person(0, 1))))
	if st := w.svc.Statuses()[0]; !st.Held || st.Halted != "" {
		t.Errorf("%+v", st)
	}
}

// TestATopicAheadOfTheLogHalts: what is decided next would be taken for changes
// that are on the topic already.
func TestATopicAheadOfTheLogHalts(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.busy()
	w.check()
	w.stop()
	w.raiseTopic(1 << 20)
	end := w.logEnd(0)
	w.start()
	w.halts("the control topic has position 1048576")
	if w.logEnd(0) != end {
		t.Error("it wrote to the log nevertheless")
	}
	w.until("the others are held", func() bool {
		for _, st := range w.svc.Statuses()[1:] {
			if !st.Held {
				return false
			}
		}
		return true
	})
}

// TestInputIsDoubtedBeforeItHalts: where a deposed leader may answer, a short
// inbound stream is believed after a while only.
func TestInputIsDoubtedBeforeItHalts(t *testing.T) {
	t.Parallel()
	h := &holder{Service: &Service{cfg: Config{Barrier: true}}}
	why := halt(DamageInput, "too short")
	if _, halts := asHalt(h.doubtInput(why)); halts {
		t.Error("it halts at once")
	}
	h.doubts.short = time.Now().Add(-inputDoubt)
	if halted, halts := asHalt(h.doubtInput(why)); !halts || halted.damage != DamageInput {
		t.Error("it never halts")
	}
	alone := &holder{Service: &Service{}}
	if _, halts := asHalt(alone.doubtInput(why)); !halts {
		t.Error("alone, it does not halt at once")
	}
	if _, halts := asHalt(errors.Join(context.Canceled)); halts {
		t.Error("any error halts")
	}
}

// raiseTopic moves the control topic's cursor of partition 0.
func (w *world) raiseTopic(to control.Position) {
	w.t.Helper()
	_, seq, err := w.conn.ControlCursor(w.t.Context(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	ahead := topicCursor{Position: to, Epoch: 1}
	if _, err := w.conn.PublishControl(w.t.Context(), nil, []bus.CursorMove{{Partition: 0, Data: ahead.encode(), Expected: seq}}); err != nil {
		w.t.Fatal(err)
	}
}
