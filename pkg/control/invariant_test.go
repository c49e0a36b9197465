package control_test

import (
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/control/controltest"
)

// TestInvariants plays every kind of command, on pages whose switches and
// connections change, and checks what must hold whatever happens.
func TestInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := &run{t: t, now: controltest.Start, next: 1, inputs: map[control.Ref]int{}, waiting: map[control.Ref]int{}}
		r.page = r.anyPage()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			r.now += control.Millis(rapid.SampledFrom([]int64{0, 0, 0, 0, 1, 1, 4000, 4000, 31_000, 3_600_000, 90_000_000}).Draw(t, "wait"))
			if rapid.IntRange(0, 9).Draw(t, "roster") == 0 {
				r.page = r.anyPage()
			}
			r.step(r.anyCommand())
		}
	})
}

// run is one thread under random commands.
type run struct {
	t       *rapid.T
	page    *control.Page
	state   control.State
	now     control.Millis
	next    control.Position
	inputs  map[control.Ref]int // webhooks decided, by routings and waits
	waiting map[control.Ref]int // echoes that waited, by later routings
	input   uint64
}

func (r *run) anyPage() *control.Page {
	t := r.t
	p := controltest.NewPage(rapid.SampledFrom([]string{"h", "h0", "z", "d"}).Draw(t, "mode"))
	p.Apps = maps.Clone(p.Apps)
	if gone := r.anyApp("gone"); !gone.IsInbox() && rapid.Bool().Draw(t, "someone goes") {
		delete(p.Apps, gone)
	}
	if p.Mode == control.ModeDefaultApp && rapid.Bool().Draw(t, "inbox leads") {
		p.Lead = control.PageInbox
	}
	p.Menu = map[uint64]control.AppID{1: controltest.A}
	p.Links = map[string]control.AppID{"r": controltest.B}
	p.Ads = map[string]control.Ad{"a": {App: controltest.C, Days: 4}}
	for _, flag := range []*bool{
		&p.AutoGrantOnRelease, &p.OwnerSendExtends, &p.IdleSendOwnerOnly, &p.ZeroConfigLiteral, &p.StrictIdlePass,
		&p.LinkPreempts, &p.MarkSeenByAnyone,
	} {
		*flag = rapid.Bool().Draw(t, "flag")
	}
	return p
}

func (r *run) anyApp(label string) control.AppID {
	return rapid.SampledFrom([]control.AppID{
		controltest.A, controltest.B, controltest.C, controltest.T, controltest.H, control.PageInbox,
	}).Draw(r.t, label)
}

func (r *run) anyCommand() control.Command {
	t, by := r.t, r.anyApp("by")
	switch rapid.IntRange(0, 20).Draw(t, "command") {
	case 0:
		return control.Pass{By: by, Target: r.anyApp("target")}
	case 1:
		return control.Take{By: by}
	case 2:
		return control.RequestControl{By: by}
	case 3:
		return control.Release{By: by}
	case 4:
		return control.Extend{By: by, Duration: control.Day}
	case 5:
		return control.SetUserMenu{By: by, Items: []uint64{2}}
	case 6:
		return control.Operate{Verb: control.OperatorVerb(rapid.IntRange(1, 3).Draw(t, "verb")), Target: by}
	case 7:
		return control.InboxAction{Verb: control.InboxVerb(rapid.IntRange(1, 3).Draw(t, "verb"))}
	case 8:
		return control.Due{}
	case 9:
		return control.SideOutcome{ID: r.anyEffect(), Confirmed: rapid.Bool().Draw(t, "confirmed")}
	case 10, 11:
		return control.SendOutcome{
			ID: r.anyEffect(), Outcome: control.OutcomeKind(rapid.IntRange(1, 4).Draw(t, "outcome")),
			Mid: rapid.SampledFrom([]string{"m_1", "m_2"}).Draw(t, "mid"),
		}
	case 12, 13, 14:
		return r.anySend(by)
	}
	return r.anyWebhook()
}

func (r *run) anySend(by control.AppID) control.Send {
	c := control.Send{By: by, Tag: rapid.SampledFrom([]control.Tag{
		control.TagNone, control.TagNone, control.TagNone, control.TagHumanAgent, control.TagFeedback, control.TagRetired,
	}).Draw(r.t, "tag")}
	if rapid.Bool().Draw(r.t, "by the owner") && r.state.Owner != 0 {
		c.By = r.state.Owner
	}
	switch rapid.IntRange(0, 6).Draw(r.t, "send") {
	case 0:
		c.Survey = &control.SurveyTemplate{Days: 1, Questions: []uint64{5}}
	case 1:
		c.Action = true
	case 2:
		c.Control = control.SendControl{Type: control.ControlPass, Target: r.anyApp("then")}
	case 3:
		c.Control.Type = control.ControlRelease
	}
	return c
}

// anyKind is an echo or a message more often than the others.
func (r *run) anyKind() control.Kind {
	n := rapid.IntRange(0, 35).Draw(r.t, "kind")
	switch {
	case n >= 26:
		return control.KindEcho
	case n >= 20:
		return control.KindMessage
	}
	return control.Kind(n)
}

