package control

// Event is something that was decided. The set is sealed; the log keeps events
// for ever, so fields are added and never change their meaning.
//
//sumtype:decl
type Event interface{ event() }

// Change is what every change of owner has in common.
type Change struct {
	From, To AppID
	// At is the partition time of the decision; for a lapse the time at which
	// control lapsed.
	At        Millis
	ExpiresAt Millis // zero when To is idle
	By        Actor
	Why       Why
	Metadata  string
	// Print is the fingerprint of the call that caused it; see
	// State.LastChange. Zero when no call did.
	Print uint64
	// WindowDays is an ad's control window, zero otherwise.
	WindowDays uint8
	// WantInbox and MirrorSide: the change moved control to or from the
	// inbox and the platform must hear of it. Evolve opens an EffectSide at
	// ID when MirrorSide is set.
	MirrorSide bool
	WantInbox  bool
	// PlatformSide: the platform itself reported the side WantInbox; it needs
	// no mirroring, and an open mirror is closed by it.
	PlatformSide bool
	// ID is the event's own position when MirrorSide is set.
	ID Position
	// Done is the thread's done mark after the change.
	Done bool
	// Revision is State.Revision after the change; zero in what was decided before
	// changes kept it, as no change makes it zero. Evolve counts by itself.
	Revision uint32
	// Key and its companions are those of the causing call.
	Call Call
}

// The changes of owner. Each is one kind of the control topic.
type (
	// Assigned: an idle thread gained an owner by a rule.
	Assigned struct{ Change }
	// Passed: control was handed over, or granted by a request.
	Passed struct{ Change }
	// Taken: an app took control.
	Taken struct{ Change }
	// Released: control was given up; also when the owner went away.
	Released struct{ Change }
	// Expired: control lapsed. At is the deadline.
	Expired struct{ Change }
	// Captured: a tapped menu item, button or ad moved control.
	Captured struct{ Change }
	// InboxTaken: a human took the thread in the inbox.
	InboxTaken struct{ Change }
	// InboxDone: a human marked the thread done in the inbox while it had
	// control; To is the primary or idle.
	InboxDone struct{ Change }
)

// DoneMarked: the thread was marked done while the inbox did not control it, or
// the mark was cleared by a move to the main folder.
type DoneMarked struct {
	At   Millis
	By   Actor
	Done bool
	Call Call
}

// Requested: App waits for control. Again says that the app was already waiting
// and only its metadata changed.
type Requested struct {
	App      AppID
	Owner    AppID // who was asked
	At       Millis
	Metadata string
	Again    bool
	Print    uint64
	Call     Call
}

// Extended: the owner prolonged its control.
type Extended struct {
	App       AppID
	At        Millis
	ExpiresAt Millis
	Call      Call
}

// MetadataPassed: App sent context to Target.
type MetadataPassed struct {
	App, Target AppID
	At          Millis
	Metadata    string
	Call        Call
}

// RoleChanged: the page's lead changed and App has another role now. Filed under
// the page itself (ThreadKey.Person zero).
type RoleChanged struct {
	App     AppID
	Primary bool
	At      Millis
	By      Actor
}

// RosterApplied: from here on, decisions follow the roster of this version.
// Filed under no thread.
type RosterApplied struct{ Version uint64 }

// Audience says to whom a routed event goes. Source: delivery matrix, protocol 5.
type Audience uint8

// The audiences.
const (
	// ToOwner: Owner on messaging, the others on standby where the kind is one
	// of standby's.
	ToOwner Audience = iota + 1
	// ToIdle: every app on the page's idle channel, full payload. When Creator
	// is set it gets the event on messaging instead.
	ToIdle
	// ToCreator: Creator on messaging; nobody else.
	ToCreator
	// ToNobody: input that only changed control, or was refused.
	ToNobody
)

// Routed is the routing decision for one webhook event. Exactly one Routed (or
// EchoWaits followed later by a Routed) is decided per event that is not a
// duplicate.
type Routed struct {
	Input    Ref
	Kind     Kind
	Audience Audience
	// Owner is the app or inbox that has control when the event is decided;
	// for an echo of one of Baton's sends, when that send was decided (12.3).
	Owner AppID
	// Creator is the app whose button, menu item or survey was used; it gets
	// the payload.
	Creator AppID
	// Sender and Metadata replace app_id and metadata in an echo of one of
	// Baton's sends; Send is its position.
	Send     Position
	Sender   AppID
	Metadata string
	// At is the partition time of the decision, UserAt the new
	// State.LastUserAt when the event is activity of the person, ExpiresAt the
	// new deadline; zero leaves each as it is.
	At        Millis
	UserAt    Millis
	ExpiresAt Millis
	// WindowDays replaces the window of the owner's ad; zero leaves it.
	WindowDays uint8
	// ClearDone: a new message of the person clears the done mark (12.13).
	ClearDone bool
	// Dedupe is the event's de-duplication key, remembered for 48 h from At.
	Dedupe [16]byte
	// WasHeld: this routes an echo that an EchoWaits had consumed.
	WasHeld bool
	// SideReported: the event reports that the platform's side is WantInbox.
	SideReported, WantInbox bool
}

