package control

// Verb names a command in refusals, metrics and the log.
type Verb uint8

// The verbs.
const (
	VerbNone Verb = iota
	VerbPass
	VerbTake
	VerbRequest
	VerbRelease
	VerbExtend
	VerbMetadata
	VerbOwner
	VerbSend
	VerbAction
	VerbUserMenu
	VerbPageMenu
	VerbInbox
	VerbOperate
	VerbReceivers
	verbEnd
)

//nolint:gochecknoglobals // a constant table
var verbNames = [verbEnd]string{
	"", "pass", "take", "request", "release", "extend", "pass_metadata", "thread_owner", "send", "sender_action",
	"user_menu", "page_menu", "inbox", "operate", "secondary_receivers",
}

// String is the verb in logs and metrics.
func (v Verb) String() string {
	if v < verbEnd {
		return verbNames[v]
	}
	return ""
}

// Reason says why a command was refused. Its String is error_data's reason.
type Reason uint8

// The reasons of refusals. Each maps to one Graph error (pkg/graph).
const (
	ReasonNone               Reason = iota
	ReasonNotOwner                  // a control edge by an app without control
	ReasonSendNotOwner              // a send while another app has control
	ReasonIdleSend                  // a send on an idle thread by an app that may not
	ReasonTakeNotAllowed            // take without the right (rows 46, 48, 50)
	ReasonRequestNotAllowed         // request with a default app (row 59)
	ReasonPassNotAllowed            // pass from idle by another than the lead
	ReasonAlreadyOwner              // request by the owner (row 58)
	ReasonPassToSelf                // row 39
	ReasonUnknownTarget             // row 40
	ReasonTargetMissing             // row 42
	ReasonBadDuration               // row 65
	ReasonBadThreadControl          // thread_control without a default app (row 73)
	ReasonActionAndMessage          // row 34
	ReasonOutsideWindow             // row 32
	ReasonRetiredTag                // a tag that no longer exists
	ReasonNoHumanAgent              // row 29
	ReasonNotTester                 // a development app to another than its testers
	ReasonNotConnected              // the caller is not connected any more (row 101)
	ReasonUserMenuNotOwner          // row 90
	ReasonPageMenuNotPrimary        // row 89
	ReasonTooManyRequests           // MaxRequests apps wait already
	ReasonTooManySurveys            // MaxSurveys wait already
	ReasonMetadataTooLong           //
	ReasonKeyReused                 // an Idempotency-Key with another body
	ReasonOpenSend                  // a repeat of a send that is open or unknown
	ReasonInboxNotOwner             // reserved for inbox commands
	ReasonReceiversHidden           // secondary_receivers by a secondary for another
	ReasonTooManySends              // MaxOpenSends are open already
	reasonEnd
)

//nolint:gochecknoglobals // a constant table
var reasonNames = [reasonEnd]string{
	"", "NOT_OWNER", "SEND_NOT_OWNER", "IDLE_SEND_NOT_ALLOWED", "TAKE_NOT_ALLOWED", "REQUEST_NOT_ALLOWED",
	"PASS_NOT_ALLOWED", "ALREADY_OWNER", "PASS_TO_SELF", "UNKNOWN_TARGET", "TARGET_MISSING", "BAD_DURATION",
	"BAD_THREAD_CONTROL", "ACTION_AND_MESSAGE", "OUTSIDE_WINDOW", "RETIRED_TAG", "NO_HUMAN_AGENT", "NOT_TESTER",
	"NOT_CONNECTED", "USER_MENU_NOT_OWNER", "PAGE_MENU_NOT_PRIMARY", "TOO_MANY_REQUESTS", "TOO_MANY_SURVEYS",
	"METADATA_TOO_LONG", "KEY_REUSED", "SEND_OPEN", "INBOX_NOT_OWNER", "RECEIVERS_HIDDEN", "TOO_MANY_OPEN_SENDS",
}

// String is the reason in error_data, logs and metrics.
func (r Reason) String() string {
	if r < reasonEnd {
		return reasonNames[r]
	}
	return ""
}

// Next is the call that a refused app should make instead.
type Next uint8

// What to call next.
const (
	NextNothing Next = iota
	NextTake
	NextRequest
	NextWait
	NextExtend
	NextHumanAgent
)

//nolint:gochecknoglobals // a constant table
var nextNames = [...]string{"", "take_thread_control", "request_thread_control", "wait", "extend_thread_control", "HUMAN_AGENT"}

// String is the hint in error_data.
func (n Next) String() string {
	if int(n) < len(nextNames) {
		return nextNames[n]
	}
	return ""
}

// Refusal says no, and why. The zero value is no refusal.
type Refusal struct {
	Reason Reason
	Verb   Verb
	// Owner, Since and Until describe who has control; Owner is set only when
	// the caller may know it (override 4, protocol 2.1 thread_owner).
	Owner AppID
	Since Millis
	Until Millis
	Next  Next
}

// Refused reports whether r is a refusal.
func (r Refusal) Refused() bool { return r.Reason != ReasonNone }
