package control

// echo routes what was said to the person: by Baton, by a human in the inbox,
// or by an app outside Baton, which changes no control (12.1).
func (t *turn) echo(w *Webhook) {
	switch {
	case w.Sent != nil:
		t.sentEcho(w)
	case w.EchoApp == 0 || w.EchoApp.IsInbox() || w.EchoApp == PageInboxShort:
		t.humanEcho(w)
	case w.EchoApp == t.page.BatonApp && t.mayHoldEcho():
		t.emit(EchoWaits{Input: w.Input, At: t.now, EchoAt: w.At, Mid: w.Mid, Dedupe: w.Dedupe})
	default:
		t.emit(t.echoRoute(w))
	}
}

func (t *turn) mayHoldEcho() bool {
	return t.state.openSends() > 0 && len(t.state.Rare.HeldEcho) < MaxHeldEchoes
}

// echoRoute is the routing of an echo. One of Baton's sends goes as control was
// when the send was decided, whatever has happened since (12.3).
func (t *turn) echoRoute(w *Webhook) Routed {
	r := t.route(w)
	if w.Sent == nil {
		return r
	}
	r.Send, r.Sender, r.Metadata, r.Owner = w.Sent.ID, w.Sent.App, w.Sent.Metadata, w.Sent.Owner
	r.Audience = ToOwner
	if r.Owner == 0 {
		r.Audience = ToIdle
	}
	return r
}

// sentEcho confirms the send that it is an echo of, if that is open still.
func (t *turn) sentEcho(w *Webhook) {
	e, open := t.state.openSend(w.Sent.ID)
	if open {
		t.confirm(&e, w.Mid, true)
	}
	t.emit(t.echoRoute(w))
	if open {
		t.routeHeldEchoes(nil, "")
		t.executeControl(&e)
	}
}

// humanEcho: rows 76 and 80 to 82. A human replied in the inbox.
func (t *turn) humanEcho(w *Webhook) {
	t.inboxReplied(humanReply{by: t.inboxActor(), reported: true})
	r := t.route(w)
	if w.EchoApp == PageInboxShort {
		r.Sender = t.page.Inbox()
	}
	if r.Owner.IsInbox() && t.page.OwnerSendExtends {
		r.ExpiresAt = t.later(w.At + t.page.expiry())
	}
	t.emit(r)
}

func (t *turn) inboxActor() Actor { return Actor{Kind: ActorInbox, App: t.page.Inbox()} }

// platformPass mirrors a pass that the platform reports: from the inbox to
// Baton, or from Baton to the inbox. Source: 12.1, 12.11.
func (t *turn) platformPass(w *Webhook) {
	to := t.page.ownInbox(w.To)
	switch {
	case to == t.page.BatonApp && to != 0:
		t.leavePlatformInbox(w)
	case to.IsInbox() && w.From == t.page.BatonApp && w.From != 0:
		t.enterPlatformInbox(w)
	default:
		t.emit(t.unheard(w))
	}
}

// platformTake mirrors a take that the platform reports. A take by the inbox
// may leave the taker out. A take by Baton is Baton's own mirror coming back.
func (t *turn) platformTake(w *Webhook) {
	to := t.page.ownInbox(w.To)
	switch {
	case w.From == t.page.BatonApp && w.From != 0 && (to == 0 || to.IsInbox()):
		t.enterPlatformInbox(w)
	case to == t.page.BatonApp && to != 0 && !t.state.Owner.IsInbox():
		t.emit(t.sideReport(w, false))
	default:
		t.emit(t.unheard(w))
	}
}

func (t *turn) sideReport(w *Webhook, inbox bool) Routed {
	r := t.unheard(w)
	r.SideReported, r.WantInbox = true, inbox
	return r
}

// enterPlatformInbox: the platform says that its inbox has control.
func (t *turn) enterPlatformInbox(w *Webhook) {
	if t.state.Owner.IsInbox() {
		t.emit(t.sideReport(w, true))
		return
	}
	c := t.change(t.page.Inbox(), Actor{Kind: ActorPlatform}, WhyPlatform)
	c.reported(true)
	c.Metadata, c.Done = w.Metadata, false
	t.emit(InboxTaken{c})
	t.emit(t.unheard(w))
}

// leavePlatformInbox: the platform says that Baton has control. The inbox hands
// a thread to Baton when a human marks it done: rows 77 to 79.
func (t *turn) leavePlatformInbox(w *Webhook) {
	if !t.state.Owner.IsInbox() {
		t.emit(t.sideReport(w, false))
		return
	}
	c := t.change(t.afterInbox(), t.inboxActor(), WhyInboxDone)
	c.reported(false)
	c.Metadata, c.Done = w.Metadata, true
	t.letGo(InboxDone{c})
	t.emit(t.unheard(w))
}

// afterInbox is who has control when the inbox is done: the primary in handover
// mode, else nobody.
func (t *turn) afterInbox() AppID {
	if t.page.Mode != ModeHandover || t.lead().IsInbox() {
		return 0
	}
	return t.lead()
}
