package control

// sendOutcome closes the open send or survey that c names; a closed one stays
// as it is. A send whose outcome is unknown stays open for its echo until
// SendUnknownAfter: that may still confirm it, and nobody forwards it again. A
// survey is closed at once, so that no holder delivers it twice.
func (t *turn) sendOutcome(c *SendOutcome) {
	e, open := t.state.openSend(c.ID)
	switch {
	case !open:
		return
	case c.Outcome == OutcomeUnknown && e.Kind == EffectSend && t.now < e.Since+SendUnknownAfter:
		return
	case c.Outcome == OutcomeConfirmed:
		t.confirm(&e, c.Mid, false)
		t.routeHeldEchoes(&e, c.Mid)
		t.executeControl(&e)
		return
	case c.Outcome == OutcomeRefused && e.Kind == EffectSurvey:
		t.emit(SurveyDropped{Survey: e.Survey, App: e.App, At: t.now, Error: string(c.Error), Delivery: e.ID})
	default:
		t.fail(&e, c.Outcome, c.Error)
	}
	t.routeHeldEchoes(nil, "")
}

// sideOutcome closes the open mirror that c names, or puts it off.
func (t *turn) sideOutcome(c *SideOutcome) {
	e, open := t.state.openSide()
	switch {
	case !open || e.ID != c.ID:
	case c.Confirmed:
		t.emit(SideConfirmed{ID: e.ID, At: t.now, WantInbox: e.WantInbox})
	default:
		t.emit(SideRefused{ID: e.ID, At: t.now, NextAt: t.now + sideDelay(e.Attempt), Error: c.Error})
	}
}

// sideDelay is how long a mirror waits after having been refused attempt times
// before.
func sideDelay(attempt uint8) Millis {
	switch attempt {
	case 0:
		return Second
	case 1:
		return 5 * Second
	case 2:
		return 30 * Second
	case 3:
		return 2 * Minute
	case 4:
		return 10 * Minute
	}
	return Hour
}

func (s *State) openSend(id Position) (Effect, bool) {
	if s.Rare != nil {
		for _, e := range s.Rare.Effects {
			if e.ID == id && e.Kind != EffectSide {
				return e, true
			}
		}
	}
	return Effect{}, false
}

// confirm closes the open send e: the platform took it.
func (t *turn) confirm(e *Effect, mid string, byEcho bool) {
	t.emit(SendConfirmed{
		ID: e.ID, App: e.App, Mid: mid, At: t.now, ByEcho: byEcho, Key: e.Key, KeyUntil: e.KeyUntil, Digest: e.Digest,
		SkippedControl: e.Control.Type != ControlNone && !t.mayExecute(e),
	})
}

func (t *turn) fail(e *Effect, outcome OutcomeKind, body []byte) {
	t.emit(SendFailed{
		ID: e.ID, App: e.App, Outcome: outcome, Error: body, At: t.now, Key: e.Key, KeyUntil: e.KeyUntil, Digest: e.Digest,
	})
}

// mayExecute reports whether the thread_control of the send e still applies:
// its app has control, or the thread was idle then and is now.
func (t *turn) mayExecute(e *Effect) bool {
	switch {
	case e.Control.Type == ControlPass && !t.page.Connected(e.Control.Target):
		return false
	case t.state.Owner == e.App:
		return true
	}
	return e.Control.Type == ControlPass && t.state.Owner == 0 && e.Owner == 0 && t.mayPassIdle(e.App)
}

// executeControl carries out the thread_control of the confirmed send e: rows
// 70 to 72.
func (t *turn) executeControl(e *Effect) {
	if e.Control.Type == ControlNone || !t.mayExecute(e) {
		return
	}
	if e.Control.Type == ControlPass {
		t.emit(Passed{t.change(e.Control.Target, appActor(e.App), WhySend)})
		return
	}
	t.letGo(Released{t.change(0, appActor(e.App), WhySend)})
}

// routeHeldEchoes routes the echoes that wait: the one with the mid of the
// confirmed send e as its echo, and all others as they are once no send is
// open.
func (t *turn) routeHeldEchoes(e *Effect, mid string) {
	if t.state.Rare == nil {
		return
	}
	open := t.state.openSends() > 0
	for _, h := range t.state.Rare.HeldEcho {
		switch {
		case e != nil && mid != "" && h.Mid == mid:
			t.emit(t.heldEcho(&h, &Sent{ID: e.ID, App: e.App, Owner: e.Owner, Metadata: e.Metadata}))
		case !open:
			t.emit(t.heldEcho(&h, nil))
		}
	}
}

func (t *turn) heldEcho(h *HeldEcho, sent *Sent) Routed {
	w := Webhook{Input: h.Input, Kind: KindEcho, Dedupe: h.Dedupe, At: h.At, Mid: h.Mid, Sent: sent}
	routed := t.echoRoute(&w)
	routed.WasHeld = true
	return routed
}

// due decides whatever has come due beside the lapse of control, which was
// settled before.
func (t *turn) due() {
	if t.state.Rare == nil {
		return
	}
	for _, e := range t.state.Rare.Effects {
		if e.Kind != EffectSide && t.now >= e.Since+SendUnknownAfter {
			t.fail(&e, OutcomeUnknown, nil)
		}
	}
	t.dueEchoes()
	t.dueSurveys()
}

func (t *turn) dueEchoes() {
	if t.state.Rare == nil {
		return
	}
	open := t.state.openSends() > 0
	for _, h := range t.state.Rare.HeldEcho {
		if !open || t.now >= h.Since+EchoHeldFor {
			t.emit(t.heldEcho(&h, nil))
		}
	}
}

func (t *turn) dueSurveys() {
	if t.state.Rare == nil {
		return
	}
	for _, held := range t.state.Rare.Held {
		if t.stale(&held) {
			t.emit(SurveyDropped{Survey: held.ID, App: held.App, At: t.now})
		}
	}
}
