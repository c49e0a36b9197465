package eventlog

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/baton-router/baton/pkg/control"
)

// The changes of owner are the events of the control path, so they are written
// and read by hand, too.

// changeField is the field in Entry of an event that is a change of owner, 0 for
// any other.
func changeField(e control.Event) protowire.Number {
	switch e.(type) {
	case control.Assigned:
		return 10
	case control.Passed:
		return 11
	case control.Taken:
		return 12
	case control.Released:
		return 13
	case control.Expired:
		return 14
	case control.Captured:
		return 15
	case control.InboxTaken:
		return 16
	case control.InboxDone:
		return 17
	case control.DoneMarked, control.Requested, control.Extended, control.MetadataPassed, control.RoleChanged, control.RosterApplied,
		control.Routed, control.EchoWaits, control.SendAccepted, control.SendConfirmed, control.SendFailed, control.SurveyHeld,
		control.SurveyDelivered, control.SurveyDropped, control.SideConfirmed, control.SideRefused, control.UserMenuSet, control.Refused:
		return 0
	}
	return 0
}

// changed is the event of a change in a field of Entry, nil when there is none.
func changed(c control.Change, field protowire.Number) control.Event {
	switch int(field) {
	case 10:
		return control.Assigned{Change: c}
	case 11:
		return control.Passed{Change: c}
	case 12:
		return control.Taken{Change: c}
	case 13:
		return control.Released{Change: c}
	case 14:
		return control.Expired{Change: c}
	case 15:
		return control.Captured{Change: c}
	case 16:
		return control.InboxTaken{Change: c}
	case 17:
		return control.InboxDone{Change: c}
	}
	return nil
}

func appendChange(dst []byte, field protowire.Number, e *control.Change) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst, start := open(dst)
	dst = appendFixed(dst, 1, uint64(e.From))
	dst = appendFixed(dst, 2, uint64(e.To))
	dst = appendVarint(dst, 3, uint64(e.At))
	dst = appendVarint(dst, 4, uint64(e.ExpiresAt))
	dst = appendActor(dst, 5, &e.By)
	dst = appendVarint(dst, 6, uint64(e.Why))
	dst = appendText(dst, 7, e.Metadata)
	dst = appendFixed(dst, 8, e.Print)
	dst = appendVarint(dst, 9, uint64(e.WindowDays))
	dst = appendVarint(dst, 10, protowire.EncodeBool(e.MirrorSide))
	dst = appendVarint(dst, 11, protowire.EncodeBool(e.WantInbox))
	dst = appendVarint(dst, 12, protowire.EncodeBool(e.PlatformSide))
	dst = appendVarint(dst, 13, uint64(e.ID))
	dst = appendVarint(dst, 14, protowire.EncodeBool(e.Done))
	dst = appendCall(dst, 15, &e.Call)
	dst = appendVarint(dst, 16, uint64(e.Revision))
	return closed(dst, start)
}

func appendActor(dst []byte, field protowire.Number, a *control.Actor) []byte {
	if *a == (control.Actor{}) {
		return dst
	}
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst, start := open(dst)
	dst = appendVarint(dst, 1, uint64(a.Kind))
	dst = appendFixed(dst, 2, uint64(a.App))
	dst = appendText(dst, 3, a.Name)
	return closed(dst, start)
}

func appendCall(dst []byte, field protowire.Number, c *control.Call) []byte {
	if *c == (control.Call{}) {
		return dst
	}
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst, start := open(dst)
	dst = appendID(dst, 1, &c.ID)
	dst = appendID(dst, 2, &c.Key)
	dst = appendVarint(dst, 3, uint64(c.KeyUntil))
	dst = appendFixed(dst, 4, c.Digest)
	return closed(dst, start)
}

// The wire types of the fields, as in entryTypes.
const (
	changeTypes = 1<<(2*1) | 1<<(2*2) | 2<<(2*5) | 2<<(2*7) | 1<<(2*8) | 2<<(2*15)
	actorTypes  = 1<<(2*2) | 2<<(2*3)
	callTypes   = 2<<(2*1) | 2<<(2*2) | 1<<(2*4)
)

func readChange(data []byte) (e control.Change, ok bool) {
	r := reader{rest: data}
	for r.next(changeTypes) {
		switch r.field {
		case 1:
			e.From = control.AppID(r.fixed())
		case 2:
			e.To = control.AppID(r.fixed())
		case 3:
			e.At = r.millis()
		case 4:
			e.ExpiresAt = r.millis()
		case 5:
			e.By = r.actor()
		case 6:
			e.Why = control.Why(r.small())
		case 7:
			e.Metadata = r.text()
		case 8:
			e.Print = r.fixed()
		case 9:
			e.WindowDays = r.small()
		case 10:
			e.MirrorSide = r.bool()
		case 11:
			e.WantInbox = r.bool()
		case 12:
			e.PlatformSide = r.bool()
		case 13:
			e.ID = control.Position(r.varint(math.MaxUint64))
		case 14:
			e.Done = r.bool()
		case 15:
			e.Call = r.call()
		case 16:
			e.Revision = uint32(r.varint(math.MaxUint32))
		default:
			return e, false
		}
	}
	return e, !r.odd
}

func (r *reader) actor() (a control.Actor) {
	in := reader{rest: r.bytes()}
	for in.next(actorTypes) {
		switch in.field {
		case 1:
			a.Kind = control.ActorKind(in.small())
		case 2:
			a.App = control.AppID(in.fixed())
		case 3:
			a.Name = in.text()
		default:
			in.odd = true
		}
	}
	r.odd = r.odd || in.odd
	return a
}

func (r *reader) call() (c control.Call) {
	in := reader{rest: r.bytes()}
	for in.next(callTypes) {
		switch in.field {
		case 1:
			c.ID = in.id()
		case 2:
			c.Key = in.id()
		case 3:
			c.KeyUntil = in.millis()
		case 4:
			c.Digest = in.fixed()
		default:
			in.odd = true
		}
	}
	r.odd = r.odd || in.odd
	return c
}
