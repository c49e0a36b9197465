package control

// Kind is the kind of a webhook event. Source: protocol 5.
type Kind uint8

// The kinds of webhook events.
const (
	KindOther            Kind = iota // unknown to Baton; kept and routed (12.12)
	KindMessage                      // message, quick reply, attachment
	KindPostback                     // button, menu item, get started, ice breaker
	KindReferral                     // referral into an existing thread
	KindOptin                        //
	KindDelivery                     //
	KindRead                         // read, messaging_seen
	KindReaction                     //
	KindEdit                         //
	KindUnsend                       // message with is_deleted
	KindEcho                         //
	KindFeedback                     // survey answer
	KindResponseFeedback             // thumbs
	KindAccountLinking               //
	KindOrder                        // send_cart
	KindPolicy                       // policy_enforcement; no sender
	KindPlatformPass                 // the platform's pass_thread_control
	KindPlatformTake                 // the platform's take_thread_control
	KindPlatformRequest              // the platform's request_thread_control
	KindPlatformRoles                // the platform's app_roles
	kindEnd
)

//nolint:gochecknoglobals // a constant table
var kindNames = [kindEnd]string{
	"other", "message", "postback", "referral", "optin", "delivery", "read", "reaction", "edit", "unsend", "echo",
	"feedback", "response_feedback", "account_linking", "order", "policy_enforcement", "pass_thread_control",
	"take_thread_control", "request_thread_control", "app_roles",
}

// String is the kind's name in logs, metrics and vectors.
func (k Kind) String() string {
	if k < kindEnd {
		return kindNames[k]
	}
	return "other"
}

// ParseKind is the inverse of String.
func ParseKind(s string) (Kind, bool) {
	for i, name := range kindNames {
		if name == s {
			return Kind(i), true
		}
	}
	return KindOther, false
}

// UserActivity reports whether an event of this kind counts as activity of the
// person. Source: protocol 6.5.
func (k Kind) UserActivity() bool {
	switch k {
	case KindMessage, KindPostback, KindReferral, KindOptin, KindFeedback, KindAccountLinking:
		return true
	case KindOther, KindDelivery, KindRead, KindReaction, KindEdit, KindUnsend, KindEcho, KindResponseFeedback, KindOrder,
		KindPolicy, KindPlatformPass, KindPlatformTake, KindPlatformRequest, KindPlatformRoles, kindEnd:
		return false
	}
	return false
}
