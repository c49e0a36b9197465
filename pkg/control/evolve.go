package control

import "slices"

// Replay folds Evolve over events from the zero State.
func Replay(events ...Event) State {
	var s State
	for _, e := range events {
		s = Evolve(s, e)
	}
	return s
}

// Evolve is the thread s after e. It is total: any event on any state gives a
// state. It never changes what s refers to.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Routed:
		return s.routed(&e)
	case SendAccepted:
		return s.sendAccepted(&e)
	case SendConfirmed:
		return s.closed(e.ID)
	case SendFailed:
		return s.failed(&e)
	case Assigned:
		return s.changed(&e.Change)
	case Passed:
		return s.changed(&e.Change)
	case Taken:
		return s.changed(&e.Change)
	case Released:
		return s.changed(&e.Change)
	case Expired:
		return s.changed(&e.Change)
	case Captured:
		return s.changed(&e.Change)
	case InboxTaken:
		return s.changed(&e.Change)
	case InboxDone:
		return s.changed(&e.Change)
	case DoneMarked:
		s.Done = e.Done
	case Requested:
		return s.requested(&e)
	case Extended:
		s.ExpiresAt = max(s.ExpiresAt, e.ExpiresAt)
	case EchoWaits:
		return s.echoWaits(&e)
	case SurveyHeld:
		return s.surveyHeld(&e)
	case SurveyDelivered:
		return s.surveyDelivered(&e)
	case SurveyDropped:
		return s.surveyDropped(&e)
	case SideConfirmed:
		return s.sideConfirmed(&e)
	case SideRefused:
		return s.sideRefused(&e)
	case UserMenuSet:
		return s.userMenuSet(&e)
	case MetadataPassed, RoleChanged, RosterApplied, Refused:
	}
	return s
}

// changed applies a change of owner. A thread that becomes idle forgets who was
// waiting; an app that gains control waits no longer. Source: protocol 6.10.
func (s State) changed(c *Change) State {
	if s.Owner != c.To {
		s.Revision++
	}
	s.Owner, s.Since, s.ExpiresAt = c.To, c.At, c.ExpiresAt
	s.LastChange, s.LastChangeAt = c.Print, c.At
	s.WindowDays, s.Done = c.WindowDays, c.Done
	if s.Owner == 0 {
		s.ExpiresAt, s.WindowDays = 0, 0
	}
	if c.PlatformSide {
		s.PlatformInbox = c.WantInbox
	}
	if s.Rare == nil && !c.MirrorSide {
		return s
	}
	return s.changedRare(c)
}

func (s State) changedRare(c *Change) State {
	r := s.rare()
	if c.To == 0 {
		r.Requests = nil
	} else {
		r.Requests = without(r.Requests, func(q Request) bool { return q.App == c.To })
	}
	if c.MirrorSide || c.PlatformSide {
		r.Effects = without(r.Effects, isSide)
	}
	if c.MirrorSide {
		r.Effects = with(r.Effects, Effect{Kind: EffectSide, ID: c.ID, App: c.To, Since: c.At, WantInbox: c.WantInbox})
	}
	return s.withRare(r)
}

func (s State) requested(e *Requested) State {
	r := s.rare()
	asked := Request{App: e.App, Since: e.At, Metadata: e.Metadata}
	if i := slices.IndexFunc(r.Requests, func(q Request) bool { return q.App == e.App }); i >= 0 {
		asked.Since = r.Requests[i].Since
		r.Requests = replaced(r.Requests, i, asked)
	} else if len(r.Requests) < MaxRequests {
		r.Requests = with(r.Requests, asked)
	}
	s.LastChange, s.LastChangeAt = e.Print, e.At
	return s.withRare(r)
}

// routed applies what a webhook event says about the person and the platform.
// Deadlines only grow here: an event that comes late takes nothing away.
func (s State) routed(e *Routed) State {
	s.LastUserAt = max(s.LastUserAt, e.UserAt)
	if s.Owner != 0 {
		s.ExpiresAt = max(s.ExpiresAt, e.ExpiresAt)
		if e.WindowDays != 0 {
			s.WindowDays = e.WindowDays
		}
	}
	if e.ClearDone {
		s.Done = false
	}
	if e.SideReported {
		s.PlatformInbox = e.WantInbox
	}
	if s.Rare == nil || !e.WasHeld && !e.SideReported {
		return s
	}
	r := s.rare()
	if e.SideReported {
		r.Effects = without(r.Effects, isSide)
	}
	if e.WasHeld {
		r.HeldEcho = without(r.HeldEcho, func(h HeldEcho) bool { return h.Input == e.Input })
	}
	return s.withRare(r)
}
