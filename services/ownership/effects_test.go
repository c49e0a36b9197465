package ownership

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// holdSurvey makes the survey app's template wait on a thread of the bot.
func (w *world) holdSurvey(person uint64) {
	w.t.Helper()
	w.consumed(0, w.arrive(w.message(person)))
	r := w.request(survey, person)
	r.Verb = &commandv1.Request_Send{Send: &commandv1.Send{Survey: &commandv1.SurveyTemplate{Days: 1, Questions: []uint64{1}, Message: []byte(`{"q":1}`)}}}
	a := w.ask(r)
	if !a.GetHeld() || a.GetPosition() == 0 {
		w.t.Fatalf("the survey is not held: %v", a)
	}
}

func TestHeldSurveyGoesOutWhenTheThreadIsIdle(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.holdSurvey(person(0, 0))
	if calls := w.platform.made(); len(calls) != 0 {
		t.Fatalf("calls %v while another has control", calls)
	}
	w.release(person(0, 0))
	w.until("the survey is confirmed", func() bool { return count[control.SendConfirmed](w, 0) == 1 })
	calls := w.platform.made()
	if len(calls) != 1 || !strings.HasPrefix(calls[0], `survey {"q":1} baton1:0-`) {
		t.Errorf("calls %v", calls)
	}
	w.restart()
	w.ask(show(w.request(0, person(0, 0))))
	if again := w.platform.made(); len(again) != 1 {
		t.Errorf("calls %v: a closed effect is never repeated", again)
	}
	w.check()
}

func TestRefusedSurveyIsDropped(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.platform.script(func(context.Context, string) ([]byte, error) { return []byte(`{"error":{}}`), nil })
	w.holdSurvey(person(0, 0))
	w.release(person(0, 0))
	w.until("the survey is dropped", func() bool { return count[control.SurveyDropped](w, 0) == 1 })
	w.check()
}

func TestSurveyWithoutOutcomeIsNotRepeated(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.platform.script(func(context.Context, string) ([]byte, error) { return nil, errors.New("no answer") })
	w.holdSurvey(person(0, 0))
	w.release(person(0, 0))
	w.until("the survey is closed", func() bool { return count[control.SendFailed](w, 0) == 1 })
	w.restart()
	w.ask(show(w.request(0, person(0, 0))))
	if calls := w.platform.made(); len(calls) != 1 {
		t.Errorf("calls %v", calls)
	}
	w.check()
}

