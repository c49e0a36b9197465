package control

// NextDue is the earliest time at which a Due would decide something on s, zero
// for never. A time in the past means now. Apps that are no longer connected are
// not its concern: a change of the roster sweeps for those. When a mirrored side
// may be tried again is in the effect itself (Effect.NextAt).
func NextDue(s State, _ *Page) Millis {
	var next Millis
	if s.Owner != 0 {
		next = sooner(next, s.ExpiresAt)
	}
	if s.Rare == nil {
		return next
	}
	for i := range s.Rare.Effects {
		if e := &s.Rare.Effects[i]; e.Kind != EffectSide {
			next = sooner(next, e.Since+SendUnknownAfter)
		}
	}
	for i := range s.Rare.HeldEcho {
		next = sooner(next, s.Rare.HeldEcho[i].Since+EchoHeldFor)
	}
	for i := range s.Rare.Held {
		next = sooner(next, s.Rare.Held[i].ExpiresAt)
	}
	return next
}

// sooner is the earlier of two times, of which zero is never.
func sooner(a, b Millis) Millis {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