// EchoWaits: an echo that may belong to an open send was consumed and waits.
type EchoWaits struct {
	Input  Ref
	At     Millis // of the decision
	EchoAt Millis // its own timestamp
	Mid    string
	Dedupe [16]byte
}

// SendAccepted: App may send; its graphapi node forwards within
// SendForwardWithin. ID is the event's own position.
type SendAccepted struct {
	ID        Position
	App       AppID
	Owner     AppID
	At        Millis
	ExpiresAt Millis // the new deadline when the send extends, else zero
	Bypass    bool   // a human-agent send by an app without control
	Action    bool   // a sender action: no outcome is awaited, no effect opens
	Metadata  string
	Buttons   []uint64
	Control   SendControl
	Answers   *Answerable // a survey sent at once
	Call      Call
}

// SendConfirmed: the platform took the send ID; Mid is its message id.
type SendConfirmed struct {
	ID     Position
	App    AppID
	Mid    string
	At     Millis
	ByEcho bool
	// Key repeats the send's idempotency key.
	Key      [16]byte
	KeyUntil Millis
	Digest   uint64
	// SkippedControl: the pending thread_control was not executed because the
	// app no longer had control.
	SkippedControl bool
}

// SendFailed: the send ID was refused by the platform, stayed without outcome
// or was never forwarded.
type SendFailed struct {
	ID       Position
	App      AppID
	Outcome  OutcomeKind
	Error    []byte // the platform's error body (OutcomeRefused)
	At       Millis
	Key      [16]byte
	KeyUntil Millis
	Digest   uint64
}

// SurveyHeld: a survey waits for the thread to become idle. ID is the event's
// own position; the answer's message id is made from it.
type SurveyHeld struct {
	ID        Position
	App       AppID
	At        Millis
	ExpiresAt Millis
	Message   []byte
	Questions []uint64
	Call      Call
}

// SurveyDelivered: the held survey Survey is to be forwarded by the partition's
// holder; an EffectSurvey opens at ID.
type SurveyDelivered struct {
	ID     Position
	Survey Position
	App    AppID
	At     Millis
}

// SurveyDropped: the held survey passed its days, its creator went away, or the
// platform refused it (Error).
type SurveyDropped struct {
	Survey Position
	App    AppID
	At     Millis
	Error  string
	// Delivery is the EffectSurvey that the platform refused; zero when the
	// survey was still held.
	Delivery Position
}

// SideConfirmed: the platform confirmed the mirror ID.
type SideConfirmed struct {
	ID        Position
	At        Millis
	WantInbox bool
}

// SideRefused: the platform refused the mirror ID (drift); it is tried again at
// NextAt.
type SideRefused struct {
	ID     Position
	At     Millis
	NextAt Millis
	Error  string
}

// UserMenuSet: App set or (no items) cleared the person's own menu.
type UserMenuSet struct {
	App   AppID
	At    Millis
	Items []uint64
	Call  Call
}

// Refused: a command was refused, Count times since the last such record. It
// changes no state.
type Refused struct {
	App    AppID
	Verb   Verb
	Reason Reason
	Owner  AppID
	// Since, Until and Next are those of the Refusal.
	Since, Until Millis
	Next         Next
	At           Millis
	Count        uint32
}

func (Assigned) event()        {}
func (Passed) event()          {}
func (Taken) event()           {}
func (Released) event()        {}
func (Expired) event()         {}
func (Captured) event()        {}
func (InboxTaken) event()      {}
func (InboxDone) event()       {}
func (DoneMarked) event()      {}
func (Requested) event()       {}
func (Extended) event()        {}
func (MetadataPassed) event()  {}
func (RoleChanged) event()     {}
func (RosterApplied) event()   {}
func (Routed) event()          {}
func (EchoWaits) event()       {}
func (SendAccepted) event()    {}
func (SendConfirmed) event()   {}
func (SendFailed) event()      {}
func (SurveyHeld) event()      {}
func (SurveyDelivered) event() {}
func (SurveyDropped) event()   {}
func (SideConfirmed) event()   {}
func (SideRefused) event()     {}
func (UserMenuSet) event()     {}
func (Refused) event()         {}

// ChangeOf returns the change of owner that e is, if it is one.
func ChangeOf(e Event) (Change, bool) {
	switch e := e.(type) {
	case Assigned:
		return e.Change, true
	case Passed:
		return e.Change, true
	case Taken:
		return e.Change, true
	case Released:
		return e.Change, true
	case Expired:
		return e.Change, true
	case Captured:
		return e.Change, true
	case InboxTaken:
		return e.Change, true
	case InboxDone:
		return e.Change, true
	case DoneMarked, Requested, Extended, MetadataPassed, RoleChanged, RosterApplied, Routed, EchoWaits, SendAccepted,
		SendConfirmed, SendFailed, SurveyHeld, SurveyDelivered, SurveyDropped, SideConfirmed, SideRefused, UserMenuSet, Refused:
		return Change{}, false
	}
	return Change{}, false
}
