package ownership

import (
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
)

// TestInputThatIsLostWhileItIsReadHalts: the inbound stream comes again without its
// end, and what is acknowledged from then on has the numbers of what is decided. The
// partition that has decided it halts, and decides it once the loss is accepted;
// another one, which has decided nothing of it, reads again at once.
func TestInputThatIsLostWhileItIsReadHalts(t *testing.T) {
	t.Parallel()
	w, s := among(t, func(w *world) { w.input.at = nil })
	w.consumed(1, w.arrive(w.message(person(1, 0))))
	s.Keep(bus.StreamInbound)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	s.Lose(bus.StreamInbound)
	w.arrive(w.message(person(1, 1)))
	w.arrive(w.message(person(0, 1)))
	w.halts("is decided, and the inbound stream has lost")
	if st := w.svc.Statuses()[0]; st.Damage != DamageInput {
		t.Errorf("%+v", st)
	}
	// A tenure that was reading by itself may have read it before the loss was seen.
	w.until("the other partition has decided what came in the place, or halts", func() bool {
		return count[control.Routed](w, 1) == 2 && w.svc.Statuses()[1].Epoch > 1 || w.svc.Statuses()[1].Halted != ""
	})
	for p, st := range w.svc.Statuses()[:2] {
		o := RepairOptions{Begin: func(Step) error { return nil }, Input: w.conn, Accept: true, At: st.Position}
		if steps, err := w.svc.Repair(t.Context(), p, o); st.Halted != "" && (err != nil || len(steps) != 1 || steps[0].Way != wayRefill) {
			t.Fatalf("%+v %v", steps, err)
		}
	}
	w.held()
	w.until("what came in the place is decided", func() bool { return count[control.Routed](w, 0) == 3 && count[control.Routed](w, 1) == 2 })
	w.check()
}

// TestWitness: a message that is there again is not doubted any more, one that is
// missing is believed to be lost after a while only, and the last ones are known.
func TestWitness(t *testing.T) {
	t.Parallel()
	var w witness
	for n := range uint64(5 * witnessed) {
		w.see(bus.Message{Sequence: n, At: time.Now()})
	}
	w.see(bus.Message{Sequence: 5*witnessed - 1, At: time.Now().Add(time.Hour)})
	w.see(bus.Message{Sequence: 7, At: time.Now().Add(time.Hour)})
	if got := w.seen(); len(got) < witnessed || len(got) > 2*witnessed || got[len(got)-1].sequence != 5*witnessed-1 || got[len(got)-1].at.After(time.Now()) {
		t.Errorf("%d messages are remembered, up to %d", len(got), got[len(got)-1].sequence)
	}
	if w.judge(inputShort) {
		t.Error("believed at once")
	}
	if w.mu.short = time.Now().Add(-inputDoubt); w.judge(inputThere) || !w.mu.short.IsZero() {
		t.Error("it is there, and is doubted")
	}
	w.judge(inputShort)
	w.mu.short = time.Now().Add(-inputDoubt)
	if !w.judge(inputShort) || !w.judge(inputOther) {
		t.Error("not believed")
	}
	if w.forget(); len(w.seen()) != 0 {
		t.Error("not forgotten")
	}
}
