package control

import "slices"

// refuse says no to by, and tells it what it may know of who has control.
// Source: protocol override 4.
func (t *turn) refuse(verb Verb, by AppID, reason Reason) Refusal {
	r := Refusal{Reason: reason, Verb: verb, Next: t.advice(by, reason)}
	if t.state.Owner == 0 {
		return r
	}
	r.Since, r.Until = t.state.Since, t.state.ExpiresAt
	if by != 0 && (by == t.state.Owner || by == t.lead()) {
		r.Owner = t.state.Owner
	}
	return r
}

// advice is what a refused app should call instead.
func (t *turn) advice(by AppID, reason Reason) Next {
	switch reason {
	case ReasonPassToSelf, ReasonAlreadyOwner:
		return NextExtend
	case ReasonOpenSend, ReasonTooManySends, ReasonTooManyRequests, ReasonTooManySurveys:
		return NextWait
	case ReasonNotOwner, ReasonSendNotOwner, ReasonIdleSend, ReasonTakeNotAllowed, ReasonRequestNotAllowed,
		ReasonUserMenuNotOwner, ReasonPassNotAllowed:
		return t.wayToControl(by)
	default:
		return NextNothing
	}
}

func (t *turn) wayToControl(by AppID) Next {
	switch {
	case t.mayTake(by):
		return NextTake
	case t.page.Mode != ModeDefaultApp:
		return NextRequest
	default:
		return NextWait
	}
}

// caller refuses an app that is not connected to the page. Row 101.
func (t *turn) caller(verb Verb, by AppID) Refusal {
	if _, ok := t.page.Apps[by]; !ok {
		return Refusal{Reason: ReasonNotConnected, Verb: verb}
	}
	return Refusal{}
}

// admit is what every control call with metadata is checked for first.
func (t *turn) admit(verb Verb, by AppID, metadata string) Refusal {
	if r := t.caller(verb, by); r.Refused() {
		return r
	}
	if tooLong(metadata, MaxMetadata) {
		return t.refuse(verb, by, ReasonMetadataTooLong)
	}
	return Refusal{}
}

// repeated reports whether the call is the latest control event of the thread,
// made again within RepeatWindow. Source: override 3.
func (t *turn) repeated(fingerprint uint64) bool {
	return t.state.LastChange == fingerprint && t.now-t.state.LastChangeAt <= RepeatWindow
}

// pass: rows 36 to 44.
func (t *turn) pass(c *Pass) Refusal {
	if r := t.admit(VerbPass, c.By, c.Metadata); r.Refused() {
		return r
	}
	fingerprint := Fingerprint(VerbPass, c.By, c.Target, c.Metadata)
	if t.repeated(fingerprint) {
		return Refusal{}
	}
	target, why, reason := t.passTarget(c)
	if reason != ReasonNone {
		return t.refuse(VerbPass, c.By, reason)
	}
	change := t.change(target, appActor(c.By), why)
	change.Metadata, change.Print, change.Call = c.Metadata, fingerprint, c.Call
	t.emit(Passed{change})
	return Refusal{}
}

func (t *turn) passTarget(c *Pass) (target AppID, why Why, reason Reason) {
	target, why = t.page.ownInbox(c.Target), WhyCall
	if target == 0 && t.page.Mode == ModeDefaultApp {
		target, why = t.lead(), WhyDefault
	}
	switch owner := t.state.Owner; {
	case c.Target == 0 && t.page.Mode != ModeDefaultApp:
		reason = ReasonTargetMissing
	case owner != 0 && owner != c.By:
		reason = ReasonNotOwner
	case owner == 0 && !t.mayPassIdle(c.By):
		reason = ReasonPassNotAllowed
	case owner == c.By && target == c.By:
		reason = ReasonPassToSelf
	case !t.page.Connected(target):
		reason = ReasonUnknownTarget
	}
	return target, why, reason
}

// mayPassIdle reports whether by may pass a thread that nobody owns. C18.
func (t *turn) mayPassIdle(by AppID) bool {
	return t.page.Mode != ModeDefaultApp || !t.page.StrictIdlePass || by == t.lead()
}

// take: rows 45 to 53. A take by the owner is a success without event.
func (t *turn) take(c *Take) Refusal {
	if r := t.admit(VerbTake, c.By, c.Metadata); r.Refused() {
		return r
	}
	if t.state.Owner == c.By {
		return Refusal{}
	}
	fingerprint := Fingerprint(VerbTake, c.By, 0, c.Metadata)
	if t.repeated(fingerprint) {
		return Refusal{}
	}
	if !t.mayTake(c.By) {
		return t.refuse(VerbTake, c.By, ReasonTakeNotAllowed)
	}
	change := t.change(c.By, appActor(c.By), WhyCall)
	change.Metadata, change.Print, change.Call = c.Metadata, fingerprint, c.Call
	t.emit(Taken{change})
	return Refusal{}
}

// mayTake reports whether by may take the thread as it is now. C2.
func (t *turn) mayTake(by AppID) bool {
	app, connected := t.page.Apps[by]
	if !connected {
		return false
	}
	switch t.page.Mode {
	case ModeHandover:
		return t.state.Owner == 0 || by == t.lead()
	case ModeDefaultApp:
		return app.CanTake || by == t.lead()
	case ModeZeroConfig:
	}
	return false
}

