package eventlog

import (
	"github.com/baton-router/baton/pkg/control"
	logv1 "github.com/baton-router/baton/pkg/gen/baton/log/v1"
)

// eventToWire puts e into m. The sealed set of events is closed here: a new
// event is a new case and a new field of Entry.
func eventToWire(m *logv1.Entry, e control.Event) {
	switch e := e.(type) {
	case control.Assigned:
		m.Event = &logv1.Entry_Assigned{Assigned: changeToWire(&e.Change)}
	case control.Passed:
		m.Event = &logv1.Entry_Passed{Passed: changeToWire(&e.Change)}
	case control.Taken:
		m.Event = &logv1.Entry_Taken{Taken: changeToWire(&e.Change)}
	case control.Released:
		m.Event = &logv1.Entry_Released{Released: changeToWire(&e.Change)}
	case control.Expired:
		m.Event = &logv1.Entry_Expired{Expired: changeToWire(&e.Change)}
	case control.Captured:
		m.Event = &logv1.Entry_Captured{Captured: changeToWire(&e.Change)}
	case control.InboxTaken:
		m.Event = &logv1.Entry_InboxTaken{InboxTaken: changeToWire(&e.Change)}
	case control.InboxDone:
		m.Event = &logv1.Entry_InboxDone{InboxDone: changeToWire(&e.Change)}
	case control.DoneMarked:
		m.Event = &logv1.Entry_DoneMarked{DoneMarked: doneMarkedToWire(&e)}
	case control.Requested:
		m.Event = &logv1.Entry_Requested{Requested: requestedToWire(&e)}
	case control.Extended:
		m.Event = &logv1.Entry_Extended{Extended: extendedToWire(&e)}
	case control.MetadataPassed:
		m.Event = &logv1.Entry_MetadataPassed{MetadataPassed: metadataPassedToWire(&e)}
	case control.RoleChanged:
		m.Event = &logv1.Entry_RoleChanged{RoleChanged: roleChangedToWire(&e)}
	case control.RosterApplied:
		m.Event = &logv1.Entry_RosterApplied{RosterApplied: &logv1.RosterApplied{Version: e.Version}}
	case control.Routed:
		m.Event = &logv1.Entry_Routed{Routed: routedToWire(&e)}
	case control.EchoWaits:
		m.Event = &logv1.Entry_EchoWaits{EchoWaits: echoWaitsToWire(&e)}
	case control.SendAccepted:
		m.Event = &logv1.Entry_SendAccepted{SendAccepted: sendAcceptedToWire(&e)}
	case control.SendConfirmed:
		m.Event = &logv1.Entry_SendConfirmed{SendConfirmed: sendConfirmedToWire(&e)}
	case control.SendFailed:
		m.Event = &logv1.Entry_SendFailed{SendFailed: sendFailedToWire(&e)}
	case control.SurveyHeld:
		m.Event = &logv1.Entry_SurveyHeld{SurveyHeld: surveyHeldToWire(&e)}
	case control.SurveyDelivered:
		m.Event = &logv1.Entry_SurveyDelivered{SurveyDelivered: surveyDeliveredToWire(&e)}
	case control.SurveyDropped:
		m.Event = &logv1.Entry_SurveyDropped{SurveyDropped: surveyDroppedToWire(&e)}
	case control.SideConfirmed:
		m.Event = &logv1.Entry_SideConfirmed{SideConfirmed: sideConfirmedToWire(&e)}
	case control.SideRefused:
		m.Event = &logv1.Entry_SideRefused{SideRefused: sideRefusedToWire(&e)}
	case control.UserMenuSet:
		m.Event = &logv1.Entry_UserMenuSet{UserMenuSet: userMenuSetToWire(&e)}
	case control.Refused:
		m.Event = &logv1.Entry_Refused{Refused: refusedToWire(&e)}
	}
}

// event reads the event of m, nil when m holds none that this build knows.
func (f *fault) event(m *logv1.Entry) control.Event {
	switch e := m.GetEvent().(type) {
	case *logv1.Entry_Assigned:
		return control.Assigned{Change: f.change(e.Assigned)}
	case *logv1.Entry_Passed:
		return control.Passed{Change: f.change(e.Passed)}
	case *logv1.Entry_Taken:
		return control.Taken{Change: f.change(e.Taken)}
	case *logv1.Entry_Released:
		return control.Released{Change: f.change(e.Released)}
	case *logv1.Entry_Expired:
		return control.Expired{Change: f.change(e.Expired)}
	case *logv1.Entry_Captured:
		return control.Captured{Change: f.change(e.Captured)}
	case *logv1.Entry_InboxTaken:
		return control.InboxTaken{Change: f.change(e.InboxTaken)}
	case *logv1.Entry_InboxDone:
		return control.InboxDone{Change: f.change(e.InboxDone)}
	case *logv1.Entry_DoneMarked:
		return f.doneMarked(e.DoneMarked)
	case *logv1.Entry_Requested:
		return f.requested(e.Requested)
	case *logv1.Entry_Extended:
		return f.extended(e.Extended)
	case *logv1.Entry_MetadataPassed:
		return f.metadataPassed(e.MetadataPassed)
	case *logv1.Entry_RoleChanged:
		return f.roleChanged(e.RoleChanged)
	case *logv1.Entry_RosterApplied:
		return control.RosterApplied{Version: e.RosterApplied.GetVersion()}
	case *logv1.Entry_Routed:
		return f.routed(e.Routed)
	case *logv1.Entry_EchoWaits:
		return f.echoWaits(e.EchoWaits)
	case *logv1.Entry_SendAccepted:
		return f.sendAccepted(e.SendAccepted)
	case *logv1.Entry_SendConfirmed:
		return f.sendConfirmed(e.SendConfirmed)
	case *logv1.Entry_SendFailed:
		return f.sendFailed(e.SendFailed)
	case *logv1.Entry_SurveyHeld:
		return f.surveyHeld(e.SurveyHeld)
	case *logv1.Entry_SurveyDelivered:
		return f.surveyDelivered(e.SurveyDelivered)
	case *logv1.Entry_SurveyDropped:
		return f.surveyDropped(e.SurveyDropped)
	case *logv1.Entry_SideConfirmed:
		return f.sideConfirmed(e.SideConfirmed)
	case *logv1.Entry_SideRefused:
		return f.sideRefused(e.SideRefused)
	case *logv1.Entry_UserMenuSet:
		return f.userMenuSet(e.UserMenuSet)
	case *logv1.Entry_Refused:
		return f.refused(e.Refused)
	default:
		return nil
	}
}
