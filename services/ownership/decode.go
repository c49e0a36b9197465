package ownership

import (
	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// command is the rules' form of a request; nil when it only asks for the thread
// as it stands.
func command(r *commandv1.Request, now control.Millis) control.Command {
	by := control.AppID(r.GetApp())
	meta := control.Call{ID: id16(r.GetId()), Key: id16(r.GetIdempotencyKey()), Digest: r.GetDigest()}
	if meta.Key != ([16]byte{}) {
		meta.KeyUntil = now + control.Day
	}
	switch v := r.GetVerb().(type) {
	case *commandv1.Request_Pass:
		return control.Pass{By: by, Target: control.AppID(v.Pass.GetTarget()), Metadata: v.Pass.GetMetadata(), Call: meta}
	case *commandv1.Request_Take:
		return control.Take{By: by, Metadata: v.Take.GetMetadata(), Call: meta}
	case *commandv1.Request_RequestControl:
		return control.RequestControl{By: by, Metadata: v.RequestControl.GetMetadata(), Call: meta}
	case *commandv1.Request_Release:
		return control.Release{By: by, Metadata: v.Release.GetMetadata(), Call: meta}
	case *commandv1.Request_Extend:
		return control.Extend{By: by, Duration: control.Millis(v.Extend.GetDurationMs()), Call: meta}
	case *commandv1.Request_PassMetadata:
		return control.PassMetadata{By: by, Target: control.AppID(v.PassMetadata.GetTarget()), Metadata: v.PassMetadata.GetMetadata(), Call: meta}
	case *commandv1.Request_ReadOwner:
		return control.ReadOwner{By: by}
	case *commandv1.Request_Send:
		return send(by, v.Send, meta)
	case *commandv1.Request_SendOutcome:
		o := v.SendOutcome
		return control.SendOutcome{ID: control.Position(o.GetSend()), Outcome: control.OutcomeKind(o.GetOutcome()), Mid: o.GetMid(), Error: o.GetError()}
	case *commandv1.Request_Inbox:
		return control.InboxAction{Verb: control.InboxVerb(v.Inbox.GetVerb()), Operator: v.Inbox.GetOperator(), Call: meta}
	case *commandv1.Request_SetUserMenu:
		return control.SetUserMenu{By: by, Items: v.SetUserMenu.GetItems(), Call: meta}
	case *commandv1.Request_Operate:
		o := v.Operate
		return control.Operate{Operator: o.GetOperator(), Verb: control.OperatorVerb(o.GetVerb()), Target: control.AppID(o.GetTarget()), Metadata: o.GetMetadata(), Call: meta}
	default: // Show
		return nil
	}
}

func send(by control.AppID, m *commandv1.Send, meta control.Call) control.Send {
	c := control.Send{
		By: by, Action: m.GetAction(), MarkSeen: m.GetMarkSeen(), Tag: control.Tag(m.GetTag()),
		Control:  control.SendControl{Type: control.ControlType(m.GetControlType()), Target: control.AppID(m.GetControlTarget())},
		Metadata: m.GetMetadata(), Buttons: m.GetButtons(), Call: meta,
	}
	if t := m.GetSurvey(); t != nil {
		c.Survey = &control.SurveyTemplate{Days: int(t.GetDays()), Questions: t.GetQuestions(), Message: t.GetMessage()}
	}
	return c
}

// dryRun reports whether the request only asks what would be decided.
func dryRun(r *commandv1.Request) bool {
	return r.GetOperate().GetDryRun() || r.GetInbox().GetDryRun() || r.GetSetUserMenu().GetCheckOnly()
}

// verbName names a request in metrics.
func verbName(r *commandv1.Request) string {
	switch r.GetVerb().(type) {
	case *commandv1.Request_Pass:
		return "pass"
	case *commandv1.Request_Take:
		return "take"
	case *commandv1.Request_RequestControl:
		return "request"
	case *commandv1.Request_Release:
		return "release"
	case *commandv1.Request_Extend:
		return "extend"
	case *commandv1.Request_PassMetadata:
		return "pass_metadata"
	case *commandv1.Request_ReadOwner:
		return "thread_owner"
	case *commandv1.Request_Send:
		return "send"
	case *commandv1.Request_SendOutcome:
		return "send_outcome"
	case *commandv1.Request_Inbox:
		return "inbox"
	case *commandv1.Request_SetUserMenu:
		return "user_menu"
	case *commandv1.Request_Operate:
		return "operate"
	default:
		return "show"
	}
}
