package control_test

import (
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/control/controltest"
)

// One test per rule of the platform's documents, in the words of the protocol
// reference: "Handover Protocol" overview (S1), "Conversation Routing" (S2, S3),
// "messaging_handovers" (S4), "Conversation Control" (S9), the Instagram feature
// page (S10), "Send API" (S7), "Persistent Menu" (S13).

// owned fails unless owner has control at the end of the script.
func owned(t *testing.T, owner control.AppID, mode string, lines ...string) string {
	t.Helper()
	w := controltest.New(mode)
	out := w.Play(t, lines...)
	if w.State.Owner != owner {
		t.Errorf("%s: %s: %s has control, not %s\n%s", mode, strings.Join(lines, "; "),
			controltest.AppName(w.State.Owner), controltest.AppName(owner), out)
	}
	return out
}

// refusedAs fails unless the last line is refused for the reason, and owner
// keeps control.
func refusedAs(t *testing.T, reason control.Reason, owner control.AppID, mode string, lines ...string) {
	t.Helper()
	if out := owned(t, owner, mode, lines...); !strings.Contains(out, " "+reason.String()) {
		t.Errorf("%s: %s: not refused as %s\n%s", mode, strings.Join(lines, "; "), reason, out)
	}
}

const (
	nobody = control.AppID(0)
	appA   = controltest.A
	appB   = controltest.B
	appC   = controltest.C
	appT   = controltest.T
	inbox  = control.PageInbox
)

// S1, Thread states: a thread is idle before its first message, after a release
// and after 24 hours of inactivity.
func TestMetaIdleIsStartReleaseAndExpiry(t *testing.T) {
	t.Parallel()
	owned(t, nobody, "h")
	owned(t, nobody, "h", "message", "release A")
	owned(t, nobody, "h", "message", "wait 24h", "due")
	owned(t, appA, "h", "message", "wait 23h", "due")
}

// S1, Primary receiver: it gains control of a new message on an idle thread.
func TestMetaPrimaryGainsNewMessages(t *testing.T) {
	t.Parallel()
	owned(t, appA, "h", "message")
	owned(t, appA, "h", "given own B", "release B", "message")
}

// S1: a page need not have a primary; then every app hears of an idle thread and
// none gains control by it.
func TestMetaWithoutPrimaryAMessageLeavesTheThreadIdle(t *testing.T) {
	t.Parallel()
	owned(t, nobody, "h0", "message")
}

// S1, Take: anyone takes an idle thread, the primary takes from anyone.
func TestMetaTake(t *testing.T) {
	t.Parallel()
	owned(t, appC, "h", "take C")
	owned(t, appC, "h0", "take C")
	owned(t, appA, "h", "given own B", "take A")
	owned(t, appA, "h", "given own X", "take A")
	refusedAs(t, control.ReasonTakeNotAllowed, appB, "h", "given own B", "take C")
	refusedAs(t, control.ReasonTakeNotAllowed, appB, "h0", "given own B", "take A")
}

// S1, Pass: the owner hands control to any connected app or the inbox.
func TestMetaPass(t *testing.T) {
	t.Parallel()
	owned(t, appC, "h", "given own B", "pass B C")
	owned(t, inbox, "h", "given own B", "pass B X")
	refusedAs(t, control.ReasonNotOwner, appB, "h", "given own B", "pass C A")
	refusedAs(t, control.ReasonUnknownTarget, appB, "h", "given own B", "pass B D")
}

// S4, previous_owner_app_id: null when the thread was idle.
func TestMetaPassFromIdleHasNoPreviousOwner(t *testing.T) {
	t.Parallel()
	if out := owned(t, appB, "h0", "pass C B"); strings.Contains(out, "from=") {
		t.Error(out)
	}
}

// S1, Request: the owner is asked and keeps control; on an idle thread the
// request is granted.
func TestMetaRequest(t *testing.T) {
	t.Parallel()
	if out := owned(t, appB, "h", "given own B", "request C"); !strings.Contains(out, "pending=C") {
		t.Error(out)
	}
	owned(t, appC, "h", "request C")
}

// S1, practices 4 and 5: the platform keeps no queue and grants nothing by
// itself; the owner honours requests.
func TestMetaRequestsAreNotGrantedByRelease(t *testing.T) {
	t.Parallel()
	owned(t, nobody, "h", "given own B", "request C", "release B")
	owned(t, appC, "h", "given own B", "request C", "pass B C")
}

