package graphapi

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
)

// verdict is the error of an answer that did not do what was asked, nil for one
// that did. Repeats are the caller's to read.
func (s *Service) verdict(c *call, a *commandv1.Response) error {
	switch a.GetStatus() {
	case commandv1.Status_STATUS_OK, commandv1.Status_STATUS_REPEAT:
		return nil
	case commandv1.Status_STATUS_REFUSED:
		return Refusal(refusalOf(a.GetRefusal()), c.caller.Asset.Rules)
	case commandv1.Status_STATUS_BUSY:
		return graph.RateLimit(seconds(a.GetRetryAfterMs())).With(graph.Detail{
			Reason: "BUSY", Explain: "too many calls wait for this thread's partition",
		})
	case commandv1.Status_STATUS_INTERNAL:
		return errors.New("the holder did not understand: " + a.GetDetail())
	case commandv1.Status_STATUS_UNAVAILABLE, commandv1.Status_STATUS_UNKNOWN, commandv1.Status_STATUS_UNSPECIFIED:
	}
	return unanswered()
}

// unanswered is the error of a call that was not decided, or whose decision
// may safely be asked for again.
func unanswered() error {
	return graph.Unavailable(1).With(graph.Detail{Reason: "NO_HOLDER", Explain: "nothing was sent; try again"})
}

// seconds rounds milliseconds up; at least one.
func seconds(ms int64) int { return int(max(1, (ms+999)/1000)) }

func refusalOf(r *commandv1.Refusal) control.Refusal {
	return control.Refusal{
		Reason: control.Reason(r.GetReason()), Verb: control.Verb(r.GetVerb()), Owner: control.AppID(r.GetOwner()),
		Since: control.Millis(r.GetSinceMs()), Until: control.Millis(r.GetUntilMs()), Next: control.Next(r.GetNext()),
	}
}

// Refusal is the Graph error of a refusal: the only place where reasons become
// codes. The detail in error_data says who has control, where the caller may
// know, since when, until when, and what to call next. Sources: protocol 3, C9,
// section 10.
func Refusal(r control.Refusal, p *control.Page) *graph.Error {
	e := refusalError(r.Reason, p)
	return e.With(graph.Detail{
		Reason: r.Reason.String(), Owner: r.Owner.String(), Next: r.Next.String(),
		Since: int64(r.Since / control.Second), Until: r.Until.Seconds(),
		Outcome: outcomeOf(r.Reason), Explain: explain(r),
	})
}

func outcomeOf(r control.Reason) string {
	if r == control.ReasonOpenSend {
		return "unknown"
	}
	return ""
}

// refusalError maps each reason to its code.
func refusalError(r control.Reason, p *control.Page) *graph.Error {
	switch r {
	case control.ReasonSendNotOwner, control.ReasonIdleSend:
		if p.Object == control.ObjectInstagram && p.InstagramSendCode {
			return graph.NotOwner()
		}
		return graph.SendNotOwner()
	case control.ReasonNotOwner:
		return graph.NotOwner()
	case control.ReasonTakeNotAllowed, control.ReasonRequestNotAllowed, control.ReasonPassNotAllowed,
		control.ReasonPageMenuNotPrimary, control.ReasonInboxNotOwner:
		return graph.NoPermission()
	case control.ReasonPassToSelf, control.ReasonUnknownTarget:
		return graph.IncorrectApp()
	case control.ReasonTargetMissing:
		return graph.MissingParameter("target_app_id")
	case control.ReasonOutsideWindow:
		if p.Object == control.ObjectInstagram {
			return graph.OutsideWindow().OnInstagram()
		}
		return graph.OutsideWindow()
	case control.ReasonNoHumanAgent:
		return graph.MissingPermission("Requires the human_agent feature")
	case control.ReasonNotTester:
		return graph.MissingPermission("The app is in development and may message only its testers")
	case control.ReasonNotConnected:
		return graph.OnlyReceivers()
	case control.ReasonReceiversHidden:
		return graph.ReceiversHidden()
	case control.ReasonUserMenuNotOwner:
		return graph.UserThread()
	case control.ReasonTooManyRequests, control.ReasonTooManySurveys, control.ReasonTooManySends:
		return graph.RateLimit(1)
	case control.ReasonOpenSend:
		return graph.OutcomeUnknown()
	case control.ReasonActionAndMessage:
		return graph.ActionAndMessage()
	default:
		return parameterError(r)
	}
}

// parameterError maps the reasons that are code 100 without subcode.
func parameterError(r control.Reason) *graph.Error {
	switch r {
	case control.ReasonAlreadyOwner:
		return graph.InvalidParameter("The app already controls this thread")
	case control.ReasonBadDuration:
		return graph.InvalidParameter(fmt.Sprintf("Param duration must be an integer of 1 to %d seconds", control.MaxExtension/control.Second))
	case control.ReasonBadThreadControl:
		return graph.InvalidParameter("Param thread_control is available only with a default application, and with a message")
	case control.ReasonRetiredTag:
		return graph.InvalidParameter("The message tag is no longer available")
	case control.ReasonMetadataTooLong:
		return graph.InvalidParameter("Param metadata is too long")
	case control.ReasonKeyReused:
		return graph.InvalidParameter("The Idempotency-Key was used for another call")
	default:
		return graph.InvalidParameter("The call is not valid: " + strconv.Quote(r.String()))
	}
}

// explain is the sentence for whoever reads the log of a client.
func explain(r control.Refusal) string {
	switch r.Reason {
	case control.ReasonPassToSelf, control.ReasonAlreadyOwner:
		return "the app has control already; extend_thread_control prolongs it"
	case control.ReasonTakeNotAllowed:
		return "the app may not take control here"
	case control.ReasonRequestNotAllowed:
		return "requests are off where there is a default application"
	case control.ReasonUnknownTarget:
		return "the target is not connected to this page"
	case control.ReasonIdleSend:
		return "nobody has control, and only the lead may send then"
	case control.ReasonOpenSend:
		return "an earlier send with this Idempotency-Key has not ended"
	default:
		return ""
	}
}
