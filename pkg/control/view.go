package control

import (
	"maps"
	"slices"
)

// View is who has control of a thread at some time, lapses that are due but not
// yet in the log included.
type View struct {
	// Owner is zero and the rest empty when the thread is idle.
	Owner AppID
	Since Millis
	Until Millis
	// Requests wait for control, oldest first. It is shared with the State:
	// read only.
	Requests []Request
}

// Owned reads the thread s as it is at now. It decides nothing.
func Owned(s State, p *Page, now Millis) View {
	if s.Owner == 0 || lapsed(&s, now) || !p.Connected(s.Owner) {
		return View{}
	}
	v := View{Owner: s.Owner, Since: s.Since, Until: s.ExpiresAt}
	if s.Rare != nil {
		v.Requests = s.Rare.Requests
	}
	return v
}

// MayReadOwner reports whether caller is shown which app has control, and who
// waits for it: the owner and the lead are; others see only until when. Sources:
// protocol 2.1, 12.22, 12.32, C22.
func (v View) MayReadOwner(p *Page, caller AppID) bool {
	return v.Owner != 0 && caller != 0 && (caller == v.Owner || caller == p.lead())
}

// For is the part of v that thread_owner shows caller. Idle reads the same to
// everyone.
func (v View) For(p *Page, caller AppID) View {
	if v.MayReadOwner(p, caller) {
		return v
	}
	return View{Until: v.Until}
}

// Seconds is a time in seconds, rounded up, as thread_owner shows it (12.8).
func (m Millis) Seconds() int64 {
	return int64((m + Second - 1) / Second)
}

// MaySetPageMenu refuses app the page-level menu where another app is primary.
// Row 89. Clearing follows the same rule (12.21).
func MaySetPageMenu(p *Page, app AppID) Refusal {
	r := Refusal{Verb: VerbPageMenu}
	switch lead := p.lead(); {
	case !p.has(app):
		r.Reason = ReasonNotConnected
	case p.Mode == ModeHandover && lead != 0 && lead != app:
		r.Reason = ReasonPageMenuNotPrimary
	}
	return r
}

// Receivers lists the secondary receivers that caller may see, by id: all of
// them with the inbox for the lead, only itself for a secondary; on a page
// without lead, everyone sees all. Sources: row 100, 12.18.
func Receivers(p *Page, caller AppID) ([]AppID, Refusal) {
	if !p.has(caller) {
		return nil, Refusal{Reason: ReasonNotConnected, Verb: VerbReceivers}
	}
	lead := p.lead()
	if lead != 0 && lead != caller {
		return []AppID{caller}, Refusal{}
	}
	all := append(slices.Collect(maps.Keys(p.Apps)), p.Inbox())
	all = slices.DeleteFunc(all, func(a AppID) bool { return a == lead })
	slices.Sort(all)
	return all, Refusal{}
}

func (p *Page) has(app AppID) bool {
	_, ok := p.Apps[app]
	return ok
}

// RoleChanges are the events of a roster change that moves the page's lead, to
// be filed under the page itself: one per connected app whose role changed,
// the former lead first. Rows 93 and 94.
func RoleChanges(from, to *Page, now Millis, by Actor) []Event {
	before, after := from.lead(), to.lead()
	if before == after {
		return nil
	}
	var events []Event
	if to.has(before) {
		events = append(events, RoleChanged{App: before, At: now, By: by})
	}
	if to.has(after) {
		events = append(events, RoleChanged{App: after, Primary: true, At: now, By: by})
	}
	return events
}
