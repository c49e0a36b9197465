package control

import "slices"

// webhook routes an event of the platform; what it changes of control is
// decided before. Exactly one Routed or EchoWaits names its input.
func (t *turn) webhook(w *Webhook) {
	w.At = w.eventTime(t.now)
	switch w.Kind {
	case KindMessage, KindPostback, KindReferral, KindOptin:
		t.contact(w)
	case KindAccountLinking:
		t.accountLinking(w)
	case KindFeedback:
		t.feedback(w)
	case KindEcho:
		t.echo(w)
	case KindPlatformPass:
		t.platformPass(w)
	case KindPlatformTake:
		t.platformTake(w)
	case KindPlatformRequest, KindPlatformRoles:
		t.emit(t.unheard(w))
	default:
		t.emit(t.route(w))
	}
}

// route is the routing of w on the thread as it is: to the owner and the
// bystanders, or to everyone on the idle channel (12.5).
func (t *turn) route(w *Webhook) Routed {
	r := Routed{
		Input: w.Input, Kind: w.Kind, Audience: ToIdle, Owner: t.state.Owner, At: t.now, Dedupe: w.Dedupe,
	}
	if r.Owner != 0 {
		r.Audience = ToOwner
	}
	if w.Kind.UserActivity() {
		t.activity(w, &r)
	}
	return r
}

// unheard is the routing of an event that no app hears of.
func (t *turn) unheard(w *Webhook) Routed {
	r := t.route(w)
	r.Audience = ToNobody
	return r
}

// activity notes in r that the person was active at the event's own time: the
// deadline and the messaging window only grow. Sources: protocol 6.5, 12.8,
// row 98.
func (t *turn) activity(w *Webhook, r *Routed) {
	if w.At > t.state.LastUserAt {
		r.UserAt = w.At
	}
	window := t.page.expiry()
	if t.state.WindowDays != 0 {
		window = Millis(t.state.WindowDays) * Day
	}
	r.ExpiresAt = t.later(w.At + window)
	r.ClearDone = t.state.Done && w.Kind == KindMessage
}

// contact routes an event by which the person enters or goes on with the
// thread. It may move control first: rows 01 to 11 and 14 to 20.
func (t *turn) contact(w *Webhook) {
	if app, days, ok := t.adRoute(w); ok && !t.linkFirst(w) {
		t.enterByAd(w, app, days)
		return
	}
	if app := t.linkRoute(w); app != 0 && (t.state.Owner == 0 || t.page.LinkPreempts) {
		t.gain(app, WhyLink)
		t.emit(t.route(w))
		return
	}
	if app, why := t.creator(w); app != 0 {
		t.gain(app, why)
		r := t.route(w)
		r.Creator = app
		t.emit(r)
		return
	}
	t.assignLead()
	t.emit(t.route(w))
}

// gain moves control to app because the person did something: an assignment
// from idle, a capture from another owner.
func (t *turn) gain(app AppID, why Why) {
	if t.state.Owner == app {
		return
	}
	t.emit(gained(t.change(app, Actor{Kind: ActorPerson}, why)))
}

// gained is the event of a gain by a person's act. A button or menu item
// captures from idle too (rows 16 and 17b).
func gained(c Change) Event {
	if c.From != 0 || c.Why == WhyMenu || c.Why == WhyButton {
		return Captured{c}
	}
	return Assigned{c}
}

// assignLead gives an idle thread to the page's social app or lead: rows 01,
// 04 and 05.
func (t *turn) assignLead() {
	if t.state.Owner != 0 {
		return
	}
	social := t.page.Social
	switch lead := t.lead(); {
	case t.page.Mode == ModeDefaultApp && social != 0 && t.page.Connected(social):
		t.gain(social, WhySocial)
	case lead == 0:
	case t.page.Mode == ModeDefaultApp:
		t.gain(lead, WhyDefault)
	default:
		t.gain(lead, WhyLead)
	}
}

// linkFirst reports whether the link of w wins over its ad: on an idle thread.
// Source: protocol 6.2.
func (t *turn) linkFirst(w *Webhook) bool { return t.state.Owner == 0 && t.linkRoute(w) != 0 }

