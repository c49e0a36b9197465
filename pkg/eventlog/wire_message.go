package eventlog

import (
	"github.com/baton-router/baton/pkg/control"
	logv1 "github.com/baton-router/baton/pkg/gen/baton/log/v1"
)

// The events of messages, routed and sent, each with its way back.

func routedToWire(e *control.Routed) *logv1.Routed {
	return &logv1.Routed{
		InputSequence: e.Input.Sequence, InputIndex: e.Input.Index, Kind: uint32(e.Kind), Audience: uint32(e.Audience),
		Owner: uint64(e.Owner), Creator: uint64(e.Creator), Send: uint64(e.Send), Sender: uint64(e.Sender),
		Metadata: text(e.Metadata), AtMs: int64(e.At), UserAtMs: int64(e.UserAt), ExpiresAtMs: int64(e.ExpiresAt),
		ClearDone: e.ClearDone, Dedupe: idToWire(e.Dedupe), WasHeld: e.WasHeld, SideReported: e.SideReported,
		WantInbox: e.WantInbox, WindowDays: uint32(e.WindowDays),
	}
}

func (f *fault) routed(m *logv1.Routed) control.Event {
	return control.Routed{
		Input: control.Ref{Sequence: m.GetInputSequence(), Index: m.GetInputIndex()}, Kind: control.Kind(f.small(m.GetKind())),
		Audience: control.Audience(f.small(m.GetAudience())), Owner: control.AppID(m.GetOwner()),
		Creator: control.AppID(m.GetCreator()), Send: control.Position(m.GetSend()), Sender: control.AppID(m.GetSender()),
		Metadata: m.GetMetadata(), At: control.Millis(m.GetAtMs()), UserAt: control.Millis(m.GetUserAtMs()),
		ExpiresAt: control.Millis(m.GetExpiresAtMs()), ClearDone: m.GetClearDone(), Dedupe: f.id(m.GetDedupe()),
		WasHeld: m.GetWasHeld(), SideReported: m.GetSideReported(), WantInbox: m.GetWantInbox(),
		WindowDays: f.small(m.GetWindowDays()),
	}
}

func echoWaitsToWire(e *control.EchoWaits) *logv1.EchoWaits {
	return &logv1.EchoWaits{
		InputSequence: e.Input.Sequence, InputIndex: e.Input.Index, AtMs: int64(e.At), EchoAtMs: int64(e.EchoAt),
		Mid: text(e.Mid), Dedupe: idToWire(e.Dedupe),
	}
}

func (f *fault) echoWaits(m *logv1.EchoWaits) control.Event {
	return control.EchoWaits{
		Input: control.Ref{Sequence: m.GetInputSequence(), Index: m.GetInputIndex()}, At: control.Millis(m.GetAtMs()),
		EchoAt: control.Millis(m.GetEchoAtMs()), Mid: m.GetMid(), Dedupe: f.id(m.GetDedupe()),
	}
}

func sendAcceptedToWire(e *control.SendAccepted) *logv1.SendAccepted {
	m := &logv1.SendAccepted{
		Id: uint64(e.ID), App: uint64(e.App), Owner: uint64(e.Owner), AtMs: int64(e.At), ExpiresAtMs: int64(e.ExpiresAt),
		Bypass: e.Bypass, Metadata: text(e.Metadata), Buttons: e.Buttons, Call: callToWire(e.Call),
		Action: e.Action,
	}
	if e.Control != (control.SendControl{}) {
		m.Control = &logv1.SendControl{Type: uint32(e.Control.Type), Target: uint64(e.Control.Target)}
	}
	if e.Answers != nil {
		m.Answers = &logv1.Answerable{App: uint64(e.Answers.App), Questions: e.Answers.Questions}
	}
	return m
}

func (f *fault) sendAccepted(m *logv1.SendAccepted) control.Event {
	e := control.SendAccepted{
		ID: control.Position(m.GetId()), App: control.AppID(m.GetApp()), Owner: control.AppID(m.GetOwner()),
		At: control.Millis(m.GetAtMs()), ExpiresAt: control.Millis(m.GetExpiresAtMs()), Bypass: m.GetBypass(),
		Action:   m.GetAction(),
		Metadata: m.GetMetadata(), Buttons: list(m.GetButtons()), Call: f.call(m.GetCall()),
		Control: control.SendControl{
			Type: control.ControlType(f.small(m.GetControl().GetType())), Target: control.AppID(m.GetControl().GetTarget()),
		},
	}
	if a := m.GetAnswers(); a != nil {
		e.Answers = &control.Answerable{App: control.AppID(a.GetApp()), Questions: list(a.GetQuestions())}
	}
	return e
}

