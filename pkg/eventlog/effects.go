package eventlog

import (
	"github.com/baton-router/baton/pkg/control"
)

// How long a partition remembers, in partition time.
const (
	// DedupeFor is how long the key of a webhook event is remembered.
	// Source: protocol 12.9.
	DedupeFor = 48 * control.Hour
	// CommandFor is how long the answer to a command id is remembered.
	CommandFor = 10 * control.Minute
	// MaxKeyFor bounds how long the answer to an Idempotency-Key is
	// remembered, whatever KeyUntil says.
	MaxKeyFor = 48 * control.Hour
)

// Tables is what a record changes beside the states of threads. Project calls
// it; the fold and the store implement it, and so cannot disagree on what an
// event means.
type Tables interface {
	// Remember: the key of a webhook event was decided on at this partition
	// time, and counts for DedupeFor.
	Remember(key [16]byte, at control.Millis)
	// Answer: the call with this command id or idempotency key has this
	// answer. It replaces an earlier one.
	Answer(key [16]byte, a Answer)
	// Button: app sent a button with this payload on the thread. It replaces
	// an earlier app.
	Button(thread control.ThreadKey, payload uint64, app control.AppID)
	// Sent: the platform's message id of a send.
	Sent(mid string, send control.Position)
	// Happened: an event of the thread is at this position.
	Happened(thread control.ThreadKey, at control.Position)
}

// Filed reports whether the entry belongs to a thread (or to a page itself),
// and so to that thread's history.
func (e *Entry) Filed() bool { return e.Thread != control.ThreadKey{} }

// Evolves reports whether the entry takes part in the state of its thread.
// Exactly the threads with such an entry have a state.
func (e *Entry) Evolves() bool {
	switch e.Event.(type) {
	case control.Refused, control.RoleChanged, control.RosterApplied:
		return false
	case control.Assigned, control.Passed, control.Taken, control.Released, control.Expired, control.Captured,
		control.InboxTaken, control.InboxDone, control.DoneMarked, control.Requested, control.Extended,
		control.MetadataPassed, control.Routed, control.EchoWaits, control.SendAccepted, control.SendConfirmed,
		control.SendFailed, control.SurveyHeld, control.SurveyDelivered, control.SurveyDropped, control.SideConfirmed,
		control.SideRefused, control.UserMenuSet:
		return e.Filed()
	}
	return false
}

// Project tells tables what r changes, in the order of its entries.
func Project(r *Record, tables Tables) {
	p := projection{record: r, tables: tables}
	for i := range r.Entries {
		p.entry(&r.Entries[i], r.First+control.Position(i))
	}
}

// projection is Project under way.
type projection struct {
	record *Record
	tables Tables
	// sendID and sendKey are the call of the last send: its answer is the
	// send, also when the same call changed control.
	sendID, sendKey [16]byte
}

func (p *projection) entry(e *Entry, at control.Position) {
	if e.Filed() {
		p.tables.Happened(e.Thread, at)
	}
	switch event := e.Event.(type) {
	case control.Routed:
		if !event.WasHeld { // EchoWaits has remembered it
			p.remember(event.Dedupe)
		}
	case control.EchoWaits:
		p.remember(event.Dedupe)
	case control.SendAccepted:
		for _, payload := range event.Buttons {
			p.tables.Button(e.Thread, payload, event.App)
		}
		p.sent(event.Call, Answer{Position: at, Open: !event.Action, Done: event.Action})
	case control.SurveyHeld:
		p.sent(event.Call, Answer{Position: at, Held: true, Done: true})
	case control.SendConfirmed:
		if event.Mid != "" {
			p.tables.Sent(event.Mid, event.ID)
		}
		p.sent(control.Call{ID: e.Cause, Key: event.Key, KeyUntil: event.KeyUntil, Digest: event.Digest},
			Answer{Position: event.ID, Outcome: control.OutcomeConfirmed, Mid: event.Mid, Done: true})
	case control.SendFailed:
		p.sent(control.Call{ID: e.Cause, Key: event.Key, KeyUntil: event.KeyUntil, Digest: event.Digest},
			Answer{Position: event.ID, Outcome: event.Outcome, Error: event.Error, Done: true})
	default:
		p.called(callOf(e.Event), Answer{Position: at, Done: true})
	}
}

func (p *projection) remember(key [16]byte) {
	if key != [16]byte{} {
		p.tables.Remember(key, p.record.DecidedAt)
	}
}

// sent answers the call of a send or of its outcome.
func (p *projection) sent(call control.Call, a Answer) {
	p.sendID, p.sendKey = [16]byte{}, [16]byte{}
	p.called(call, a)
	p.sendID, p.sendKey = call.ID, call.Key
}

// called writes the answer under the command id and under the idempotency key.
func (p *projection) called(call control.Call, a Answer) {
	now := p.record.DecidedAt
	a.Digest = call.Digest
	if call.ID != [16]byte{} && call.ID != p.sendID {
		a.Until = now + CommandFor
		p.tables.Answer(call.ID, a)
	}
	if call.Key != [16]byte{} && call.Key != p.sendKey {
		a.Until = min(call.KeyUntil, now+MaxKeyFor)
		p.tables.Answer(call.Key, a)
	}
}

// callOf is the call of an event that is not a send; the zero Call for none.
func callOf(e control.Event) control.Call {
	if c, ok := control.ChangeOf(e); ok {
		return c.Call
	}
	switch e := e.(type) {
	case control.DoneMarked:
		return e.Call
	case control.Requested:
		return e.Call
	case control.Extended:
		return e.Call
	case control.MetadataPassed:
		return e.Call
	case control.UserMenuSet:
		return e.Call
	case control.Assigned, control.Passed, control.Taken, control.Released, control.Expired, control.Captured,
		control.InboxTaken, control.InboxDone, control.RoleChanged, control.RosterApplied, control.Routed,
		control.EchoWaits, control.SendAccepted, control.SendConfirmed, control.SendFailed, control.SurveyHeld,
		control.SurveyDelivered, control.SurveyDropped, control.SideConfirmed, control.SideRefused, control.Refused:
	}
	return control.Call{}
}
