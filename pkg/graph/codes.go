package graph

import (
	"strconv"
	"strings"
)

// The codes that Baton uses. Source: protocol 3.
const (
	CodeUnknown     = 1
	CodeService     = 2
	CodeAppLimit    = 4
	CodePermission  = 10
	CodeAppToken    = 15
	CodeParameter   = 100
	CodeToken       = 190
	CodeMissing     = 200 // a task, a permission or a feature is missing
	CodeUnavailable = 551
	CodeRate        = 613
	CodeCallback    = 2200
	CodePath        = 2500
)

// The subcodes that Baton uses.
const (
	SubcodeNode            = 33
	SubcodeExpired         = 463
	SubcodeRevoked         = 460
	SubcodeInvalidToken    = 467
	SubcodeRestricted      = 1893063
	SubcodeNoUser          = 2018001
	SubcodeActionMessage   = 2018014
	SubcodeOptedOut        = 2018108
	SubcodeAppID           = 2018164
	SubcodeReceivers       = 2018171
	SubcodeHidden          = 2018234
	SubcodeWindow          = 2018278
	SubcodeControlled      = 2018300
	SubcodePlatformHeld    = 2018321
	SubcodeUserThread      = 2018336
	SubcodeNotLinked       = 2534013
	SubcodeNoInstagramUser = 2534014
	SubcodeInstagramWindow = 2534022
	SubcodeNotOwner        = 2534037
	SubcodePersonGone      = 1545041
)

const (
	typeOAuth     = "OAuthException"
	messageWindow = "This message is sent outside of allowed window."
)

// newError is an error whose message begins with its code. The status is 400
// for every code (protocol 12.16).
func newError(code, subcode int, message string) *Error {
	return &Error{
		Status: 400, Message: "(#" + strconv.Itoa(code) + ") " + message, Type: typeOAuth, Code: code, Subcode: subcode,
	}
}

// bareError is one whose message stands alone.
func bareError(code, subcode int, kind, message string) *Error {
	return &Error{Status: 400, Message: message, Type: kind, Code: code, Subcode: subcode}
}

// SendNotOwner refuses a send while another app has control.
func SendNotOwner() *Error {
	return newError(CodePermission, SubcodeControlled,
		"Message failed to send because another app is controlling this thread now.")
}

// NotOwner refuses a control edge by an app without control.
func NotOwner() *Error {
	return newError(CodeParameter, SubcodeNotOwner, "The action is invalid since it's not the thread owner.")
}

// OutsideWindow refuses a send after the messaging window; see OnInstagram.
func OutsideWindow() *Error { return newError(CodePermission, SubcodeWindow, messageWindow) }

// OptedOut refuses a send to a person who does not receive messages.
func OptedOut() *Error {
	return newError(CodePermission, SubcodeOptedOut,
		"This Person Cannot Receive Messages: This person isn't receiving messages from you right now.")
}

// UserThread refuses a person's menu on a thread that another app controls.
func UserThread() *Error {
	return newError(CodePermission, SubcodeUserThread,
		"User Thread Impact: another app is controlling this thread now.")
}

// Restricted refuses a send of a page that may not send for a while.
func Restricted() *Error {
	return newError(CodePermission, SubcodeRestricted, "This account is temporarily restricted from sending messages.")
}

// NoPermission refuses what the routing rules do not allow: a take without the
// right, a request where there is a default app.
func NoPermission() *Error {
	return newError(CodePermission, 0, "Application does not have permission for this action")
}

// PlatformHeld refuses while the platform's own automation has the thread.
func PlatformHeld() *Error {
	return newError(CodePermission, SubcodePlatformHeld,
		"The chat is currently controlled by Messenger in an automated question and answer flow.")
}

// IncorrectApp refuses a target_app_id that cannot be a target.
func IncorrectApp() *Error { return newError(CodeParameter, SubcodeAppID, "Incorrect App ID.") }

// NoUser refuses a recipient that is no person's id; see OnInstagram.
func NoUser() *Error { return newError(CodeParameter, SubcodeNoUser, "No matching user found") }

// NotLinked refuses an Instagram call for a page without an account.
func NotLinked() *Error {
	return newError(CodeParameter, SubcodeNotLinked, "The page is not linked to an Instagram account")
}

// UnknownNode refuses a node that is not the token's, or that has no such edge.
// method is the request's.
func UnknownNode(method, node string) *Error {
	verb := map[string]string{"GET": "get", "DELETE": "delete"}[method]
	if verb == "" {
		verb = "post"
	}
	return bareError(CodeParameter, SubcodeNode, "GraphMethodException", "Unsupported "+verb+" request. Object with ID '"+node+
		"' does not exist, cannot be loaded due to missing permissions, or does not support this operation. "+
		"Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api")
}

// UnknownPath refuses what follows node and edge, or an edge that does not
// exist.
func UnknownPath(rest string) *Error {
	return bareError(CodePath, 0, typeOAuth, "Unknown path components: "+rest)
}

