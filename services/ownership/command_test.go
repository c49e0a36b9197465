package ownership

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

const (
	statusOK          = commandv1.Status_STATUS_OK
	statusRefused     = commandv1.Status_STATUS_REFUSED
	statusRepeat      = commandv1.Status_STATUS_REPEAT
	statusBusy        = commandv1.Status_STATUS_BUSY
	statusUnavailable = commandv1.Status_STATUS_UNAVAILABLE
	statusInternal    = commandv1.Status_STATUS_INTERNAL
)

func takeRequest(r *commandv1.Request) *commandv1.Request {
	r.Verb = &commandv1.Request_Take{Take: &commandv1.Take{}}
	return r
}

func releaseRequest(r *commandv1.Request) *commandv1.Request {
	r.Verb = &commandv1.Request_Release{Release: &commandv1.Release{}}
	return r
}

func passRequest(r *commandv1.Request, to control.AppID) *commandv1.Request {
	r.Verb = &commandv1.Request_Pass{Pass: &commandv1.Pass{Target: uint64(to), Metadata: "why"}}
	return r
}

func TestRepeatedCommandHasTheLoggedAnswer(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	r := passRequest(w.request(bot, person(0, 0)), agent)
	first := w.ask(r)
	if first.GetStatus() != statusOK || first.GetPosition() == 0 {
		t.Fatalf("answer %v", first)
	}
	for range 2 {
		if again := w.ask(r); again.GetStatus() != statusOK || again.GetPosition() != first.GetPosition() {
			t.Errorf("the repeat is answered %v, the first was %v", again, first)
		}
		w.restart()
	}
	if n := count[control.Passed](w, 0); n != 1 {
		t.Errorf("decided %d times", n)
	}
	w.check()
}

func TestRepeatInTheSameRecord(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	resume, reached := make(chan struct{}), make(chan struct{}, 1)
	w.seen.at(func(p Point, partition int) {
		if p == PointRecordSend && partition == 0 {
			reached <- struct{}{}
			<-resume
		}
	})
	w.arrive(w.message(person(0, 1)))
	<-reached // a record is under way; two equal commands wait for the next
	r := passRequest(w.request(bot, person(0, 0)), agent)
	a, b := w.asking(r), w.asking(r)
	w.until("both wait", func() bool { return len(w.svc.holders[0].commands) == 2 })
	w.seen.at(nil)
	close(resume)
	if x, y := <-a, <-b; x.GetStatus() != statusOK || x.GetPosition() != y.GetPosition() {
		t.Errorf("answers %v and %v", x, y)
	}
	if n := count[control.Passed](w, 0); n != 1 {
		t.Errorf("decided %d times", n)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	key := []byte("0123456789abcdef")
	keyed := func(digest uint64) *commandv1.Request {
		r := sendRequest(w.request(bot, person(0, 0)))
		r.IdempotencyKey, r.Digest = key, digest
		return r
	}
	first := w.ask(keyed(1))
	if first.GetStatus() != statusOK {
		t.Fatalf("answer %v", first)
	}
	if r := w.ask(keyed(1)); r.GetStatus() != statusRepeat || r.GetEarlier().GetOutcome() != 0 || r.GetEarlier().GetSend() != first.GetPosition() {
		t.Errorf("open: %v", r)
	}
	if r := w.ask(keyed(2)); r.GetStatus() != statusRepeat || !r.GetEarlier().GetOtherCall() {
		t.Errorf("another body: %v", r)
	}
	w.outcome(person(0, 0), first.GetPosition(), control.OutcomeConfirmed, "mid.1")
	w.restart()
	if r := w.ask(keyed(1)); r.GetEarlier().GetMid() != "mid.1" || r.GetEarlier().GetOtherCall() {
		t.Errorf("confirmed: %v", r)
	}
	if n := count[control.SendAccepted](w, 0); n != 1 {
		t.Errorf("accepted %d times", n)
	}
	// An abandoned send may be sent afresh.
	key = []byte("another key 1234")
	second := w.ask(keyed(1))
	w.outcome(person(0, 0), second.GetPosition(), control.OutcomeAbandoned, "")
	if r := w.ask(keyed(1)); r.GetStatus() != statusOK || r.GetPosition() == second.GetPosition() {
		t.Errorf("after it was abandoned: %v", r)
	}
	w.check()
}

// outcome tells the holder how a send ended.
func (w *world) outcome(person, send uint64, kind control.OutcomeKind, mid string) {
	w.t.Helper()
	r := w.request(0, person)
	r.Verb = &commandv1.Request_SendOutcome{SendOutcome: &commandv1.SendOutcome{Send: send, Outcome: uint32(kind), Mid: mid}}
	if a := w.ask(r); a.GetStatus() != statusOK {
		w.t.Fatalf("outcome: %v", a)
	}
}

func TestPastItsDeadlineNothingIsDecided(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	reached, resume := make(chan struct{}, 1), make(chan struct{})
	w.seen.at(func(p Point, partition int) {
		if p == PointRecordSend && partition == 0 {
			reached <- struct{}{}
			<-resume
		}
	})
	w.arrive(w.message(person(0, 1)))
	<-reached
	answer := w.asking(passRequest(w.request(bot, person(0, 0)), agent))
	w.until("the command waits", func() bool { return len(w.svc.holders[0].commands) == 1 })
	w.clock.advance(11 * time.Second)
	w.seen.at(nil)
	close(resume)
	if a := <-answer; a.GetStatus() != statusUnavailable || a.GetRetryAfterMs() == 0 {
		t.Errorf("answer %v", a)
	}
	if n := count[control.Passed](w, 0); n != 0 {
		t.Errorf("decided %d times past the deadline", n)
	}
}

func TestFullQueueIsBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.QueueCommands = 2
	w.start()
	w.held()
	reached, resume := make(chan struct{}, 1), make(chan struct{})
	w.seen.at(func(p Point, partition int) {
		if p == PointRecordSend && partition == 0 {
			reached <- struct{}{}
			<-resume
		}
	})
	w.arrive(w.message(person(0, 0)))
	<-reached
	a, b := w.asking(show(w.request(0, person(0, 0)))), w.asking(show(w.request(0, person(0, 0))))
	w.until("the queue is full", func() bool { return len(w.svc.holders[0].commands) == 2 })
	if r := w.ask(show(w.request(0, person(0, 0)))); r.GetStatus() != statusBusy || r.GetRetryAfterMs() == 0 {
		t.Errorf("answer %v", r)
	}
	w.seen.at(nil)
	close(resume)
	for _, waiting := range []<-chan *commandv1.Response{a, b} {
		if r := <-waiting; r.GetStatus() != statusOK {
			t.Errorf("answer %v", r)
		}
	}
}

