package control

// Command is something that somebody wants of a thread. The set is sealed.
//
//sumtype:decl
type Command interface{ command() }

// Webhook is an event reported by the platform. The partition's holder fills in
// what it alone knows: Creator, Sent.
type Webhook struct {
	Input  Ref
	Kind   Kind
	Dedupe [16]byte
	// At is the event's own timestamp, zero when it has none. Decide caps it
	// at Env.Now.
	At  Millis
	Mid string
	// Payload is the PayloadHash of a postback's payload, zero for none.
	Payload uint64
	// ButtonCreator is the app whose accepted send on this thread carried
	// that payload, zero when unknown. User and page menus are looked up by
	// Decide itself.
	ButtonCreator AppID
	// Ref, Ad and the receiving fields come from a referral, wherever in the
	// event it stands. FromAd says that its source is ADS.
	Ref           string
	Ad            string
	FromAd        bool
	ReceivingApp  AppID
	HasWindow     bool // receiving_app_control_expiration was present
	ReceivingDays int  // its value; anything but 1..30 counts as 1
	// EchoApp is the app id of an echo, zero when it carries none. An inbox id
	// or none is a human in the inbox, Baton's own app is Baton, any other is
	// a foreign app (12.1).
	EchoApp AppID
	// Sent is the send that an echo belongs to, known by its token or mid.
	Sent *Sent
	// Questions are the PayloadHashes of the question ids of a survey answer.
	Questions []uint64
	// From, To and Metadata are those of a platform control webhook.
	From, To AppID
	Metadata string
}

// Sent describes an accepted send to its echo.
type Sent struct {
	ID       Position
	App      AppID
	Owner    AppID  // who had control when the send was decided
	Metadata string // the app's own, put back into every copy
}

// Pass hands control to Target. Source: protocol 2.1, rows 36-44.
type Pass struct {
	By AppID
	// Target is zero when absent.
	Target   AppID
	Metadata string
	Call     Call
}

// Take takes control. Rows 45-53.
type Take struct {
	By       AppID
	Metadata string
	Call     Call
}

// RequestControl asks the owner for control. Rows 54-60.
type RequestControl struct {
	By       AppID
	Metadata string
	Call     Call
}

// Release gives control up. Rows 61-63.
type Release struct {
	By       AppID
	Metadata string
	Call     Call
}

// Extend prolongs control by Duration, 1 s to MaxExtension. Rows 63-66.
type Extend struct {
	By       AppID
	Duration Millis
	Call     Call
}

// PassMetadata sends context to another app without moving control. Row 92.
type PassMetadata struct {
	By, Target AppID
	Metadata   string
	Call       Call
}

// ReadOwner asks who has control. It logs nothing but a lapse that is due.
type ReadOwner struct{ By AppID }

// Call identifies an API call: its command id, and the hash of its
// Idempotency-Key with its lapse and the digest of the body.
type Call struct {
	ID       [16]byte
	Key      [16]byte
	KeyUntil Millis
	Digest   uint64
}

// ControlType is the control_type of a send's thread_control.
type ControlType uint8

// The control types.
const (
	ControlNone ControlType = iota
	ControlPass
	ControlRelease
)

// SendControl is a thread_control on a send: executed after the send was
// confirmed. Target zero with ControlPass is the default app.
type SendControl struct {
	Type   ControlType
	Target AppID
}

// Tag is the message tag of a send, as far as the rules know it.
type Tag uint8

// The tags.
const (
	TagNone Tag = iota
	TagHumanAgent
	TagFeedback // CUSTOMER_FEEDBACK
	TagRetired  // a tag that no longer exists: refused
)

// Send asks to send a message or a sender action.
type Send struct {
	By AppID
	// Action says that this is a sender action; MarkSeen which one.
	Action, MarkSeen bool
	// ActionAndMessage says that the call carried both: refused (row 34).
	ActionAndMessage bool
	Tag              Tag
	Control          SendControl
	Metadata         string
	// Buttons are the PayloadHashes of the message's postback buttons.
	Buttons []uint64
	// Survey is set for a customer feedback template.
	Survey *SurveyTemplate
	Call   Call
}

// SurveyTemplate is what the rules need of a customer feedback template.
type SurveyTemplate struct {
	Days      int // expires_in_days, 1..7
	Questions []uint64
	Message   []byte // the message object as JSON, kept while it is held
}

// OutcomeKind says how a forwarded send ended.
type OutcomeKind uint8

// The outcomes of a send.
const (
	OutcomeConfirmed OutcomeKind = iota + 1
	OutcomeRefused               // by the platform: nothing was sent
	OutcomeUnknown               // time-out or broken answer: an echo may still confirm it
	OutcomeAbandoned             // never forwarded
)

// SendOutcome closes the open send ID.
type SendOutcome struct {
	ID      Position
	Outcome OutcomeKind
	Mid     string
	Error   []byte // the platform's error body (OutcomeRefused)
}

// SideOutcome closes the open mirror ID: the platform confirmed the wanted side
// or refused it.
type SideOutcome struct {
	ID        Position
	Confirmed bool
	Error     string
}

// InboxAction is what a human did in the inbox, or an operator on their behalf.
type InboxAction struct {
	Verb InboxVerb
	// Operator names who ran the command; empty for the inbox itself.
	Operator string
	Call     Call
}

// InboxVerb is one of the inbox's actions.
type InboxVerb uint8

// The inbox's actions. Source: protocol 6.11, rows 75-82.
const (
	InboxReply InboxVerb = iota + 1
	InboxMain
	InboxDoneVerb
)

// SetUserMenu sets or clears a person's own menu. Rows 90, 91.
type SetUserMenu struct {
	By    AppID
	Items []uint64 // PayloadHashes, ascending; nil clears
	Call  Call
}

// Operate is an operator's change of control; it may take from anyone.
type Operate struct {
	Operator string
	Verb     OperatorVerb
	Target   AppID // OperatorPass and OperatorTake (the app to give control to)
	Metadata string
	Call     Call
}

// OperatorVerb is one of the operators' commands on a thread.
type OperatorVerb uint8

// The operators' commands.
const (
	OperatorPass OperatorVerb = iota + 1
	OperatorTake
	OperatorRelease
)

// Due asks for whatever has come due on the thread: a lapse of control, a
// survey past its days, an open send without outcome, a held echo, an owner who
// is no longer connected. It decides nothing when nothing is due.
type Due struct{}

func (Webhook) command()        {}
func (Pass) command()           {}
func (Take) command()           {}
func (RequestControl) command() {}
func (Release) command()        {}
func (Extend) command()         {}
func (PassMetadata) command()   {}
func (ReadOwner) command()      {}
func (Send) command()           {}
func (SendOutcome) command()    {}
func (SideOutcome) command()    {}
func (InboxAction) command()    {}
func (SetUserMenu) command()    {}
func (Operate) command()        {}
func (Due) command()            {}