func sendConfirmedToWire(e *control.SendConfirmed) *logv1.SendConfirmed {
	return &logv1.SendConfirmed{
		Id: uint64(e.ID), App: uint64(e.App), Mid: text(e.Mid), AtMs: int64(e.At), ByEcho: e.ByEcho, Key: idToWire(e.Key),
		KeyUntilMs: int64(e.KeyUntil), Digest: e.Digest, SkippedControl: e.SkippedControl,
	}
}

func (f *fault) sendConfirmed(m *logv1.SendConfirmed) control.Event {
	return control.SendConfirmed{
		ID: control.Position(m.GetId()), App: control.AppID(m.GetApp()), Mid: m.GetMid(), At: control.Millis(m.GetAtMs()),
		ByEcho: m.GetByEcho(), Key: f.id(m.GetKey()), KeyUntil: control.Millis(m.GetKeyUntilMs()), Digest: m.GetDigest(),
		SkippedControl: m.GetSkippedControl(),
	}
}

func sendFailedToWire(e *control.SendFailed) *logv1.SendFailed {
	return &logv1.SendFailed{
		Id: uint64(e.ID), App: uint64(e.App), Outcome: uint32(e.Outcome), Error: e.Error, AtMs: int64(e.At),
		Key: idToWire(e.Key), KeyUntilMs: int64(e.KeyUntil), Digest: e.Digest,
	}
}

func (f *fault) sendFailed(m *logv1.SendFailed) control.Event {
	return control.SendFailed{
		ID: control.Position(m.GetId()), App: control.AppID(m.GetApp()), Outcome: control.OutcomeKind(f.small(m.GetOutcome())),
		Error: list(m.GetError()), At: control.Millis(m.GetAtMs()), Key: f.id(m.GetKey()),
		KeyUntil: control.Millis(m.GetKeyUntilMs()), Digest: m.GetDigest(),
	}
}

func surveyHeldToWire(e *control.SurveyHeld) *logv1.SurveyHeld {
	return &logv1.SurveyHeld{
		Id: uint64(e.ID), App: uint64(e.App), AtMs: int64(e.At), ExpiresAtMs: int64(e.ExpiresAt), Message: e.Message,
		Questions: e.Questions, Call: callToWire(e.Call),
	}
}

func (f *fault) surveyHeld(m *logv1.SurveyHeld) control.Event {
	return control.SurveyHeld{
		ID: control.Position(m.GetId()), App: control.AppID(m.GetApp()), At: control.Millis(m.GetAtMs()),
		ExpiresAt: control.Millis(m.GetExpiresAtMs()), Message: list(m.GetMessage()), Questions: list(m.GetQuestions()),
		Call: f.call(m.GetCall()),
	}
}

func surveyDeliveredToWire(e *control.SurveyDelivered) *logv1.SurveyDelivered {
	return &logv1.SurveyDelivered{Id: uint64(e.ID), Survey: uint64(e.Survey), App: uint64(e.App), AtMs: int64(e.At)}
}

func (f *fault) surveyDelivered(m *logv1.SurveyDelivered) control.Event {
	return control.SurveyDelivered{
		ID: control.Position(m.GetId()), Survey: control.Position(m.GetSurvey()), App: control.AppID(m.GetApp()),
		At: control.Millis(m.GetAtMs()),
	}
}

func surveyDroppedToWire(e *control.SurveyDropped) *logv1.SurveyDropped {
	return &logv1.SurveyDropped{
		Survey: uint64(e.Survey), App: uint64(e.App), AtMs: int64(e.At), Error: text(e.Error), Delivery: uint64(e.Delivery),
	}
}

func (f *fault) surveyDropped(m *logv1.SurveyDropped) control.Event {
	return control.SurveyDropped{
		Survey: control.Position(m.GetSurvey()), App: control.AppID(m.GetApp()), At: control.Millis(m.GetAtMs()), Error: m.GetError(),
		Delivery: control.Position(m.GetDelivery()),
	}
}
