package control

// access says by what right an app may send.
type access uint8

const (
	accessNone   access = iota
	accessOwner         // it has control
	accessOpen          // the thread is idle, or the page lets everyone
	accessBypass        // a human-agent send without control (C11)
	accessTake          // a human-agent send that takes control first (C11)
)

// send: rows 21 to 35, 70 to 74, 84. Order of the checks: protocol 2.2, 12.14,
// 12.16, 12.35.
func (t *turn) send(c *Send) Refusal {
	verb := VerbSend
	if c.Action {
		verb = VerbAction
	}
	if r := t.caller(verb, c.By); r.Refused() {
		return r
	}
	if reason := t.sendPermission(c); reason != ReasonNone {
		return t.refuse(verb, c.By, reason)
	}
	if c.Survey != nil && t.state.Owner != 0 && t.state.Owner != c.By {
		return t.holdSurvey(c)
	}
	right := t.sendAccess(c)
	control, reason := t.sendAllowed(c, right)
	if reason != ReasonNone {
		return t.refuse(verb, c.By, reason)
	}
	if right == accessTake {
		t.emit(Taken{t.change(c.By, appActor(c.By), WhyHumanAgent)})
	}
	t.acceptSend(c, right, control)
	return Refusal{}
}

// sendPermission refuses what no state of the thread would allow.
func (t *turn) sendPermission(c *Send) Reason {
	app := t.page.Apps[c.By]
	switch {
	case c.Tag == TagHumanAgent && !app.HumanAgent:
		return ReasonNoHumanAgent
	case app.Development && !app.tests(t.person):
		return ReasonNotTester
	case c.ActionAndMessage:
		return ReasonActionAndMessage
	}
	return t.keyInUse(&c.Call)
}

// keyInUse refuses a repeat of a send that is still open.
func (t *turn) keyInUse(call *Call) Reason {
	if t.state.Rare == nil || call.Key == [16]byte{} {
		return ReasonNone
	}
	for _, e := range t.state.Rare.Effects {
		if e.Kind != EffectSend || e.Key != call.Key {
			continue
		}
		if e.Digest != call.Digest {
			return ReasonKeyReused
		}
		return ReasonOpenSend
	}
	return ReasonNone
}

func (t *turn) sendAccess(c *Send) access {
	switch owner := t.state.Owner; {
	case owner == c.By:
		return accessOwner
	case c.Action && c.MarkSeen && t.page.MarkSeenByAnyone:
		return accessOpen
	case owner == 0:
		return t.idleAccess(c)
	case t.page.Mode == ModeZeroConfig && t.page.ZeroConfigLiteral:
		return accessOpen
	}
	return t.humanAgentAccess(c)
}

// idleAccess: rows 25 to 27; protocol 12.6, 12.14, 12.24, 12.32, 12.35.
func (t *turn) idleAccess(c *Send) access {
	if human := t.humanAgentAccess(c); human != accessNone {
		return human
	}
	switch {
	case c.Survey != nil, c.By == t.lead():
		return accessOpen
	case t.page.Mode == ModeDefaultApp, t.page.IdleSendOwnerOnly:
		return accessNone
	}
	return accessOpen
}

// humanAgentAccess: rows 28 to 31. In handover mode a human agent sends past
// the owner; with a default app such a send is a take.
func (t *turn) humanAgentAccess(c *Send) access {
	switch {
	case c.Tag != TagHumanAgent || c.Action:
		return accessNone
	case t.page.Mode == ModeHandover:
		return accessBypass
	case t.page.Mode == ModeDefaultApp && t.mayTake(c.By):
		return accessTake
	}
	return accessNone
}

// sendAllowed checks ownership, window and content, in this order, and resolves
// the thread_control.
func (t *turn) sendAllowed(c *Send, right access) (SendControl, Reason) {
	switch {
	case right == accessNone && t.state.Owner == 0:
		return SendControl{}, ReasonIdleSend
	case right == accessNone:
		return SendControl{}, ReasonSendNotOwner
	case !c.Action && t.outsideWindow(c):
		return SendControl{}, ReasonOutsideWindow
	case c.Tag == TagRetired:
		return SendControl{}, ReasonRetiredTag
	case tooLong(c.Metadata, MaxAppMessage):
		return SendControl{}, ReasonMetadataTooLong
	case !c.Action && t.state.openSends() >= MaxOpenSends:
		return SendControl{}, ReasonTooManySends
	}
	return t.sendControl(c)
}

// outsideWindow: rows 32 and 33. Where nothing is known of the person, the
// platform decides (12.7).
func (t *turn) outsideWindow(c *Send) bool {
	window := Day
	if c.Tag == TagHumanAgent || c.Tag == TagFeedback || c.Survey != nil {
		window = 7 * Day
	}
	return t.state.LastUserAt != 0 && t.now-t.state.LastUserAt > window
}

// sendControl resolves the thread_control of a send: rows 70 to 74, C16.
func (t *turn) sendControl(c *Send) (SendControl, Reason) {
	if c.Control.Type == ControlNone {
		return SendControl{}, ReasonNone
	}
	if t.page.Mode != ModeDefaultApp || c.Action {
		return SendControl{}, ReasonBadThreadControl
	}
	if c.Control.Type == ControlRelease {
		return SendControl{Type: ControlRelease}, ReasonNone
	}
	target := t.page.ownInbox(c.Control.Target)
	if target == 0 {
		target = t.lead()
	}
	switch {
	case target == c.By:
		return SendControl{}, ReasonPassToSelf
	case !t.page.Connected(target):
		return SendControl{}, ReasonUnknownTarget
	}
	return SendControl{Type: ControlPass, Target: target}, ReasonNone
}

func (t *turn) acceptSend(c *Send, right access, control SendControl) {
	accepted := SendAccepted{
		ID: t.next(), App: c.By, Owner: t.state.Owner, At: t.now, Bypass: right == accessBypass, Action: c.Action,
		Metadata: c.Metadata, Buttons: c.Buttons, Control: control, Call: c.Call,
	}
	if right == accessOwner && !c.Action && t.page.OwnerSendExtends {
		accepted.ExpiresAt = t.later(t.now + t.page.expiry())
	}
	if c.Survey != nil {
		accepted.Answers = &Answerable{App: c.By, Questions: c.Survey.Questions}
	}
	t.emit(accepted)
}

// later is the deadline at when it is after the present one, else zero.
func (t *turn) later(at Millis) Millis {
	if t.state.Owner == 0 || at <= t.state.ExpiresAt {
		return 0
	}
	return at
}

// holdSurvey: row 84. A survey waits while another app has control.
func (t *turn) holdSurvey(c *Send) Refusal {
	switch {
	case c.Control.Type != ControlNone:
		return t.refuse(VerbSend, c.By, ReasonBadThreadControl)
	case t.state.Rare != nil && len(t.state.Rare.Held) >= MaxSurveys:
		return t.refuse(VerbSend, c.By, ReasonTooManySurveys)
	}
	days := c.Survey.Days
	if days < 1 || days > 7 {
		days = 1
	}
	t.emit(SurveyHeld{
		ID: t.next(), App: c.By, At: t.now, ExpiresAt: t.now + Millis(days)*Day,
		Message: c.Survey.Message, Questions: c.Survey.Questions, Call: c.Call,
	})
	return Refusal{}
}

// openSends counts the sends, surveys among them, that wait for their outcome.
func (s *State) openSends() int {
	if s.Rare == nil {
		return 0
	}
	count := 0
	for _, e := range s.Rare.Effects {
		if e.Kind != EffectSide {
			count++
		}
	}
	return count
}