// linkRoute is the app that the link of w leads to. Rows 06 and 10.
func (t *turn) linkRoute(w *Webhook) AppID {
	if t.page.Mode != ModeDefaultApp || w.Ref == "" {
		return 0
	}
	app := t.page.Links[w.Ref]
	if !t.page.Connected(app) {
		return 0
	}
	return t.page.ownInbox(app)
}

// adRoute is the app that the ad of w leads to, and its control window. What
// the referral itself carries wins over the page's map. Source: 12.2.
func (t *turn) adRoute(w *Webhook) (app AppID, days uint8, ok bool) {
	if ad, known := t.page.Ads[w.Ad]; known && w.Ad != "" {
		app, days = ad.App, ad.Days
	}
	if t.page.Connected(w.ReceivingApp) {
		app, days = w.ReceivingApp, 1
	}
	if w.HasWindow {
		days = validDays(w.ReceivingDays)
	}
	return t.page.ownInbox(app), validDays(int(days)), t.page.Connected(app)
}

func validDays(days int) uint8 {
	if days < 1 || days > 30 {
		return 1
	}
	return uint8(days)
}

// enterByAd: rows 07 to 09. The window counts from the person's latest message
// and slides with it (12.32).
func (t *turn) enterByAd(w *Webhook, app AppID, days uint8) {
	until := max(t.state.LastUserAt, w.At) + Millis(days)*Day
	if t.state.Owner == app {
		r := t.route(w)
		r.WindowDays, r.ExpiresAt = days, t.later(until)
		t.emit(r)
		return
	}
	c := t.change(app, Actor{Kind: ActorPerson}, WhyCampaign)
	c.WindowDays, c.ExpiresAt = days, max(until, t.now)
	t.emit(gained(c))
	t.emit(t.route(w))
}

// creator is the connected app whose button or menu item the postback w comes
// from. The person's own menu wins over buttons, buttons over the page's menu.
func (t *turn) creator(w *Webhook) (AppID, Why) {
	if w.Kind != KindPostback {
		return 0, WhyNone
	}
	app, why := t.page.Menu[w.Payload], WhyMenu
	if t.page.Mode == ModeDefaultApp && w.Payload == t.page.GetStarted {
		app = 0
	}
	if w.ButtonCreator != 0 {
		app, why = w.ButtonCreator, WhyButton
	}
	if r := t.state.Rare; r != nil && r.UserMenu != 0 && slices.Contains(r.UserMenuItems, w.Payload) {
		app, why = r.UserMenu, WhyMenu
	}
	if w.Payload == 0 && w.ButtonCreator == 0 || !t.page.Connected(app) {
		return 0, WhyNone
	}
	return app, why
}

// accountLinking goes to the app whose button linked the account, and moves
// nothing.
func (t *turn) accountLinking(w *Webhook) {
	if !t.page.Connected(w.ButtonCreator) {
		t.contact(w)
		return
	}
	t.toCreator(w, w.ButtonCreator)
}

// feedback: row 88. A survey's answer goes to the survey's creator.
func (t *turn) feedback(w *Webhook) {
	if app := t.state.surveyCreator(w.Questions); t.page.Connected(app) {
		t.toCreator(w, app)
		return
	}
	t.emit(t.route(w))
}

func (t *turn) toCreator(w *Webhook, app AppID) {
	r := t.route(w)
	r.Audience, r.Creator = ToCreator, app
	t.emit(r)
}

// surveyCreator is the app whose survey asked one of the questions; else that
// of the survey delivered last. Source: 12.14.
func (s *State) surveyCreator(questions []uint64) AppID {
	if s.Rare == nil || len(s.Rare.Answerable) == 0 {
		return 0
	}
	surveys := s.Rare.Answerable
	for _, survey := range slices.Backward(surveys) {
		for _, q := range questions {
			if slices.Contains(survey.Questions, q) {
				return survey.App
			}
		}
	}
	return surveys[len(surveys)-1].App
}