// S1, Release: a secondary's release makes the thread idle; the primary gets the
// next message, not the thread.
func TestMetaReleaseGoesToIdle(t *testing.T) {
	t.Parallel()
	owned(t, nobody, "h", "given own B", "release B")
	owned(t, appA, "h", "given own B", "release B", "message")
	refusedAs(t, control.ReasonNotOwner, appB, "h", "given own B", "release C")
}

// S9, Extend: the owner prolongs its control up to seven days.
func TestMetaExtend(t *testing.T) {
	t.Parallel()
	owned(t, appB, "h", "given own B", "extend B 7d", "wait 167h", "due")
	owned(t, nobody, "h", "given own B", "extend B 7d", "wait 168h", "due")
	refusedAs(t, control.ReasonBadDuration, appB, "h", "given own B", "extend B 169h")
	refusedAs(t, control.ReasonNotOwner, appB, "h", "given own B", "extend C 1h")
}

// S1, S10: while an app has control no other may send; error 10/2018300.
func TestMetaOnlyTheOwnerSends(t *testing.T) {
	t.Parallel()
	refusedAs(t, control.ReasonSendNotOwner, appB, "h", "given own B", "send C")
	refusedAs(t, control.ReasonSendNotOwner, appB, "h", "given own B", "send A")
	owned(t, appB, "h", "given own B", "send B")
}

// S10: anyone may answer an idle thread, which claims no control.
func TestMetaAnyoneSendsOnAnIdleThread(t *testing.T) {
	t.Parallel()
	if out := owned(t, nobody, "h", "send C"); !strings.Contains(out, "send_accepted") {
		t.Error(out)
	}
}

// S1, Human agent: the only send without control; control does not move.
func TestMetaHumanAgentSendsPastTheOwner(t *testing.T) {
	t.Parallel()
	if out := owned(t, appB, "h", "given own B", "send H tag=human_agent"); !strings.Contains(out, "bypass") {
		t.Error(out)
	}
	refusedAs(t, control.ReasonNoHumanAgent, appB, "h", "given own B", "send C tag=human_agent")
}

// S7: the window is 24 hours after the person's latest message, seven days for a
// human agent.
func TestMetaMessagingWindow(t *testing.T) {
	t.Parallel()
	refusedAs(t, control.ReasonOutsideWindow, appB, "h", "given own B", "given user -25h", "send B")
	owned(t, controltest.H, "h", "given own H", "given user -6d", "send H tag=human_agent")
	refusedAs(t, control.ReasonOutsideWindow, controltest.H, "h", "given own H", "given user -8d", "send H tag=human_agent")
}

// S1, Survey: accepted while another app owns the thread, delivered once it is
// idle, answered to its creator.
func TestMetaSurveyWaitsForAnIdleThread(t *testing.T) {
	t.Parallel()
	if out := owned(t, appB, "h", "given own B", "send C survey=1/q1"); !strings.Contains(out, "survey_held") {
		t.Error(out)
	}
	if out := owned(t, nobody, "h", "given own B", "send C survey=1/q1", "release B"); !strings.Contains(out, "survey_delivered") {
		t.Error(out)
	}
	if out := owned(t, appB, "h", "given own C", "send C survey=1/q1", "pass C B", "feedback questions=q1"); !strings.Contains(out, "to_creator owner=B creator=C") {
		t.Error(out)
	}
}

// S1, Persistent menu and buttons: a tap gives control to the app that made
// them, even while another app owns the thread.
func TestMetaTapsGiveControlToTheirCreator(t *testing.T) {
	t.Parallel()
	owned(t, appC, "h", "given own B", "postback payload=P button=C")
	owned(t, appA, "h", "page menu:P=A", "given own B", "postback payload=P")
	owned(t, appC, "h", "user_menu C P", "given own B", "postback payload=P")
}

// S1, S13, Menu rights: the page's menu is the primary's; a person's menu is the
// owner's, anyone's when idle.
func TestMetaMenuRights(t *testing.T) {
	t.Parallel()
	p := controltest.NewPage("h")
	if control.MaySetPageMenu(p, appA).Refused() || !control.MaySetPageMenu(p, appB).Refused() {
		t.Error("the page's menu is the primary's")
	}
	if p := controltest.NewPage("h0"); control.MaySetPageMenu(p, appB).Refused() {
		t.Error("without primary the page's menu is anyone's")
	}
	refusedAs(t, control.ReasonUserMenuNotOwner, appB, "h", "given own B", "user_menu C P")
	owned(t, nobody, "h", "user_menu C P")
}

// S1, Inbox: it takes control when a human moves the thread to the main folder
// or replies while an app owns it.
func TestMetaInboxTakes(t *testing.T) {
	t.Parallel()
	owned(t, inbox, "h", "given own B", "inbox main")
	owned(t, inbox, "h", "given own B", "echo app=X")
	owned(t, inbox, "h", "given own B", "inbox reply")
}

