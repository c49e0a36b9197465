package control_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/control/controltest"
)

// TestDecideAgreesWithTheTables plays random commands to Decide and to the
// model of the tables.
func TestDecideAgreesWithTheTables(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(t, control.Decide)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			p.step()
			if diff := p.compare(); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// pair is the thread twice: as Decide sees it and as the tables do.
type pair struct {
	t      *rapid.T
	decide controltest.Decider
	page   *control.Page
	state  control.State
	next   control.Position
	model  model
	told   string // the last command, for failures
	want   string
	got    control.Refusal
}

func newPair(t *rapid.T, decide controltest.Decider) *pair {
	mode := rapid.SampledFrom([]string{"h", "h0", "z", "d"}).Draw(t, "mode")
	return &pair{
		t: t, decide: decide, page: controltest.NewPage(mode), next: 1,
		model: model{mode: mode, user: -1, now: 100 * modelDay},
	}
}

func (p *pair) now() control.Millis { return controltest.Start + control.Millis(p.model.now) }

// run decides c and checks what holds for every decision.
func (p *pair) run(c control.Command) {
	before := p.state.AppendCanonical(nil)
	env := control.Env{Now: p.now(), Position: p.next, Page: p.page, Person: controltest.Person}
	events, refusal := p.decide(p.state, env, c)
	if !bytes.Equal(before, p.state.AppendCanonical(nil)) {
		p.t.Fatalf("%s changed the state it was given", p.told)
	}
	routed := 0
	for i, e := range events {
		p.state = control.Evolve(p.state, e)
		p.checkPosition(e, p.next+control.Position(i))
		if _, ok := e.(control.Routed); ok {
			routed++
		}
	}
	if _, isWebhook := c.(control.Webhook); isWebhook != (routed == 1) {
		p.t.Fatalf("%s: %d routings", p.told, routed)
	}
	p.next += control.Position(len(events))
	p.got = refusal
	p.checkState()
}

func (p *pair) checkPosition(e control.Event, at control.Position) {
	change, isChange := control.ChangeOf(e)
	if isChange && change.MirrorSide && change.ID != at {
		p.t.Fatalf("%s: %T at %d says it is at %d", p.told, e, at, change.ID)
	}
	if id := ownPosition(e); id != 0 && id != at {
		p.t.Fatalf("%s: %T at %d says it is at %d", p.told, e, at, id)
	}
}

// ownPosition is the position that e says it takes, zero when it says none.
func ownPosition(e control.Event) control.Position {
	if sent, ok := e.(control.SendAccepted); ok {
		return sent.ID
	}
	if held, ok := e.(control.SurveyHeld); ok {
		return held.ID
	}
	delivered, _ := e.(control.SurveyDelivered)
	return delivered.ID
}

// checkState checks what holds for every state that is reached.
func (p *pair) checkState() {
	b := p.state.AppendCanonical(nil)
	parsed, err := control.ParseState(b)
	if err != nil || !bytes.Equal(b, parsed.AppendCanonical(nil)) {
		p.t.Fatalf("%s: %+v does not read back: %v", p.told, p.state, err)
	}
	if p.state.Owner == 0 && (p.state.ExpiresAt != 0 || p.state.WindowDays != 0) {
		p.t.Fatalf("%s: idle with a deadline: %+v", p.told, p.state)
	}
	p.checkDue()
}

// checkDue: a Due decides something exactly when NextDue has come.
func (p *pair) checkDue() {
	next := control.NextDue(p.state, p.page)
	env := control.Env{Now: p.now(), Position: p.next, Page: p.page}
	events, _ := control.Decide(p.state, env, control.Due{})
	if due := next != 0 && next <= p.now(); due != (len(events) > 0) {
		p.t.Fatalf("%s: due at %d, at %d there was %v", p.told, next, p.now(), events)
	}
	if next <= p.now() {
		return
	}
	env.Now = next
	if events, _ := control.Decide(p.state, env, control.Due{}); len(events) == 0 {
		p.t.Fatalf("%s: nothing was due at %d", p.told, next)
	}
}

func (p *pair) compare() string {
	m := &p.model
	view := control.Owned(p.state, p.page, p.now())
	m2 := *m
	m2.lapse(m.now) // the log may not have noticed yet
	owner, until, pending := controltest.AppName(view.Owner), int64(view.Until-controltest.Start), []string(nil)
	if view.Owner == 0 {
		owner, until = "", 0
	}
	for _, q := range view.Requests {
		pending = append(pending, controltest.AppName(q.App))
	}
	got := fmt.Sprintf("%s until %d %v done %t %s", owner, until, pending, p.state.Done, p.got.Reason)
	want := fmt.Sprintf("%s until %d %v done %t %s", m2.owner, m2.until, m2.pending, m2.done, p.want)
	if owner == m.owner {
		held := 0
		if p.state.Rare != nil {
			held = len(p.state.Rare.Held)
		}
		got, want = got+fmt.Sprint(" held ", held), want+fmt.Sprint(" held ", len(m.held))
	}
	if got != want {
		return fmt.Sprintf("mode %s, after %s:\n got %s\nwant %s", m.mode, p.told, got, want)
	}
	return ""
}

// step makes a random command, or lets time pass.
func (p *pair) step() {
	t := p.t
	p.want = ""
	by := rapid.SampledFrom([]string{"A", "B", "C", "T", "H"}).Draw(t, "by")
	metadata := rapid.SampledFrom([]string{"", "m"}).Draw(t, "metadata")
	switch kind := rapid.SampledFrom([]string{
		"wait", "take", "request", "release", "pass", "extend", "send", "person", "human", "menu", "due",
	}).Draw(t, "kind"); kind {
	case "wait":
		p.model.now += rapid.SampledFrom([]int64{1, 1000, 299_999, modelHour, 10 * modelHour, modelDay, 8 * modelDay}).Draw(t, "span")
		p.told, p.got = "wait", control.Refusal{}
	case "take":
		p.told = "take " + by
		p.want = p.model.call("take", by, "", metadata)
		p.run(control.Take{By: app(by), Metadata: metadata})
	case "request":
		p.told = "request " + by
		p.want = p.model.call("request", by, "", metadata)
		p.run(control.RequestControl{By: app(by), Metadata: metadata})
	case "release":
		p.told = "release " + by
		p.want = p.model.call("release", by, "", metadata)
		p.run(control.Release{By: app(by), Metadata: metadata})
	case "pass":
		target := rapid.SampledFrom([]string{"", "A", "B", "C", "X", "D"}).Draw(t, "target")
		p.told = "pass " + by + " " + target
		p.want = p.model.call("pass", by, target, metadata)
		p.run(control.Pass{By: app(by), Target: app(target), Metadata: metadata})
	case "menu":
		p.told = "menu " + by
		p.want = p.model.userMenu(by)
		p.run(control.SetUserMenu{By: app(by), Items: []uint64{1}})
	default:
		p.otherStep(kind, by)
	}
}

func (p *pair) otherStep(kind, by string) {
	t := p.t
	switch kind {
	case "extend":
		d := rapid.SampledFrom([]int64{0, 999, 1000, modelHour, 3 * modelDay, 7 * modelDay, 7*modelDay + 1}).Draw(t, "duration")
		p.told = fmt.Sprint("extend ", by, d)
		p.want = p.model.extend(by, d)
		p.run(control.Extend{By: app(by), Duration: control.Millis(d)})
	case "send":
		p.stepSend(by)
	case "person":
		p.stepPerson(by)
	case "human":
		verb := rapid.SampledFrom([]string{"reply", "main", "done"}).Draw(t, "verb")
		p.told = "human " + verb
		p.model.human(verb)
		p.run(control.InboxAction{Verb: map[string]control.InboxVerb{
			"reply": control.InboxReply, "main": control.InboxMain, "done": control.InboxDoneVerb,
		}[verb]})
	case "due":
		p.told = "due"
		p.model.due()
		p.run(control.Due{})
	}
}

func (p *pair) stepSend(by string) {
	kind := rapid.SampledFrom([]string{"plain", "human", "survey"}).Draw(p.t, "send")
	p.told = kind + " send " + by
	p.want = p.model.send(kind, by, 2)
	c := control.Send{By: app(by)}
	switch kind {
	case "human":
		c.Tag = control.TagHumanAgent
	case "survey":
		c.Survey = &control.SurveyTemplate{Days: 2}
	}
	p.run(c)
	if open := sending(p.state); open != 0 { // so that sends do not pile up
		p.run(control.SendOutcome{ID: open, Outcome: control.OutcomeConfirmed})
		p.got = control.Refusal{}
	}
}

func sending(s control.State) control.Position {
	if s.Rare == nil {
		return 0
	}
	for _, e := range s.Rare.Effects {
		if e.Kind == control.EffectSend {
			return e.ID
		}
	}
	return 0
}

func (p *pair) stepPerson(by string) {
	kind := rapid.SampledFrom([]string{"message", "tap", "ad", "read"}).Draw(p.t, "does")
	at := p.model.now - rapid.SampledFrom([]int64{0, 1000, modelHour, 30 * modelHour, -modelHour}).Draw(p.t, "late")
	p.told = fmt.Sprint(kind, " ", by, " at ", at)
	p.model.person(kind, by, 4, at)
	c := control.Webhook{At: controltest.Start + control.Millis(at)}
	switch kind {
	case "message":
		c.Kind = control.KindMessage
	case "tap":
		c.Kind, c.Payload, c.ButtonCreator = control.KindPostback, 2, app(by)
	case "ad":
		c.Kind, c.FromAd, c.ReceivingApp, c.HasWindow, c.ReceivingDays = control.KindReferral, true, app(by), true, 4
	case "read":
		c.Kind = control.KindRead
	}
	p.run(c)
}

func app(letter string) control.AppID {
	switch letter {
	case "":
		return 0
	case "X":
		return control.PageInbox
	}
	return controltest.A + control.AppID(strings.Index("ABCTHVD", letter))
}

// TestTheTablesNoticeMutants: the model is worth something only if it differs
// from a broken Decide.
func TestTheTablesNoticeMutants(t *testing.T) {
	t.Parallel()
	for name, decide := range map[string]controltest.Decider{
		"a secondary may take from another":   controlMutants()["a secondary may take from another"],
		"a repeat is decided again":           controlMutants()["a repeat is decided again"],
		"release goes to the lead":            controlMutants()["release goes to the lead"],
		"activity does not extend":            timeMutants()["activity does not extend"],
		"the messaging window is not checked": timeMutants()["the messaging window is not checked"],
		"a tap moves nothing":                 personMutants()["a tap moves nothing"],
		"done goes to the default app":        inboxMutants()["done goes to the default app"],
	} {
		if !noticed(t, decide) {
			t.Errorf("the tables do not notice that %s", name)
		}
	}
}

// noticed plays random commands from fixed seeds until Decide and the tables
// differ.
func noticed(t *testing.T, decide controltest.Decider) bool {
	t.Helper()
	play := rapid.Custom(func(t *rapid.T) bool {
		p := newPair(t, decide)
		for range 30 {
			p.step()
			if p.compare() != "" {
				return true
			}
		}
		return false
	})
	for seed := range 300 {
		if play.Example(seed) {
			return true
		}
	}
	return false
}
