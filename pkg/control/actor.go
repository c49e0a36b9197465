package control

// ActorKind says who caused a change.
type ActorKind uint8

// The kinds of actors, by their names on the control topic.
const (
	ActorApp ActorKind = iota + 1
	ActorInbox
	ActorPerson
	ActorPlatform
	ActorOperator
	ActorTimer
)

// Actor is who caused a change. App is set for ActorApp and ActorInbox, Name
// for ActorOperator.
type Actor struct {
	Kind ActorKind
	App  AppID
	Name string
}

// Why is the reason of a change of control, as the control topic names it.
type Why uint8

// The reasons of changes.
const (
	WhyNone       Why = iota
	WhyCall           // an API call
	WhyLead           // first message on an idle thread with a primary
	WhyDefault        // the same with a default app; a pass without target
	WhySocial         // organic entry
	WhyLink           // link referral
	WhyCampaign       // ad referral
	WhyDoneReply      // a human replied on a thread marked done
	WhyMenu           // a menu item was tapped
	WhyButton         // a button was tapped (cta)
	WhyRequest        // a request on an idle thread, or granted on release
	WhyInboxReply     //
	WhyInboxMove      //
	WhyInboxDone      //
	WhyPlatform       // the platform reported it
	WhySend           // thread_control on a send
	WhyHumanAgent     // implicit take by a human-agent send
	WhyAppGone        // the owner was disconnected
	WhyOperator       // an operator's command
	WhyInactivity     // expiry
	whyEnd
)

//nolint:gochecknoglobals // a constant table
var whyNames = [whyEnd]string{
	"", "call", "lead", "default", "social", "link", "campaign", "done_reply", "menu", "cta", "request", "inbox_reply",
	"inbox_move", "inbox_done", "platform", "send", "human_agent", "app_gone", "operator", "inactivity",
}

// String is the reason on the control topic.
func (w Why) String() string {
	if w < whyEnd {
		return whyNames[w]
	}
	return ""
}
