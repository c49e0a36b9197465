package control

import "unicode/utf8"

// Decide says what happens when c meets the thread s: the events, in order, and
// whether c was refused. Lapses that are due come first, and are returned along
// with a refusal too. Event i takes position env.Position+i. Decide owns
// nothing of what it returns and changes nothing of what it is given.
func Decide(s State, env Env, c Command) ([]Event, Refusal) {
	t := turn{state: s, now: env.Now, first: env.Position, page: env.Page, person: env.Person}
	t.settle(deadlineClock(c, env.Now))
	refusal := t.decide(c)
	return t.events, refusal
}

// turn is one decision under way: the thread as it is after the events so far.
type turn struct {
	state  State
	now    Millis
	first  Position
	page   *Page
	person uint64
	events []Event
}

func (t *turn) emit(e Event) {
	t.events = append(t.events, e)
	t.state = Evolve(t.state, e)
}

// next is the position that the next event will take.
func (t *turn) next() Position { return t.first + Position(len(t.events)) }

func (t *turn) decide(c Command) Refusal {
	switch c := c.(type) {
	case Webhook:
		t.webhook(&c)
	case Send:
		return t.send(&c)
	case SendOutcome:
		t.sendOutcome(&c)
	case SideOutcome:
		t.sideOutcome(&c)
	case Pass:
		return t.pass(&c)
	case Take:
		return t.take(&c)
	case RequestControl:
		return t.request(&c)
	case Release:
		return t.release(&c)
	case Extend:
		return t.extend(&c)
	case PassMetadata:
		return t.passMetadata(&c)
	case ReadOwner:
		return t.caller(VerbOwner, c.By)
	case SetUserMenu:
		return t.setUserMenu(&c)
	case InboxAction:
		t.inboxAction(&c)
	case Operate:
		return t.operate(&c)
	case Due:
		t.due()
	}
	return Refusal{}
}

// deadlineClock is the time with which the owner's deadline is compared. What
// the person wrote before the deadline counts although it comes after it.
func deadlineClock(c Command, now Millis) Millis {
	if w, ok := c.(Webhook); ok {
		return w.eventTime(now)
	}
	return now
}

// eventTime is the event's own timestamp, never later than now; now when it has
// none.
func (w *Webhook) eventTime(now Millis) Millis {
	if w.At <= 0 || w.At > now {
		return now
	}
	return w.At
}

// settle brings the thread to where it is at this time: an owner past its
// deadline has lost control at the deadline, an owner that is no longer
// connected loses it now. Sources: protocol 6.5, row 95.
func (t *turn) settle(clock Millis) {
	s := &t.state
	switch {
	case s.Owner == 0:
	case lapsed(s, clock):
		c := t.change(0, Actor{Kind: ActorTimer}, WhyInactivity)
		c.At = s.ExpiresAt
		t.emit(Expired{c})
		t.flushSurveys()
	case !t.page.Connected(s.Owner):
		t.emit(Released{t.change(0, Actor{Kind: ActorApp, App: s.Owner}, WhyAppGone)})
		t.flushSurveys()
	}
}

func lapsed(s *State, clock Millis) bool {
	return s.Owner != 0 && s.ExpiresAt != 0 && clock >= s.ExpiresAt
}

// change starts a change of owner at this time, with what every one has in
// common.
func (t *turn) change(to AppID, by Actor, why Why) Change {
	c := Change{From: t.state.Owner, To: to, At: t.now, By: by, Why: why, Done: t.state.Done, Revision: t.state.Revision}
	if to != c.From {
		c.Revision++
	}
	if to != 0 {
		c.ExpiresAt = t.now + t.page.expiry()
	}
	if want, mirror := t.state.wantedSide(to); mirror {
		c.MirrorSide, c.WantInbox, c.ID = true, want, t.next()
	}
	return c
}

// reported marks c as the platform's own report of the side: nothing is
// mirrored. Source: protocol 12.11.
func (c *Change) reported(inbox bool) {
	c.MirrorSide, c.ID = false, 0
	c.PlatformSide, c.WantInbox = true, inbox
}

// wantedSide is the side of the platform that goes with the owner to, and
// whether the platform must be told: an idle thread is on Baton's side, so that
// its apps may answer. Source: protocol 12.11.
func (s *State) wantedSide(to AppID) (inbox, mirror bool) {
	side := s.PlatformInbox
	if e, open := s.openSide(); open {
		side = e.WantInbox
	}
	return to.IsInbox(), to.IsInbox() != side
}

func (s *State) openSide() (Effect, bool) {
	if s.Rare != nil {
		for _, e := range s.Rare.Effects {
			if e.Kind == EffectSide {
				return e, true
			}
		}
	}
	return Effect{}, false
}

// flushSurveys hands the held surveys of a thread that has become idle to the
// partition's holder; those past their days or without creator are dropped.
// Source: protocol 6.8.
func (t *turn) flushSurveys() {
	if t.state.Rare == nil || t.state.Owner != 0 {
		return
	}
	for _, held := range t.state.Rare.Held {
		if t.stale(&held) {
			t.emit(SurveyDropped{Survey: held.ID, App: held.App, At: t.now})
			continue
		}
		t.emit(SurveyDelivered{ID: t.next(), Survey: held.ID, App: held.App, At: t.now})
	}
}

// stale reports whether a held survey will not be delivered any more.
func (t *turn) stale(held *Survey) bool {
	return held.ExpiresAt <= t.now || !t.page.Connected(held.App)
}

// lead is the page's primary receiver or default app, zero when it has none
// that is connected.
func (t *turn) lead() AppID { return t.page.lead() }

func appActor(a AppID) Actor { return Actor{Kind: ActorApp, App: a} }

func tooLong(text string, maxRunes int) bool {
	return len(text) > maxRunes && utf8.RuneCountInString(text) > maxRunes
}
