package ownership

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// fencedRequest is what a caller makes of a request once it knows the tenure: it
// asks, and is told.
func (w *world) fencedRequest(r *commandv1.Request) *commandv1.Request {
	w.t.Helper()
	r.Epoch = ^uint64(0)
	told := w.ask(r)
	if told.GetStatus() != statusUnavailable || told.GetEpoch() == 0 {
		w.t.Fatalf("whoever does not know the tenure is told %v", told)
	}
	r.Epoch, r.DeadlineMs = told.GetEpoch(), told.GetNowMs()+5000
	return r
}

// copyOf is the request as it was sent before so many others.
func copyOf(t *testing.T, r *commandv1.Request, attempt uint32) *commandv1.Request {
	t.Helper()
	c, ok := proto.Clone(r).(*commandv1.Request)
	if !ok {
		t.Fatal("not a request")
	}
	c.Attempt = attempt
	return c
}

// A copy that comes later than the answer to its repeat takes no effect: neither
// of a call that was refused, nor of one that changed nothing.
func TestCopyBehindItsAnsweredRepeat(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		asks   func(*world) *commandv1.Request
		status commandv1.Status
		then   func(*world) // after which the call would be decided otherwise
	}{
		"refused": {
			func(w *world) *commandv1.Request { return passRequest(w.request(agent, person(0, 0)), bot) }, statusRefused,
			func(w *world) { w.pass(bot, agent, person(0, 0)) },
		},
		"without effect": {
			func(w *world) *commandv1.Request { return takeRequest(w.request(bot, person(0, 0))) }, statusOK,
			func(w *world) { w.pass(bot, agent, person(0, 0)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := started(t, several)
			w.consumed(0, w.arrive(w.message(person(0, 0))))
			r := w.fencedRequest(c.asks(w))
			if a := w.ask(copyOf(t, r, 1)); a.GetStatus() != c.status || a.GetPosition() != 0 {
				t.Fatalf("the repeat is answered %v", a)
			}
			c.then(w)
			before := w.logEnd(0)
			for attempt := range uint32(2) {
				if a := w.ask(copyOf(t, r, attempt)); a.GetStatus() != statusUnavailable {
					t.Errorf("copy %d is answered %v", attempt, a)
				}
			}
			if end := w.logEnd(0); end != before {
				t.Errorf("a late copy was decided: the log ends at %d, was at %d", end, before)
			}
			if a := w.ask(copyOf(t, r, 2)); a.GetStatus() != statusOK || a.GetPosition() == 0 {
				t.Errorf("the next repeat, of which nobody has an answer yet: %v", a)
			}
			w.check()
		})
	}
}

// A call is decided by the tenure that it names, or by none.
func TestCallOfAnotherTenure(t *testing.T) {
	t.Parallel()
	a := started(t, several)
	a.consumed(0, a.arrive(a.message(person(0, 0))))
	r := a.fencedRequest(passRequest(a.request(bot, person(0, 0)), agent))
	b := a.second()
	a.svc.Yield(0)
	b.svc.Hold(0)
	b.until("the other node holds the partition", func() bool { return b.svc.Epoch(0) > r.GetEpoch() })
	late := b.ask(r)
	if late.GetStatus() != statusUnavailable || late.GetEpoch() != b.svc.Epoch(0) {
		t.Fatalf("a call of the tenure before is answered %v", late)
	}
	r.Epoch, r.DeadlineMs = late.GetEpoch(), late.GetNowMs()+5000
	if again := b.ask(r); again.GetStatus() != statusOK || again.GetPosition() == 0 {
		t.Errorf("the same call to this tenure is answered %v", again)
	}
}

// The deadline counts from the sending, whatever the way took.
func TestCallBehindItsDeadline(t *testing.T) {
	t.Parallel()
	w := started(t, several)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	r := w.fencedRequest(passRequest(w.request(bot, person(0, 0)), agent))
	w.clock.advance(6 * time.Second)
	if a := w.ask(r); a.GetStatus() != statusUnavailable {
		t.Errorf("a call that was sent 6 s ago is answered %v", a)
	}
	if n := count[control.Passed](w, 0); n != 0 {
		t.Errorf("it was decided %d times", n)
	}
}

// What is remembered of repeats is given up at their deadlines.
func TestCopiesAreForgotten(t *testing.T) {
	t.Parallel()
	var c copies
	request := func(n byte, attempt uint32, deadline int64) *commandv1.Request {
		return &commandv1.Request{Id: []byte{n}, Attempt: attempt, DeadlineMs: deadline}
	}
	c.note(request(1, 0, 1000), 0)
	if len(c.answered) != 0 {
		t.Error("a call that was never repeated is remembered")
	}
	c.note(request(1, 1, 1000), 0)
	c.note(request(1, 3, 1000), 0)
	for attempt, want := range []bool{true, true, true, true, false} {
		if got := c.overtaken(request(1, uint32(attempt), 1000)); got != want {
			t.Errorf("attempt %d is overtaken: %v", attempt, got)
		}
	}
	for n := range 100 {
		c.note(request(byte(n), 1, int64(2000+10*n)), time.Duration(1001+10*n)*time.Millisecond)
	}
	c.note(request(200, 1, 10_000), 9*time.Second)
	if len(c.answered) != 1 || len(c.queue) != 1 {
		t.Errorf("behind all deadlines %d are remembered, %d in the queue", len(c.answered), len(c.queue))
	}
}