func TestRosterOfTheCallerIsAppliedFirst(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.rosters.known(7, withoutBot()) // not yet current on this node
	r := passRequest(w.request(bot, person(0, 0)), agent)
	r.RosterVersion = 7
	if a := w.ask(r); a.GetStatus() != statusRefused || control.Reason(a.GetRefusal().GetReason()) != control.ReasonNotConnected {
		t.Errorf("answer %v", a)
	}
	var applied bool
	for _, e := range w.events(0) {
		if x, ok := e.(control.RosterApplied); ok && x.Version == 7 {
			applied = true
		}
		if _, ok := e.(control.Released); ok && !applied {
			t.Error("a decision under version 7 before it was logged")
		}
	}
	if !applied {
		t.Error("version 7 was not logged")
	}
	r = show(w.request(0, person(0, 0)))
	r.RosterVersion = 99
	if a := w.ask(r); a.GetStatus() != statusUnavailable {
		t.Errorf("a version that nobody knows: %v", a)
	}
	w.check()
}

// wire takes the encoded answer to a command.
type wire chan []byte

func (w wire) Respond(data []byte) error {
	w <- data
	return nil
}

func TestCommandsThatCannotBeUnderstood(t *testing.T) {
	t.Parallel()
	w := started(t)
	end := len(w.events(0))
	raw := func(p int, data []byte) *commandv1.Response {
		answer := make(wire, 1)
		w.svc.holders[p].accept(bus.NewCommandCall(data, answer))
		r := new(commandv1.Response)
		if err := proto.Unmarshal(<-answer, r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := raw(0, []byte("\xff\xff")); r.GetStatus() != statusInternal {
		t.Errorf("junk: %v", r)
	}
	for name, r := range map[string]*commandv1.Request{
		"another partition's thread": takeRequest(w.request(agent, person(1, 0))),
		"no person":                  takeRequest(w.request(agent, 0)),
	} {
		data, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if a := raw(0, data); a.GetStatus() != statusInternal {
			t.Errorf("%s: %v", name, a)
		}
	}
	unknown := takeRequest(w.request(agent, person(0, 0)))
	unknown.Asset = 1
	for p := range partitions {
		data, _ := proto.Marshal(unknown)
		if a := raw(p, data); a.GetStatus() != statusUnavailable && a.GetStatus() != statusInternal {
			t.Errorf("unknown page: %v", a)
		}
	}
	if now := len(w.events(0)); now != end {
		t.Errorf("%d events after commands that say nothing, %d before", now, end)
	}
}

func TestCallerThatIsGoneChangesNothing(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	ctx, cancel := context.WithCancel(t.Context())
	w.seen.at(func(p Point, partition int) {
		if p == PointRecordAcked && partition == 0 {
			cancel()
		}
	})
	r := passRequest(w.request(bot, person(0, 0)), agent)
	if _, err := w.tryAsk(ctx, r); err == nil {
		t.Error("answered a caller who had gone")
	}
	w.seen.at(nil)
	if a := w.ask(r); a.GetStatus() != statusOK || a.GetThread().GetOwner() != uint64(agent) {
		t.Errorf("the repeat: %v", a)
	}
	if n := count[control.Passed](w, 0); n != 1 {
		t.Errorf("decided %d times", n)
	}
	w.check()
}

func TestDryRunsChangeNothing(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	end := len(w.events(0))
	operate := w.request(0, person(0, 0))
	operate.Verb = &commandv1.Request_Operate{Operate: &commandv1.Operate{
		Verb: uint32(control.OperatorPass), Operator: "ops", Target: uint64(agent), DryRun: true,
	}}
	inbox := w.request(0, person(0, 0))
	inbox.Verb = &commandv1.Request_Inbox{Inbox: &commandv1.InboxAction{Verb: uint32(control.InboxMain), Operator: "ops", DryRun: true}}
	menu := w.request(bot, person(0, 0))
	menu.Verb = &commandv1.Request_SetUserMenu{SetUserMenu: &commandv1.SetUserMenu{Items: []uint64{1}, CheckOnly: true}}
	refused := w.request(0, person(0, 0))
	refused.Verb = &commandv1.Request_Operate{Operate: &commandv1.Operate{Verb: uint32(control.OperatorPass), Operator: "ops", Target: 4711, DryRun: true}}
	for name, c := range map[string]struct {
		r    *commandv1.Request
		want commandv1.Status
	}{"operate": {operate, statusOK}, "inbox": {inbox, statusOK}, "menu": {menu, statusOK}, "refused": {refused, statusRefused}} {
		if a := w.ask(c.r); a.GetStatus() != c.want {
			t.Errorf("%s: %v", name, a)
		}
	}
	w.consumed(0, w.arrive(w.message(person(0, 1)))) // another record
	if now := len(w.events(0)); now != end+2 {
		t.Errorf("%d events after dry runs and a message, %d before", now, end)
	}
	if got := w.shown(person(0, 0)); got.GetOwner() != uint64(bot) {
		t.Errorf("owner %d after dry runs", got.GetOwner())
	}
}

func TestStoppedPartitionHasNoHolder(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.stop()
	if _, err := w.tryAsk(t.Context(), show(w.request(0, person(0, 0)))); err == nil {
		t.Error("a stopped role answers")
	} else if !bus.IsRetryable(err) {
		t.Errorf("error %v", err)
	}
}

func TestEqualRefusalsAreFolded(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	refused := func() {
		if a := w.ask(passRequest(w.request(agent, person(0, 0)), survey)); a.GetStatus() != statusRefused {
			t.Fatalf("answer %v", a)
		}
	}
	logged := func() (counts []uint32) {
		for _, e := range w.events(0) {
			if r, ok := e.(control.Refused); ok {
				counts = append(counts, r.Count)
			}
		}
		return counts
	}
	records := len(w.records(0))
	for range 5 {
		refused()
	}
	if now := len(w.records(0)); now != records {
		t.Errorf("refusals forced %d records", now-records)
	}
	w.consumed(0, w.arrive(w.message(person(0, 1))))
	for range 3 {
		refused()
	}
	w.consumed(0, w.arrive(w.message(person(0, 1)))) // within the minute
	if got := logged(); len(got) != 1 || got[0] != 5 {
		t.Fatalf("logged %v, want one of 5", got)
	}
	w.clock.advance(61 * time.Second)
	w.consumed(0, w.arrive(w.message(person(0, 1))))
	if got := logged(); len(got) != 2 || got[1] != 3 {
		t.Fatalf("logged %v, want 5 and 3", got)
	}
	w.clock.advance(61 * time.Second)
	w.consumed(0, w.arrive(w.message(person(0, 1))))
	w.check()
	w.stop()
	if n := len(w.svc.holders[0].refusals.open); n != 0 {
		t.Errorf("%d refusals remembered after a quiet minute", n)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	l := newRefusalLog()
	for n := range 2 * maxRefusals {
		l.note(thread(uint64(n)), bot, control.Refusal{Reason: control.ReasonNotOwner, Verb: control.VerbPass}, control.State{Revision: 1})
	}
	if len(l.open) != maxRefusals || len(l.fresh) != maxRefusals {
		t.Errorf("%d refusals remembered, want %d", len(l.open), maxRefusals)
	}
}
