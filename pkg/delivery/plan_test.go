package delivery

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
)

const person = 9001234567890123

// page has the apps 1 to n, subscribed to everything.
func page(n control.AppID, change func(*Page)) *Page {
	p := &Page{Rules: &control.Page{Asset: 7, Apps: map[control.AppID]control.App{}}}
	for app := control.AppID(1); app <= n; app++ {
		p.Rules.Apps[app] = control.App{}
		p.Receivers = append(p.Receivers, Receiver{App: app, Fields: ^FieldSet(0)})
	}
	if change != nil {
		change(p)
	}
	return p
}

func entry(e control.Event) Entry {
	return Entry{Partition: 3, Position: 9, Thread: control.ThreadKey{Asset: 7, Person: person}, Time: 5, Event: e}
}

func TestReceiverNeedsTheEventsFieldOnMessaging(t *testing.T) {
	t.Parallel()
	for kind := control.KindOther; kind <= control.KindPlatformRoles; kind++ {
		field := KindField(kind, control.ObjectPage)
		e := entry(control.Routed{Kind: kind, Audience: control.ToOwner, Owner: 1})
		only := page(1, func(p *Page) { p.Receivers[0].Fields = Fields(field) })
		if got := Plan(only, e); len(got) != 1 || got[0].Channel != control.ChannelMessaging {
			t.Errorf("%s with %s alone: %+v", kind, field, got)
		}
		without := page(1, func(p *Page) { p.Receivers[0].Fields &^= Fields(field) })
		if got := Plan(without, e); len(got) != 0 {
			t.Errorf("%s without %s: %+v", kind, field, got)
		}
	}
}

func TestStandbyNeedsItsOwnFieldAndTheEvents(t *testing.T) {
	t.Parallel()
	e := entry(control.Routed{Kind: control.KindMessage, Audience: control.ToOwner, Owner: 1})
	for fields, want := range map[FieldSet]int{
		Fields(FieldMessages, FieldStandby): 1, Fields(FieldMessages): 0, Fields(FieldStandby): 0,
	} {
		p := page(2, func(p *Page) {
			p.Receivers = p.Receivers[1:]
			p.Receivers[0].Fields = fields
		})
		if got := Plan(p, e); len(got) != want {
			t.Errorf("fields %b: %+v", fields, got)
		}
	}
}

