package control

import "slices"

func (s State) rare() Rare {
	if s.Rare == nil {
		return Rare{}
	}
	return *s.Rare
}

// withRare is s with r, or with none when r has nothing: equal threads have
// equal encodings.
func (s State) withRare(r Rare) State {
	if r.empty() {
		s.Rare = nil
		return s
	}
	kept := r
	s.Rare = &kept
	return s
}

func (r *Rare) empty() bool {
	return len(r.Requests) == 0 && len(r.Held) == 0 && len(r.Answerable) == 0 && len(r.Effects) == 0 &&
		r.UserMenu == 0 && len(r.UserMenuItems) == 0 && len(r.HeldEcho) == 0
}

func isSide(e Effect) bool { return e.Kind == EffectSide }

func (s State) sendAccepted(e *SendAccepted) State {
	if s.Owner != 0 && s.Owner == e.App {
		s.ExpiresAt = max(s.ExpiresAt, e.ExpiresAt)
	}
	if e.Action {
		return s
	}
	r := s.rare()
	r.Effects = with(r.Effects, Effect{
		Kind: EffectSend, ID: e.ID, App: e.App, Since: e.At, Owner: e.Owner, Metadata: e.Metadata, Control: e.Control,
		Key: e.Call.Key, KeyUntil: e.Call.KeyUntil, Digest: e.Call.Digest,
	})
	if e.Answers != nil {
		r.answerable(DeliveredSurvey{ID: e.ID, Answerable: *e.Answers})
	}
	return s.withRare(r)
}

// closed ends the open send or survey id.
func (s State) closed(id Position) State {
	if s.Rare == nil {
		return s
	}
	r := s.rare()
	r.Effects = without(r.Effects, func(e Effect) bool { return e.ID == id && e.Kind != EffectSide })
	return s.withRare(r)
}

// failed ends the open send id. What was certainly not sent is not answered.
func (s State) failed(e *SendFailed) State {
	s = s.closed(e.ID)
	if e.Outcome == OutcomeUnknown {
		return s
	}
	return s.unanswerable(e.ID)
}

// unanswerable forgets the survey that the send id did not deliver.
func (s State) unanswerable(id Position) State {
	if s.Rare == nil || len(s.Rare.Answerable) == 0 {
		return s
	}
	r := s.rare()
	r.Answerable = without(r.Answerable, func(a DeliveredSurvey) bool { return a.ID == id })
	return s.withRare(r)
}

// answerable adds a, and forgets the oldest beyond MaxSurveys.
func (r *Rare) answerable(a DeliveredSurvey) {
	list := with(r.Answerable, a)
	r.Answerable = list[max(0, len(list)-MaxSurveys):]
}

func (s State) echoWaits(e *EchoWaits) State {
	r := s.rare()
	if len(r.HeldEcho) >= MaxHeldEchoes {
		return s
	}
	r.HeldEcho = with(r.HeldEcho, HeldEcho{Input: e.Input, At: e.EchoAt, Since: e.At, Mid: e.Mid, Dedupe: e.Dedupe})
	return s.withRare(r)
}

func (s State) surveyHeld(e *SurveyHeld) State {
	r := s.rare()
	if len(r.Held) >= MaxSurveys {
		return s
	}
	r.Held = with(r.Held, Survey{ID: e.ID, App: e.App, ExpiresAt: e.ExpiresAt, Message: e.Message, Questions: e.Questions})
	return s.withRare(r)
}

func (s State) surveyDelivered(e *SurveyDelivered) State {
	r := s.rare()
	i := slices.IndexFunc(r.Held, func(h Survey) bool { return h.ID == e.Survey })
	if i < 0 {
		return s
	}
	held := r.Held[i]
	r.Held = without(r.Held, func(h Survey) bool { return h.ID == e.Survey })
	r.answerable(DeliveredSurvey{ID: e.ID, Answerable: Answerable{App: held.App, Questions: held.Questions}})
	r.Effects = with(r.Effects, Effect{
		Kind: EffectSurvey, ID: e.ID, App: held.App, Since: e.At, Message: held.Message, Survey: held.ID,
	})
	return s.withRare(r)
}

func (s State) surveyDropped(e *SurveyDropped) State {
	if s.Rare == nil {
		return s
	}
	r := s.rare()
	r.Held = without(r.Held, func(h Survey) bool { return h.ID == e.Survey })
	if e.Delivery == 0 {
		return s.withRare(r)
	}
	return s.withRare(r).closed(e.Delivery).unanswerable(e.Delivery)
}

func (s State) sideConfirmed(e *SideConfirmed) State {
	s.PlatformInbox = e.WantInbox
	if s.Rare == nil {
		return s
	}
	r := s.rare()
	r.Effects = without(r.Effects, func(f Effect) bool { return f.Kind == EffectSide && f.ID == e.ID })
	return s.withRare(r)
}

func (s State) sideRefused(e *SideRefused) State {
	if s.Rare == nil {
		return s
	}
	r := s.rare()
	i := slices.IndexFunc(r.Effects, func(f Effect) bool { return f.Kind == EffectSide && f.ID == e.ID })
	if i < 0 {
		return s
	}
	mirror := r.Effects[i]
	mirror.NextAt = e.NextAt
	if mirror.Attempt < 255 {
		mirror.Attempt++
	}
	r.Effects = replaced(r.Effects, i, mirror)
	return s.withRare(r)
}

func (s State) userMenuSet(e *UserMenuSet) State {
	r := s.rare()
	r.UserMenu, r.UserMenuItems = e.App, e.Items
	if len(e.Items) == 0 {
		r.UserMenu, r.UserMenuItems = 0, nil
	}
	return s.withRare(r)
}

// with is list and v, in a new array: a Rare is shared between snapshots.
func with[T any](list []T, v T) []T {
	return append(slices.Clip(list), v)
}

// replaced is list with v at i, in a new array.
func replaced[T any](list []T, i int, v T) []T {
	list = slices.Clone(list)
	list[i] = v
	return list
}

// without is list without what matches: list itself when nothing does, nil when
// nothing is left.
func without[T any](list []T, match func(T) bool) []T {
	if !slices.ContainsFunc(list, match) {
		return list
	}
	var rest []T
	for _, v := range list {
		if !match(v) {
			rest = append(rest, v)
		}
	}
	return rest
}