// S1, Inbox: done gives the thread to the primary, to nobody without one.
func TestMetaInboxDone(t *testing.T) {
	t.Parallel()
	owned(t, appA, "h", "given own X", "inbox done")
	owned(t, nobody, "h0", "given own X", "inbox done")
}

// S1, Inbox: a reply on a thread marked done leaves control with its owner, else
// with the primary, else with nobody.
func TestMetaReplyOnDoneThread(t *testing.T) {
	t.Parallel()
	owned(t, appB, "h", "given own B", "inbox done", "echo app=X")
	owned(t, appA, "h", "inbox done", "echo app=X")
	owned(t, nobody, "h0", "inbox done", "echo app=X")
}

// S2, S3: without default app everyone may send on an idle thread, take is
// blocked, the first request wins.
func TestMetaZeroConfig(t *testing.T) {
	t.Parallel()
	owned(t, nobody, "z", "message", "send C")
	refusedAs(t, control.ReasonTakeNotAllowed, nobody, "z", "take C")
	owned(t, appB, "z", "request B", "request C")
}

// S2, S3: with a default app it gains organic threads and alone sends on idle
// ones; take needs the toggle; request is off.
func TestMetaDefaultApp(t *testing.T) {
	t.Parallel()
	owned(t, appA, "d", "message")
	owned(t, nobody, "d", "send A")
	refusedAs(t, control.ReasonIdleSend, nobody, "d", "send B")
	owned(t, appT, "d", "given own B", "take T")
	refusedAs(t, control.ReasonTakeNotAllowed, appB, "d", "given own B", "take C")
	refusedAs(t, control.ReasonRequestNotAllowed, nobody, "d", "request C")
}

// S2: a pass without target goes to the default app.
func TestMetaPassWithoutTarget(t *testing.T) {
	t.Parallel()
	owned(t, appA, "d", "given own B", "pass B")
	refusedAs(t, control.ReasonTargetMissing, appB, "h", "given own B", "pass B")
}

// S2: thread_control on a send runs after it; without type it is a release.
func TestMetaThreadControl(t *testing.T) {
	t.Parallel()
	owned(t, appB, "d", "given own B", "send B control=pass:C")
	owned(t, appC, "d", "given own B", "send B control=pass:C", "outcome last confirmed")
	owned(t, nobody, "d", "given own B", "send B control=release", "outcome last confirmed")
	refusedAs(t, control.ReasonBadThreadControl, appB, "h", "given own B", "send B control=release")
}

// S3: entry points; an ad's window is 1 to 30 days, anything else one day, and
// any control action brings it back to a day.
func TestMetaEntryPoints(t *testing.T) {
	t.Parallel()
	owned(t, appB, "d", "page link:r1=B", "referral ref=r1")
	owned(t, appC, "d", "page social=C", "message")
	owned(t, appB, "h", "page ad:6001=B/4", "referral ad=6001", "wait 95h", "due")
	owned(t, nobody, "h", "page ad:6001=B/4", "referral ad=6001", "wait 96h", "due")
	owned(t, nobody, "h", "referral ad=6001 receiving=B window=31", "wait 24h", "due")
	owned(t, nobody, "h", "page ad:6001=B/30", "referral ad=6001", "pass B C", "wait 24h", "due")
}

// S2, S3, thread_owner: app_id for the owner and the lead, expiration for others,
// null when idle.
func TestMetaThreadOwner(t *testing.T) {
	t.Parallel()
	for caller, want := range map[string]string{
		"B": "thread_owner app_id=B expiration=+24h", "A": "thread_owner app_id=B expiration=+24h",
		"C": "thread_owner expiration=+24h",
	} {
		if out := owned(t, appB, "h", "given own B", "owner "+caller); !strings.HasPrefix(out, want+"\n") {
			t.Errorf("%s reads %s", caller, out)
		}
	}
	if out := owned(t, nobody, "h", "owner C"); !strings.HasPrefix(out, "thread_owner null") {
		t.Error(out)
	}
}

// S8, secondary_receivers: the primary sees all, a secondary itself.
func TestMetaSecondaryReceivers(t *testing.T) {
	t.Parallel()
	p := controltest.NewPage("h")
	all, _ := control.Receivers(p, appA)
	own, _ := control.Receivers(p, appB)
	if len(all) != 5 || all[0] != inbox || len(own) != 1 || own[0] != appB {
		t.Errorf("the primary sees %v, a secondary %v", all, own)
	}
}