// ActionAndMessage refuses a message together with a sender_action.
func ActionAndMessage() *Error {
	return newError(CodeParameter, SubcodeActionMessage, "Cannot send both message and state at the same time")
}

// InvalidParameter refuses with a sentence that names the parameter.
func InvalidParameter(sentence string) *Error { return newError(CodeParameter, 0, sentence) }

// MissingParameter refuses a call without the parameter name.
func MissingParameter(name string) *Error {
	return InvalidParameter("The parameter " + name + " is required")
}

// OnlyReceivers refuses an app that has no role on the page.
func OnlyReceivers() *Error {
	return newError(CodeParameter, SubcodeReceivers, "Only available to Primary and Secondary Receivers.")
}

// ReceiversHidden refuses to show a secondary receiver to another one.
func ReceiversHidden() *Error {
	return newError(CodeParameter, SubcodeHidden,
		"Denying visibility of any secondary receiver to another secondary receiver other than itself.")
}

// MissingToken refuses a call without an access token.
func MissingToken() *Error {
	return bareError(CodeToken, 0, typeOAuth, "An access token is required to request this resource.")
}

// InvalidToken refuses a token that nobody has. Use RevokedToken or
// ExpiredToken for one that somebody had.
func InvalidToken() *Error {
	return bareError(CodeToken, 0, typeOAuth, "Invalid OAuth access token - Cannot parse access token")
}

// RevokedToken refuses a token that was taken back.
func RevokedToken() *Error {
	return bareError(CodeToken, SubcodeRevoked, typeOAuth, "Error validating access token: The session has been invalidated.")
}

// ExpiredToken refuses a token after its time.
func ExpiredToken() *Error {
	return bareError(CodeToken, SubcodeExpired, typeOAuth, "Error validating access token: Session has expired.")
}

// AppTokenRequired refuses another token where an app's own is needed.
func AppTokenRequired() *Error {
	return newError(CodeAppToken, 0, "This method must be called with an app access_token.")
}

// OtherApp refuses to show an app the token of another one.
func OtherApp() *Error {
	return newError(CodeParameter, 0, "The App_id in the input_token did not match the Viewing App")
}

// CallbackFailed refuses a callback that did not answer its challenge; why is a
// sentence.
func CallbackFailed(why string) *Error {
	return newError(CodeCallback, 0, "Callback verification failed with the following errors: "+why)
}

// NotOneOf refuses a value of a parameter that is none of the possible ones.
func NotOneOf(param, got string, possible []string) *Error {
	return InvalidParameter("Param " + param + " must be one of {" + strings.ToUpper(strings.Join(possible, ", ")) + "} - got " +
		strconv.Quote(got) + ".")
}

// WrongProof refuses a wrong appsecret_proof.
func WrongProof() *Error {
	return bareError(CodeParameter, 0, "GraphMethodException", "Invalid appsecret_proof provided in the API argument")
}

// MissingProof refuses a call without the appsecret_proof that its app demands.
func MissingProof() *Error {
	return bareError(CodeParameter, 0, "GraphMethodException", "API calls from the server require an appsecret_proof argument")
}

// MissingPermission refuses a caller without a task, permission or feature;
// sentence names it.
func MissingPermission(sentence string) *Error { return newError(CodeMissing, 0, sentence) }

// PersonGone refuses a send to a person who blocked the page.
func PersonGone() *Error {
	return newError(CodeUnavailable, SubcodePersonGone, "This person isn't available right now.")
}

// AppLimit refuses an app that calls too often, or when a queue is full.
// RetryAfter is in seconds.
func AppLimit(retryAfter int) *Error {
	e := newError(CodeAppLimit, 0, "Application request limit reached")
	e.IsTransient, e.RetryAfter = true, retryAfter
	return e
}

// RateLimit refuses calls of one edge that come too often. RetryAfter is in
// seconds.
func RateLimit(retryAfter int) *Error {
	e := newError(CodeRate, 0, "Calls to this api have exceeded the rate limit.")
	e.IsTransient, e.RetryAfter = true, retryAfter
	return e
}

// Unavailable answers 503 when nothing was accepted and a repeat is safe.
// RetryAfter is in seconds.
func Unavailable(retryAfter int) *Error {
	e := newError(CodeService, 0, "Service temporarily unavailable")
	e.Status, e.IsTransient, e.RetryAfter = 503, true, retryAfter
	return e
}

// OutcomeUnknown answers 400 when a send may or may not have reached the
// person: many clients repeat every 5xx, which would send it twice.
func OutcomeUnknown() *Error {
	return newError(CodeService, 0, "The outcome of this send is unknown").With(Detail{Outcome: "unknown"})
}

// Internal answers 503 for a fault of Baton's own before anything was accepted.
func Internal() *Error {
	e := newError(CodeUnknown, 0, "An unknown error occurred")
	e.Status, e.IsTransient = 503, true
	return e
}