// request: rows 54 to 60. On an idle thread it is granted at once.
func (t *turn) request(c *RequestControl) Refusal {
	if r := t.admit(VerbRequest, c.By, c.Metadata); r.Refused() {
		return r
	}
	fingerprint := Fingerprint(VerbRequest, c.By, 0, c.Metadata)
	switch {
	case t.repeated(fingerprint):
		return Refusal{}
	case t.page.Mode == ModeDefaultApp:
		return t.refuse(VerbRequest, c.By, ReasonRequestNotAllowed)
	case t.state.Owner == c.By:
		return t.refuse(VerbRequest, c.By, ReasonAlreadyOwner)
	case t.state.Owner == 0:
		change := t.change(c.By, appActor(c.By), WhyRequest)
		change.Metadata, change.Print, change.Call = c.Metadata, fingerprint, c.Call
		t.emit(Passed{change})
		return Refusal{}
	}
	again, full := t.state.waiting(c.By)
	if full && !again {
		return t.refuse(VerbRequest, c.By, ReasonTooManyRequests)
	}
	t.emit(Requested{
		App: c.By, Owner: t.state.Owner, At: t.now, Metadata: c.Metadata, Again: again, Print: fingerprint, Call: c.Call,
	})
	return Refusal{}
}

// waiting reports whether a waits for control already, and whether the queue is
// full.
func (s *State) waiting(a AppID) (waits, full bool) {
	if s.Rare == nil {
		return false, false
	}
	waits = slices.ContainsFunc(s.Rare.Requests, func(q Request) bool { return q.App == a })
	return waits, len(s.Rare.Requests) >= MaxRequests
}

// release: rows 61 to 63.
func (t *turn) release(c *Release) Refusal {
	if r := t.admit(VerbRelease, c.By, c.Metadata); r.Refused() {
		return r
	}
	fingerprint := Fingerprint(VerbRelease, c.By, 0, c.Metadata)
	if t.repeated(fingerprint) {
		return Refusal{}
	}
	if t.state.Owner != c.By {
		return t.refuse(VerbRelease, c.By, ReasonNotOwner)
	}
	change := t.change(0, appActor(c.By), WhyCall)
	change.Metadata, change.Print, change.Call = c.Metadata, fingerprint, c.Call
	t.letGo(Released{change})
	return Refusal{}
}

// letGo emits the event by which the owner gave the thread up. The oldest
// request is granted where the page says so, and a repeat of the release is
// still one; else the thread rests idle and its surveys go out.
func (t *turn) letGo(released Event) {
	waiting, ok := t.oldestRequest()
	t.emit(released)
	if !ok || t.state.Owner != 0 {
		t.flushSurveys()
		return
	}
	change := t.change(waiting.App, appActor(waiting.App), WhyRequest)
	change.Metadata, change.Print = waiting.Metadata, t.state.LastChange
	t.emit(Passed{change})
}

func (t *turn) oldestRequest() (Request, bool) {
	if !t.page.AutoGrantOnRelease || t.state.Rare == nil {
		return Request{}, false
	}
	for _, q := range t.state.Rare.Requests {
		if t.page.Connected(q.App) {
			return q, true
		}
	}
	return Request{}, false
}

// extend: rows 63 to 66. It never shortens. C7.
func (t *turn) extend(c *Extend) Refusal {
	if r := t.caller(VerbExtend, c.By); r.Refused() {
		return r
	}
	if c.Duration < Second || c.Duration > MaxExtension {
		return t.refuse(VerbExtend, c.By, ReasonBadDuration)
	}
	if t.state.Owner != c.By {
		return t.refuse(VerbExtend, c.By, ReasonNotOwner)
	}
	until := max(t.state.ExpiresAt, t.now+c.Duration)
	t.emit(Extended{App: c.By, At: t.now, ExpiresAt: until, Call: c.Call})
	return Refusal{}
}

// passMetadata: row 92. Control does not move, so anybody may.
func (t *turn) passMetadata(c *PassMetadata) Refusal {
	if r := t.admit(VerbMetadata, c.By, c.Metadata); r.Refused() {
		return r
	}
	target := t.page.ownInbox(c.Target)
	switch {
	case target == 0:
		return t.refuse(VerbMetadata, c.By, ReasonTargetMissing)
	case target == c.By || !t.page.Connected(target):
		return t.refuse(VerbMetadata, c.By, ReasonUnknownTarget)
	}
	t.emit(MetadataPassed{App: c.By, Target: target, At: t.now, Metadata: c.Metadata, Call: c.Call})
	return Refusal{}
}

// setUserMenu: rows 90 and 91.
func (t *turn) setUserMenu(c *SetUserMenu) Refusal {
	if r := t.caller(VerbUserMenu, c.By); r.Refused() {
		return r
	}
	if t.state.Owner != 0 && t.state.Owner != c.By {
		return t.refuse(VerbUserMenu, c.By, ReasonUserMenuNotOwner)
	}
	t.emit(UserMenuSet{App: c.By, At: t.now, Items: c.Items, Call: c.Call})
	return Refusal{}
}