func TestIdleStandbyNeedsTheStandbyField(t *testing.T) {
	t.Parallel()
	e := entry(control.Routed{Kind: control.KindReaction, Audience: control.ToIdle})
	p := page(1, func(p *Page) { p.Receivers[0].Fields = Fields(FieldMessageReactions) })
	if got := Plan(p, e); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	p.Rules.IdleChannel = control.ChannelMessaging
	if got := Plan(p, e); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestStandbyKinds(t *testing.T) {
	t.Parallel()
	p := page(3, func(p *Page) { p.Receivers[2].StandbyExtended = true })
	want := map[control.Kind]int{ // receivers beside the owner
		control.KindMessage: 2, control.KindPostback: 2, control.KindEcho: 2, control.KindDelivery: 2, control.KindRead: 2,
		control.KindReaction: 1, control.KindEdit: 1, control.KindUnsend: 1, control.KindResponseFeedback: 1,
		control.KindOrder: 1, control.KindReferral: 1, control.KindOptin: 1,
	}
	for kind := control.KindOther; kind <= control.KindPlatformRoles; kind++ {
		got := Plan(p, entry(control.Routed{Kind: kind, Audience: control.ToOwner, Owner: 1}))
		if len(got)-1 != want[kind] {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

func TestCreatorOfATapOnAnIdleThreadAloneGetsThePayload(t *testing.T) {
	t.Parallel()
	got := Plan(page(2, nil), entry(control.Routed{Kind: control.KindPostback, Audience: control.ToIdle, Creator: 2}))
	want := []Delivery{
		{App: 1, Channel: control.ChannelStandby, Body: BodyNoPayload},
		{App: 2, Channel: control.ChannelMessaging, Body: BodyEvent},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEchoOfASendIsRewritten(t *testing.T) {
	t.Parallel()
	input := control.Ref{Sequence: 4, Index: 1}
	got := Plan(page(1, nil), entry(control.Routed{
		Input: input, Kind: control.KindEcho, Audience: control.ToOwner, Owner: 1, Send: 8, Sender: 5, Metadata: "m",
	}))
	want := []Delivery{{
		App: 1, Channel: control.ChannelMessaging, Body: BodyEvent, Input: input, Rewrite: true, Own: true, Sender: 5,
		Metadata: "m",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRequestReachesTheOwnerAndThePrimaryButNotTheCaller(t *testing.T) {
	t.Parallel()
	p := page(4, func(p *Page) { p.Rules.Lead = 2 })
	for _, c := range []struct {
		by, owner control.AppID
		want      []control.AppID
	}{
		{by: 3, owner: 1, want: []control.AppID{1, 2}},
		{by: 2, owner: 1, want: []control.AppID{1}},
		{by: 3, owner: 2, want: []control.AppID{2}},
		{by: 3, owner: control.PageInbox, want: []control.AppID{2}},
	} {
		var got []control.AppID
		for _, d := range Plan(p, entry(control.Requested{App: c.by, Owner: c.owner})) {
			got = append(got, d.App)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("a request by %d to %d reaches %v", c.by, c.owner, got)
		}
	}
}

func TestDevelopmentAppsHearOfTheirTestersOnly(t *testing.T) {
	t.Parallel()
	p := page(2, func(p *Page) {
		p.Rules.Apps[1] = control.App{Development: true}
		p.Rules.Apps[2] = control.App{Development: true, Testers: map[uint64]struct{}{person: {}}}
	})
	for _, e := range []control.Event{
		control.Routed{Kind: control.KindMessage, Audience: control.ToIdle},
		control.Taken{Change: control.Change{From: 2, To: 1}},
	} {
		if got := Plan(p, entry(e)); len(got) != 1 || got[0].App != 2 {
			t.Errorf("%T: %+v", e, got)
		}
	}
	if got := Plan(p, entry(control.Taken{Change: control.Change{From: 1, To: 2}})); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// Protocol 6.4 and 12: release, expiry, extension, sends and surveys tell no app.
func TestSilentEvents(t *testing.T) {
	t.Parallel()
	p := page(3, func(p *Page) { p.Rules.BroadcastHandovers, p.Rules.AnnounceIdleAssignment = true, true })
	change := control.Change{From: 1}
	for _, e := range []control.Event{
		control.Released{Change: change},
		control.Expired{Change: change},
		control.Extended{App: 1},
		control.DoneMarked{Done: true},
		control.InboxDone{Change: change},
		control.SendAccepted{App: 1},
		control.SendConfirmed{App: 1},
		control.SendFailed{App: 1},
		control.SurveyHeld{App: 1},
		control.SurveyDelivered{App: 1},
		control.SurveyDropped{App: 1},
		control.EchoWaits{},
		control.UserMenuSet{App: 1},
		control.Refused{App: 1},
		control.RosterApplied{},
		control.SideConfirmed{},
		control.SideRefused{},
		control.Routed{Audience: control.ToNobody, Owner: 1, Creator: 1},
		control.Taken{Change: control.Change{To: 1}},
		control.Assigned{Change: control.Change{To: 1, Why: control.WhyLink}},
	} {
		if got := Plan(p, entry(e)); got != nil {
			t.Errorf("%T: %+v", e, got)
		}
	}
}

func TestReceiversSettingsAreCopied(t *testing.T) {
	t.Parallel()
	p := page(1, func(p *Page) { p.Receivers[0].NumericAppIDs, p.Receivers[0].EmptyMessaging = true, true })
	got := Plan(p, entry(control.Passed{Change: control.Change{From: control.PageInbox, To: 1, Metadata: "m"}}))
	want := []Delivery{{
		App: 1, Channel: control.ChannelMessaging, Body: BodyPass, Previous: control.PageInbox, New: 1, Metadata: "m",
		NumericAppIDs: true, EmptyMessaging: true,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestPlansAreSound: whatever is routed on whatever page, no app gets two
// copies, no inbox one, and messaging is for the owner and the creator, or for
// everyone on an idle thread.
func TestPlansAreSound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := page(5, func(p *Page) {
			p.Rules.IdleChannel = control.Channel(rapid.IntRange(0, 1).Draw(t, "idle"))
			for i := range p.Receivers {
				p.Receivers[i].Fields = FieldSet(rapid.Uint64().Draw(t, "fields"))
				p.Receivers[i].StandbyExtended = rapid.Bool().Draw(t, "extended")
			}
			p.Receivers = append(p.Receivers, Receiver{App: control.PageInbox, Fields: ^FieldSet(0)})
		})
		e := control.Routed{
			Kind: control.Kind(rapid.IntRange(0, 19).Draw(t, "kind")), Audience: control.Audience(rapid.IntRange(1, 4).Draw(t, "to")),
			Owner: control.AppID(rapid.IntRange(0, 6).Draw(t, "owner")), Creator: control.AppID(rapid.IntRange(0, 6).Draw(t, "creator")),
		}
		got := Plan(p, entry(e))
		checkSound(t, p, e, got)
		if diff := cmp.Diff(got, Plan(p, entry(e))); diff != "" {
			t.Fatalf("a second plan differs: %s", diff)
		}
	})
}

func checkSound(t *rapid.T, p *Page, e control.Routed, got []Delivery) {
	field := KindField(e.Kind, p.Rules.Object)
	var last control.AppID
	for _, d := range got {
		if d.App <= last || d.App.IsInbox() {
			t.Fatalf("%+v after app %d", d, last)
		}
		last = d.App
		fields := p.Receivers[d.App-1].Fields
		if !fields.Has(field) || d.Channel == control.ChannelStandby && !fields.Has(FieldStandby) {
			t.Fatalf("%+v with fields %b", d, fields)
		}
		mayMessage := d.App == e.Creator || d.App == e.Owner && e.Audience == control.ToOwner || e.Audience == control.ToIdle
		if d.Channel == control.ChannelMessaging && !mayMessage {
			t.Fatalf("%+v of %+v", d, e)
		}
		if e.Kind == control.KindPostback && e.Creator != 0 && d.App != e.Creator && d.Body != BodyNoPayload {
			t.Fatalf("%+v has another app's payload", d)
		}
	}
}

func BenchmarkPlanMessage(b *testing.B) {
	p := page(4, nil)
	e := entry(control.Routed{Kind: control.KindMessage, Audience: control.ToOwner, Owner: 1})
	b.ReportAllocs()
	for b.Loop() {
		if len(Plan(p, e)) != 4 {
			b.Fatal("not everyone hears")
		}
	}
}