func (r *run) anyWebhook() control.Webhook {
	t := r.t
	r.input++
	w := control.Webhook{
		Input: control.Ref{Sequence: r.input}, Kind: r.anyKind(),
		At:      r.now - control.Millis(rapid.SampledFrom([]int64{0, 5000, 90_000_000, -1000}).Draw(t, "late")),
		Payload: rapid.Uint64Range(0, 3).Draw(t, "payload"), Ref: rapid.SampledFrom([]string{"", "r"}).Draw(t, "ref"),
		Ad:  rapid.SampledFrom([]string{"", "", "a"}).Draw(t, "ad"),
		Mid: rapid.SampledFrom([]string{"m_1", "m_2"}).Draw(t, "mid"), Questions: []uint64{5},
		EchoApp: rapid.SampledFrom([]control.AppID{0, control.PageInbox, controltest.N, controltest.F}).Draw(t, "echo"),
		From:    rapid.SampledFrom([]control.AppID{0, control.PageInbox, controltest.N}).Draw(t, "from"),
		To:      rapid.SampledFrom([]control.AppID{0, control.PageInbox, controltest.N}).Draw(t, "to"),
	}
	if rapid.Bool().Draw(t, "from a button") {
		w.ButtonCreator = r.anyApp("creator")
	}
	if id := r.anyEffect(); id != 0 && rapid.Bool().Draw(t, "known") {
		w.Sent = &control.Sent{ID: id, App: r.anyApp("sender")}
	}
	return w
}

// anyEffect is one that is open, one that never was, or none.
func (r *run) anyEffect() control.Position {
	ids := []control.Position{0}
	if r.state.Rare != nil {
		for _, e := range r.state.Rare.Effects {
			ids = append(ids, e.ID)
		}
	}
	return rapid.SampledFrom(ids).Draw(r.t, "effect")
}

func (r *run) step(c control.Command) {
	env := control.Env{Now: r.now, Position: r.next, Page: r.page, Person: controltest.Person}
	events, refusal := control.Decide(r.state, env, c)
	for _, e := range events {
		r.check(c, e, refusal.Refused())
		r.state = control.Evolve(r.state, e)
		if change, ok := control.ChangeOf(e); ok && change.Revision != r.state.Revision {
			r.t.Fatalf("%+v: the thread has revision %d", change, r.state.Revision)
		}
		r.next++
	}
	if w, ok := c.(control.Webhook); ok && r.inputs[w.Input] != 1 {
		r.t.Fatalf("%+v was routed %d times", w, r.inputs[w.Input])
	}
	r.checkThread(c)
}

// check looks at one event before it is applied.
func (r *run) check(c control.Command, e control.Event, refused bool) {
	if change, ok := control.ChangeOf(e); ok {
		r.checkChange(c, e, change)
		if _, lapse := e.(control.Expired); refused && !lapse && change.Why != control.WhyAppGone {
			r.t.Fatalf("%T was refused with %+v", c, e)
		}
	}
	if waits, ok := e.(control.EchoWaits); ok {
		r.inputs[waits.Input]++
		r.waiting[waits.Input] = 0
	}
	routed, ok := e.(control.Routed)
	switch {
	case !ok:
	case !routed.WasHeld:
		r.inputs[routed.Input]++
	default:
		if n, waited := r.waiting[routed.Input]; !waited || n != 0 {
			r.t.Fatalf("%+v was routed %d times after it waited: %t", routed, n+1, waited)
		}
		r.waiting[routed.Input]++
	}
	if ok && (routed.UserAt > r.now || routed.At != r.now) {
		r.t.Fatalf("%+v at %d", routed, r.now)
	}
}

func (r *run) checkChange(c control.Command, e control.Event, change control.Change) {
	switch {
	case change.From != r.state.Owner || change.To == change.From:
		r.t.Fatalf("%T: %+v, but %d has control", c, e, r.state.Owner)
	case change.At > r.now || change.At < r.state.Since:
		r.t.Fatalf("%T: %+v at %d, after %d", c, e, r.now, r.state.Since)
	case (change.To == 0) != (change.ExpiresAt == 0):
		r.t.Fatalf("%T: %+v", c, e)
	case change.To != 0 && !r.page.Connected(change.To):
		r.t.Fatalf("%T: %+v gives control to an app that is not connected", c, e)
	case change.MirrorSide && (change.PlatformSide || change.ID != r.next):
		r.t.Fatalf("%T: %+v at %d", c, e, r.next)
	case change.Why == control.WhyNone || change.By.Kind == 0:
		r.t.Fatalf("%T: %+v has no cause", c, e)
	}
}

// checkThread looks at the thread after a decision.
func (r *run) checkThread(c control.Command) {
	s := r.state
	if s.Owner != 0 && !r.page.Connected(s.Owner) {
		r.t.Fatalf("%T left control with an app that is not connected", c)
	}
	sides, sends := 0, 0
	want := s.PlatformInbox
	if s.Rare != nil {
		for _, e := range s.Rare.Effects {
			if e.Kind == control.EffectSide {
				sides++
				want = e.WantInbox
			} else {
				sends++
			}
		}
		r.checkRare(c, sends)
	}
	if sides > 1 || want != s.Owner.IsInbox() {
		r.t.Fatalf("%T: %d mirrors, inbox wanted: %t, owner %d", c, sides, want, s.Owner)
	}
}

func (r *run) checkRare(c control.Command, sends int) {
	s := r.state
	if s.Owner == 0 && (len(s.Rare.Requests) > 0 || len(s.Rare.Held) > 0) {
		r.t.Fatalf("%T: idle, but %+v waits", c, s.Rare)
	}
	if len(s.Rare.HeldEcho) > 0 && sends == 0 {
		r.t.Fatalf("%T: echoes wait for no send", c)
	}
	seen := map[control.AppID]bool{s.Owner: true}
	for _, q := range s.Rare.Requests {
		if seen[q.App] {
			r.t.Fatalf("%T: %+v waits although it has control or waits already", c, q)
		}
		seen[q.App] = true
	}
}
