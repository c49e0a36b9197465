package delivery

import "github.com/baton-router/baton/pkg/control"

// plan collects the deliveries of one entry.
type plan struct {
	page   *Page
	person uint64
	list   []Delivery
}

// add lists d for r.
func (p *plan) add(r *Receiver, d Delivery) {
	d.App, d.NumericAppIDs, d.EmptyMessaging = r.App, r.NumericAppIDs, r.EmptyMessaging
	if p.list == nil {
		p.list = make([]Delivery, 0, len(p.page.Receivers))
	}
	p.list = append(p.list, d)
}

// hears reports whether r may hear of events under field on this thread: a
// development app hears only of its testers (12.35).
func (p *plan) hears(r *Receiver, field Field) bool {
	if !r.Fields.Has(field) || r.App.IsInbox() {
		return false
	}
	app := p.page.Rules.Apps[r.App]
	if !app.Development || p.person == 0 {
		return true
	}
	_, tester := app.Testers[p.person]
	return tester
}

// routed plans a webhook event by its audience. Source: delivery matrix,
// protocol 5.
func (p *plan) routed(e *control.Routed) {
	field := KindField(e.Kind, p.page.Rules.Object)
	for i := range p.page.Receivers {
		r := &p.page.Receivers[i]
		channel, listed := p.channel(r, e)
		if !listed || !p.hears(r, field) || channel == control.ChannelStandby && !r.Fields.Has(FieldStandby) {
			continue
		}
		p.add(r, Delivery{
			Channel: channel, Body: body(r.App, channel, e), Input: e.Input,
			Rewrite: e.Send != 0 || e.Sender != 0, Own: e.Send != 0, Sender: e.Sender, Metadata: e.Metadata,
		})
	}
}

// channel is where r hears of e, if anywhere.
func (p *plan) channel(r *Receiver, e *control.Routed) (control.Channel, bool) {
	if e.Creator != 0 && r.App == e.Creator && e.Audience != control.ToNobody {
		return control.ChannelMessaging, true
	}
	switch e.Audience {
	case control.ToOwner:
		if r.App == e.Owner {
			return control.ChannelMessaging, true
		}
		return control.ChannelStandby, onStandby(e.Kind, r.StandbyExtended)
	case control.ToIdle:
		return p.page.Rules.IdleChannel, true
	case control.ToCreator, control.ToNobody:
	}
	return control.ChannelStandby, false
}

// body withholds the payload of a postback from all but the app that created
// the button, or the owner when nobody is known to have. On an idle thread
// nothing is withheld (12.5).
func body(app control.AppID, channel control.Channel, e *control.Routed) BodyKind {
	switch {
	case e.Kind != control.KindPostback, app == e.Creator:
		return BodyEvent
	case e.Creator != 0:
		return BodyNoPayload
	case e.Audience == control.ToOwner && channel == control.ChannelStandby:
		return BodyNoPayload
	}
	return BodyEvent
}

// handover lists the handover event d for app alone.
func (p *plan) handover(app control.AppID, d Delivery) {
	p.handovers(d, func(r *Receiver) bool { return r.App == app })
}

// handovers lists the handover event d for the receivers that are concerned.
// Handover events ride on messaging (protocol 5).
func (p *plan) handovers(d Delivery, concerned func(*Receiver) bool) {
	d.Channel = control.ChannelMessaging
	for i := range p.page.Receivers {
		if r := &p.page.Receivers[i]; concerned(r) && p.hears(r, FieldHandovers) {
			p.add(r, d)
		}
	}
}

// passed tells the new owner. Source: protocol 6.4.
func (p *plan) passed(c *control.Change) {
	if c.To == 0 {
		return
	}
	d := Delivery{Body: BodyPass, Previous: c.From, New: c.To, Metadata: c.Metadata}
	p.handovers(d, func(r *Receiver) bool { return p.page.Rules.BroadcastHandovers || r.App == c.To })
}

// taken tells the previous owner; nobody when the thread was idle. Sources:
// protocol 6.4, C4, C25.
func (p *plan) taken(c *control.Change, metadata string) {
	if c.From == 0 {
		return
	}
	d := Delivery{Body: BodyTake, Previous: c.From, New: c.To, Metadata: metadata}
	p.handovers(d, func(r *Receiver) bool { return p.page.Rules.BroadcastHandovers || r.App == c.From })
}

// assigned tells the lead where the page says so. C24.
func (p *plan) assigned(c *control.Change) {
	if !p.page.Rules.AnnounceIdleAssignment || c.Why != control.WhyLead && c.Why != control.WhyDefault {
		return
	}
	p.handover(c.To, Delivery{Body: BodyPass, Previous: c.From, New: c.To})
}

// requested tells the owner, and in handover mode the primary too; never the
// app that asks. Sources: C5, 12.29.
func (p *plan) requested(e *control.Requested) {
	rules := p.page.Rules
	d := Delivery{Body: BodyRequest, New: e.App, Metadata: e.Metadata}
	p.handovers(d, func(r *Receiver) bool {
		lead := rules.Mode == control.ModeHandover && r.App == rules.Lead
		return r.App != e.App && (r.App == e.Owner || lead)
	})
}

// roleChanged tells the app whose role changed. Conversation Routing has no
// roles. Row 93.
func (p *plan) roleChanged(e *control.RoleChanged) {
	if p.page.Rules.Mode != control.ModeHandover {
		return
	}
	p.handover(e.App, Delivery{Body: BodyRoles, New: e.App, Primary: e.Primary})
}
