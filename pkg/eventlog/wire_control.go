package eventlog

import (
	"github.com/baton-router/baton/pkg/control"
	logv1 "github.com/baton-router/baton/pkg/gen/baton/log/v1"
)

// The events of control and of the roster, each with its way back.

func doneMarkedToWire(e *control.DoneMarked) *logv1.DoneMarked {
	return &logv1.DoneMarked{AtMs: int64(e.At), By: actorToWire(e.By), Done: e.Done, Call: callToWire(e.Call)}
}

func (f *fault) doneMarked(m *logv1.DoneMarked) control.Event {
	return control.DoneMarked{At: control.Millis(m.GetAtMs()), By: f.actor(m.GetBy()), Done: m.GetDone(), Call: f.call(m.GetCall())}
}

func requestedToWire(e *control.Requested) *logv1.Requested {
	return &logv1.Requested{
		App: uint64(e.App), Owner: uint64(e.Owner), AtMs: int64(e.At), Metadata: text(e.Metadata), Again: e.Again,
		Print: e.Print, Call: callToWire(e.Call),
	}
}

func (f *fault) requested(m *logv1.Requested) control.Event {
	return control.Requested{
		App: control.AppID(m.GetApp()), Owner: control.AppID(m.GetOwner()), At: control.Millis(m.GetAtMs()),
		Metadata: m.GetMetadata(), Again: m.GetAgain(), Print: m.GetPrint(), Call: f.call(m.GetCall()),
	}
}

func extendedToWire(e *control.Extended) *logv1.Extended {
	return &logv1.Extended{App: uint64(e.App), AtMs: int64(e.At), ExpiresAtMs: int64(e.ExpiresAt), Call: callToWire(e.Call)}
}

func (f *fault) extended(m *logv1.Extended) control.Event {
	return control.Extended{
		App: control.AppID(m.GetApp()), At: control.Millis(m.GetAtMs()), ExpiresAt: control.Millis(m.GetExpiresAtMs()),
		Call: f.call(m.GetCall()),
	}
}

func metadataPassedToWire(e *control.MetadataPassed) *logv1.MetadataPassed {
	return &logv1.MetadataPassed{
		App: uint64(e.App), Target: uint64(e.Target), AtMs: int64(e.At), Metadata: text(e.Metadata), Call: callToWire(e.Call),
	}
}

func (f *fault) metadataPassed(m *logv1.MetadataPassed) control.Event {
	return control.MetadataPassed{
		App: control.AppID(m.GetApp()), Target: control.AppID(m.GetTarget()), At: control.Millis(m.GetAtMs()),
		Metadata: m.GetMetadata(), Call: f.call(m.GetCall()),
	}
}

func roleChangedToWire(e *control.RoleChanged) *logv1.RoleChanged {
	return &logv1.RoleChanged{App: uint64(e.App), Primary: e.Primary, AtMs: int64(e.At), By: actorToWire(e.By)}
}

func (f *fault) roleChanged(m *logv1.RoleChanged) control.Event {
	return control.RoleChanged{
		App: control.AppID(m.GetApp()), Primary: m.GetPrimary(), At: control.Millis(m.GetAtMs()), By: f.actor(m.GetBy()),
	}
}

func sideConfirmedToWire(e *control.SideConfirmed) *logv1.SideConfirmed {
	return &logv1.SideConfirmed{Id: uint64(e.ID), AtMs: int64(e.At), WantInbox: e.WantInbox}
}

func (f *fault) sideConfirmed(m *logv1.SideConfirmed) control.Event {
	return control.SideConfirmed{ID: control.Position(m.GetId()), At: control.Millis(m.GetAtMs()), WantInbox: m.GetWantInbox()}
}

func sideRefusedToWire(e *control.SideRefused) *logv1.SideRefused {
	return &logv1.SideRefused{Id: uint64(e.ID), AtMs: int64(e.At), NextAtMs: int64(e.NextAt), Error: text(e.Error)}
}

func (f *fault) sideRefused(m *logv1.SideRefused) control.Event {
	return control.SideRefused{
		ID: control.Position(m.GetId()), At: control.Millis(m.GetAtMs()), NextAt: control.Millis(m.GetNextAtMs()), Error: m.GetError(),
	}
}

func userMenuSetToWire(e *control.UserMenuSet) *logv1.UserMenuSet {
	return &logv1.UserMenuSet{App: uint64(e.App), AtMs: int64(e.At), Items: e.Items, Call: callToWire(e.Call)}
}

func (f *fault) userMenuSet(m *logv1.UserMenuSet) control.Event {
	return control.UserMenuSet{
		App: control.AppID(m.GetApp()), At: control.Millis(m.GetAtMs()), Items: list(m.GetItems()), Call: f.call(m.GetCall()),
	}
}

func refusedToWire(e *control.Refused) *logv1.Refused {
	return &logv1.Refused{
		App: uint64(e.App), Verb: uint32(e.Verb), Reason: uint32(e.Reason), Owner: uint64(e.Owner), AtMs: int64(e.At),
		Count: e.Count, SinceMs: int64(e.Since), UntilMs: int64(e.Until), Next: uint32(e.Next),
	}
}

func (f *fault) refused(m *logv1.Refused) control.Event {
	return control.Refused{
		App: control.AppID(m.GetApp()), Verb: control.Verb(f.small(m.GetVerb())), Reason: control.Reason(f.small(m.GetReason())),
		Owner: control.AppID(m.GetOwner()), At: control.Millis(m.GetAtMs()), Count: m.GetCount(),
		Since: control.Millis(m.GetSinceMs()), Until: control.Millis(m.GetUntilMs()), Next: control.Next(f.small(m.GetNext())),
	}
}