func TestRestartCarriesOnWithOpenEffects(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.platform.script(func(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
	w.holdSurvey(person(0, 0))
	w.release(person(0, 0))
	w.until("the survey is under way", func() bool { return len(w.platform.made()) == 1 })
	w.stop()
	w.platform.script(nil)
	w.start()
	w.held()
	w.until("the survey is confirmed", func() bool { return count[control.SendConfirmed](w, 0) == 1 })
	w.check()
}

// toInbox gives a thread to the inbox, as an operator.
func (w *world) toInbox(person uint64) {
	w.t.Helper()
	r := w.request(0, person)
	r.Verb = &commandv1.Request_Operate{Operate: &commandv1.Operate{
		Verb: uint32(control.OperatorPass), Operator: "ops", Target: uint64(control.PageInbox),
	}}
	if a := w.ask(r); a.GetStatus() != statusOK {
		w.t.Fatalf("to the inbox: %v", a)
	}
}

func (w *world) fromInbox(person uint64) {
	w.t.Helper()
	r := w.request(0, person)
	r.Verb = &commandv1.Request_Operate{Operate: &commandv1.Operate{
		Verb: uint32(control.OperatorTake), Operator: "ops", Target: uint64(agent),
	}}
	if a := w.ask(r); a.GetStatus() != statusOK {
		w.t.Fatalf("from the inbox: %v", a)
	}
}

func TestSideIsMirrored(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.toInbox(person(0, 0))
	w.until("the side is confirmed", func() bool { return count[control.SideConfirmed](w, 0) == 1 })
	w.fromInbox(person(0, 0))
	w.until("the side is confirmed", func() bool { return count[control.SideConfirmed](w, 0) == 2 })
	calls := w.platform.made()
	if len(calls) != 2 || !strings.HasSuffix(calls[0], "inbox=true") || !strings.HasSuffix(calls[1], "inbox=false") {
		t.Errorf("calls %v", calls)
	}
	w.check()
}

func TestSideIsLevelTriggeredOneCallAtATime(t *testing.T) {
	t.Parallel()
	w := started(t)
	gate := make(chan struct{})
	w.platform.script(func(ctx context.Context, _ string) ([]byte, error) {
		select {
		case <-gate:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	w.toInbox(person(0, 0))
	w.until("the first call is under way", func() bool { return len(w.platform.made()) == 1 })
	for range 3 { // three changes while it is: only the last wanted side counts
		w.fromInbox(person(0, 0))
		w.toInbox(person(0, 0))
	}
	w.fromInbox(person(0, 0))
	close(gate)
	w.until("the side is confirmed", func() bool { return count[control.SideConfirmed](w, 0) >= 1 })
	w.until("nothing is open", func() bool { return w.shown(person(0, 0)).GetOpenEffects() == 0 })
	calls := w.platform.made()
	if len(calls) != 2 || !strings.HasSuffix(calls[1], "inbox=false") {
		t.Errorf("calls %v", calls)
	}
	w.platform.mu.Lock()
	if w.platform.most != 1 {
		t.Errorf("%d calls of one thread at once", w.platform.most)
	}
	w.platform.mu.Unlock()
	w.check()
}

func TestRefusedSideIsTriedAgainWithGrowingDelay(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.platform.script(func(context.Context, string) ([]byte, error) { return []byte("no"), nil })
	w.toInbox(person(0, 0))
	for n, delay := range []time.Duration{time.Second, 5 * time.Second, 30 * time.Second} {
		w.until("the side is refused", func() bool { return count[control.SideRefused](w, 0) == n+1 })
		w.clock.jump(delay - time.Millisecond)
		w.consumed(0, w.arrive(w.message(person(0, 1)))) // traffic in between loses nothing
		if calls := w.platform.made(); len(calls) != n+1 {
			t.Fatalf("%d calls before the delay of %s is over", len(calls), delay)
		}
		w.clock.jump(time.Millisecond)
		w.until("it is tried again", func() bool { return len(w.platform.made()) == n+2 })
	}
	w.until("the side is refused", func() bool { return count[control.SideRefused](w, 0) == 4 })
	// What is wanted now waits for no delay of what was wanted before.
	w.platform.script(nil)
	w.fromInbox(person(0, 0))
	w.until("nothing is open", func() bool { return w.shown(person(0, 0)).GetOpenEffects() == 0 })
	if n := w.seen.get(func(s *seen) int { return s.drift }); n != 4 {
		t.Errorf("drift %d", n)
	}
	w.check()
}

func TestRefusedSideIsTriedAgainAfterRestart(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.platform.script(func(context.Context, string) ([]byte, error) { return []byte("no"), nil })
	w.toInbox(person(0, 0))
	w.until("the side is refused", func() bool { return count[control.SideRefused](w, 0) == 1 })
	w.platform.script(nil)
	w.restart()
	w.clock.jump(2 * time.Second)
	w.until("the side is confirmed", func() bool { return count[control.SideConfirmed](w, 0) == 1 })
	w.check()
}

func TestSendsWaitForTheSide(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.toInbox(person(0, 0))
	w.until("the side is confirmed", func() bool { return count[control.SideConfirmed](w, 0) == 1 })
	gate := make(chan struct{})
	w.platform.script(func(ctx context.Context, _ string) ([]byte, error) {
		select {
		case <-gate:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	w.fromInbox(person(0, 0))
	parked := w.asking(sendRequest(w.request(agent, person(0, 0))))
	w.ask(show(w.request(0, person(0, 0)))) // reads do not wait
	if n := count[control.SendAccepted](w, 0); n != 0 {
		t.Fatal("a send was accepted before the side was confirmed")
	}
	close(gate)
	if a := <-parked; a.GetStatus() != statusOK || a.GetPosition() == 0 {
		t.Errorf("answer %v", a)
	}
	w.check()
}

func TestParkedSendIsAnsweredAtItsDeadline(t *testing.T) {
	t.Parallel()
	w := started(t, func(w *world) { w.cfg.QueueCommands = 3 })
	w.toInbox(person(0, 0))
	w.until("the side is confirmed", func() bool { return count[control.SideConfirmed](w, 0) == 1 })
	w.platform.script(func(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
	w.fromInbox(person(0, 0))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	answers := make(chan *commandv1.Response, 4)
	for range 4 { // one more than may wait
		r := sendRequest(w.request(agent, person(0, 0)))
		go func() {
			a, err := w.tryAsk(ctx, r)
			for err == nil && a.GetStatus() == statusBusy { // all at once are more than the queue holds
				a, err = w.tryAsk(ctx, r)
			}
			answers <- a
		}()
	}
	if a := <-answers; a.GetStatus() != statusUnavailable {
		t.Errorf("one more than may wait: %v", a)
	}
	w.ask(show(w.request(0, person(0, 0)))) // reads do not wait
	w.clock.advance(11 * time.Second)
	for range 3 {
		if a := <-answers; a.GetStatus() != statusUnavailable {
			t.Errorf("answer %v", a)
		}
	}
	if n := count[control.SendAccepted](w, 0); n != 0 {
		t.Errorf("%d sends accepted past their deadline", n)
	}
}
