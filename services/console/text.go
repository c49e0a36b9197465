package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/control"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/roster"
)

// names turns app ids into what operators call them.
type names struct{ snap *roster.Snapshot }

func (n names) app(a control.AppID) string {
	switch a {
	case 0:
		return "idle"
	case control.PageInbox, control.PageInboxShort:
		return "page-inbox"
	case control.InstagramInbox:
		return "instagram-inbox"
	}
	if app, ok := n.snap.App(a); ok && app.Name != "" {
		return app.Name
	}
	return a.String()
}

// find is the app or inbox that an operator calls by its id or name.
func (n names) find(s string) (control.AppID, bool) {
	switch s {
	case "":
		return 0, false // not an app without a name
	case "page-inbox":
		return control.PageInbox, true
	case "instagram-inbox":
		return control.InstagramInbox, true
	}
	for _, id := range n.snap.Apps() {
		if app, ok := n.snap.App(id); ok && app.Name == s {
			return id, true
		}
	}
	id, ok := control.ParseID(s)
	return control.AppID(id), ok
}

func (n names) actor(a control.Actor) string {
	switch a.Kind {
	case control.ActorApp, control.ActorInbox:
		return n.app(a.App)
	case control.ActorPerson:
		return "the person"
	case control.ActorPlatform:
		return "the platform"
	case control.ActorOperator:
		if a.Name == "" {
			return "an operator"
		}
		return "operator " + a.Name
	case control.ActorTimer:
		return "the clock"
	}
	return ""
}

// stamp is a time as operators read it: RFC 3339 in UTC; empty for never.
func stamp(m control.Millis) string {
	if m == 0 {
		return ""
	}
	return time.UnixMilli(int64(m)).UTC().Format("2006-01-02T15:04:05.000Z")
}

func threadName(k control.ThreadKey) string {
	if k == (control.ThreadKey{}) {
		return ""
	}
	return strconv.FormatUint(k.Asset, 10) + "/" + strconv.FormatUint(k.Person, 10)
}

// event says in one line what happened.
func (n names) event(e control.Event) string {
	if c, ok := control.ChangeOf(e); ok {
		return n.change(c)
	}
	switch e := e.(type) {
	case control.Requested:
		return fmt.Sprintf("%s asks %s for control%s", n.app(e.App), n.app(e.Owner), quoted(e.Metadata))
	case control.Extended:
		return fmt.Sprintf("%s keeps control until %s", n.app(e.App), stamp(e.ExpiresAt))
	case control.MetadataPassed:
		return fmt.Sprintf("%s tells %s%s", n.app(e.App), n.app(e.Target), quoted(e.Metadata))
	case control.DoneMarked:
		return fmt.Sprintf("%s set done to %t", n.actor(e.By), e.Done)
	case control.RoleChanged:
		return fmt.Sprintf("%s is now %s", n.app(e.App), role(e.Primary))
	case control.RosterApplied:
		return fmt.Sprintf("roster version %d in force", e.Version)
	case control.Routed:
		return n.routed(e)
	case control.EchoWaits:
		return "an echo waits for the outcome of an open send"
	case control.UserMenuSet:
		return fmt.Sprintf("%s set the person's menu to %d items", n.app(e.App), len(e.Items))
	case control.Refused:
		return fmt.Sprintf("%s was refused %s ×%d: %s", n.app(e.App), e.Verb, e.Count, n.refusal(control.Refusal{
			Reason: e.Reason, Owner: e.Owner, Since: e.Since, Until: e.Until, Next: e.Next,
		}).GetText())
	default:
		return n.message(e)
	}
}

func (n names) change(c control.Change) string {
	text := fmt.Sprintf("%s → %s", n.app(c.From), n.app(c.To))
	if who := n.actor(c.By); who != "" {
		text += " by " + who
	}
	if c.Why != control.WhyNone {
		text += " (" + c.Why.String() + ")"
	}
	return text + quoted(c.Metadata)
}

// message describes the life of sends, surveys and mirrored sides.
func (n names) message(e control.Event) string {
	switch e := e.(type) {
	case control.SendAccepted:
		return fmt.Sprintf("%s may send (thread with %s)", n.app(e.App), n.app(e.Owner))
	case control.SendConfirmed:
		return fmt.Sprintf("send %d of %s is %s", e.ID, n.app(e.App), e.Mid)
	case control.SendFailed:
		return fmt.Sprintf("send %d of %s: %s", e.ID, n.app(e.App), outcome(e.Outcome))
	case control.SurveyHeld:
		return fmt.Sprintf("%s's survey waits until the thread is idle, at most until %s", n.app(e.App), stamp(e.ExpiresAt))
	case control.SurveyDelivered:
		return fmt.Sprintf("%s's survey %d goes out", n.app(e.App), e.Survey)
	case control.SurveyDropped:
		return fmt.Sprintf("%s's survey %d is dropped %s", n.app(e.App), e.Survey, e.Error)
	case control.SideConfirmed:
		return fmt.Sprintf("the platform's side is %s", side(e.WantInbox))
	case control.SideRefused:
		return "the platform refused the wanted side: " + e.Error
	default:
		return ""
	}
}

func (n names) routed(e control.Routed) string {
	switch {
	case e.Audience == control.ToNobody:
		return e.Kind.String() + " for nobody"
	case e.Audience == control.ToCreator, e.Audience == control.ToIdle && e.Creator != 0:
		return fmt.Sprintf("%s → %s", e.Kind, n.app(e.Creator))
	case e.Audience == control.ToIdle:
		return e.Kind.String() + " on an idle thread"
	}
	return fmt.Sprintf("%s → %s", e.Kind, n.app(e.Owner))
}

func role(primary bool) string {
	if primary {
		return "primary receiver"
	}
	return "secondary receiver"
}

func side(inbox bool) string {
	if inbox {
		return "the inbox"
	}
	return "Baton"
}

func outcome(k control.OutcomeKind) string {
	return [...]string{"open", "confirmed", "refused by the platform", "outcome unknown", "abandoned, not forwarded"}[k]
}

// quoted shows metadata that apps chose to show to each other, shortened.
func quoted(s string) string {
	if s == "" {
		return ""
	}
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	return ": " + strconv.Quote(s)
}

// refusal explains a refusal: who has control, since and until when, and what
// to call next.
func (n names) refusal(r control.Refusal) *adminv1.Refusal {
	var b strings.Builder
	b.WriteString(r.Reason.String())
	if r.Owner != 0 {
		fmt.Fprintf(&b, ": %s has control since %s until %s", n.app(r.Owner), stamp(r.Since), stamp(r.Until))
	}
	if next := r.Next.String(); next != "" {
		fmt.Fprintf(&b, "; next: %s", next)
	}
	return &adminv1.Refusal{Reason: r.Reason.String(), Text: b.String()}
}
